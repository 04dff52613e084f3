"""Is it still the same person? Cosines of identity embeddings, MobileFace's or another network's."""

from collections.abc import Callable

import torch
from torch import Tensor

from stylegan_toon.features.mobileface import load_mobileface


def identity_cosine(
    photos: Tensor, inversions: Tensor, embed: Callable[[Tensor], Tensor] | None = None, batch: int = 64
) -> Tensor:
    """The cosine of each photo's identity embedding with that of its inversion.

    Args:
        photos, inversions: [N, 3, H, H] and [N, 3, H', H'], FFHQ-style aligned, in [-1, 1]; clamped first, as
            saved pictures are.
        embed: pictures [N, 3, H, H] to embeddings [N, F] of length 1; None takes MobileFace.
    Returns: [N] float32 on the CPU. For scale: two photos of one person about 0.74, of two people 0.17
        (London set, MobileFace).
    Raises: ValueError if the numbers of pictures differ.
    """
    if len(photos) != len(inversions):
        raise ValueError(f"{len(photos)} photos, but {len(inversions)} inversions")
    if embed is None:
        net = load_mobileface()
        embed = lambda x: net(x)[0]  # noqa: E731
    out = []
    with torch.inference_mode():
        for a, b in zip(photos.split(batch), inversions.split(batch), strict=True):
            one, two = (embed(x.clamp(-1, 1)) for x in (a, b))
            out.append((one * two).sum(1).cpu())
    return torch.cat(out) if out else torch.empty(0)
