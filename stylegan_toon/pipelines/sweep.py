"""A method trained once for every combination of some settings, and a table of what came out."""

import csv
import io
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stylegan_toon.errors import UsageError
from stylegan_toon.files import write_aside
from stylegan_toon.pipelines.baseline import settings, train_baseline
from stylegan_toon.pipelines.domains import Sources
from stylegan_toon.training import ranks
from stylegan_toon.training.log import entries
from stylegan_toon.training.loop import Run

MOST = 100  # runs


def cases(sweeps: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Every combination of the values of all settings, the last one turning fastest.

    sweeps: (key, "v1,v2,...") pairs. Raises: UsageError for a key or value given twice, or too many.
    """
    keys = [key for key, _ in sweeps]
    values = [text.split(",") for _, text in sweeps]
    if len(set(keys)) < len(keys) or any(len(set(row)) < len(row) or "" in row for row in values):
        raise UsageError("a --sweep names a setting once, with different values; give KEY=V1,V2")
    found = [dict(zip(keys, row, strict=True)) for row in itertools.product(*values)]
    if len(found) > MOST:
        raise UsageError(f"these sweeps are {len(found)} runs; give {MOST} at most")
    return found


def sweep_baseline(
    name: str,
    preset: str,
    changes: Mapping[str, str],
    sweeps: Sequence[tuple[str, str]],
    sources: Sources,
    run: Run,
    device: str = "auto",
    vgg: str | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """Train every case in RUN/KEY=VALUE,.../ and write RUN/sweep.csv and RUN/sweep.json; returns their rows.

    A row has the case, the last losses and the last look's figures. All settings are checked before the first
    run; runs that are there already are gone on with, or left as they are where they have ended.
    Args:
        preset, changes: for what a case does not name; the key "preset" of a case names its preset.
    Raises: UsageError and as train_baseline.
    """
    found = cases(sweeps)
    if twice := {key for key, _ in sweeps} & changes.keys():
        raise UsageError(f"{min(twice)} is given by --sweep and once more; leave out one of both")
    configs = []
    for case in found:
        own = {key: value for key, value in case.items() if key != "preset"}
        configs.append(settings(name, case.get("preset", preset), {**changes, **own}))
    rows: list[dict[str, Any]] = []
    for case, config in zip(found, configs, strict=True):
        folder = ",".join(f"{key}={value}" for key, value in case.items())
        report(f"{folder}: run {len(rows) + 1} of {len(found)}")
        own_run = replace(run, out=run.out / folder)
        train_baseline(name, config, sources, own_run, device, vgg, report)
        last: dict[str, Any] = {}
        for entry in entries(own_run.out):
            last |= {
                key: value for key, value in entry.items() if key not in ("seconds", "rate", "memory_mb")
            }
        rows.append({"run": folder, **case, **last})
        if not ranks.rank():
            _write(run, rows)
    return rows


def _write(run: Run, rows: Sequence[Mapping[str, Any]]) -> None:
    """The table so far, so that a sweep that is stopped leaves what it has."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_aside(run.out / "sweep.csv", [text.getvalue().encode()])
    write_aside(run.out / "sweep.json", [(json.dumps(list(rows), indent=1) + "\n").encode()])
