"""The U-Net of pix2pix. Source: Isola et al. 2017, arXiv 1611.07004, section 3.2.1 and appendix 6.1."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_toon.nn.norm import norm as norm_of
from stylegan_toon.nn.norm import small_weights

WIDE = 8  # times width, from the fourth halving on


def unet_depth(size: int) -> int:
    """How many halvings take size to one pixel, as far as it is even, and at most 8."""
    depth = 0
    while depth < 8 and size % 2 ** (depth + 1) == 0:
        depth += 1
    return depth


def check_depth(depth: int, size: int) -> None:
    """Raises: ValueError where a U-Net of so many halvings cannot take size; 0 always can."""
    if depth and not 5 <= depth <= unet_depth(size):
        raise ValueError(f"depth={depth}: a U-Net for {size} px takes 5 to {unet_depth(size)}, or 0")


class UNet(nn.Module):
    """[N, 3, H, W] in [-1, 1] -> the same; H and W multiples of 2^depth.

    Halvings by 4x4 convolutions, doublings by transposed ones, which see what went down at their size, too:
    after its leaky ReLU, as the original's works in place.
    """

    def __init__(self, width: int = 64, depth: int = 8, norm: str = "batch", dropout: bool = True):
        """norm: as nn.norm.norm. dropout: after the doublings that are 8 widths wide, but the innermost.

        Raises: ValueError for fewer than five halvings.
        """
        super().__init__()
        if depth < 5:
            raise ValueError(f"a U-Net of {depth} halvings; it takes 5 and more: sizes are multiples of 32")
        bias = norm == "instance"
        widths = [width * min(2**i, WIDE) for i in range(depth)]
        self.downs, self.down_norms = nn.ModuleList(), nn.ModuleList()
        for i, n in enumerate(widths):
            self.downs.append(nn.Conv2d(widths[i - 1] if i else 3, n, 4, 2, 1, bias=bias))
            self.down_norms.append(norm_of(norm, n) if 0 < i < depth - 1 else nn.Identity())
        self.ups, self.up_norms = nn.ModuleList(), nn.ModuleList()  # from the innermost out
        self.drops = [dropout and 4 <= i < depth - 1 for i in range(depth - 1, 0, -1)]
        for i in range(depth - 1, 0, -1):
            n_in = widths[i] * (1 if i == depth - 1 else 2)
            self.ups.append(nn.ConvTranspose2d(n_in, widths[i - 1], 4, 2, 1, bias=bias))
            self.up_norms.append(norm_of(norm, widths[i - 1]))
        self.last = nn.ConvTranspose2d(2 * width, 3, 4, 2, 1)
        small_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for i, (conv, norm) in enumerate(zip(self.downs, self.down_norms, strict=True)):
            if i:
                x = F.leaky_relu(x, 0.2)
                skips.append(x)
            x = norm(conv(x))
        for conv, norm, drop in zip(self.ups, self.up_norms, self.drops, strict=True):
            x = norm(conv(F.relu(x)))
            x = F.dropout(x, 0.5, self.training) if drop else x
            x = torch.cat([skips.pop(), x], 1)
        return torch.tanh(self.last(F.relu(x)))
