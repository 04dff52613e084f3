"""The options that training commands share."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylegan_toon.cli.common import Common

if TYPE_CHECKING:
    from stylegan_toon.training.loop import Run

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def together(options: list[Any]) -> Decorator:
    """Several click options as one decorator, in this order in --help."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def run_options(steps: int | None, batch: int | None = 16, look: int = 500) -> Decorator:
    """Where, how long and on what: what make_run reads, and --exclude and --mirror.

    steps and batch are defaults; None leaves both to the command, which has an argument name.

    The run folder is held before the command's body imports torch, so that a second run ends at once.
    """
    count = click.IntRange(1)
    length = "Of a batch each, counted from the start of the run."
    out = "Pictures to leave out, such as '*9.jpg'; a FILE holds one a line. Repeatable."
    resume = "Go on from the run's newest state, start anew, or go on from a state."
    options = together(
        [
            click.option("--steps", type=count, default=steps, show_default=True, help=length),
            click.option("--batch", type=count, default=batch, show_default=True, help="Pictures a step."),
            click.option("--save-every", type=count, default=500, show_default=True, help="Steps."),
            click.option(
                "--look-every", type=count, default=look, show_default=True, help="Steps between grids."
            ),
            click.option(
                "--resume", default="auto", show_default=True, metavar="auto|never|PATH", help=resume
            ),
            click.option("--exclude", multiple=True, metavar="NAME|PATTERN|FILE", help=out),
            click.option(
                "--mirror/--no-mirror", default=True, show_default=True, help="Flip half of the pictures."
            ),
        ]
    )

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def held(common: Common, **given: Any) -> None:
            from stylegan_toon.pipelines.targets import resolve
            from stylegan_toon.training.lock import hold

            with _one_of_several(common) as (ours, first):
                known = given.get("name")
                out = given["out"] or f"runs/{known or resolve(given['target'], given['strict_target']).name}"
                with hold(Path(out)) if first and not given.get("dry_run") else nullcontext():
                    function(ours, **given | {"out": out})

        return options(held)

    return decorate


@contextmanager
def _one_of_several(common: Common) -> Iterator[tuple[Common, bool]]:
    """Common, and whether this process holds the run folder: of those that torchrun started the first.

    The others say nothing.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield common, True
        return
    from stylegan_toon.training.ranks import joined  # torch loads here

    with joined(common.device) as rank:
        if rank == 0:
            yield common, True
            return
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            yield replace(common, quiet=True), False


def gan_options(lr: float, ema: float, ada_images: int) -> Decorator:
    """The settings of both players: what gan_settings reads."""
    share, weight = click.FloatRange(0, 1), click.FloatRange(0)
    r1 = "Weight of R1. Default: 0.4 at 64 px, in proportion to the size."
    noise = "Learnt noise inputs. Default: as in the networks it goes on from; from scratch, yes."
    pairs = "relativistic compares pairs, with R2 beside R1."
    losses = click.Choice(["nonsaturating", "saturating", "relativistic"])
    return together(
        [
            click.option("--lr", type=click.FloatRange(0, min_open=True), default=lr, show_default=True),
            click.option("--r1", type=weight, help=r1),
            click.option(
                "--path-length", type=weight, default=0.0, show_default=True, help="Weight; 0 is off."
            ),
            click.option(
                "--mixing", type=share, default=0.0, show_default=True, help="Share of mixed styles."
            ),
            click.option(
                "--ada-target", type=share, default=0.6, show_default=True, help="0 keeps ADA's p as it is."
            ),
            click.option(
                "--ada-images",
                type=click.IntRange(1),
                default=ada_images,
                show_default=True,
                help="Pictures that take ADA's p from 0 to 1.",
            ),
            click.option(
                "--ema",
                type=click.FloatRange(1),
                default=ema,
                show_default=True,
                help="Half-life of the average, in pictures; early in a run it is shorter.",
            ),
            click.option("--noise/--no-noise", default=None, help=noise),
            click.option("--loss", type=losses, default="nonsaturating", show_default=True, help=pairs),
        ]
    )


def gan_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of GanConfig that gan_options and run_options set; -1 leaves one to networks.fitted."""
    return {
        "batch": options["batch"],
        "lr": options["lr"],
        "noise_lr": {None: -1.0, True: 0.1, False: 0.0}[options["noise"]],
        "loss": options["loss"],
        "r1_weight": -1.0 if options["r1"] is None else options["r1"],
        "path_weight": options["path_length"],
        "mixing": options["mixing"],
        "ema_images": options["ema"],
        "ada_target": options["ada_target"],
        "ada_images": options["ada_images"],
    }


def make_run(common: Common, out: str, options: Mapping[str, Any]) -> "Run":
    """The loop's Run of the options of run_options."""
    from stylegan_toon.training.loop import Run

    steps, save, look = (options[name] for name in ("steps", "save_every", "look_every"))
    patience = options.get("patience", 0)
    return Run(Path(out), steps, save, look, 20, common.seed, options["resume"], common.quiet, patience)


def finish(common: Common, folder: Path) -> None:
    """Print the run's models, best first."""
    files = [folder / f"{name}.safetensors" for name in ("best", "last")]
    there = [str(file) for file in files if file.is_file()]
    for line in there:
        common.result(line)
    document: dict[str, Any] = {"run": str(folder), "models": there}
    if (page := folder / "report.html").is_file():
        document["report"] = str(page)
    common.document(document)


def plan_lines(plan: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """What --dry-run prints: key: value, nested ones indented."""
    for key, value in plan.items():
        if isinstance(value, dict):
            yield f"{indent}{key}:"
            yield from plan_lines(value, indent + "  ")
        else:
            yield f"{indent}{key}: {value:,}" if "parameters" in key else f"{indent}{key}: {value}"
