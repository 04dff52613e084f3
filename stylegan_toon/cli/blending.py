"""The options of soft blends, which several commands share."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from stylegan_toon.stylegan2.blend import Recipe

WIDTH = "Make the switch at K a logistic curve so many resolutions wide; 0 is the hard swap."
KEEP = "Which side of the switch is the source's; high takes the K lowest from the style."
WEIGHTS = "The source's share of each resolution, from 4x4 up, such as 1,1,.5,0,0,0: instead of the above."


def shape_options(function: Callable[..., None]) -> Callable[..., None]:
    """--blend-width and --keep."""
    width = click.option("--blend-width", type=float, metavar="W", default=0.0, show_default=True, help=WIDTH)
    keep = click.option(
        "--keep", type=click.Choice(["low", "high"]), default="low", show_default=True, help=KEEP
    )
    return width(keep(function))


def weights_option(function: Callable[..., None]) -> Callable[..., None]:
    """--weights."""
    return click.option("--weights", metavar="LIST", help=WEIGHTS)(function)


def recipe(k: int | None, options: dict[str, Any]) -> "Recipe | None":
    """What --blend and the options above ask for, taken out of options; None where none was given.

    Raises: click.UsageError for options that do not go together; UsageError for what are no weights.
    """
    from stylegan_toon.stylegan2.blend import Recipe, parse_weights  # torch loads here, not for --help

    width, keep, weights = options.pop("blend_width"), options.pop("keep"), options.pop("weights")
    shaped = bool(width) or keep != "low"
    if weights is not None:
        if k is not None or shaped:
            raise click.UsageError(
                "--weights is the whole blend; leave --blend, --blend-width and --keep out"
            )
        return Recipe(weights=parse_weights(weights))
    if k is None:
        if shaped:
            raise click.UsageError("--blend-width and --keep are about the switch at K; give --blend K, too")
        return None
    return Recipe(k, width, keep)
