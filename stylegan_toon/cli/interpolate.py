"""`stylegan-toon interpolate`: from face to face, as a moving picture."""

from typing import Any

import click

from stylegan_toon.cli import faces
from stylegan_toon.cli.common import Common, toon_command


@toon_command(
    "stylegan-toon interpolate 0-4 --loop",
    "stylegan-toon interpolate me.jpg you.jpg --style faces --style storybook --out us.webp",
    "stylegan-toon interpolate 0-9 --space z --frames 48 --out walk.mp4",
)
@click.argument("faces", nargs=-1, required=True)
@click.option("--frames", type=click.IntRange(1), default=24, show_default=True, help="From face to face.")
@click.option("--fps", type=click.FloatRange(0, 1000, min_open=True), default=24.0, show_default=True)
@click.option(
    "--space",
    type=click.Choice(("w", "z")),
    default="w",
    show_default=True,
    help="w: straight from code to code. z: on the great circle, of seeds alone.",
)
@click.option("--loop", is_flag=True, help="Go back to the first, and play for ever.")
@faces.source
@click.option(
    "--style", "styles", multiple=True, help="Draw with this child of the source, side by side; repeatable."
)
@faces.blend
@faces.psi
@faces.refine
@faces.raw
@click.option("--save", type=click.Path(), help="Also write every frame's code there, as a latent file.")
@click.option(
    "--out", type=click.Path(), default="walk.gif", show_default=True, help=".gif, .png, .webp or .mp4."
)
def interpolate(common: Common, **options: Any) -> None:
    """Walk through FACES: seeds such as 0-4, people:0-4, photos, folders of photos, or latent files.

    Prints the path. Several --style are drawn side by side; the source itself is one, by its name.
    """
    from stylegan_toon.pipelines.interpolate import interpolate as walk  # torch loads here, not for --help

    written = walk(**options, device=common.device, report=common.report)
    for path in written:
        common.result(path)
    common.document({"paths": [str(path) for path in written]})
