"""Losses between a picture and what came back of it."""

from collections.abc import Sequence

from torch import Tensor


def attentive_l1(made: Tensor, wanted: Tensor, regions: Tensor, weights: Sequence[float]) -> Tensor:
    """w_0 mean |made - wanted| + sum_j w_j mean of the same over region j: L1 with weight on some places.

    Args:
        made, wanted: [N, 3, H, W].
        regions: [N, J, H, W], 1 inside of a region and 0 outside; a region that is nowhere counts 0.
        weights: J + 1 numbers, that of the whole picture first.
    Returns: a float32 scalar: the mean over pictures.
    Raises: ValueError where there are not as many weights.
    Source: Li et al. 2019, arXiv 1904.12615 (scGAN), eq. 4, read as a crop of the reconstruction against a
        crop of the input: its formula feeds crops to the generators, which take whole pictures.
    """
    if len(weights) != regions.shape[1] + 1:
        raise ValueError(f"{len(weights)} weights for {regions.shape[1]} regions and the whole picture")
    gap = (made.float() - wanted.float()).abs().mean(1, keepdim=True)  # [N, 1, H, W]
    whole = gap.mean([1, 2, 3])
    inside = (gap * regions).sum([2, 3]) / regions.sum([2, 3]).clamp(min=1)  # [N, J]
    return (weights[0] * whole + (inside * inside.new_tensor(weights[1:])).sum(1)).mean()
