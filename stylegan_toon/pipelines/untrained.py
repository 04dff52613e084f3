"""Translators that need no training: binarization, style transfer by optimisation, this project's toonify."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan_toon.config import changed, to_json
from stylegan_toon.device import choose_device
from stylegan_toon.errors import UsageError
from stylegan_toon.features.mobileface import load_mobileface
from stylegan_toon.features.vgg import load_maps
from stylegan_toon.images import load_image, to_tensor
from stylegan_toon.metadata import file_entry
from stylegan_toon.methods import binarize, nst
from stylegan_toon.pipelines.toonifier import Toonifier
from stylegan_toon.pipelines.toonify import Result, toonify_files
from stylegan_toon.pipelines.translate import MOST, translate_each
from stylegan_toon.training.method import Translator

STYLE = "storybook"  # of toonify


@dataclass(frozen=True)
class ToonifyConfig:
    """blend: resolutions, from 4x4 up, that come from the photo generator; -1 is the style's own."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}, "small": {}}

    blend: int = -1


UNTRAINED: Mapping[str, Any] = {
    "nst": nst.Config, "binarize": binarize.Config, "toonify": ToonifyConfig,
}  # fmt: skip


@dataclass(frozen=True)
class Opened:
    """A translator, the networks that run in it, and its settings as JSON values."""

    translator: Translator
    networks: Sequence[nn.Module]
    settings: dict[str, Any]


class Toonify:
    """Aligned faces through the toonify pipeline, but for finding the face and putting it back."""

    def __init__(self, toonifier: Toonifier):
        self.toonifier = toonifier

    def translate(self, photo: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1], aligned squares, to the same size."""
        return toonified(self.toonifier, photo)


def toonified(toonifier: Toonifier, photo: Tensor) -> Tensor:
    """Aligned squares [N, 3, H, H] in [-1, 1] brought to the generator's size, drawn, and brought back."""
    size = toonifier.source.config.resolution
    cartoon = toonifier.draw(toonifier.invert(toonifier.like(resized(photo, (size, size)))))
    return resized(cartoon.to(photo), photo.shape[2:])


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """[N, 3, H, W] to [N, 3, *size], bicubic with antialiasing, clamped."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return F.interpolate(x, tuple(size), mode="bicubic", antialias=True).clamp(-1, 1)


def open_untrained(
    name: str,
    preset: str,
    changes: Mapping[str, str],
    where: torch.device,
    style: str,
    picture: Tensor | None,
    vgg: str | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Opened:
    """One of UNTRAINED, ready.

    Args:
        preset, changes: as `baseline train --preset` and `--set`.
        style: of toonify. picture: of nst, [1, 3, H, W] in [-1, 1], and vgg: its features, as load_maps.
    Raises: UsageError for an unknown preset or setting, ModelError.
    """
    config = untrained_settings(name, preset, changes)
    about = to_json(config)
    if name == "binarize":
        return Opened(binarize.Binarize(config), [], about)
    if name == "nst":
        if picture is None:
            raise UsageError("nst takes the manner of one picture; give it by --style FILE")
        maps, said = load_maps(vgg, where, report)
        net = maps if isinstance(maps, nn.Module) else load_mobileface()  # as load_maps says
        return Opened(nst.NST(config, maps, picture).to(where), [net], {**about, "features": said})
    toonifier = Toonifier(style, blend=None if config.blend < 0 else config.blend, device=where.type)
    toonifier.invert(toonifier.like(torch.zeros(1, 3, *[toonifier.source.config.resolution] * 2)))  # loads it
    networks = [toonifier.cartoon, *([toonifier.encoder] if toonifier.encoder else [])]
    return Opened(Toonify(toonifier), networks, {**about, "recipe": str(toonifier.recipe)})


def run_untrained(
    name: str,
    photos: Sequence[str],
    preset: str = "small",
    changes: Mapping[str, str] | None = None,
    style: str | None = None,
    vgg: str | None = None,
    out: str = "out",
    most: int = MOST,
    device: str = "auto",
    report: Callable[[str], None] = lambda text: None,
    metadata: bool = True,
) -> Iterator[Result]:
    """Translate photos (files and folders) by one of UNTRAINED: a Result each, as translate_files.

    toonify finds the faces and puts their cartoons back, as the command of that name.
    Args:
        style: of toonify a name or file (storybook); of nst the picture whose manner is taken.
        preset, changes, vgg: as open_untrained.
    Raises: UsageError, InputError (nst's picture), ModelError, MissingPartError, DiskError.
    """
    config, where = untrained_settings(name, preset, changes or {}), choose_device(device)
    if name == "toonify":
        blend = None if config.blend < 0 else config.blend
        yield from toonify_files(
            photos, style or STYLE, blend=blend, out=out, device=device, report=report, metadata=metadata
        )
        return
    picture = to_tensor(load_image(style)) if style and name == "nst" else None
    opened = open_untrained(name, preset, changes or {}, where, STYLE, picture, vgg, report)
    about: dict[str, Any] = {"method": name, "settings": opened.settings}
    if style and name == "nst":
        about["style"] = file_entry(Path(style))
    yield from translate_each(
        opened.translator, photos, about if metadata else None, out, most, where, report
    )


def untrained_settings(name: str, preset: str, changes: Mapping[str, str]) -> Any:
    """The Config of one of UNTRAINED. Raises: UsageError."""
    config = UNTRAINED[name]
    if preset not in config.presets:
        raise UsageError(f"{name} has no preset {preset[:30]!r}; known: {', '.join(config.presets)}")
    return changed(config(**config.presets[preset]), changes)
