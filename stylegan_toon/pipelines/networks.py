"""What the training commands share: networks of runs and files, looks, and the settings of a run."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from stylegan_toon import __version__
from stylegan_toon.checkpoint.format import Checkpoint, load, save
from stylegan_toon.config import to_json
from stylegan_toon.device import training_dtype
from stylegan_toon.errors import ModelError, shown
from stylegan_toon.methods.gan import Gan, GanConfig, mean_w
from stylegan_toon.pipelines.models import find_model, open_model, sibling
from stylegan_toon.stylegan2.adapters import fold
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.files import (
    build_discriminator,
    build_generator,
    discriminator_checkpoint,
    generator_checkpoint,
)
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import truncate
from stylegan_toon.training.loop import newest_state

Fitted = TypeVar("Fitted", bound=GanConfig)


def open_networks(
    name: str, report: Callable[[str], None] | None = None
) -> tuple[Generator, Discriminator, Generator, int]:
    """g, d, g_ema and the number of pictures seen, of a run folder, a generator file or a known name.

    Of a run folder they are its newest state's. Of anything else g_ema is g.
    Args:
        report: is told where there is no discriminator, and a new one is made; without it that is an error.
    Raises: ModelError, also for a generator with two mappings, or a discriminator of another size.
    """
    folder = Path(name)
    if folder.is_dir():
        name = str(folder / "last.safetensors")
    made = open_model(name, "generator")
    g, g_ema = build_generator(made, trainable=True), build_generator(made, trainable=True)
    if g.source_mapping is not None:
        raise ModelError(
            f"{shown(name, 60)} has two mappings, as --freeze-sg makes them; train the one it came from"
        )
    d = _open_discriminator(name, g, report)
    counted = made.meta.get("pictures", 0)
    if type(counted) not in (int, float) or not 0 <= counted < 1e15:
        raise ModelError(
            f"{shown(name, 60)} says it has seen {str(counted)[:20]!r} pictures, and a number is wanted; "
            "convert it with --meta pictures=0"
        )
    seen = int(counted)
    if folder.is_dir() and (file := newest_state(folder)):
        state = load(file, "train-state")
        for network, prefix in ((g, "method/gan.g."), (d, "method/gan.d."), (g_ema, "method/gan.g_ema.")):
            own = {k.removeprefix(prefix): v for k, v in state.tensors.items() if k.startswith(prefix)}
            own = {k: v for k, v in fold(own).items() if not k.startswith("old_from_rgb.")}
            network.load_state_dict(own)
        g_ema.w_mean.copy_(mean_w(g_ema))
        seen += (int(state.meta["step"]) - int(made.meta["step"])) * int(state.config["batch"])
    return g, d, g_ema, seen


def open_start(
    start: str, d: Discriminator | None, report: Callable[[str], None]
) -> tuple[Generator, Discriminator]:
    """g_ema of what a child begins as, and its discriminator: its own, else d, the source's if that has one.

    report, errors: as open_networks.
    """
    lacks: list[str] = []
    _, own, begun, _ = open_networks(start, lacks.append)
    if lacks and d:
        report(f"{shown(start, 60)} has no discriminator of its own; the source's goes on")
        return begun, d
    for line in lacks:
        report(line)
    return begun, own


def _open_discriminator(name: str, g: Generator, report: Callable[[str], None] | None) -> Discriminator:
    try:
        made = open_model(name, "discriminator")
    except ModelError:
        beside = sibling(find_model(name), "discriminator")
        if beside.is_file():
            raise
        if report is None:
            raise ModelError(
                f"training needs a discriminator, and {shown(beside)} is not there; put it there"
            ) from None
        report(
            f"{shown(name, 50)} has no discriminator, so one starts afresh: while it learns, the child "
            "leaves its source and needs more steps; a file with g and d is better"
        )
        return Discriminator(g.config)
    d = build_discriminator(made, trainable=True)
    if d.config.resolution != g.config.resolution:
        sizes = f"{d.config.resolution} px, the generator of {g.config.resolution} px"
        raise ModelError(f"{shown(name, 60)}: the discriminator is of {sizes}; put the right one beside it")
    return d


def fitted(method: Fitted, g: Generator, where: torch.device, scratch: bool = False) -> Fitted:
    """The settings for a generator and a device: bfloat16 where that is fast, and what is below 0.

    R1's weight is then 0.4 at 64 px, in proportion to the size; noise strengths learn at a tenth of the rate
    from scratch, where g has any, and where g was never trained (its biases are 0, too), else they stay 0.
    """
    r1 = 0.4 * g.config.resolution / 64 if method.r1_weight < 0 else method.r1_weight
    own = [(name, p) for name, p in g.synthesis.named_parameters() if ".affine." not in name]
    noisy = any(bool(p.any()) for name, p in own if name.endswith("noise_strength"))
    noisy = noisy or not any(bool(p.any()) for name, p in own if name.endswith(".bias"))
    noise = 0.1 * (scratch or noisy) if method.noise_lr < 0 else method.noise_lr
    return replace(method, bf16=training_dtype(where) == torch.bfloat16, r1_weight=r1, noise_lr=noise)


def about_run(gan: Gan, **more: Any) -> dict[str, Any]:
    """What run.json says of a GAN's run."""
    return {
        "program": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "pid": os.getpid(),
        "network": to_json(gan.g.config),
        **more,
    }


def gan_look(
    gan: Gan,
    out: Path,
    meta: Mapping[str, Any],
    rows: Callable[[torch.Tensor], list[torch.Tensor]] | None = None,
    fixed_mean: bool = False,
    judge: Callable[[Generator], dict[str, float]] | None = None,
    pack: Callable[[Generator, Mapping[str, Any]], Checkpoint] = generator_checkpoint,
) -> Callable[[int], dict[str, float]]:
    """A look for training.loop.train.

    It writes RUN/samples/<step>.png (fixed codes, psi 0.7), RUN/last.safetensors with the discriminator
    beside it and, where judge gives its lowest figure so far, RUN/best.safetensors.

    Args:
        meta: of the files; "pictures" counts those seen before this run.
        rows: more rows of pictures for the same w_plus [8, L, D], put above the samples.
        fixed_mean: keep w_mean, because the mapping is frozen.
        judge: figures of the generator, as judge.kid_judge makes them; without them the last is the best.
        pack: makes the file's content of g_ema and its meta.
    """
    best: list[float] = []  # read at the first look: --resume never removes an old run's
    best_file = out / "best.safetensors"

    def look(done: int) -> dict[str, float]:
        from stylegan_toon.images import grid, save_png
        from stylegan_toon.metadata import chunks

        g = gan.g_ema
        if not fixed_mean:
            g.w_mean.copy_(mean_w(g))
        z = torch.randn(48, g.config.z_dim, generator=torch.Generator().manual_seed(1)).to(g.w_mean.device)
        with torch.inference_mode():
            shown = [torch.cat([g(part, 0.7, "none") for part in z.split(16)])]
            if rows:
                w_plus = truncate(g.codes(z[:8]), g.centre(), 0.7)
                shown = [*rows(w_plus), *shown]
        save_png(
            out / "samples" / f"{done:07d}.png",
            grid(torch.cat(shown), 8),
            chunks({"command": "train", "step": done}),
        )
        seen = int(meta.get("pictures", 0)) + done * gan.config.batch
        figures = {"pictures": float(seen)}
        about = {**meta, "step": done, "pictures": seen}
        if judge:
            figures |= judge(g)
            about["judged"] = figures["kid"]
        save(out / "last.safetensors", pack(g, about))
        save(out / "last.discriminator.safetensors", discriminator_checkpoint(gan.d, about))
        if not best:
            best.append(load(best_file).meta.get("judged", math.inf) if best_file.is_file() else math.inf)
        if judge is None or figures["kid"] < best[0]:
            best[0] = figures.get("kid", 0.0)
            save(out / "best.discriminator.safetensors", discriminator_checkpoint(gan.d, about))
            save(best_file, pack(g, about))  # last: it says that both are there
        return figures

    return look
