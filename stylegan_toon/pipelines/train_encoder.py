"""Train the encoder that turns photos into codes of a generator."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_toon import __version__
from stylegan_toon.checkpoint.format import save
from stylegan_toon.data import Sampler, load_pictures
from stylegan_toon.device import choose_device, training_dtype
from stylegan_toon.errors import ModelError, shown
from stylegan_toon.features.look import load_look
from stylegan_toon.images import grid, save_png
from stylegan_toon.metadata import chunks
from stylegan_toon.methods.encoder import Config, EncoderTraining
from stylegan_toon.methods.invert import feature_spread
from stylegan_toon.methods.shift import Config as ShiftConfig
from stylegan_toon.methods.shift import ShiftTraining
from stylegan_toon.pipelines.models import check_encoder, load_encoder, load_generator
from stylegan_toon.pipelines.networks import open_networks
from stylegan_toon.stylegan2 import encoder as encoder_net
from stylegan_toon.stylegan2.files import encoder_checkpoint
from stylegan_toon.stylegan2.latents import unfold_shift
from stylegan_toon.training.loop import Run, train

DIRECTIONS, PHOTOS = 64, 1000  # of the spread of photos' codes, and what it is taken from


def train_encoder(
    data: Sequence[str],
    source: str,
    run: Run,
    method: Config,
    start: str | None = None,
    exclude: Sequence[str] = (),
    mirror: bool = True,
    device: str = "auto",
    report: Callable[[str], None] = lambda text: None,
) -> Path:
    """Train an encoder for the generator source on the photos of data and return the run folder.

    Half of the pictures of a step are photos, half are drawn by the generator.
    Args:
        source: as networks.open_networks takes it; its discriminator may be missing.
        start: an encoder of the same shape to go on from; without one the trunk is the discriminator's.
        report: is told where there is no discriminator.
    Raises: InputError, ModelError, and those of training.loop.train.
    """
    where = choose_device(device)
    torch.manual_seed(run.seed)
    missing: list[str] = []  # what is said where a discriminator is made, which is of no use here
    _, made, g, _ = open_networks(source, missing.append)
    d = None if missing else made.to(where)
    if d is None:
        report(
            f"{shown(source, 50)} has no discriminator: the trunk starts afresh, with other features to go by"
        )
    shape = g.config
    trunk = made.config.channels
    config = encoder_net.Config(shape.resolution, trunk, shape.n_layers, shape.w_dim)
    encoder = encoder_net.Encoder(config)
    if start:
        given = load_encoder(start)
        if (
            not isinstance(given, encoder_net.Encoder)
            or replace(given.config, spread=0, shift=0, fine=()) != config
        ):
            raise ModelError(f"{shown(start)} is an encoder of another shape than {shown(source)} needs")
        known = given.state_dict()
        encoder.load_state_dict({name: known[name] for name in encoder.state_dict()})
    elif d is not None:
        encoder.start_from(d)
    encoder.w_mean.copy_(g.w_mean)
    look_at = None
    if method.identity_weight or d is None:
        look_at = load_look(shape.resolution, where, report if d is None else lambda text: None)[0]
    method = replace(method, bf16=training_dtype(where) == torch.bfloat16)
    module = EncoderTraining(method, encoder, g.to(where), d, look_at).to(where)
    pictures = load_pictures(data, shape.resolution, exclude)

    def now() -> tuple[encoder_net.Encoder, Callable[[Tensor], Tensor]]:
        return with_codes(module.average, pictures), lambda x: g.synthesis(module.average(x), "none")[-1]

    _train(module, pictures, run, method.batch, method.batch // 2, now, mirror, where, source, start)
    return run.out


def train_shift(
    data: Sequence[str],
    source: str,
    run: Run,
    method: ShiftConfig,
    start: str | None = None,
    exclude: Sequence[str] = (),
    mirror: bool = True,
    device: str = "auto",
    fine: bool = False,
) -> Path:
    """Give an encoder a head for the shift of features, trained on the photos of data; its codes stay.

    Args: as train_encoder; start: the encoder, None means the source's own. A head that it has goes on.
        fine: the head of the resolutions above; the one below it, which must be there, stays, too.
    Returns: the run folder. Raises: as train_encoder.
    """
    where = choose_device(device)
    torch.manual_seed(run.seed)
    source_file = str(Path(source) / "last.safetensors") if Path(source).is_dir() else source
    g, encoder = load_generator(source_file, where), load_encoder(start or source_file)
    if not isinstance(encoder, encoder_net.Encoder):
        raise ModelError(f"{shown(start or source)} is an encoder of pSp's shape; name one of train-encoder")
    if fine and encoder.shift is None:
        raise ModelError(f"{shown(start or source)} gives no shifts yet; train-encoder --shift comes first")
    if (encoder.fine if fine else encoder.shift) is None:
        spread = feature_spread(g, torch.randn(256, g.config.z_dim, device=where)).cpu()
        low, *above = (part[0] for part in unfold_shift(g.config, spread).values())
        encoder = encoder_net.with_fine(encoder, above) if fine else encoder_net.with_shift(encoder, low)
    check_encoder(encoder, g)
    shape = g.config
    look_at = load_look(shape.resolution, where)[0]
    module = ShiftTraining(method, encoder.requires_grad_(True).to(where), g, look_at, fine).to(where)
    pictures = load_pictures(data, shape.resolution, exclude)

    def now() -> tuple[encoder_net.Encoder, Callable[[Tensor], Tensor]]:
        made = module.encoder

        def draw(photos: Tensor) -> Tensor:
            w_plus = made(photos)
            shift = encoder_net.predict_shift(made, g, photos, w_plus, fine)
            return g.synthesis(w_plus, "none", shift=shift)[-1]

        return made, draw

    _train(module, pictures, run, method.batch, method.batch, now, mirror, where, source, start)
    return run.out


def _train(
    module: EncoderTraining | ShiftTraining,
    pictures: Tensor,
    run: Run,
    batch: int,
    photos: int,
    now: Callable[[], tuple[encoder_net.Encoder, Callable[[Tensor], Tensor]]],
    mirror: bool,
    where: torch.device,
    source: str,
    start: str | None,
) -> None:
    """Train on pictures, photos of them a step of batch.

    now: gives the encoder to save, and what redraws photos.
    """
    sampler = Sampler(pictures, photos, run.seed, mirror)
    first = pictures[:24].float().to(where) / 127.5 - 1

    def look(done: int) -> Mapping[str, float]:
        with torch.inference_mode():
            shipped, draw = now()
            made = draw(first).float()
        rows = torch.cat([torch.cat([first[i : i + 8], made[i : i + 8]]) for i in range(0, 24, 8)])
        about: dict[str, Any] = {"command": "train-encoder", "step": done}
        save_png(run.out / "samples" / f"{done:07d}.png", grid(rows, 8), chunks(about))
        about = {"program": __version__, "step": done, "pictures": done * batch}
        save(run.out / "last.encoder.safetensors", encoder_checkpoint(shipped, about))
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


def with_codes(encoder: encoder_net.Encoder, photos: Tensor) -> encoder_net.Encoder:
    """encoder with the spread of the codes of photos [N, 3, R, R] uint8, of PHOTOS of them at most.

    Fewer than twice as many photos as directions tell nothing: then it is encoder.
    """
    if len(photos) < 2 * DIRECTIONS:
        return encoder
    order = torch.randperm(len(photos), generator=torch.Generator().manual_seed(0))[:PHOTOS]
    with torch.no_grad():
        codes = [encoder(part.to(encoder.w_mean) / 127.5 - 1) for part in photos[order].split(32)]
    return encoder_net.with_spread(encoder, torch.cat(codes), DIRECTIONS)
