"""Edge smoothing: a cartoon whose drawn lines are blurred, which a discriminator is to tell from a real one.

Made on the fly from each batch, so that it follows crops and flips and needs no second folder; Canny without
OpenCV is the sums and comparisons below. Source: Chen, Lai and Liu 2018 (CartoonGAN), section 3.2;
thresholds, sizes and border as in tools/edge_smooth.py of TachibanaYoshino/AnimeGAN.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as OpenCV and TensorFlow weigh R, G and B
TAN = math.tan(math.pi / 8)


def gray(x: Tensor) -> Tensor:
    """The luma of pictures [N, 3, H, W] as [N, 1, H, W], in their range."""
    return (x * x.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


def canny(x: Tensor, low: float = 100.0, high: float = 200.0) -> Tensor:
    """Edges of gray pictures [N, 1, H, W] in 0..255, as booleans of that shape.

    Sobel gradients with borders repeated, their size |dx| + |dy|; a pixel stays if it is above low and no
    less than its two neighbours across the edge, and is kept if a chain of such joins it to one above high.
    Source: Canny 1986; the conventions, also which neighbour may be equal, are those of OpenCV's Canny.
    """
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    smooth_x = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    smooth_y = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    dx = smooth_x[..., 2:] - smooth_x[..., :-2]
    dy = smooth_y[:, :, 2:] - smooth_y[:, :, :-2]
    size = dx.abs() + dy.abs()
    around = F.pad(size, (1, 1, 1, 1))

    def at(down: int, right: int) -> Tensor:
        return around[:, :, 1 + down : 1 + down + x.shape[2], 1 + right : 1 + right + x.shape[3]]

    flat, steep = dy.abs() < TAN * dx.abs(), dy.abs() > dx.abs() / TAN
    falling = (dx < 0) == (dy < 0)  # the gradient points down to the right, or up to the left
    along = torch.where(
        falling, (size > at(-1, -1)) & (size > at(1, 1)), (size > at(-1, 1)) & (size > at(1, -1))
    )
    peak = torch.where(flat, (size > at(0, -1)) & (size >= at(0, 1)), along)
    peak = torch.where(steep, (size > at(-1, 0)) & (size >= at(1, 0)), peak)
    weak = (peak & (size > low)).float()
    found = weak * (size > high)
    while True:
        grown = F.max_pool2d(found, 3, 1, 1) * weak
        if torch.equal(grown, found):
            return grown.bool()
        found = grown


def edge_smooth(x: Tensor) -> Tensor:
    """Pictures [N, 3, H, W] in [-1, 1], blurred where an edge lies within two pixels, elsewhere as they were.

    The blur is OpenCV's Gaussian of 5x5 and no sigma: the binomial 1 4 6 4 1, borders reflected.
    """
    edges = canny(((gray(x) + 1) * 127.5).round()).to(x.dtype)
    near = F.max_pool2d(edges, 5, 1, 2) > 0
    line = x.new_tensor([1, 4, 6, 4, 1]) / 16
    weight = (line[:, None] * line).expand(x.shape[1], 1, 5, 5)
    blurred = F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), weight, groups=x.shape[1])
    return torch.where(near, blurred, x)
