"""`stylegan-toon invert`: photos in, latent codes out."""

from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.detector import detector_options
from stylegan_toon.cli.toonify import Faces
from stylegan_toon.errors import InputError


@toon_command(
    "stylegan-toon invert me.jpg",
    "stylegan-toon invert me.jpg --refine 3 --pti --out codes",
    "stylegan-toon invert crops/ --aligned --space w",
    "stylegan-toon blend codes/me.style.safetensors storybook --blend 4 --out mine.safetensors",
)
@click.argument("photos", nargs=-1, required=True, type=click.Path())
@click.option(
    "--source", default="faces", show_default=True, help="The photo generator: a name, run or file."
)
@click.option("--encoder", metavar="NAME|FILE", help="What turns photos into codes. Default: the source's.")
@click.option(
    "--refine",
    type=click.IntRange(0, 3),
    default=2,
    show_default=True,
    help="From instant to best: 0 is the encoder alone, 1 adds 30 steps of optimisation, 2 100, 3 200.",
)
@click.option("--refine-steps", type=click.IntRange(0), metavar="N", help="Steps of optimisation instead.")
@click.option(
    "--space",
    type=click.Choice(["f3/w+", "f/w+", "w+", "w"]),
    default="f/w+",
    show_default=True,
    help="One code a layer and shifts of features of three resolutions, or of one; the codes alone; one "
    "code for all: ever further from the photo, ever easier to edit. toonify takes the first.",
)
@click.option(
    "--noise/--no-noise", default=True, help="Optimise the noise inputs, too, of a generator that uses any."
)
@click.option("--pti", is_flag=True, help="Also tune the generator round the code; writes a style file.")
@click.option("--pti-steps", type=click.IntRange(1), default=100, show_default=True, metavar="N")
@click.option("--faces", type=Faces(), default="largest", show_default=True, help="Which, as in toonify.")
@click.option("--aligned", is_flag=True, help="PHOTOS are aligned squares, as prepare cuts them.")
@detector_options
@click.option("--metadata/--no-metadata", default=True, help="Write into every PNG how it was made, or not.")
@click.option("--out", type=click.Path(), default="out", show_default=True, help="Folder for the results.")
def invert(common: Common, **options: Any) -> None:
    """Find the codes with which a generator draws the faces in PHOTOS, pictures or folders of them.

    Writes NAME.png (photo | inversion), NAME.latent.safetensors with the codes and, with --pti,
    NAME.style.safetensors: a change of the generator that opens wherever a generator does.
    """
    from stylegan_toon.pipelines.invert import invert_files  # torch loads here, not for --help

    results: list[dict[str, object]] = []
    failed: list[str] = []
    for one in invert_files(**options, device=common.device, seed=common.seed, report=common.report):
        if one.error:
            common.problem(one.error)
            failed.append(one.error)
        for path in one.paths:
            common.result(path)
        paths, seconds = [str(path) for path in one.paths], round(one.seconds, 3)
        results.append({"photo": str(one.photo), "paths": paths, "error": one.error, "seconds": seconds})
    common.document({"errors": failed, "results": results})
    if failed:
        raise InputError(f"{len(failed)} of {len(results)} inputs failed; the others are written")
