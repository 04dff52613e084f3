"""What a comparison compares: a suite by name, or a person's own as a JSON file of the same shape."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stylegan_toon.config import from_json
from stylegan_toon.errors import ModelError, UsageError, shown
from stylegan_toon.methods.i2i import TRANSLATORS

LARGEST = 1_000_000  # bytes of a suite's file
PLAIN = (str, int, float, bool)


@dataclass(frozen=True)
class Entry:
    """One row of the comparison. label: its name there; preset and set: as `baseline train` takes them.

    weights: a run or file that is taken instead of training; equal budgets are then not claimed for it.
    """

    label: str
    method: str
    preset: str = "small"
    set: dict[str, Any] = field(default_factory=dict)
    weights: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.set, dict) or not all(type(one) in PLAIN for one in self.set.values()):
            raise ValueError(
                f"set of {self.label[:30]!r} is not KEY: VALUE, values text, numbers or booleans"
            )

    @property
    def changes(self) -> dict[str, str]:
        """set, as `--set KEY=VALUE` writes it."""
        return {key: one if isinstance(one, str) else json.dumps(one) for key, one in self.set.items()}


@dataclass(frozen=True)
class Suite:
    """How the entries are compared. A trained one runs once for every seed and budget that is not 0.

    size: px of the squares. pictures: budget of photos shown in training. seconds: budget of training time.
    held_out: photos that nothing trains on, on which all is measured. reference: cartoons held out, which
    tell how near a method came. train_photos, train_cartoons: at most so many of the others; 0 is all.
    cartoons, style: what ships and stands for --cartoons and --style. drawn: faces drawn where there are no
    --photos. shown: pictures of each in the page.
    """

    name: str
    methods: tuple[dict[str, Any], ...]
    size: int = 64
    pictures: int = 200
    seconds: float = 0.0
    seeds: int = 1
    held_out: int = 24
    reference: int = 40
    train_photos: int = 0
    train_cartoons: int = 0
    drawn: int = 200
    shown: int = 6
    cartoons: str = "storybook"
    style: str = "storybook"

    def __post_init__(self) -> None:
        wrong = [
            key for key, least in LEAST.items() if getattr(self, key) < least
        ]  # fmt: skip
        if wrong or self.seeds > 10 or self.shown > self.held_out or not self.methods:
            key = (
                wrong[0] if wrong else "seeds" if self.seeds > 10 else "shown" if self.methods else "methods"
            )
            raise ValueError(
                f"{key}={str(getattr(self, key))[:20]} cannot be compared; see docs/comparison.md"
            )
        labels = [entry.label for entry in self.entries]
        for label in labels:
            if not label.replace("-", "").isalnum() or labels.count(label) > 1:
                raise ValueError(
                    f"label {label[:30]!r} is not one word of letters, digits and -, or is there twice"
                )

    @property
    def entries(self) -> list[Entry]:
        return [from_json(Entry, one) for one in self.methods]


LEAST: Mapping[str, float] = {
    "size": 32, "pictures": 0, "seconds": 0, "seeds": 1, "held_out": 3, "reference": 2, "train_photos": 0,
    "train_cartoons": 0, "drawn": 5, "shown": 1,
}  # fmt: skip
BLENDS = tuple({"label": f"toonify-{k}", "method": "toonify", "set": {"blend": str(k)}} for k in range(7))


def _methods(preset: str) -> list[dict[str, Any]]:
    return [
        *({"label": name, "method": name, "preset": preset} for name in TRANSLATORS),
        {"label": "nst", "method": "nst", "preset": preset},
        *({"label": f"binarize-{way}", "method": "binarize", "preset": way} for way in ("otsu", "adaptive")),
        *BLENDS,
    ]


SUITES: Mapping[str, dict[str, Any]] = {
    "smoke": {"methods": _methods("small"), "size": 64, "pictures": 40, "seconds": 10.0},
    "full": {
        "methods": _methods("paper"), "size": 128, "pictures": 10_000, "seconds": 600.0, "seeds": 3,
        "held_out": 200, "drawn": 2500, "shown": 8, "cartoons": "avatar", "style": "avatar", "reference": 150,
    },
}  # fmt: skip


def read_suite(text: str) -> Suite:
    """The suite of a name, or in a JSON file. Raises: UsageError for another name, a broken file or key."""
    path = Path(text)
    if text in SUITES:
        return from_json(Suite, {"name": text, **SUITES[text]})
    if not path.is_file():
        raise UsageError(f"no suite {shown(text, 40)!r}; known: {', '.join(SUITES)}; or name a JSON file")
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("too large")
        values = json.loads(path.read_text(encoding="utf-8"))
        return from_json(Suite, {"name": path.stem, **values})
    except (ModelError, OSError, ValueError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{shown(path, 50)} is no suite ({str(error)[:80]}); see docs/comparison.md"
        ) from None
