"""Train a picture-to-picture method: settings, data, the one loop, grids and files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from stylegan_toon import __version__
from stylegan_toon.checkpoint.format import save
from stylegan_toon.config import changed, to_json
from stylegan_toon.device import choose_device
from stylegan_toon.errors import UsageError
from stylegan_toon.features.vgg import load_maps
from stylegan_toon.images import grid, save_png, to_uint8
from stylegan_toon.metadata import chunks
from stylegan_toon.methods.i2i import TRANSLATORS
from stylegan_toon.methods.translation import TranslationConfig
from stylegan_toon.metrics.pixel import average_gradient
from stylegan_toon.pipelines.domains import Sources, load_domains, shown_first, stream
from stylegan_toon.pipelines.translate import translator_checkpoint
from stylegan_toon.training import ranks
from stylegan_toon.training.loop import Run, train


def settings(name: str, preset: str = "small", changes: Mapping[str, str] | None = None) -> TranslationConfig:
    """The Config of a method: its preset's, with changes as --set KEY=VALUE gives them.

    Raises: UsageError naming the known methods, presets or settings.
    """
    if name not in TRANSLATORS:
        raise UsageError(f"no method {name[:30]!r}; known: {', '.join(TRANSLATORS)}")
    config, _ = TRANSLATORS[name]
    if preset not in config.presets:
        raise UsageError(f"{name} has no preset {preset[:30]!r}; known: {', '.join(config.presets)}")
    return changed(config(**config.presets[preset]), changes or {})


@dataclass(frozen=True)
class _Opened:
    """All that a training needs, before its first step."""

    module: Any
    domains: dict[str, Tensor]
    features: str | None  # whose maps feature losses compare
    where: torch.device


def _open(
    name: str,
    config: TranslationConfig,
    sources: Sources,
    seed: int,
    device: str,
    vgg: str | None,
    report: Callable[[str], None],
) -> _Opened:
    where = choose_device(device)
    if config.batch < ranks.world():
        raise UsageError(
            f"a batch of {config.batch} cannot be shared by {ranks.world()} processes; "
            f"use --batch {ranks.world()} or more"
        )
    _, cls = TRANSLATORS[name]
    if vgg and "features" not in config.wants:
        raise UsageError(f"{name} has no feature loss, so --vgg is of no use to it; leave it out")
    maps, said = load_maps(vgg, where, report) if "features" in config.wants else (None, None)
    domains = load_domains(config, sources)
    if not config.epoch:
        config = replace(config, epoch=max(len(domains["photo"]), len(domains["cartoon"])))
    torch.manual_seed(seed)
    module = cls(config, maps) if maps else cls(config)
    return _Opened(module.to(where), domains, said, where)


def plan_baseline(
    name: str,
    config: TranslationConfig,
    sources: Sources,
    run: Run,
    device: str = "auto",
    vgg: str | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """What train_baseline would do with these arguments, as JSON values; nothing is written.

    Raises: as train_baseline, before its first step.
    """
    opened = _open(name, config, sources, run.seed, device, vgg, report)
    module = opened.module
    return {
        "name": name,
        "photos": len(opened.domains["photo"]),
        "cartoons": len(opened.domains["cartoon"]),
        "out": str(run.out),
        "steps": run.steps or module.config.steps,
        "seed": run.seed,
        "device": str(opened.where),
        "features": opened.features,
        "method": to_json(module.config),
        "parameters": sum(p.numel() for p in module.parameters()),
        "translators": {
            f"parameters_{key}": sum(p.numel() for p in net.parameters())
            for key, net in module.translators().items()
        },
    }


def train_baseline(
    name: str,
    config: TranslationConfig,
    sources: Sources,
    run: Run,
    device: str = "auto",
    vgg: str | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, float]:
    """Train a method and fill the run folder; returns the figures of the last look (of rank 0).

    Args:
        name: in methods.TRANSLATORS.
        config: of that method; an epoch of 0 becomes the number of pictures in the larger set.
        run: steps 0 are as many as config's schedule has.
        vgg: a file for feature losses; None takes what ships.
        report: is told what stands in for VGG.
    Raises: InputError, UsageError, ModelError, MissingPartError, and those of training.loop.train.
    """
    opened = _open(name, config, sources, run.seed, device, vgg, report)
    module, where = opened.module, opened.where
    config = module.config
    run = replace(run, steps=run.steps or config.steps)
    figures: dict[str, float] = {}
    photos, cartoons = (
        shown_first(opened.domains[key], config.size).to(where) for key in ("photo", "cartoon")
    )
    meta = {"program": __version__, "features": opened.features}

    def look(done: int) -> Mapping[str, float]:
        rows = both_ways(module, photos, cartoons)
        path = run.out / "samples" / f"{done:07d}.png"
        save_png(path, grid(rows, len(photos)), chunks({"command": "baseline train", "step": done}))
        about = {**meta, "step": done, "pictures": done * config.batch}
        save(run.out / "last.safetensors", translator_checkpoint(name, module, about))
        drawn = torch.from_numpy(to_uint8(rows[len(photos) : 2 * len(photos)])).permute(0, 3, 1, 2)
        gradient = float(average_gradient(drawn).mean())
        figures.update({"pictures": float(done * config.batch), "average_gradient": round(gradient, 4)})
        return figures

    about = {
        "program": __version__,
        "torch": torch.__version__,
        "name": name,
        "photos": len(opened.domains["photo"]),
        "cartoons": len(opened.domains["cartoon"]),
        "steps": run.steps,
        "features": opened.features,
    }
    batches = stream(opened.domains, config, run.seed, sources.mirror, where)
    train(module, batches, run, look, about)
    return figures


def both_ways(module: Any, photos: Tensor, cartoons: Tensor) -> Tensor:
    """Rows of a grid: photos and their translations; where there is a way back, cartoons and theirs."""
    module.eval()
    with torch.inference_mode():
        rows = [photos, *(module.translate(part) for part in photos.split(4))]
        if hasattr(module, "back"):
            filled = cartoons[torch.arange(len(photos)) % len(cartoons)]
            rows += [filled, *(module.back(part) for part in filled.split(4))]
    module.train()
    return torch.cat(rows).clamp(-1, 1)
