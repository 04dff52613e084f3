"""Is it still the same person? Cosines of MobileFace embeddings."""

import torch
from torch import Tensor

from stylegan_toon.features.mobileface import MobileFace, load_mobileface


def identity_cosine(
    photos: Tensor, inversions: Tensor, net: MobileFace | None = None, batch: int = 64
) -> Tensor:
    """The cosine of each photo's identity embedding with that of its inversion.

    Args:
        photos, inversions: [N, 3, H, H] and [N, 3, H', H'], FFHQ-style aligned, in [-1, 1]; clamped first, as
            saved pictures are.
        net: as load_mobileface() gives it, which is taken for None.
    Returns: [N] float32 on the CPU. For scale: two photos of one person about 0.74, of two people 0.17
        (London set).
    Raises: ValueError if the numbers of pictures differ.
    """
    if len(photos) != len(inversions):
        raise ValueError(f"{len(photos)} photos, but {len(inversions)} inversions")
    net = net or load_mobileface()
    where = net.head.weight.device
    out = []
    with torch.inference_mode():
        for a, b in zip(photos.split(batch), inversions.split(batch), strict=True):
            one, two = (net(x.to(where).clamp(-1, 1))[0] for x in (a, b))
            out.append((one * two).sum(1).cpu())
    return torch.cat(out) if out else torch.empty(0)
