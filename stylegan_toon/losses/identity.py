"""The identity loss."""

from torch import Tensor


def identity_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - cosine of two embeddings [N, F] of unit length, averaged; no gradient reaches b.

    Source: Patashnik et al. 2021, arXiv 2103.17249, eq. 4; CPTR eq. 5.
    """
    return 1 - (a * b.detach()).sum(1).mean()
