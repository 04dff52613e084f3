"""Precision and recall of pictures: are the drawn ones among the real, and the real among the drawn?

Source: Kynkäänniemi et al. 2019, arXiv 1904.06991, with features standardised first, as for KID.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from stylegan_toon.metrics.kid import standardise

K = 5  # the neighbour whose distance is a picture's radius
BLOCK = 512


class PrecisionRecall(NamedTuple):
    """precision: the share of drawn pictures within the radius of a real one; recall: the other way round."""

    precision: float
    recall: float


def precision_recall(real: Tensor, fake: Tensor, mean: Tensor, std: Tensor, k: int = K) -> PrecisionRecall:
    """Shares in 0..1; the radius of a picture is the distance to its k-th nearest of its own set.

    Both depend on how many pictures there are: compare only figures of equal numbers.
    Args:
        real: [N, F], N > k; fake: [M, F], M > k.
        mean, std: [F], of the features of the real training photos (kid.statistics).
    Raises: ValueError for other shapes, or too few.
    """
    if k < 1 or min(len(real), len(fake)) <= k:
        raise ValueError(
            f"a {k}-th neighbour needs {k + 1} pictures on each side, got {len(real)} and {len(fake)}"
        )
    x, y = standardise(real, mean, std), standardise(fake, mean, std)
    return PrecisionRecall(_covered(y, x, k), _covered(x, y, k))


def _covered(points: Tensor, others: Tensor, k: int) -> float:
    """The share of points [N, F] that lie within the radius of one of others [M, F]."""
    radii = torch.cat([torch.cdist(part, others).kthvalue(k + 1).values for part in others.split(BLOCK)])
    hits = [(torch.cdist(part, others) <= radii).any(1) for part in points.split(BLOCK)]
    return float(torch.cat(hits).double().mean())
