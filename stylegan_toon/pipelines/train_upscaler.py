"""Train the network that enlarges cartoons."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from stylegan_toon import __version__
from stylegan_toon.checkpoint.format import save
from stylegan_toon.data import Cuts, load_large
from stylegan_toon.device import choose_device
from stylegan_toon.errors import UsageError
from stylegan_toon.images import grid, save_png
from stylegan_toon.metadata import chunks
from stylegan_toon.methods.upscale import Config, UpscalerTraining
from stylegan_toon.nn.upscaler import Config as Network
from stylegan_toon.nn.upscaler import Upscaler
from stylegan_toon.pipelines.models import load_upscaler
from stylegan_toon.stylegan2.files import upscaler_checkpoint
from stylegan_toon.training.loop import Run, train


def train_upscaler(
    data: Sequence[str],
    run: Run,
    method: Config,
    start: str | None = None,
    exclude: Sequence[str] = (),
    mirror: bool = True,
    device: str = "auto",
) -> Path:
    """Train an upscaler on cuts of the pictures of data, at their own sizes, and return the run folder.

    Args:
        start: an upscaler to go on from, and whose shape is taken.
    Raises: UsageError, InputError, ModelError, and those of training.loop.train.
    """
    if method.patch % 4 or method.patch < 32:
        raise UsageError(f"--patch {method.patch} cannot be halved twice; give a multiple of 4 from 32 up")
    where = choose_device(device)
    torch.manual_seed(run.seed)
    network = Upscaler(Network())
    if start:
        given = load_upscaler(start)
        network = Upscaler(given.config)
        network.load_state_dict(given.state_dict())
    module = UpscalerTraining(method, network).to(where)
    pictures = load_large(data, method.patch, exclude)
    cuts = Cuts(pictures, method.patch, method.batch, run.seed, mirror)
    shown = Cuts(pictures, method.patch, 24, run.seed + 1, False).batch(0)
    torch.manual_seed(run.seed)
    small = module.reduce(shown, len(shown)).to(where)

    def look(done: int) -> Mapping[str, float]:
        with torch.inference_mode():
            made = module.average(small).cpu()
        plain = F.interpolate(small.cpu(), scale_factor=2, mode="bicubic")
        rows = [torch.cat([x[i : i + 8] for x in (plain, made, shown)]) for i in range(0, 24, 8)]
        about: dict[str, Any] = {"command": "train-upscaler", "step": done}
        picture = grid(torch.cat(rows).clamp(-1, 1), 8)
        save_png(run.out / "samples" / f"{done:07d}.png", picture, chunks(about))
        about = {"program": __version__, "step": done, "pictures": done * method.batch}
        save(run.out / "last.upscaler.safetensors", upscaler_checkpoint(module.average, about))
        return {"pictures": about["pictures"], "shown_l1": float((made - shown).abs().mean())}

    about = {
        "program": __version__,
        "torch": torch.__version__,
        "started_from": start,
        "training_pictures": len(pictures),
    }
    train(module, lambda i: {"cartoon": cuts.batch(i).to(where)}, run, look, about)
    return run.out
