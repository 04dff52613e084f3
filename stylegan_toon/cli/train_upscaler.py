"""`stylegan-toon train-upscaler`: train the network that enlarges cartoons."""

from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.train_encoder import weight
from stylegan_toon.cli.training import make_run, run_options


@toon_command(
    "stylegan-toon train-upscaler paintings.zip avatars/ --exclude '*9.*' --out runs/upscale",
    "stylegan-toon toonify me.jpg --upscale runs/upscale",
)
@click.argument("data", nargs=-1, required=True, type=click.Path())
@click.option("--start", metavar="NAME|RUN|FILE", help="Go on from an upscaler.")
@click.option("--out", required=True, type=click.Path(), help="The run folder.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=0.0005, show_default=True)
@click.option("--patch", type=click.IntRange(32), default=96, show_default=True, help="Edge of the cuts.")
@weight("step", 1.0, "the steps between neighbouring pixels")
@run_options(steps=3000, look=300)
def train_upscaler(
    common: Common, data: tuple[str, ...], start: str | None, out: str, **options: Any
) -> None:
    """Train the network that doubles cartoons, on the pictures of DATA at their own sizes.

    A step takes cuts of --batch pictures, shrunk by up to 3, and what random filters, softness and noise make
    of them at half the size and at a quarter. toonify applies the network once or twice to faces larger than
    the model.
    """
    from stylegan_toon.methods.upscale import Config
    from stylegan_toon.pipelines.train_upscaler import train_upscaler as train

    method = Config(options["batch"], options["patch"], options["lr"], options["step"])
    run = make_run(common, out, options)
    folder = train(data, run, method, start, options["exclude"], options["mirror"], common.device)
    common.result(folder / "last.upscaler.safetensors")
    common.document({"run": str(folder), "models": [str(folder / "last.upscaler.safetensors")]})
