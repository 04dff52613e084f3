"""RUN/log.jsonl: a line every few steps (it has a rate) and a line for every look, each step once."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stylegan_toon.files import write_aside

NAME = "log.jsonl"


def log(out: Path, entry: Mapping[str, Any]) -> None:
    """Append an entry, which has a step, to the log of the run folder out."""
    with (out / NAME).open("a") as file:
        file.write(json.dumps(entry) + "\n")


def entries(out: Path) -> Iterator[dict[str, Any]]:
    """The entries of a run's log, in order; a line that a crash tore is left out."""
    path = out / NAME
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            entry["step"] + 0
        except (ValueError, TypeError, KeyError):
            continue
        yield entry


def rewind(out: Path, step: int) -> None:
    """Cut the log back to step: what comes after will be done again, and a look at step, too."""
    if (path := out / NAME).is_file():
        kept = [entry for entry in entries(out) if entry["step"] + ("rate" not in entry) / 2 <= step]
        write_aside(path, ["".join(json.dumps(entry) + "\n" for entry in kept).encode()])


def stuck(out: Path, figure: str, looks: int) -> bool:
    """Whether a figure, lower is better, is not below its lowest for so many looks.

    It is a function of the log alone, so that a run that goes on ends where an undisturbed one ends.
    """
    values = [entry[figure] for entry in entries(out) if figure in entry]
    return bool(values) and len(values) - 1 - values.index(min(values)) >= looks
