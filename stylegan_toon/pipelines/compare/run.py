"""Roads from photo to cartoon, compared: one split, equal budgets, the same held-out photos, one table.

A cell is one entry of the suite, one budget and one seed; its figures and pictures are one JSON file, so that
a comparison that was stopped goes on. What the figures mean: docs/metrics.md; how to run: docs/comparison.md.
"""

import base64
import io
import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan_toon import __version__
from stylegan_toon.data import load_pictures
from stylegan_toon.device import choose_device
from stylegan_toon.errors import InputError, UsageError, shown
from stylegan_toon.files import write_aside
from stylegan_toon.images import save_png
from stylegan_toon.metrics.size import cost, parameter_count
from stylegan_toon.pipelines.baseline import settings, train_baseline
from stylegan_toon.pipelines.compare.data import SETS, draw_pairs, split, to_image, translated
from stylegan_toon.pipelines.compare.judge import Judge, open_judge
from stylegan_toon.pipelines.compare.result import VERSION
from stylegan_toon.pipelines.compare.suite import Entry, Suite
from stylegan_toon.pipelines.domains import Sources
from stylegan_toon.pipelines.study.run import points_of
from stylegan_toon.pipelines.translate import load_translator
from stylegan_toon.pipelines.untrained import UNTRAINED, open_untrained
from stylegan_toon.training.log import entries as log_entries
from stylegan_toon.training.loop import Run

TAKEN = "taken"  # the budget of what was not trained here
COUNTS = ("iterations", "init_iterations", "halve_every")  # settings of methods that count no epochs
QUALITY = 92  # of the JPEGs in the page and the JSON


@dataclass(frozen=True)
class Cell:
    entry: Entry
    budget: str  # pictures, seconds or taken
    seed: int

    @property
    def name(self) -> str:
        return f"{self.entry.label}-{self.budget}-{self.seed}"


def cells(suite: Suite, first: int = 0) -> list[Cell]:
    """Seed by seed, from first on, so that what is cut short holds whole comparisons."""
    out = []
    for seed in range(first, first + suite.seeds):
        for entry in suite.entries:
            if entry.weights or entry.method in UNTRAINED:
                out += [Cell(entry, TAKEN, seed)] if seed == first else []
            else:
                budgets = [name for name in ("pictures", "seconds") if getattr(suite, name)]
                out += [Cell(entry, budget, seed) for budget in budgets]
    return out


def compare(
    suite: Suite,
    out: str | Path,
    photos: str | None = None,
    cartoons: str | None = None,
    style: str | None = None,
    vgg: str | None = None,
    fid: str | None = None,
    device: str = "auto",
    seed: int = 0,
    quiet: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run the cells of the suite that have no result in OUT/cells yet; returns the result, that of gather().

    Args:
        photos, cartoons: folders or archives of aligned squares; None draws photos with the face generator
            that ships, and takes the cartoons that ship as suite.cartoons.
        style: of toonify, and of the pairs that it draws for methods that learn from pairs; None is the
            suite's.
        vgg: for feature losses, as `baseline train --vgg`. fid: whose features FID compares, as
            judge.fid_space.
    Raises: UsageError where OUT holds another comparison; InputError for packs, ModelError, MissingPartError,
        and those of training.loop.train.
    """
    folder, where = Path(out), choose_device(device)
    style = style or suite.style
    for entry in suite.entries:  # before anything is written
        if entry.method not in UNTRAINED and not entry.weights:
            settings(entry.method, entry.preset, {**entry.changes, "size": str(suite.size)})
    plan: dict[str, Any] = {
        "suite": {**asdict(suite), "methods": list(suite.methods)}, "photos_from": _named(photos),
        "cartoons_from": _named(cartoons), "style": Path(style).name, "vgg": vgg and Path(vgg).name,
        "seed": seed,
    }  # fmt: skip
    _same_plan(folder, plan)
    split(suite, folder, photos, cartoons, report)
    every = cells(suite, seed)
    todo = [cell for cell in every if not _file(folder, cell).is_file()]
    judge = open_judge(suite, folder, fid, where)
    if not (controls := folder / "controls.json").is_file():
        _write(controls, _controls(judge, folder, suite))
    for number, cell in enumerate(every, 1):
        if cell not in todo:
            continue
        report(f"{cell.name}, {number} of {len(every)}")
        run = folder / "runs" / cell.name
        found = _run_cell(cell, suite, folder, judge, style, vgg, device, quiet, report)
        _write(_file(folder, cell), found)
        shutil.rmtree(run / "state", ignore_errors=True)
    return gather(folder)


def gather(folder: Path) -> dict[str, Any]:
    """The result in a comparison's folder, and its compare.json.

    Raises: InputError where there is none.
    """
    try:
        plan, controls = (
            json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("plan", "controls")
        )
        suite = Suite(**{**plan["suite"], "methods": tuple(plan["suite"]["methods"])})
        every = cells(suite, plan["seed"])
        files = [file for cell in every if (file := _file(folder, cell)).is_file()]
        found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{shown(folder)} holds no comparison ({type(error).__name__}); run one first"
        ) from None
    result = {
        "version": VERSION, **plan, **controls, "cells": found, "missing": len(every) - len(found),
    }  # fmt: skip
    _write(folder / "compare.json", result)
    return result


def _controls(judge: Judge, folder: Path, suite: Suite) -> dict[str, Any]:
    """What the figures are of what is no method: the photos themselves, and cartoons of nobody in them."""
    cartoons = load_pictures([folder / "data" / "cartoons"], suite.size)
    n = len(judge.photos)
    at = torch.arange(n) % len(cartoons)
    faces = [point is not None for point in points_of(judge.cartoons.float() / 127.5 - 1)]
    count = {name: len(list((folder / "data" / name).iterdir())) for name in SETS}
    return {
        "about": {
            "program": __version__, "torch": torch.__version__, "device": str(judge.where),
            "threads": torch.get_num_threads(), "pictures": count, "faces_found": sum(faces) / len(faces),
            "fid_space": judge.fid_space, "lpips": judge.lpips is not None,
        },
        "controls": {"copy": judge.measure(judge.photos), "cartoons": judge.measure(cartoons[at])},
        "photos": [_jpeg(one) for one in judge.photos[: suite.shown]],
    }  # fmt: skip


def _run_cell(
    cell: Cell, suite: Suite, folder: Path, judge: Judge, style: str, vgg: str | None, device: str,
    quiet: bool, report: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Train or open, translate the held-out photos, measure; as JSON values."""
    entry, where, about = cell.entry, judge.where, {}
    if entry.method in UNTRAINED:
        first = load_pictures([folder / "data" / "cartoons"], 2 * suite.size)[:1].float() / 127.5 - 1
        opened = open_untrained(entry.method, entry.preset, entry.changes, where, style, first, vgg, report)
        translator, networks = opened.translator, opened.networks
        about = {"settings": opened.settings}
    else:
        if cell.budget != TAKEN:
            about = _train(cell, suite, folder, style, vgg, device, quiet, report)
        translator = load_translator(entry.method, entry.weights or folder / "runs" / cell.name, where)
        # One way of those that know both; of what has no original, all that translates.
        one_way = getattr(translator, "original", None)
        networks = [one_way()] if one_way else list(translator.translators().values())
    made = torch.cat(list(translated(translator.translate, judge.photos, where)))
    with torch.inference_mode():
        spent = cost(translator.translate, judge.photos[:1].to(where).float() / 127.5 - 1, repeats=3)
    save_png(folder / "pictures" / f"{cell.name}.png", _strip(made))
    return {
        "label": entry.label, "method": entry.method, "preset": entry.preset, "set": entry.set,
        "budget": cell.budget, "seed": cell.seed, **about, "parameters": parameter_count(*networks),
        "cost": spent._asdict(), "figures": judge.measure(made), "shuffled": judge.measure(made, turn=1),
        "pictures": [_jpeg(one) for one in made[: suite.shown]],
    }  # fmt: skip


def _train(
    cell: Cell, suite: Suite, folder: Path, style: str, vgg: str | None, device: str, quiet: bool,
    report: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Train a cell's network up to its budget in OUT/runs; what the table tells of it."""
    entry, data = cell.entry, folder / "data"
    config = settings(entry.method, entry.preset, {**entry.changes, "size": str(suite.size)})
    sources = Sources(str(data / "photos"), str(data / "cartoons"))
    if config.paired:
        sources = Sources(pairs=str(draw_pairs(folder, style, device, report)))
    run = folder / "runs" / cell.name

    def train(steps: int, out: Path) -> float:
        """Steps a second."""
        fitted = _fitted(config, steps)
        plan = Run(out, steps, max(1, steps // 4), steps, max(1, min(20, steps)), cell.seed, quiet=quiet)
        train_baseline(entry.method, fitted, sources, plan, device, vgg, report)
        return float([line for line in log_entries(out) if "rate" in line][-1]["rate"])

    steps = max(1, -(-suite.pictures // config.batch))
    if cell.budget == "seconds":
        steps = max(1, round(suite.seconds * _rate(cell, suite, folder, train)))
    rate = train(steps, run)
    return {
        "steps": steps, "batch": config.batch, "seen": steps * config.batch,
        "seconds": steps / max(rate, 1e-9), "paired": config.paired,
    }  # fmt: skip


def _rate(cell: Cell, suite: Suite, folder: Path, train: Callable[[int, Path], float]) -> float:
    """How many steps of a cell's method fit into a second: as its run by pictures had it, else a short trial.

    Kept in a file, so that a stopped run by seconds goes on with the steps it began with.
    """
    file = folder / "rates" / f"{cell.name}.json"
    if not file.is_file():
        other = _file(folder, replace(cell, budget="pictures"))
        if suite.pictures and other.is_file():
            about = json.loads(other.read_text(encoding="utf-8"))
            rate = about["steps"] / about["seconds"]
        else:
            trial = folder / "runs" / f".trial-{cell.name}"
            shutil.rmtree(trial, ignore_errors=True)
            rate = train(8, trial)
            shutil.rmtree(trial, ignore_errors=True)
        _write(file, {"rate": rate})
    return float(json.loads(file.read_text(encoding="utf-8"))["rate"])


def _fitted(config: Any, steps: int) -> Any:
    """config with its schedule brought to so many steps: by an epoch's length, or all counts of iterations.

    So warm-ups and falling learning rates take the share of a short run that they have of a whole one.
    """
    if hasattr(config, "iterations"):
        counts = {key: getattr(config, key) for key in COUNTS if hasattr(config, key)}
        share = steps / config.iterations
        return replace(config, **{key: max(1, round(count * share)) for key, count in counts.items()})
    long = replace(config, epoch=10_000)
    return replace(config, epoch=max(1, round(steps / long.steps * 10_000)))


def _same_plan(folder: Path, plan: Mapping[str, Any]) -> None:
    """Write OUT/plan.json. Raises: UsageError where another one is there."""
    file, plan = folder / "plan.json", json.loads(json.dumps(plan))
    try:
        before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else plan
    except ValueError:
        before = None
    if before != plan:
        known = before if isinstance(before, dict) else {}
        key = next((key for key in plan if known.get(key) != plan[key]), "plan")
        raise UsageError(
            f"{shown(folder, 60)} holds a comparison with another {key}; name another --out, or give the same"
        )
    _write(file, plan)


def _named(source: str | None) -> str | None:
    """The last part of a path: what the page may say of it."""
    return None if source is None else Path(source).name


def _jpeg(picture: Tensor) -> str:
    """[3, S, S] uint8 as a JPEG in base64."""
    file = io.BytesIO()
    to_image(picture).save(file, "JPEG", quality=QUALITY, subsampling=0)
    return base64.b64encode(file.getvalue()).decode()


def _strip(made: Tensor) -> np.ndarray:
    """[N, 3, S, S] uint8 side by side."""
    return np.concatenate([np.asarray(to_image(one)) for one in made[:16]], 1)


def _file(folder: Path, cell: Cell) -> Path:
    return folder / "cells" / f"{cell.name}.json"


def _write(path: Path, document: Mapping[str, Any]) -> None:
    """JSON without nan and infinity, which are null there."""
    write_aside(path, [(json.dumps(_plain(document), indent=1, allow_nan=False) + "\n").encode()])


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
