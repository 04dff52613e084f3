"""`stylegan-toon toonify`: photos in, cartoons out."""

from typing import Any

import click

from stylegan_toon.cli.blending import recipe, shape_options, weights_option
from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.detector import detector_options
from stylegan_toon.errors import InputError


class Faces(click.ParamType):
    """all, largest, or a number from 1 up."""

    name = "all|largest|N"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        text = str(value)
        if text in ("all", "largest"):
            return text
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 10_000):
            self.fail(f"{text!r} is neither 'all' nor 'largest' nor a number from 1 up", param, ctx)
        return int(text)


@toon_command(
    "stylegan-toon toonify me.jpg",
    "stylegan-toon toonify holiday/ --style storybook --out cartoons",
    "stylegan-toon toonify me.jpg --refine 2 --blend 3",
    "stylegan-toon toonify me.jpg --blend 3 --blend-width 0.5",
    "stylegan-toon toonify me.jpg --edit sad --style comic",
    "stylegan-toon toonify --blend 4                    (no photo: source | cartoon pairs)",
)
@click.argument("photos", nargs=-1, type=click.Path())
@click.option("--style", default="storybook", show_default=True, help="A known name, a run or a file.")
@click.option("--source", default="faces", show_default=True, help="The photo generator the style came from.")
@click.option("--encoder", metavar="NAME|FILE", help="What turns photos into codes. Default: the source's.")
@click.option(
    "--blend",
    type=int,
    metavar="K",
    help="Take the K lowest resolutions, from 4x4 up, from the photo generator: 0 is the style alone. "
    "Default: the best K of the style.",
)
@shape_options
@weights_option
@click.option(
    "--refine",
    type=click.IntRange(0, 3),
    help="Come nearer to the person: 0 is the encoder alone, 1 adds 30 steps of optimisation, 2 100, 3 200. "
    "Default: 0 where the encoder gives shifts of all resolutions, as the one that ships does, else 1.",
)
@click.option("--refine-steps", type=click.IntRange(0), metavar="N", help="Steps of optimisation instead.")
@click.option("--faces", type=Faces(), default="all", show_default=True, help="Which; N are the N largest.")
@detector_options
@click.option("--size", type=click.IntRange(16, 4096), metavar="N", help="Edge of the crop (--crop-only).")
@click.option(
    "--crop-only/--put-back",
    default=None,
    help="Save the cartoon face alone, or in the photo. Default: alone where the style has shapes of its "
    "own, as toon has.",
)
@click.option(
    "--upscale",
    default="auto",
    show_default=True,
    metavar="auto|none|FILE",
    help="How faces larger than the model are enlarged: by the network that ships, plainly, or by your own.",
)
@click.option(
    "--strokes",
    type=click.FloatRange(0, 8),
    default=1.0,
    show_default=True,
    metavar="PX",
    help="Paint enlarged faces in crisp strokes of this radius, in pixels of the model; 0 does not.",
)
@click.option(
    "--around",
    type=click.FloatRange(0, 8),
    default=1.8,
    show_default=True,
    metavar="PX",
    help="Paint the photo around the faces in strokes of this radius, in pixels of the model; 0 leaves it.",
)
@click.option(
    "--eyes",
    type=click.FloatRange(0, 1),
    help="How much larger eyes become: 0.4 is a caricature, 0 leaves them. Default: the style's own.",
)
@click.option(
    "--detail",
    type=click.FloatRange(0, 1),
    help="How much of what the photo shows finer than the model comes back: 0 is the model's own drawing, 1 "
    "the style's change drawn along the photo. Default: the style's own, else 0.8 where the encoder gives "
    "shifts of all resolutions, and 0 where it does not.",
)
@click.option(
    "--finish",
    type=click.Choice(["paint", "cel", "comic", "flat", "ink"]),
    help="Draw the whole picture in tones and lines: as a cel of an animation, a comic, flat colours or ink. "
    "Default: the style's own, mostly paint, which adds nothing.",
)
@click.option(
    "--edit", metavar="NAME|FILE", help="Change the faces first: sad, happy, angry, or an edit file."
)
@click.option(
    "--strength", type=float, help="How much of --edit; below 0 backwards. Default: the edit's own."
)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Photos at a time.")
@click.option("--exact", is_flag=True, help="The same bytes on every machine; up to 4 times slower.")
@click.option("--metadata/--no-metadata", default=True, help="Write into every PNG how it was made, or not.")
@click.option("--out", type=click.Path(), default="out", show_default=True, help="Folder for the results.")
def toonify(
    common: Common, blend: int | None, size: int | None, crop_only: bool | None, **options: Any
) -> None:
    """Turn the faces in PHOTOS into cartoons; without PHOTOS, draw source | cartoon pairs from random codes.

    PHOTOS are pictures or folders of them; a folder is mirrored in the results. Prints one path a line.
    """
    if size is not None and crop_only is False:
        raise click.UsageError("--size is the edge of the crop; it needs --crop-only")
    from stylegan_toon.pipelines.toonify import toonify_files  # torch loads here, not for --help

    options |= {"blend": recipe(blend, options), "size": size, "crop_only": crop_only}
    results: list[dict[str, object]] = []
    failed: list[str] = []
    for one in toonify_files(**options, device=common.device, seed=common.seed, report=common.report):
        if one.error:
            common.problem(one.error)
            failed.append(one.error)
        else:
            common.result(one.path)
        seconds = round(one.seconds, 3)
        entry = {"photo": str(one.photo), "path": one.path and str(one.path), "error": one.error}
        results.append({**entry, "faces": one.faces, "seconds": seconds})
    paths = [entry["path"] for entry in results if entry["path"]]
    common.document({"paths": paths, "errors": failed, "results": results})
    if failed:
        raise InputError(f"{len(failed)} of {len(failed) + len(paths)} inputs failed; the others are written")
