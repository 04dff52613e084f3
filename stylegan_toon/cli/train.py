"""`stylegan-toon train`: a face generator from scratch, or grown by a resolution."""

from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.training import finish, make_run, run_options


class Channels(click.ParamType):
    """Numbers of channels from 4x4 up."""

    name = "N,N,..."

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        parts = str(value).split(",")
        if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 4096 for part in parts):
            self.fail(f"{value!r} is not a list of numbers such as 128,128,128,96,64", param, ctx)
        return tuple(int(part) for part in parts)


@toon_command(
    "stylegan-toon train photos.zip --resolution 64 --out runs/faces-64",
    "stylegan-toon train photos.zip --grow runs/faces-64 --resolution 128 --channels 32 --out runs/faces-128",
)
@click.argument("data", nargs=-1, required=True, type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="The run folder.")
@click.option(
    "--resolution",
    type=click.Choice(["8", "16", "32", "64", "128", "256", "512", "1024"]),
    default="64",
    show_default=True,
)
@click.option(
    "--channels",
    type=Channels(),
    help="From 4x4 up, or of the new block with --grow. Default: 128 to "
    "16x16, 96, 64, 32 at 128, and half of it each time above.",
)
@click.option(
    "--w-dim", type=click.IntRange(8, 1024), default=128, show_default=True, help="Width of z and w."
)
@click.option("--mapping-layers", type=click.IntRange(1, 16), default=4, show_default=True)
@click.option(
    "--grow", type=click.Path(), metavar="RUN|FILE", help="Go on from a generator of half the resolution."
)
@click.option("--fade", type=click.IntRange(0), default=6000, show_default=True, help="Pictures (--grow).")
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=0.0025, show_default=True)
@click.option(
    "--r1",
    type=click.FloatRange(0),
    help="Weight of R1. Default: 0.4 at 64 px, in proportion to the size.",
)
@click.option(
    "--path-length", type=click.FloatRange(0), default=0.0, show_default=True, help="Weight; 0 is off."
)
@click.option(
    "--mixing", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Share of mixed styles."
)
@click.option(
    "--ada-target", type=click.FloatRange(0, 1), default=0.6, show_default=True, help="0 turns ADA off."
)
@click.option(
    "--ada-images",
    type=click.IntRange(1),
    default=200_000,
    show_default=True,
    help="Pictures for p from 0 to 1.",
)
@click.option(
    "--ema", type=click.FloatRange(1), default=5000, show_default=True, help="Half-life in pictures."
)
@click.option("--noise/--no-noise", default=False, show_default=True, help="Random noise inputs.")
@click.option(
    "--loss", type=click.Choice(["nonsaturating", "saturating"]), default="nonsaturating", show_default=True
)
@run_options(steps=12_500)
def train(
    common: Common,
    data: tuple[str, ...],
    out: str,
    resolution: str,
    channels: tuple[int, ...] | None,
    w_dim: int,
    mapping_layers: int,
    grow: str | None,
    fade: int,
    lr: float,
    r1: float | None,
    path_length: float,
    mixing: float,
    ada_target: float,
    ada_images: int,
    ema: float,
    noise: bool,
    loss: str,
    batch: int,
    exclude: tuple[str, ...],
    mirror: bool,
    **loop: Any,
) -> None:
    """Train a face generator on the pictures of DATA: folders and ZIPs, read in place.

    The run folder holds samples/, log.jsonl, state/ and last.safetensors with its discriminator.
    """
    from stylegan_toon.errors import UsageError
    from stylegan_toon.methods.gan import GanConfig
    from stylegan_toon.pipelines.train import train_generator
    from stylegan_toon.stylegan2.config import Config

    size = int(resolution)
    known = {4: 128, 8: 128, 16: 128, 32: 96, 64: 64, 128: 32}
    widths = [known.get(2**k, 32 * 128 // 2**k) for k in range(2, size.bit_length())]
    if channels:
        widths = [*widths[:-1], channels[-1]] if grow else list(channels)
    try:
        network = Config(size, tuple(widths), w_dim, w_dim, mapping_layers)
    except ValueError as error:
        raise UsageError(f"{error}; give --channels from 4x4 up") from None
    method = GanConfig(
        batch=batch,
        lr=lr,
        noise_lr=0.1 if noise else 0.0,
        loss=loss,
        r1_weight=0.4 * size / 64 if r1 is None else r1,
        path_weight=path_length,
        mixing=mixing,
        ema_images=ema,
        ada_target=ada_target,
        ada_images=ada_images,
        fade_images=fade if grow else 0,
    )
    run = make_run(common, out, **loop)
    finish(common, train_generator(data, run, method, network, grow, exclude, mirror, common.device))
