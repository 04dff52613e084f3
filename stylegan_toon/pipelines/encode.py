"""Train the encoder that turns photos into codes of a generator."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from stylegan_toon import __version__
from stylegan_toon.checkpoint.format import save
from stylegan_toon.data import Sampler, load_pictures
from stylegan_toon.device import choose_device, training_dtype
from stylegan_toon.errors import ModelError, shown
from stylegan_toon.features.mobileface import load_mobileface
from stylegan_toon.images import grid, save_png
from stylegan_toon.metadata import chunks
from stylegan_toon.methods.encoder import Config, EncoderTraining
from stylegan_toon.pipelines.models import load_encoder
from stylegan_toon.pipelines.networks import open_networks
from stylegan_toon.stylegan2 import encoder as encoder_net
from stylegan_toon.stylegan2.files import encoder_checkpoint
from stylegan_toon.training.loop import Run, train


def train_encoder(
    data: Sequence[str],
    source: str,
    run: Run,
    method: Config,
    start: str | None = None,
    exclude: Sequence[str] = (),
    mirror: bool = True,
    device: str = "auto",
) -> Path:
    """Train an encoder for the generator source on the photos of data and return the run folder.

    Half of the pictures of a step are photos, half are drawn by the generator.
    Args:
        start: an encoder of the same shape to go on from; without one the trunk is the discriminator's.
    Raises: InputError, ModelError, and those of training.loop.train.
    """
    where = choose_device(device)
    torch.manual_seed(run.seed)
    _, d, g, _ = open_networks(source)
    shape = g.config
    config = encoder_net.Config(shape.resolution, d.config.channels, shape.n_layers, shape.w_dim)
    encoder = encoder_net.Encoder(config)
    if start:
        given = load_encoder(start)
        if given.config != config:
            raise ModelError(f"{shown(start)} is an encoder of another shape than {shown(source)} needs")
        encoder.load_state_dict(given.state_dict())
    else:
        encoder.start_from(d)
    encoder.w_mean.copy_(g.w_mean)
    face = load_mobileface(device=where) if method.identity_weight else None
    embed = (lambda x: face(x)[0]) if face else None
    method = replace(method, bf16=training_dtype(where) == torch.bfloat16)
    module = EncoderTraining(method, encoder, g.to(where), d.to(where), embed).to(where)
    pictures = load_pictures(data, shape.resolution, exclude)
    sampler = Sampler(pictures, method.batch // 2, run.seed, mirror)
    first = pictures[:24].float().to(where) / 127.5 - 1

    def look(done: int) -> Mapping[str, float]:
        with torch.inference_mode():
            made = g.synthesis(module.average(first), "none")[-1].float()
        rows = torch.cat([torch.cat([first[i : i + 8], made[i : i + 8]]) for i in range(0, 24, 8)])
        about: dict[str, Any] = {"command": "encode", "step": done}
        save_png(run.out / "samples" / f"{done:07d}.png", grid(rows, 8), chunks(about))
        about = {"program": __version__, "step": done, "pictures": done * method.batch}
        save(run.out / "last.encoder.safetensors", encoder_checkpoint(module.average, about))
        return {"pictures": about["pictures"], "shown_l1": float((made - first).abs().mean())}

    about = {
        "program": __version__,
        "torch": torch.__version__,
        "source": source,
        "started_from": start,
        "training_pictures": len(pictures),
    }
    train(
        module,
        lambda i: {"photo": sampler.batch(i).to(where, memory_format=torch.channels_last)},
        run,
        look,
        about,
    )
    return run.out
