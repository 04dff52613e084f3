"""Does a generator repeat its training pictures? Distances to the nearest one, beside held-out photos'."""

from typing import NamedTuple

import torch
from torch import Tensor

from stylegan_toon.metrics.kid import standardise


class Nearest(NamedTuple):
    """Median distance to the nearest training picture, and how the generated ones compare.

    ratio: generated / held_out. About 1 for an honest generator, 0 for one that copies. Blurred or average
        faces lie near to everything, so that below 1 alone proves nothing; look at the nearest pairs.
    closer: share of generated pictures nearer to a training picture than 99 % of the held-out ones are;
        chance gives 0.01.
    """

    generated: float
    held_out: float
    ratio: float
    closer: float


def nearest(x: Tensor, train: Tensor, block: int = 512) -> tuple[Tensor, Tensor]:
    """For each row of x [N, F] the Euclidean distance to the nearest row of train [M, F], and which it is.

    Returns: [N] of x's dtype, [N] int64.
    Raises: ValueError if there is no training row or F differs.
    """
    if x.ndim != 2 or train.ndim != 2 or x.shape[1] != train.shape[1] or not len(train):
        raise ValueError(f"expected [N, F] and [M, F], M > 0, got {list(x.shape)} and {list(train.shape)}")
    parts = [torch.cdist(part, train).min(1) for part in x.split(block)]
    if not parts:
        return x.new_empty(0), torch.empty(0, dtype=torch.int64)
    return torch.cat([p.values for p in parts]), torch.cat([p.indices for p in parts])


def nearest_training(
    generated: Tensor, held_out: Tensor, train: Tensor, mean: Tensor, std: Tensor
) -> Nearest:
    """Compare generated [N, F] and held-out photos [K, F] by their nearest training picture of [M, F].

    Distances are Euclidean between features standardised as for KID (mean and std [F] of the training
    photos), so that two unrelated photos are about sqrt(2) apart.
    Raises: ValueError for other shapes or an empty set.
    """
    if not len(generated) or not len(held_out):
        raise ValueError("there must be at least one generated picture and one held-out photo")
    g, h, t = (standardise(f, mean, std).float() for f in (generated, held_out, train))
    return _compare(nearest(g, t)[0], nearest(h, t)[0])


def nearest_among(generated: Tensor, train: Tensor, mirrored: Tensor, mean: Tensor, std: Tensor) -> Nearest:
    """As nearest_training, where nothing was held out: each training picture, beside the others, is.

    Args:
        train, mirrored: [M, F] of the training pictures and of their mirror images, in the same order, M > 1.
    Raises: ValueError for other shapes or too few.
    """
    if not len(generated) or len(train) < 2 or train.shape != mirrored.shape:
        raise ValueError(f"expected [M, F] twice, M > 1, got {list(train.shape)} and {list(mirrored.shape)}")
    g, t, m = (standardise(f, mean, std).float() for f in (generated, train, mirrored))
    both, others = torch.cat([t, m]), []
    for start in range(0, len(t), 512):
        part = torch.cdist(t[start : start + 512], both)
        rows = torch.arange(len(part))
        part[rows, start + rows] = part[rows, len(t) + start + rows] = (
            torch.inf
        )  # itself, and its mirror image
        others.append(part.amin(1))
    return _compare(nearest(g, both)[0], torch.cat(others))


def _compare(of_generated: Tensor, of_others: Tensor) -> Nearest:
    middle, usual = float(of_generated.median()), float(of_others.median())
    line = torch.quantile(of_others, 0.01)
    ratio = middle / usual if usual > 0 else float("nan")
    return Nearest(middle, usual, ratio, float((of_generated < line).float().mean()))
