"""Frechet distance of two sets of features: FID, where the features are Inception's.

Source: Heusel et al. 2017, arXiv 1706.08500, eq. 6. It is biased upwards where pictures are few
(of N pictures with F > N features there is only a covariance of rank N - 1), so only figures of equal numbers
of pictures and of one feature network compare; KID does not have that fault.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Sums of n features: total [F] and outer [F, F], the sum of their outer products, float64.

    Sums, so that parts that several processes or batches have taken are joined by adding.
    """

    n: int
    total: Tensor
    outer: Tensor

    def __add__(self, other: "Moments") -> "Moments":
        if self.total.shape != other.total.shape:
            given = f"{len(self.total)} and {len(other.total)}"
            raise ValueError(f"moments of {given} features do not add; take both with one network")
        return Moments(self.n + other.n, self.total + other.total, self.outer + other.outer)

    @property
    def mean(self) -> Tensor:
        return self.total / self.n

    @property
    def covariance(self) -> Tensor:
        """[F, F], unbiased (divided by n - 1). Raises: ValueError for fewer than two pictures."""
        if self.n < 2:
            raise ValueError(f"a covariance needs two pictures, got {self.n}")
        return (self.outer - torch.outer(self.total, self.total) / self.n) / (self.n - 1)


def moments(features: Tensor) -> Moments:
    """Of features [N, F]. Raises: ValueError for another shape."""
    if features.ndim != 2:
        raise ValueError(f"expected features [N, F], got {list(features.shape)}")
    x = features.double()
    return Moments(len(x), x.sum(0), x.T @ x)


def merged(own: Moments) -> Moments:
    """The moments of all processes' features together, in each of them; alone, own."""
    if not (dist.is_available() and dist.is_initialized()):
        return own
    f = len(own.total)
    message = torch.cat([own.total.new_tensor([own.n]), own.total, own.outer.flatten()])
    dist.all_reduce(message)
    n, total, outer = message.split([1, f, f * f])
    return Moments(round(float(n)), total, outer.view(f, f))


def frechet(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), S the covariances; in float64.

    The trace of the root is the sum of the roots of the eigenvalues of S_a S_b, which are those of the
    symmetric R S_b R with R the root of S_a: nothing becomes complex, and singular covariances need no help.
    Raises: ValueError for fewer than two pictures or unequal numbers of features.
    """
    if a.total.shape != b.total.shape:
        raise ValueError(f"features differ: {len(a.total)} and {len(b.total)}; take both with one network")
    sa, sb = a.covariance, b.covariance
    values, vectors = torch.linalg.eigh(sa)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    product = root @ sb @ root
    both = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    return float((a.mean - b.mean).square().sum() + sa.trace() + sb.trace() - 2 * both)


def fid(real: Tensor, fake: Tensor) -> float:
    """frechet of features [N, F] and [M, F]."""
    return frechet(moments(real), moments(fake))
