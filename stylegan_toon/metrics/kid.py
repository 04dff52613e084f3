"""Kernel inception distance: how far two sets of pictures are apart, in any feature space.

Source: Binkowski et al. 2018, arXiv 1801.01401, with features standardised first, so that spaces compare.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Kid(NamedTuple):
    """The squared distance (0 for equal distributions; it may fall below) and its 95 % interval."""

    value: float
    low: float
    high: float


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation [F], float64, of the features [N, F] of the real training photos, N > 1.

    A dimension that never moves gets the deviation 1, so that nothing is divided by 0.
    """
    x = features.double()
    spread = x.std(0, unbiased=True)
    return x.mean(0), torch.where(spread > 1e-6 * (1 + x.abs().amax(0)), spread, 1.0)


def standardise(features: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(features - mean) / std / sqrt(F), [N, F] float64: the space in which figures are taken."""
    if features.ndim != 2 or mean.shape != features.shape[1:] or std.shape != mean.shape:
        raise ValueError(
            f"expected features [N, F], mean and std [F], "
            f"got {list(features.shape)}, {list(mean.shape)}, {list(std.shape)}"
        )
    return (features.double() - mean.double()) / std.double() / features.shape[1] ** 0.5


def kid(real: Tensor, fake: Tensor, mean: Tensor, std: Tensor, resamples: int = 1000, seed: int = 0) -> Kid:
    """Unbiased squared MMD of standardised features, kernel (x . y + 1)^3, with a bootstrap interval.

    The interval holds the middle 95 % of `resamples` bootstrap values: both sets are drawn again with
    replacement, independently, and pairs made of one picture with itself are left out, so that the bootstrap
    is centred on the value. mean and std are taken as known. Near 0 the interval is somewhat too wide.
    Args:
        real: [N, F], N > 1; fake: [M, F], M > 1.
        mean, std: [F], of the features of the real training photos (statistics()).
        resamples: 0 gives an interval of nan.
        seed: of the bootstrap.
    Raises: ValueError for other shapes.
    """
    if len(real) < 2 or len(fake) < 2:
        raise ValueError(f"KID needs two pictures on each side, got {len(real)} and {len(fake)}")
    x, y = standardise(real, mean, std), standardise(fake, mean, std)
    xx, yy, xy = ((a @ b.T + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    xx.fill_diagonal_(0)
    yy.fill_diagonal_(0)
    value = float(_mmd(xx, yy, xy, torch.ones(1, len(x)).to(xx), torch.ones(1, len(y)).to(yy)))
    if resamples < 1:
        return Kid(value, float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    draws = (torch.from_numpy(rng.multinomial(n, np.full(n, 1 / n), resamples)) for n in (len(x), len(y)))
    values = _mmd(xx, yy, xy, *(draw.to(xx) for draw in draws))
    # A draw that is one picture many times has no pair and is nan; it happens to sets of a few pictures.
    low, high = np.nanquantile(values.cpu().numpy(), (0.025, 0.975))
    return Kid(value, float(low), float(high))


def _mmd(xx: Tensor, yy: Tensor, xy: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """[B]: squared MMD when picture i is taken u[b, i] times and j of the other set v[b, j] times.

    The diagonals of xx and yy are 0.
    """
    within = ((u @ xx) * u).sum(1) / (u.sum(1).square() - u.square().sum(1))
    within = within + ((v @ yy) * v).sum(1) / (v.sum(1).square() - v.square().sum(1))
    return within - 2 * ((u @ xy) * v).sum(1) / (u.sum(1) * v.sum(1))
