"""Losses of texture and smoothness."""

from torch import Tensor


def gram(features: Tensor) -> Tensor:
    """F F^T / (H W): how channels go together, wherever in the picture. [N, C, H, W] -> [N, C, C], float32.

    Source: Gatys et al. 2016, CVPR, eq. 3; divided by the number of places, as in their code.
    """
    f = features.float().flatten(2)
    return f @ f.transpose(1, 2) / f.shape[2]


def total_variation(x: Tensor, power: int = 1) -> Tensor:
    """mean |difference to the next pixel|^power, down plus across; pictures [N, 3, H, W]. A float32 scalar.

    Source: Rudin et al. 1992, without the root over both directions (anisotropic).
    """
    x = x.float()
    down, across = x[:, :, 1:] - x[:, :, :-1], x[:, :, :, 1:] - x[:, :, :, :-1]
    return down.abs().pow(power).mean() + across.abs().pow(power).mean()
