"""The loss that keeps a child's expressions the source's."""

from torch import Tensor

LEAST = 0.01  # a change whose square is smaller counts little: it is what a face's turn and light do


def expression_loss(child: Tensor, source: Tensor) -> Tensor:
    """Squared distance of the changes of two faces, as a share of the source's own; averaged, a scalar.

    child, source: [N, M], by how much each of M expressions rose; no gradient reaches source. 0 where the
    child changes as the source does, about 1 where it does not change. After Gal et al. 2021, arXiv
    2108.00946, eq. 3; deviation: a squared distance, not a cosine, so that the size of a change counts.
    """
    size = source.detach().square().sum(1) + LEAST
    return ((child - source.detach()).square().sum(1) / size).mean()
