"""Latent codes: truncation, style mixing, and the groups of layers."""

import torch
from torch import Tensor

GROUPS = {"coarse": slice(0, 4), "medium": slice(4, 8), "fine": slice(8, None)}


def truncate(w_plus: Tensor, w_mean: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
    """Pull w_plus towards the mean latent: w_mean + psi * (w_plus - w_mean).

    Args:
        w_plus: [N, L, D], any float dtype.
        w_mean: [D], the running mean of w; or [L, D], one a layer.
        psi: 1 keeps w_plus, 0 gives the mean face; 0.7 is common.
        cutoff: how many leading layers to truncate; None means all L.
    Returns: [N, L, D], a new tensor; neither input is changed.
    Raises: ValueError if w_plus is not [N, L, D] with the D of w_mean.
    Source: Karras et al. 2019, arXiv 1812.04948, appendix B.
    """
    if w_plus.ndim != 3 or w_plus.shape[-1] != w_mean.shape[-1]:
        raise ValueError(f"expected w_plus [N, L, {w_mean.shape[-1]}], got {list(w_plus.shape)}")
    pulled = w_mean + psi * (w_plus - w_mean)
    return pulled if cutoff is None else torch.cat([pulled[:, :cutoff], w_plus[:, cutoff:]], dim=1)


def mix(a: Tensor, b: Tensor, crossover: int) -> Tensor:
    """Style mixing: the layers below crossover from a, the rest from b.

    Args:
        a, b: [N, L, D].
        crossover: 0 gives b, L gives a.
    Returns: [N, L, D], a new tensor.
    Raises: ValueError if the shapes differ or crossover is not in 0..L.
    Source: Karras et al. 2019, arXiv 1812.04948, section 3.1.
    """
    if a.shape != b.shape or a.ndim != 3:
        raise ValueError(f"expected two [N, L, D] of one shape, got {list(a.shape)} and {list(b.shape)}")
    if not 0 <= crossover <= a.shape[1]:
        raise ValueError(f"crossover {crossover} is not in 0..{a.shape[1]}")
    return torch.cat([a[:, :crossover], b[:, crossover:]], dim=1)
