"""`stylegan-toon factorize`: directions from the weights alone."""

from typing import Any

import click

from stylegan_toon.cli import faces
from stylegan_toon.cli.common import Common, toon_command


@toon_command(
    "stylegan-toon factorize --layers coarse --out sefa",
    "stylegan-toon factorize --layers 4-9 --count 12 --photo me.jpg --style faces --style storybook",
    "stylegan-toon edit sefa/coarse-1.edit.safetensors --photo me.jpg --strength 1.5",
)
@click.option(
    "--layers",
    default="all",
    show_default=True,
    metavar="LIST",
    help="Of what layers: coarse, medium, fine, all, or numbers as 0-5,8.",
)
@click.option("--count", type=click.IntRange(1), default=6, show_default=True, help="How many directions.")
@faces.chosen_faces
@faces.strengths
@faces.source
@click.option("--style", "styles", multiple=True, help="Draw the sliders with this child; repeatable.")
@faces.blend
@faces.psi
@faces.raw
@faces.metadata
@click.option("--out", type=click.Path(), default="sefa", show_default=True, help="Folder for the results.")
def factorize(common: Common, **options: Any) -> None:
    """Find the directions that change a face most (SeFa), and save each as an edit file with a slider strip.

    A slider has a row for every face, and a column for every --strength; by default -2, -1, 0, 1 and 2.
    """
    from stylegan_toon.pipelines.directions import factorize as find  # torch loads here, not for --help

    options["faces"] = faces.faces_of(options, common.seed)
    written = find(**options, device=common.device, report=common.report)
    for path in written:
        common.result(path)
    common.document({"paths": [str(path) for path in written]})
