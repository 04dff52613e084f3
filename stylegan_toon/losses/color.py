"""Keeping a photo's colours."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Rows Y, U, V of R, G, B in [0, 1]: BT.601 with U = 0.492 (B - Y), V = 0.877 (R - Y), as TensorFlow has them.
YUV = (
    (0.299, 0.587, 0.114),
    (-0.14714119, -0.28886916, 0.43601035),
    (0.61497538, -0.51496512, -0.10001026),
)


def yuv(x: Tensor) -> Tensor:
    """RGB pictures [N, 3, H, W] in [-1, 1] as Y in 0..1, U and V, float32."""
    x = (x.float() + 1) / 2
    return torch.einsum("ij,njhw->nihw", x.new_tensor(YUV), x)


def color_loss(made: Tensor, photo: Tensor) -> Tensor:
    """mean |Y - Y'| + mean Huber(U - U') + mean Huber(V - V'), the Huber loss being d^2 / 2 up to 1.

    made, photo: RGB [N, 3, H, W] in [-1, 1]. Returns a float32 scalar.
    Source: Chen, Liu and Chen 2019 (AnimeGAN), eq. 6.
    """
    a, b = yuv(made), yuv(photo)
    return (a[:, 0] - b[:, 0]).abs().mean() + 2 * F.huber_loss(a[:, 1:], b[:, 1:])
