"""`stylegan-toon edit`: an edit file on faces."""

from typing import Any

import click

from stylegan_toon.cli import faces
from stylegan_toon.cli.common import Common, toon_command


@toon_command(
    "stylegan-toon edit smile.edit.safetensors --photo me.jpg",
    "stylegan-toon edit smile.edit.safetensors --seeds 0-7 --strength -1 --strength 1 --style storybook",
    "stylegan-toon edit sefa/all-1.edit.safetensors --groups coarse,medium --save edited",
)
@click.argument("file", type=click.Path())
@faces.chosen_faces
@click.option(
    "--strength",
    "strengths",
    type=float,
    multiple=True,
    help="How much; below 0 backwards; repeatable. Default: the edit's own.",
)
@click.option(
    "--groups",
    "layers",
    default="all",
    show_default=True,
    metavar="LIST",
    help="What may change: coarse, medium, fine, all, or layers as 0-5,8.",
)
@faces.source
@faces.styles
@faces.blend
@faces.psi
@faces.refine
@faces.raw
@faces.metadata
@click.option("--save", type=click.Path(), help="Also write the edited codes there, as a latent file.")
@click.option("--out", type=click.Path(), default="out", show_default=True, help="Folder for the strips.")
def edit(common: Common, file: str, **options: Any) -> None:
    """Apply the edit in FILE: for every face a strip of before | after, by the source and by each --style.

    The last picture, grid.png, shows the strips together. Prints one path a line.
    """
    from stylegan_toon.pipelines.edit import edit_faces  # torch loads here, not for --help

    options["faces"] = faces.faces_of(options, common.seed)
    written = edit_faces(file, **options, device=common.device, report=common.report)
    for path in written:
        common.result(path)
    common.document({"paths": [str(path) for path in written]})
