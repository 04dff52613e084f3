"""Doubling a picture's size as TensorFlow 1 did, which networks trained there expect."""

import torch
from torch import Tensor


def double_tf1(x: Tensor) -> Tensor:
    """Bilinear [N, C, H, W] -> [N, C, 2 H, 2 W]: output i is at place i / 2 of the input, clamped at the end.

    torch's bilinear has output i at (i + 1/2) / 2 - 1/2, a quarter of a pixel to the left.
    Source: tf.image.resize_bilinear, align_corners=False, half_pixel_centers=False.
    """
    for dim in (2, 3):
        after = torch.cat([x.narrow(dim, 1, x.shape[dim] - 1), x.narrow(dim, x.shape[dim] - 1, 1)], dim)
        x = torch.stack([x, (x + after) / 2], dim + 1).flatten(dim, dim + 1)
    return x
