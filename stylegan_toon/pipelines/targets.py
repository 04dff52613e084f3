"""What `finetune --target` means: a recipe's name, what ships, or a person's own; and what fits how many.

Imports no torch: the run folder bears the target's name, and is held before torch is loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stylegan_toon.errors import InputError, ModelError, shown
from stylegan_toon.paths import sample_file

PLACE = Path("data")  # below the working folder
SHIPPED = ("storybook", "avatar", "toonhead", "ink", "comic")

# The paper's targets, whose pictures may not be passed on: what they are, and what ships in their stead. All
# are squares around a face, taken as they are.
PAPER = {
    "webtoon": ("256 px faces cut from webtoons, not aligned", "toonhead"),
    "metfaces": ("the aligned faces of MetFaces", "storybook"),
    "disney": ("some 300 aligned faces of animation films", "storybook"),
    "romance101": ("256 px faces cut from one webtoon", "toonhead"),
    "truebeauty": ("256 px faces cut from one webtoon", "toonhead"),
}

FEW, SOME = 30, 300  # pictures
# The fewer pictures, the less is trained, the more is varied (ADA), the closer is the watch.
# What is blended, toonify draws so: coarse shapes of the person, the rest of the style.
# Light, features and portraits keep eyes and mouths whole there: of 900 heads without them, eyes broke within
# 300 steps; of 20, skin turned dark in patches and white round eyes. The price is style (docs/targets.md).
KEPT = {"low_pass": 2, "perceptual": 0.5, "portraits": 4}
RECIPES: dict[str, Mapping[str, float]] = {
    "few": {
        "freeze_g": 2,
        "ada_p": 0.4,
        "ada_target": 0.5,
        "blend": 3,
        **KEPT,
        "steps": 250,
        "look_every": 50,
        "save_every": 50,
    },
    "some": {
        "freeze_g": 2,
        "ada_p": 0.3,
        "blend": 3,
        **KEPT,
        "steps": 400,
        "look_every": 50,
        "save_every": 100,
    },
    "many": {"blend": 3, **KEPT, "steps": 250, "look_every": 125},
}
# Of drawings of people, not of their photos (--inverted, --moods): all of the child is the style's.
INVERTED: Mapping[str, float] = {
    "freeze_g": 0,
    "structure": 0,
    "photo_codes": 0.95,
    "ada_p": 0.1,
    "steps": 600,
    "look_every": 200,
    "save_every": 200,
}
# Of drawings in even tones or lines: a style of the source that has such shapes is near. Of few, against a
# discriminator that would soon know them by heart.
FAMILY, LIKE_DRAWN = ("faces", "faces-128"), "toon"
FEW_DRAWN: Mapping[str, float] = {
    "adversarial": 0.3,
    "lr": 0.001,
    "steps": 300,
    "look_every": 150,
    "save_every": 150,
}
FINISHES = {"storybook": "comic", "comic": "cel"}  # of sets that ship, by eye; of others as they look
EYES = 0.4  # of what has a finish: as the styles that ship have them


@dataclass(frozen=True)
class Target:
    """name: of the run and the style. path: a folder or archive. own: a person's folder, to look through.

    note: a line for the user, where another set stands in.
    """

    name: str
    path: Path
    own: bool = False
    note: str = ""


def resolve(text: str, strict: bool = False) -> Target:
    """The target that a person means: a folder or archive, data/NAME/ or data/NAME.zip, or what ships.

    Args:
        strict: no other set may stand in for one of PAPER.
    Raises: InputError naming those that are known; ModelError where strict forbids the stand-in.
    """
    try:
        path = Path(text)
        if text.strip() and (path.is_dir() or path.is_file()):
            return Target(_name(path), path, path.is_dir())
        known = text in PAPER or text in SHIPPED
        plain = text.strip() and path.name == text and text not in (".", "..")
        for place in (PLACE / text, PLACE / f"{text}.zip") if plain else ():
            if place.is_dir() or place.is_file():
                return Target(text, place, place.is_dir() and text not in PAPER)
    except (OSError, ValueError) as error:  # a name too long, a null byte, a folder that may not be read
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"--target {shown(text, 60)} cannot be read ({why[:40]}); check the name") from None
    if not known:
        names = ", ".join([*PAPER, *SHIPPED])
        raise InputError(f"no pictures for {shown(text, 40)!r}; known: {names}; or name a folder or ZIP")
    if text in SHIPPED:
        return Target(text, sample_file(text))
    what, other = PAPER[text]
    absent = f"no pictures in {PLACE / text}/ or {PLACE / text}.zip"
    if strict:
        raise ModelError(f"{absent}; put {what} there, or leave --strict-target out to take {other}")
    return Target(other, sample_file(other), note=f"{absent}; taking {other}, which ships, in their stead")


def _name(path: Path) -> str:
    """What a folder or archive is called, as a folder below runs/."""
    whole = path.resolve().name if path.is_dir() else path.name
    for suffix in () if path.is_dir() else (".gz", ".bz2", ".xz", ".tar", ".tgz", ".zip"):
        whole = whole.removesuffix(suffix)
    return whole.lstrip(".") or "target"


def recipe(count: int, resolutions: int = 6) -> tuple[str, Mapping[str, float]]:
    """Which of RECIPES fits so many pictures, and its options, as finetune calls them.

    At least two of the resolutions are trained, and at most half of them are blended.
    """
    kind = "few" if count < FEW else "some" if count < SOME else "many"
    most = {"freeze_g": max(0, resolutions - 2), "blend": resolutions // 2}
    return kind, {name: min(value, most.get(name, value)) for name, value in RECIPES[kind].items()}


def own_shapes(count: int, finish: str, source: str) -> dict[str, float | str]:
    """The options of a style whose shapes are its own, of so many drawings in a finish, as recipe's."""
    options: dict[str, float | str] = dict(INVERTED)
    if finish != "paint":
        options["finish"] = finish
        if source in FAMILY:
            options |= {"start": LIKE_DRAWN, **(FEW_DRAWN if count < SOME else {})}
    return options
