"""The result of a comparison as a file: what page, table and rating are made of. Imports no torch."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stylegan_toon.errors import InputError, shown
from stylegan_toon.metrics.pareto import paired_interval

VERSION = 1
LARGEST = 500_000_000  # bytes of a result
KEYS = ("about", "cartoons_from", "cells", "controls", "missing", "photos", "photos_from", "style", "suite")
CELL = ("label", "budget", "seed", "parameters", "cost", "figures", "shuffled", "pictures")
CONTROLS = {"copy": "photos, copied", "cartoons": "cartoons of nobody in them"}


class Row(NamedTuple):
    """A line of the table: one entry and budget, its seeds together. cells: their results."""

    label: str
    budget: str
    cells: list[dict[str, Any]]

    @property
    def name(self) -> str:
        return f"{self.label}, {self.budget}" if self.budget in ("pictures", "seconds") else self.label


def rows(result: Mapping[str, Any]) -> list[Row]:
    """In the order of the suite; what has no result yet is left out."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in result["cells"]:
        found.setdefault((cell["label"], cell["budget"]), []).append(cell)
    order = [entry["label"] for entry in result["suite"]["methods"]]
    return [Row(*key, found[key]) for key in sorted(found, key=lambda key: (order.index(key[0]), key[1]))]


def read_result(path: str | Path) -> dict[str, Any]:
    """A comparison's compare.json, or that in its folder. Raises: InputError."""
    file = Path(path) / "compare.json" if Path(path).is_dir() else Path(path)
    try:
        if file.stat().st_size > LARGEST:
            raise ValueError("too large")
        result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        lacking = [key for key in KEYS if key not in result]
        lacking += [key for cell in result["cells"] for key in CELL if key not in cell]
        if result["version"] != VERSION or lacking:
            raise ValueError
        rows(result)
        return result
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(f"{shown(file)} is no result of a comparison ({why}); name its folder") from None


def interval(cells: Sequence[Mapping[str, Any]], figure: str) -> tuple[float, float, float] | None:
    """Mean over seeds and its 95 % interval by Student's t; of one seed its own interval, over photos.

    None where no run gave the figure; nan where there is no interval.
    """
    found = [cell["figures"][figure] for cell in cells if figure in cell["figures"]]
    values = [number(one["value"]) for one in found]
    if not values:
        return None
    if len(values) == 1:
        return values[0], number(found[0]["low"]), number(found[0]["high"])
    return paired_interval(values)


def number(value: Any) -> float:
    """A number of JSON; null, which stands for nan and infinity, as nan."""
    return float(value) if value is not None else math.nan
