"""The options of other repositories, as options of `finetune`. Imports no torch."""

from collections.abc import Mapping
from typing import Any

import click

from stylegan_toon.errors import UsageError

NAME = "cartoon-stylegan"
# Its author's own settings: happy-jihye/Cartoon-StyleGAN, issue 5, with --augment.
OPTIONS = {"freezeG": 4, "freezeD": 4, "freezeStyle": 4, "structure_loss": 3}


def parse_preset(text: str) -> dict[str, int]:
    """Read "cartoon-stylegan" or "cartoon-stylegan:freezeG=3,freezeD=-1": OPTIONS with these changes.

    Raises: UsageError naming what is known.
    """
    name, _, changes = text.partition(":")
    given = dict(OPTIONS)
    for part in changes.split(",") if changes else []:
        key, _, value = part.partition("=")
        number = value.removeprefix("-")
        if key not in OPTIONS or not (number.isascii() and number.isdigit() and len(number) < 4):
            known = ",".join(f"{key}={value}" for key, value in OPTIONS.items())
            raise UsageError(f"preset {text[:60]!r}: wanted {NAME}:{known}, or some of these; -1 is off")
        given[key] = int(value)
    if name != NAME:
        raise UsageError(f"no preset is called {name[:40]!r}; known: {NAME}")
    if given["freezeG"] == 0:
        raise UsageError(f"preset {text[:60]!r}: freezeG=0 trains nothing of the generator; -1 is off")
    if given["freezeStyle"] > 0 > given["freezeG"] and "freezeStyle" in changes:
        raise UsageError("freezeStyle without freezeG has no counterpart here; use --freeze-sg N")
    return given


def cartoon_stylegan(given: Mapping[str, int], batch: int) -> dict[str, Any]:
    """Options of finetune for those of Cartoon-StyleGAN's train.py.

    Its freezeG and freezeD count the blocks that are trained, from the other end: -4 is all but four. With
    freezeG it freezes the mapping and leaves path length out. freezeStyle then changes nothing.
    Args:
        given: of parse_preset; -1 is off.
        batch: pictures a step: its average has a half-life of 312.5 steps, whatever the batch.
    """
    on = given["freezeG"] > 0
    return {
        "freeze_g": -given["freezeG"] if on else 0,
        "freeze_mapping": on,
        "freeze_d": -given["freezeD"] if given["freezeD"] >= 0 else 0,
        "structure_of": "features",
        "structure_layers": max(given["structure_loss"], 0),
        "structure": 1.0,
        "lr": 0.002,
        "r1": 10.0,
        "path_length": 0.0 if on else 2.0,
        "mixing": 0.9,
        "ema": 312.5 * batch,
        "ada_p": 0.0,
        "ada_target": 0.6,
        "ada_images": 500_000,
        "noise": True,
    }


def filled(options: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
    """options with the preset's where the user gave none, on the command line or in the environment."""
    source, default = click.get_current_context().get_parameter_source, click.core.ParameterSource.DEFAULT
    return {
        key: preset.get(key, value) if source(key) is default else value for key, value in options.items()
    }
