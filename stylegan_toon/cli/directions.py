"""`stylegan-toon directions`: the way from one kind of faces to another."""

from typing import Any

import click

from stylegan_toon.cli import faces
from stylegan_toon.cli.common import Common, toon_command


@toon_command(
    "stylegan-toon directions smiling/ neutral/ --out smile",
    "stylegan-toon directions old/ young/ --how svm --layers coarse,medium --style storybook --out age",
    "stylegan-toon edit smile.edit.safetensors --photo me.jpg",
)
@click.argument("positive")
@click.argument("negative")
@click.option(
    "--how",
    type=click.Choice(("mean", "svm")),
    default="mean",
    show_default=True,
    help="The difference of the means, or the normal of a linear support vector machine.",
)
@click.option(
    "--layers",
    default="all",
    show_default=True,
    metavar="LIST",
    help="What the direction may change: coarse, medium, fine, all, or numbers as 0-5,8.",
)
@faces.chosen_faces
@faces.strengths
@faces.source
@click.option("--style", "styles", multiple=True, help="Draw the slider with this child; repeatable.")
@faces.blend
@faces.psi
@faces.refine
@faces.raw
@faces.metadata
@click.option("--out", type=click.Path(), default="direction", show_default=True, help="The edit file.")
def directions(common: Common, positive: str, negative: str, **options: Any) -> None:
    """Find the direction from the faces of NEGATIVE to those of POSITIVE, and save it as an edit file.

    Both are folders of photos, most often; seeds and latent files will do. The slider OUT.png shows it on
    --seeds, --photo or --latents. Says how well it tells faces apart that it was not made from.
    """
    from stylegan_toon.pipelines.directions import find_direction  # torch loads here, not for --help

    options["faces"] = faces.faces_of(options, common.seed)
    written, accuracy = find_direction(
        [positive], [negative], **options, device=common.device, report=common.report
    )
    common.report(f"on the right side of held-out faces: {accuracy:.0%} (50% is chance)")
    for path in written:
        common.result(path)
    common.document({"paths": [str(path) for path in written], "held_out_accuracy": accuracy})
