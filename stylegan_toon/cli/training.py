"""The options that every training command has."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylegan_toon.cli.common import Common

if TYPE_CHECKING:
    from stylegan_toon.training.loop import Run


def run_options(
    steps: int, batch: int = 16, look: int = 500
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """--steps, --batch, --save-every, --look-every, --resume, --exclude, with these defaults."""
    options = [
        click.option(
            "--steps",
            type=click.IntRange(1),
            default=steps,
            show_default=True,
            help="Of a batch each, counted from the start of the run.",
        ),
        click.option(
            "--batch", type=click.IntRange(1), default=batch, show_default=True, help="Pictures a step."
        ),
        click.option("--save-every", type=click.IntRange(1), default=500, show_default=True, help="Steps."),
        click.option(
            "--look-every",
            type=click.IntRange(1),
            default=look,
            show_default=True,
            help="Steps between grids and models.",
        ),
        click.option(
            "--resume",
            default="auto",
            show_default=True,
            metavar="auto|never|PATH",
            help="Go on from the run's newest state, start anew, or go on from a state.",
        ),
        click.option(
            "--exclude",
            multiple=True,
            metavar="NAME|PATTERN|FILE",
            help="Pictures to leave out, such as '*9.jpg'; a FILE holds one a line. Repeatable.",
        ),
        click.option(
            "--mirror/--no-mirror", default=True, show_default=True, help="Flip half of the pictures."
        ),
    ]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def make_run(common: Common, out: str, steps: int, save_every: int, look_every: int, resume: str) -> "Run":
    """The loop's Run of these options."""
    from stylegan_toon.training.loop import Run

    return Run(Path(out), steps, save_every, look_every, 20, common.seed, resume, common.quiet)


def finish(common: Common, folder: Path) -> None:
    """Print the run's models, best first."""
    files = [folder / f"{name}.safetensors" for name in ("best", "last")]
    there = [str(file) for file in files if file.is_file()]
    for line in there:
        common.result(line)
    document: dict[str, Any] = {"run": str(folder), "models": there}
    common.document(document)
