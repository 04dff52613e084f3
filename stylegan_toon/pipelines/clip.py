"""Which CLIP `--clip NAME|FILE` means: a file, one of OpenAI's that was fetched, or the small one."""

from collections.abc import Callable
from pathlib import Path

import torch

from stylegan_toon.errors import MissingPartError
from stylegan_toon.features.clip import NAME, Clip, load_clip
from stylegan_toon.features.clip_words import BytePairs
from stylegan_toon.pipelines import catalogue

USUAL = "clip-vit-b-32"


def open_clip(
    name_or_file: str | Path | None = None,
    device: str | torch.device = "cpu",
    report: Callable[[str], None] = lambda text: None,
) -> Clip:
    """The CLIP of a name or file, frozen, in float32.

    Args:
        name_or_file: a file; "clip-faces", the small one that ships; a name of `models list` or OpenAI's own
            for the same ("ViT-B/32"). None takes ViT-B/32 where it was fetched and its words can be read, and
            else the small one.
        report: is told which one None took.
    Raises: ModelError (exit 4) when it is not here, saying how to get it, or is broken.
    """
    if name_or_file is None:
        path = _usual()
        report(f"texts are read by {USUAL if path else f'{NAME}, the small model that ships'}")
        return load_clip(path, device)
    name = str(name_or_file)
    if name == NAME or Path(name).is_file():
        return load_clip(name, device)
    known = f"clip-{name.lower().replace('/', '-').replace('@', '-')}"
    return load_clip(catalogue.where(known if known in catalogue.BY_NAME else name), device)


def _usual() -> Path | None:
    path = catalogue.find(USUAL)
    try:
        return path if path and BytePairs().tokenizer else None
    except MissingPartError:
        return None
