"""Ways of fine-tuning compared: each as a curve of fidelity and structure, over targets and seeds.

A cell of the grid is one run of one way; its figures are one JSON file, so a study can stop and go on. What
is compared, and why it is compared at matched fidelity, is said in docs/freezesg-study.md.
"""

import copy
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan_toon import __version__
from stylegan_toon.config import to_json
from stylegan_toon.data import Sampler, load_pictures
from stylegan_toon.device import choose_device
from stylegan_toon.errors import InputError, UsageError
from stylegan_toon.faces.detect import find_faces
from stylegan_toon.files import write_aside
from stylegan_toon.images import grid, save_png, to_uint8
from stylegan_toon.methods.freezesg import Config, FreezeSG
from stylegan_toon.metrics.identity import identity_cosine
from stylegan_toon.metrics.kid import kid, statistics
from stylegan_toon.metrics.structure import edge_ssim, landmark_distance, layout_correlation, w_drift
from stylegan_toon.pipelines.evaluate import as_saved, features, parts
from stylegan_toon.pipelines.judge import Spaces, spaces
from stylegan_toon.pipelines.networks import fitted, open_networks
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.freeze import trained_parameters
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.training.loop import Run, train

LOOKS = (1, 2, 4, 8, 14, 20)  # twentieths of a run at which figures are taken: 5, 10, 20, 40, 70 and 100 %
FOUND = 0.8  # identity and landmarks are taken where a face is found in so many of the target's pictures
SCORE = 0.7
POINTS = 200  # pairs for landmarks
FREEZE = 2  # resolutions frozen: 4x4 and 8x8
# The paper's weight and layers. What FreezeSG freezes it also draws as the source does, so that only layers
# above the frozen ones can differ, and count.
STRUCTURE = {"structure_weight": 1.0, "structure_layers": FREEZE + 1}
ADA = {"ada_p": 0.2, "ada_target": 0.6, "ada_images": 20_000}
SG = {"freeze_g": FREEZE, "freeze_sg": FREEZE}
# What each way changes in NAIVE. The first six are the core, which is always complete.
NAIVE: dict[str, Any] = {
    "freeze_mapping": False, "freeze_g": 0, "freeze_sg": 0, "freeze_d": 0, "structure_weight": 0.0,
    "structure_layers": 0, "ada_p": 0.0, "ada_target": 0.0,
}  # fmt: skip
ARMS: dict[str, dict[str, Any]] = {
    "naive": {},
    "naive-mapping": {"freeze_mapping": True},
    "freezeg": {"freeze_g": FREEZE},
    "freezesg": SG,
    "structure": STRUCTURE,
    "freezesg-structure": SG | STRUCTURE,
    "freezesg-mapping": SG | {"freeze_mapping": True},
    "freezed": {"freeze_d": 2},
    "ada": ADA,
    "freezed-ada": {"freeze_d": 2} | ADA,
    "freezesg-structure-ada": SG | STRUCTURE | ADA,
    "lora": {"train": "lora", "freeze_mapping": True},
}
CORE = tuple(ARMS)[:6]


@dataclass(frozen=True)
class Target:
    """name; pictures: a folder or archive; without: what is left out of it, as data.leaves_out takes it."""

    name: str
    pictures: str
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is run. counts: pictures that a run is trained on; the others of the target judge it."""

    targets: tuple[Target, ...]
    counts: tuple[int, ...] = (100,)
    arms: tuple[str, ...] = CORE
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 500
    batch: int = 16
    lr: float = 0.002
    ema: float = 1000.0  # half-life in pictures
    samples: int = 1000


@dataclass(frozen=True)
class Cell:
    target: str
    count: int
    arm: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.target}-{self.count}-{self.arm}-{self.seed}"


@dataclass
class Judge:
    """The source's pictures and the target's, and their features: what every child is measured against."""

    source: Generator
    z: Tensor
    spaces: Spaces
    batch: int
    where: torch.device
    scale: dict[str, tuple[Tensor, Tensor]]
    pool: dict[str, Tensor] = field(default_factory=dict)  # features of all of the target's pictures
    faces: float = 0.0  # share of them in which a face is found

    def __post_init__(self) -> None:
        self.pictures = self.draw(self.source)
        self.points = list(points_of(self.pictures[:POINTS]))

    def draw(self, g: Generator) -> Tensor:
        """[N, 3, R, R] as saved, of the codes z at psi 1, noise const."""
        with torch.inference_mode():
            return torch.cat([as_saved(g(z.to(self.where), 1.0, "const")) for z in self.z.split(self.batch)])

    def look_at(self, pictures: Tensor) -> None:
        """Take a target's pictures [N, 3, R, R] uint8 as what is aimed at."""
        self.pool = {
            space: features(net, parts(pictures, self.batch), self.where)
            for space, net in self.spaces.items()
        }
        some = pictures[:POINTS].float() / 127.5 - 1
        self.faces = sum(found is not None for found in points_of(some)) / len(some)

    def fidelity(self, made: Tensor, reference: Tensor, resamples: int = 0) -> dict[str, Any]:
        """KID of pictures [N, 3, R, R] to the target's pictures of these indices, in every space."""
        out: dict[str, Any] = {}
        for space, net in self.spaces.items():
            of_made = features(net, iter(made.split(self.batch)), self.where)
            found = kid(self.pool[space][reference], of_made, *self.scale[space], resamples=resamples)
            out[space] = found._asdict() if resamples else found.value
        return out

    def structure(self, made: Tensor, turn: int = 0) -> dict[str, float]:
        """What pictures [N, 3, R, R] keep of the source's of the same codes, moved on by turn: a control."""
        source = self.pictures.roll(turn, 0)
        out = {
            "edge_ssim": float(edge_ssim(source, made).mean()),
            "layout": layout_correlation(source, made),
        }
        if self.faces >= FOUND:
            out["identity"] = float(identity_cosine(source, made).mean())
            known = self.points[-turn:] + self.points[:-turn] if turn else self.points
            pairs = [
                (a, b)
                for a, b in zip(known, points_of(made[:POINTS]), strict=True)
                if a is not None and b is not None
            ]
            if pairs:
                a, b = (torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True))
                out["landmarks"] = float(landmark_distance(a, b).mean())
            out["landmark_pairs"] = len(pairs)
        return out


def points_of(pictures: Tensor) -> Iterator[np.ndarray | None]:
    """The five points [5, 2] of the best face in each picture [N, 3, R, R], in shares of the side, or None.

    Small pictures are enlarged for the detector.
    """
    size = max(128, pictures.shape[3])
    for picture in to_uint8(pictures):
        found = find_faces(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC))
        best = max(found, key=lambda face: face.score, default=None)
        yield best.points / size if best and best.score >= SCORE else None


def cells(plan: Plan) -> list[Cell]:
    """The grid, seed by seed, so that what is cut short holds whole comparisons."""
    return [
        Cell(target.name, count, arm, seed)
        for seed in plan.seeds
        for target in plan.targets
        for count in plan.counts
        for arm in plan.arms
    ]


def run_study(
    out: str | Path,
    photos: Sequence[str],
    source: str,
    plan: Plan,
    exclude: Sequence[str] = (),
    device: str = "auto",
    quiet: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> Path:
    """Run the cells of plan that have no result in OUT/cells yet, and the controls; returns OUT.

    Args:
        photos: what the source was trained on; it sets the scale of the features.
        source: a run folder, a generator file with its discriminator beside it, or a known name.
        exclude: names or patterns left out of photos.
    Raises: UsageError for a plan that cannot be, InputError for packs, and those of training.loop.train.
    """
    unknown = [arm for arm in plan.arms if arm not in ARMS]
    if unknown:
        raise UsageError(f"there is no way called {unknown[0]!r}; there are {', '.join(ARMS)}")
    folder, where = Path(out), choose_device(device)
    _, d, g, seen = open_networks(source)
    size = g.config.resolution
    about = {
        "program": __version__, "torch": torch.__version__, "source": Path(source).name, "resolution": size,
        "source_pictures": seen, "steps": plan.steps, "batch": plan.batch, "lr": plan.lr, "ema": plan.ema,
        "samples": plan.samples,
    }  # fmt: skip
    scale, judge = _judge(g.to(where), photos, plan, exclude, where)
    about["photos"] = scale
    for target in plan.targets:
        pool = load_pictures([target.pictures], size, target.without)
        todo = [
            cell for cell in cells(plan) if cell.target == target.name and not _file(folder, cell).is_file()
        ]
        if not todo and (folder / "controls" / f"{target.name}.json").is_file():
            continue
        if max(plan.counts) > len(pool) - 2:
            raise InputError(
                f"{target.name} has {len(pool)} pictures, too few to train on {max(plan.counts)}"
            )
        report(f"{target.name}: {len(pool)} pictures")
        judge.look_at(pool)
        _write(
            folder / "controls" / f"{target.name}.json",
            about | _controls(judge, pool) | {"target": target.name},
        )
        for cell in todo:
            report(f"{cell.name}, {cells(plan).index(cell) + 1} of {len(cells(plan))}")
            result = about | run_cell(cell, plan, judge, d, pool, folder / "work" / cell.name, quiet)
            _write(_file(folder, cell), result)
            shutil.rmtree(folder / "work" / cell.name, ignore_errors=True)
    return folder


def run_cell(
    cell: Cell, plan: Plan, judge: Judge, d: Discriminator, pool: Tensor, out: Path, quiet: bool = True
) -> dict[str, Any]:
    """One fine-tuning run of `cell.count` pictures of pool [N, 3, R, R] uint8, as JSON values.

    "curve" holds the figures of every look; the subset depends on the seed alone, so all ways see the same.
    """
    torch.manual_seed(cell.seed)
    order = torch.from_numpy(np.random.default_rng([7, cell.seed]).permutation(len(pool)))
    chosen, rest = order[: cell.count].sort().values, order[cell.count :].sort().values
    shared = {"batch": plan.batch, "lr": plan.lr, "ema_images": plan.ema, "ema_ramp": 0.0, "path_weight": 0.0,
              "mixing": 0.0, "r1_weight": -1.0, "noise_lr": -1.0}  # fmt: skip
    method = fitted(Config(**(shared | NAIVE | ARMS[cell.arm])), judge.source, judge.where)
    module = FreezeSG(method, copy.deepcopy(judge.source), copy.deepcopy(d)).to(judge.where)
    module.source.to(judge.where)
    sampler = Sampler(pool[chosen], plan.batch, cell.seed)
    every = max(1, plan.steps // LOOKS[-1])
    curve: list[dict[str, Any]] = []

    def look(done: int) -> dict[str, float]:
        if done // every not in LOOKS and done != plan.steps:
            return {}
        child, last = module.gan.g_ema, done == plan.steps
        made = judge.draw(child)
        with torch.inference_mode():
            z = judge.z.to(judge.where)
            drift = w_drift(child.mapping(z), judge.source.mapping(z))
        found = {"step": done, "pictures": done * plan.batch, "kid": judge.fidelity(made, rest)}
        curve.append(found | judge.structure(made) | {"w_drift": drift})
        if last:
            pictures = torch.cat([judge.pictures[:8], made[:16]])
            save_png(out.parent.parent / "grids" / f"{cell.name}.png", grid(pictures, 8))
            curve[-1]["kid_interval"] = judge.fidelity(made, rest, resamples=1000)
        return {}

    began = time.monotonic()
    stream = lambda i: {  # noqa: E731
        "cartoon": sampler.batch(i).to(judge.where, memory_format=torch.channels_last)
    }
    train(module, stream, Run(out, plan.steps, plan.steps, every, 100, cell.seed, "never", quiet), look, {})
    return {
        "target": cell.target, "count": cell.count, "arm": cell.arm, "seed": cell.seed,
        "reference": len(rest), "faces_found": judge.faces, "method": to_json(method),
        "trained_parameters_g": trained_parameters(module.optimizers()["g"]),
        "seconds": round(time.monotonic() - began, 1), "curve": curve,
    }  # fmt: skip


def _judge(
    g: Generator, photos: Sequence[str], plan: Plan, exclude: Sequence[str], where: torch.device
) -> tuple[int, Judge]:
    """How many photos there are, and the judge, whose scale they are."""
    nets = spaces(where)
    pictures = load_pictures(photos, g.config.resolution, exclude)
    batch = 50
    scale = {space: statistics(features(net, parts(pictures, batch), where)) for space, net in nets.items()}
    z = torch.randn(plan.samples, g.config.z_dim, generator=torch.Generator().manual_seed(0))
    return len(pictures), Judge(g.eval().requires_grad_(False), z, nets, batch, where, scale)


def _controls(judge: Judge, pool: Tensor) -> dict[str, Any]:
    """The source itself, shuffled pairs, and one half of the target's pictures against the other."""
    half = torch.from_numpy(np.random.default_rng(11).permutation(len(pool)))
    one, other = half[: len(half) // 2].sort().values, half[len(half) // 2 :].sort().values
    every = torch.arange(len(pool))
    real = pool[one].float() / 127.5 - 1
    return {
        "pool": len(pool), "faces_found": judge.faces,
        "source": {"kid": judge.fidelity(judge.pictures, every, 1000)} | judge.structure(judge.pictures),
        "shuffled": judge.structure(judge.pictures, turn=1),
        "floor": {"kid": judge.fidelity(real, other, 1000)},
    }  # fmt: skip


def _file(folder: Path, cell: Cell) -> Path:
    return folder / "cells" / f"{cell.name}.json"


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_aside(path, [(json.dumps(document, indent=1) + "\n").encode()])
