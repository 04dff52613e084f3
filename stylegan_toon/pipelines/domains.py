"""The two domains of a translator: read, brought to size, and drawn as batches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from stylegan_toon.data import Sampler, load_pairs, load_pictures
from stylegan_toon.errors import InputError, UsageError, shown
from stylegan_toon.faces.regions import region_masks
from stylegan_toon.methods.translation import TranslationConfig
from stylegan_toon.training import ranks

OTHER = 1 << 32  # added to the seed for cartoons, which are drawn apart from photos; above every --seed


def face_regions(photos: Tensor) -> Tensor:
    """[N, 3, H, W] uint8: where eyes, nose and mouth of each photo's largest face are.

    Raises: InputError if no photo has a face.
    """
    looking = tqdm(photos, "finding faces", unit="photo", disable=True if ranks.rank() else None, leave=False)
    masks = [region_masks(Image.fromarray(photo.permute(1, 2, 0).numpy())) for photo in looking]
    out = torch.from_numpy(np.stack(masks))
    if not bool(out.any()):
        raise InputError(
            f"none of {len(photos)} photos shows a face, and this method learns by them; give others"
        )
    return out


# What some methods want beside photo and cartoon: from which of the two it is made, picture by picture, and
# how. It is [N, C, H, W] uint8, and is cut and flipped as its source is.
MADE: Mapping[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "regions": ("photo", face_regions),
}


@dataclass(frozen=True)
class Sources:
    """Folders or archives: photos and cartoons, or pairs of both. exclude: as data.leaves_out takes it."""

    photos: str | None = None
    cartoons: str | None = None
    pairs: str | None = None
    exclude: Sequence[str] = ()
    mirror: bool = True


def load_domains(config: TranslationConfig, sources: Sources) -> dict[str, Tensor]:
    """photo, cartoon and what config.wants of MADE, each [N, C, L, L] uint8 with L = config.loaded.

    Raises: UsageError for sources of the wrong kind, InputError for what cannot be read or is all alike.
    """
    if config.paired and not (sources.pairs and not sources.photos and not sources.cartoons):
        raise UsageError(
            "this method learns from pairs; give --pairs FOLDER|ZIP alone, with photo/ and toon/"
        )
    if not config.paired and not (sources.photos and sources.cartoons and not sources.pairs):
        raise UsageError("this method learns from two sets; give --photos and --cartoons, and no --pairs")
    if sources.pairs:
        photo, cartoon = load_pairs(sources.pairs, config.loaded, sources.exclude)
    else:
        assert sources.photos and sources.cartoons
        photo, cartoon = (
            load_pictures([source], config.loaded, sources.exclude)
            for source in (sources.photos, sources.cartoons)
        )
    found = {"photo": photo, "cartoon": cartoon}
    for name, pictures in found.items():
        if len(pictures) > 1 and bool((pictures == pictures[:1]).all()):
            source = sources.pairs or (sources.photos if name == "photo" else sources.cartoons)
            raise InputError(
                f"{shown(str(source))}: all {len(pictures)} pictures are alike; give different ones"
            )
    for name in config.wants:
        if name in MADE:
            source, make = MADE[name]
            found[name] = make(found[source])
    return found


def stream(
    domains: Mapping[str, Tensor], config: TranslationConfig, seed: int, mirror: bool, where: torch.device
) -> Callable[[int], dict[str, Tensor]]:
    """Batch i, a function of seed and i alone: every domain [N, C, S, S] in [-1, 1].

    Photos and cartoons are drawn apart from each other, unless they are pairs.
    """
    samplers = {}
    for name, pictures in domains.items():
        of = MADE[name][0] if name in MADE else name
        own = seed if config.paired or of == "photo" else seed + OTHER
        samplers[name] = Sampler(pictures, config.batch, own, mirror, config.size)
    return lambda i: {name: sampler.batch(i).to(where) for name, sampler in samplers.items()}


def shown_first(pictures: Tensor, size: int, count: int = 8) -> Tensor:
    """The middles of the first pictures, [count, 3, size, size] in [-1, 1]: what looks show."""
    at = (pictures.shape[3] - size) // 2
    return pictures[:count, :, at : at + size, at : at + size].float() / 127.5 - 1
