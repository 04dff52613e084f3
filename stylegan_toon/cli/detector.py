"""The two options of every command that looks for faces."""

from collections.abc import Callable
from typing import TypeVar

import click

DETECTORS = ("yunet", "insightface")  # as stylegan_toon.faces.detectors, which imports onnxruntime
Function = TypeVar("Function", bound=Callable[..., None])


def detector_options(function: Function) -> Function:
    """--detector and --insightface-root."""
    root = click.option(
        "--insightface-root",
        type=click.Path(),
        envvar="STYLEGAN_TOON_INSIGHTFACE",
        help="Folder of insightface's models. Default: those of `models get`, then ~/.insightface.",
    )
    names = click.Choice(DETECTORS)
    which = click.option(
        "--detector", type=names, default="yunet", show_default=True, help="What finds faces."
    )
    return which(root(function))
