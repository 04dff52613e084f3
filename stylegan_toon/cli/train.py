"""`stylegan-toon train`: a face generator from scratch, or grown by a resolution."""

from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.training import finish, gan_options, gan_settings, make_run, run_options

SIZES = ["8", "16", "32", "64", "128", "256", "512", "1024"]
WIDTHS = {4: 128, 8: 128, 16: 128, 32: 96, 64: 64, 128: 32, 256: 16}  # 8 above


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
@click.option("--resolution", type=click.Choice(SIZES), default="64", show_default=True)
@click.option(
    "--channels",
    type=Channels(),
    help="From 4x4 up, or of the new block with --grow. Default: 128 to 16x16, then 96, 64, 32, 16, 8.",
)
@click.option("--w-dim", type=click.IntRange(8, 1024), default=128, show_default=True, help="Of z and w.")
@click.option("--mapping-layers", type=click.IntRange(1, 16), default=4, show_default=True)
@click.option(
    "--grow", type=click.Path(), metavar="RUN|FILE", help="Go on from a generator of half the resolution."
)
@click.option(
    "--start", metavar="NAME|RUN|FILE", help="Go on from a generator as it is; its shape and size count."
)
@click.option("--fade", type=click.IntRange(0), default=6000, show_default=True, help="Pictures (--grow).")
@click.option("--cuda-graphs", is_flag=True, help="Record steps on a GPU, and play them again.")
@gan_options(lr=0.0025, ema=5000, ada_images=200_000)
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
    start: str | None,
    fade: int,
    cuda_graphs: bool,
    **options: Any,
) -> None:
    """Train a face generator on the pictures of DATA: folders, ZIPs and TARs, read in place.

    The run folder holds samples/, log.jsonl, state/, and best.safetensors and last.safetensors with their
    discriminators.
    """
    from stylegan_toon.errors import UsageError
    from stylegan_toon.methods.gan import GanConfig
    from stylegan_toon.pipelines.train import train_generator
    from stylegan_toon.stylegan2.config import Config

    if grow and start:
        raise UsageError("--grow and --start are two beginnings; give one")
    size = int(resolution)
    widths = [WIDTHS.get(2**k, 8) for k in range(2, size.bit_length())]
    if channels:
        widths = [*widths[:-1], channels[-1]] if grow else list(channels)
    try:
        network = Config(size, tuple(widths), w_dim, w_dim, mapping_layers)
    except ValueError as error:
        raise UsageError(f"{error}; give --channels from 4x4 up") from None
    # A grown run starts from an average, which a ramp would throw away.
    method = GanConfig(
        **gan_settings(options), fade_images=fade if grow else 0, ema_ramp=0.0 if grow or start else 0.05
    )
    run = make_run(common, out, options)
    folder = train_generator(
        data, run, method, network, grow, start, options["exclude"], options["mirror"], common.device,
        cuda_graphs,
    )  # fmt: skip
    finish(common, folder)
