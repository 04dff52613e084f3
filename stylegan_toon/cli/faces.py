"""The options of the commands that work on codes of faces."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., None])

source = click.option(
    "--source", default="faces", show_default=True, help="The photo generator whose codes they are."
)
styles = click.option(
    "--style", "styles", multiple=True, help="Also draw with this child of the source; repeatable."
)
psi = click.option(
    "--psi", type=click.FloatRange(-2, 2), help="Truncation of seeds and people; 1 is none. Default: 0.7."
)
blend = click.option(
    "--blend",
    type=int,
    metavar="K",
    help="The K lowest resolutions from the source. Default: the style's own.",
)
refine = click.option(
    "--refine", type=click.IntRange(0, 3), default=1, show_default=True, help="Of photos, as in toonify."
)
metadata = click.option(
    "--metadata/--no-metadata", default=True, help="Write into every PNG how it was made, or not."
)
raw = click.option(
    "--raw", is_flag=True, help="Pictures as the networks draw them: small, without eyes, strokes and finish."
)
strengths = click.option(
    "--strength", "strengths", type=float, multiple=True, help="How much; below 0 backwards; repeatable."
)


def chosen_faces(function: Function) -> Function:
    """--people, --seeds, --photo and --latents; faces_of puts them together."""
    for option in (
        click.option("--latents", multiple=True, type=click.Path(), help="A latent file; repeatable."),
        click.option("--photo", multiple=True, type=click.Path(), help="A photo or a folder; repeatable."),
        click.option("--seeds", metavar="LIST", help="Such as 0-7,42: random faces as generate draws them."),
        click.option(
            "--people",
            metavar="LIST",
            help="Such as 0-7,42: random faces as tame as photos. Default: four from --seed on.",
        ),
    ):
        function = option(function)
    return function


def faces_of(options: dict[str, Any], seed: int) -> list[str]:
    """What chosen_faces gave, taken out of options; if nothing, four people from seed on."""
    people, seeds, photos, latents = (options.pop(name) for name in ("people", "seeds", "photo", "latents"))
    if people is None and not (seeds or photos or latents):
        people = f"{seed}-{seed + 3}"
    return [
        *([f"people:{people}"] if people is not None else []),
        *([seeds] if seeds else []),
        *photos,
        *latents,
    ]
