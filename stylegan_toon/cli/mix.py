"""`stylegan-toon mix`: style mixing as a grid."""

from typing import Any

import click

from stylegan_toon.cli import faces
from stylegan_toon.cli.common import Common, toon_command


@toon_command(
    "stylegan-toon mix --rows 0-3 --columns 10-14",
    "stylegan-toon mix --rows me.jpg --rows you.jpg --columns 0-5 --layers coarse,medium",
    "stylegan-toon mix --rows me.jpg --columns 0-5 --style storybook --save mixed",
)
@click.option("--rows", multiple=True, required=True, metavar="FACES", help="Down the left side; repeatable.")
@click.option("--columns", multiple=True, required=True, metavar="FACES", help="Along the top; repeatable.")
@click.option(
    "--layers",
    default="coarse",
    show_default=True,
    metavar="LIST",
    help="What comes from the rows: coarse (0-3), medium (4-7), fine (8 and up), all, or numbers as 0-5,8.",
)
@faces.source
@click.option("--style", help="Draw columns and mixed faces with this child of the source; rows stay photos.")
@faces.blend
@faces.psi
@faces.refine
@faces.raw
@faces.metadata
@click.option("--save", type=click.Path(), help="Also write the mixed codes there, as a latent file.")
@click.option("--out", type=click.Path(), default="mix.png", show_default=True, help="The picture to write.")
def mix(common: Common, **options: Any) -> None:
    """Mix every face of --rows with every one of --columns: --layers from the row, the rest from the column.

    FACES are seeds such as 0-3, people such as people:0-3, photos, folders of photos, or latent files.
    Prints the paths written.
    """
    from stylegan_toon.pipelines.mix import mix as draw  # torch loads here, not for --help

    written = draw(**options, device=common.device, report=common.report)
    for path in written:
        common.result(path)
    common.document({"paths": [str(path) for path in written]})
