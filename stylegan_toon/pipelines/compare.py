"""Roads from photo to cartoon, compared: one split, equal budgets, the same held-out photos, one table.

A cell is one entry of the suite, one budget and one seed; its figures and pictures are one JSON file, so that
a comparison that was stopped goes on. What the figures mean: docs/metrics.md; how to run: docs/comparison.md.
"""

import base64
import io
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan_toon import __version__
from stylegan_toon.archives import pictures
from stylegan_toon.data import load_pictures
from stylegan_toon.device import choose_device
from stylegan_toon.errors import InputError, UsageError, shown
from stylegan_toon.features.identity import choose_identity
from stylegan_toon.features.lpips import load_lpips, lpips_files
from stylegan_toon.files import write_aside
from stylegan_toon.images import save_png, to_uint8
from stylegan_toon.losses.perceptual import map_distance
from stylegan_toon.metrics.fid import fid as frechet_distance
from stylegan_toon.metrics.identity import identity_cosine
from stylegan_toon.metrics.kid import kid, statistics
from stylegan_toon.metrics.pixel import average_gradient, mse, psnr, ssim
from stylegan_toon.metrics.size import cost, parameter_count
from stylegan_toon.metrics.structure import edge_ssim, layout_correlation
from stylegan_toon.paths import sample_file
from stylegan_toon.pipelines.baseline import settings, train_baseline
from stylegan_toon.pipelines.compared import VERSION
from stylegan_toon.pipelines.domains import Sources
from stylegan_toon.pipelines.evaluate import draw_samples, features, parts
from stylegan_toon.pipelines.judge import Spaces, fid_space, spaces
from stylegan_toon.pipelines.models import load_generator
from stylegan_toon.pipelines.study import points_of
from stylegan_toon.pipelines.suite import Entry, Suite
from stylegan_toon.pipelines.toonify import Toonifier
from stylegan_toon.pipelines.translate import load_translator
from stylegan_toon.pipelines.untrained import UNTRAINED, open_untrained, toonified
from stylegan_toon.training.log import entries as log_entries
from stylegan_toon.training.loop import Run

BATCH = 8
TAKEN = "taken"  # the budget of what was not trained here
DRAWN_PSI = 0.7
SETS = ("photos", "cartoons", "photos-held-out", "cartoons-held-out")
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


@dataclass
class Judge:
    """The held-out photos and cartoons [N, 3, S, S] uint8, and what measures pictures made of the photos."""

    photos: Tensor
    cartoons: Tensor
    spaces: Spaces
    scale: dict[str, tuple[Tensor, Tensor]]
    goal: dict[str, Tensor]  # features of the held-out cartoons
    where: torch.device
    fid_space: str
    lpips: Callable[[Tensor], list[Tensor]] | None
    embed: Callable[[Tensor], Tensor]  # pictures to identity embeddings

    def __post_init__(self) -> None:
        self.copy = {space: one["value"] for space, one in self._kids(self.photos).items()}

    def measure(self, made: Tensor, turn: int = 0) -> dict[str, dict[str, float]]:
        """Every figure of pictures [N, 3, S, S] uint8 made of the photos, with its 95 % interval or nan.

        turn: compare with the photo so many places on, as a control of the figures of content.
        """
        photos = self.photos.roll(turn, 0)
        out = {f"kid/{space}": one for space, one in self._kids(made).items()} if not turn else {}
        if out:
            gone = [1 - out[f"kid/{space}"]["value"] / max(self.copy[space], 1e-3) for space in self.scale]
            out["way"] = _alone(sum(max(share, -1.0) for share in gone) / len(gone))
            net = self.spaces[self.fid_space]
            of = [features(net, parts(side, BATCH), self.where) for side in (self.cartoons, made)]
            out[f"fid/{self.fid_space}"] = _alone(frechet_distance(*of))
            out["gradient"] = _mean(average_gradient(made))
        x, y = (side.float() / 127.5 - 1 for side in (photos, made))
        out["edge_ssim"] = _mean(edge_ssim(x, y))
        out["layout"] = _alone(layout_correlation(x, y))
        out["identity"] = _mean(identity_cosine(x, y, self.embed, BATCH))
        out["mse"], out["ssim"] = _mean(mse(photos, made)), _mean(ssim(photos, made))
        finite = psnr(photos, made)
        out["psnr"] = _mean(finite) if bool(finite.isfinite().all()) else _alone(math.inf)
        if self.lpips:
            with torch.inference_mode():
                pairs = zip(x.split(BATCH), y.split(BATCH), strict=True)
                found = [map_distance(*(self.lpips(v.to(self.where)) for v in pair)).cpu() for pair in pairs]
            out["lpips"] = _mean(torch.cat(found))
        return out

    def _kids(self, made: Tensor) -> dict[str, dict[str, float]]:
        """KID to the held-out cartoons in every space; Inception's is for FID alone."""
        out = {}
        for space, (mean, std) in self.scale.items():
            of_made = features(self.spaces[space], parts(made, BATCH), self.where)
            out[space] = kid(self.goal[space], of_made, mean, std)._asdict()
        return out


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
            settings(entry.method, entry.preset, {**entry.set, "size": str(suite.size)})
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


def split(
    suite: Suite,
    folder: Path,
    photos: str | None,
    cartoons: str | None,
    report: Callable[[str], None] = lambda text: None,
) -> None:
    """Fill OUT/data with the sets that every method trains and is measured on, if they are not there.

    The pictures' bytes are copied as they are; which are held out depends on their order alone.
    """
    data = folder / "data"
    if all((data / name).is_dir() for name in SETS):
        return
    if cartoons is None and not sample_file(suite.cartoons).is_file():
        raise UsageError(f"no cartoons {suite.cartoons[:30]!r} ship; give --cartoons")
    for name, given, held, most in (
        ("photos", photos, suite.held_out, suite.train_photos),
        ("cartoons", cartoons or sample_file(suite.cartoons), suite.reference, suite.train_cartoons),
    ):
        source = _drawn(suite, data / ".drawn", report) if given is None else Path(given)
        names = sorted(name for name, _ in pictures(source))
        if len(names) < held + 2:
            raise InputError(
                f"{shown(source)} has {len(names)} pictures, too few to hold {held} out and train on the rest"
            )
        order = np.random.default_rng(7).permutation(len(names)).tolist()
        ends = held + (most or len(names))
        place = {names[i]: (f"{name}-held-out", i) for i in order[:held]}
        place |= {names[i]: (name, i) for i in order[held:ends]}
        for kind in (name, f"{name}-held-out"):
            shutil.rmtree(data / f".{kind}", ignore_errors=True)
            (data / f".{kind}").mkdir(parents=True)
        for file, read in pictures(source):
            if file in place:
                kind, i = place[file]
                (data / f".{kind}" / f"{i:06d}{Path(file).suffix.lower()}").write_bytes(read())
        for kind in (name, f"{name}-held-out"):
            shutil.rmtree(data / kind, ignore_errors=True)
            (data / f".{kind}").rename(data / kind)
    shutil.rmtree(data / ".drawn", ignore_errors=True)


def _drawn(suite: Suite, folder: Path, report: Callable[[str], None]) -> Path:
    """A folder of faces of nobody, drawn by the generator that ships: what stands for photos."""
    report(f"no --photos: {suite.drawn} faces are drawn by the generator that ships; real photos tell more")
    number = 0
    for batch in draw_samples(load_generator("faces"), suite.drawn, DRAWN_PSI, 0, BATCH):
        for picture in to_uint8(batch):
            save_png(folder / f"{number:06d}.png", picture)
            number += 1
    return folder


def open_judge(suite: Suite, folder: Path, fid_by: str | None, where: torch.device) -> Judge:
    """fid_by: as judge.fid_space. Raises: InputError for pictures that cannot be read, ModelError."""
    data = folder / "data"
    held, wanted, photos = (
        load_pictures([data / name], suite.size)
        for name in ("photos-held-out", "cartoons-held-out", "photos")
    )
    nets = spaces(where)
    scale = {space: statistics(features(net, parts(photos, BATCH), where)) for space, net in nets.items()}
    goal = {space: features(net, parts(wanted, BATCH), where) for space, net in nets.items()}
    name, net = fid_space(fid_by, where)
    embed = choose_identity(device=where)
    files = lpips_files() if suite.size >= 64 else None
    lpips = load_lpips(*files, where) if files else None
    return Judge(held, wanted, {**nets, name: net}, scale, goal, where, name, lpips, embed)


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
        opened = open_untrained(entry.method, entry.preset, entry.set, where, style, first, vgg, report)
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


def translated(
    translate: Callable[[Tensor], Tensor], photos: Tensor, where: torch.device
) -> Iterator[Tensor]:
    """Photos [N, 3, S, S] uint8 through a translator, as if saved, batch by batch."""
    for part in parts(photos, BATCH):
        with torch.inference_mode():
            made = translate(part.to(where))
        yield torch.from_numpy(to_uint8(made)).permute(0, 3, 1, 2).contiguous()


def _train(
    cell: Cell, suite: Suite, folder: Path, style: str, vgg: str | None, device: str, quiet: bool,
    report: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Train a cell's network up to its budget in OUT/runs; what the table tells of it."""
    entry, data = cell.entry, folder / "data"
    config = settings(entry.method, entry.preset, {**entry.set, "size": str(suite.size)})
    sources = Sources(str(data / "photos"), str(data / "cartoons"))
    if config.paired:
        sources = Sources(pairs=str(_pairs(suite, folder, style, device, report)))
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


def _pairs(suite: Suite, folder: Path, style: str, device: str, report: Callable[[str], None]) -> Path:
    """OUT/data/pairs: training photos and what toonify makes of them, for methods that learn from pairs."""
    place = folder / "data" / "pairs"
    if place.is_dir():
        return place
    report(f"pairs of photo and cartoon are drawn by toonify --style {shown(style, 40)}")
    aside = folder / "data" / ".pairs"
    shutil.rmtree(aside, ignore_errors=True)
    toonifier = Toonifier(style, device=device, report=report)
    photos = load_pictures([folder / "data" / "photos"], toonifier.source.config.resolution)
    made = translated(lambda x: toonified(toonifier, x), photos, toonifier.device)
    number = 0
    for photo, cartoon in zip(photos.split(BATCH), made, strict=True):
        for sides in zip(photo, cartoon, strict=True):
            for kind, one in zip(("photo", "toon"), sides, strict=True):
                save_png(aside / kind / f"{number:06d}.png", _image(one))
            number += 1
    aside.rename(place)
    return place


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


def _mean(values: Tensor) -> dict[str, float]:
    """The mean of [N] values and its 95 % bootstrap interval over the photos."""
    x = values.double().cpu().numpy()
    draws = np.random.default_rng(0).integers(len(x), size=(1000, len(x)))
    low, high = np.quantile(x[draws].mean(1), (0.025, 0.975))
    return {"value": float(x.mean()), "low": float(low), "high": float(high)}


def _alone(value: float) -> dict[str, float]:
    """A figure of the whole set, without an interval."""
    return {"value": value, "low": math.nan, "high": math.nan}


def _image(picture: Tensor) -> Image.Image:
    return Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())


def _jpeg(picture: Tensor) -> str:
    """[3, S, S] uint8 as a JPEG in base64."""
    file = io.BytesIO()
    _image(picture).save(file, "JPEG", quality=QUALITY, subsampling=0)
    return base64.b64encode(file.getvalue()).decode()


def _strip(made: Tensor) -> np.ndarray:
    """[N, 3, S, S] uint8 side by side."""
    return np.concatenate([np.asarray(_image(one)) for one in made[:16]], 1)


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
