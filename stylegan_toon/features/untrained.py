"""An untrained convolutional network of fixed seed: picture statistics that cannot have learned a bias.

Random convolutions keep enough of a picture's texture and layout for comparing distributions of pictures.
Source of the idea: Naeem et al. 2020, arXiv 2002.09797 (random embeddings, there of VGG16); this is a small
net of our own, so that it needs neither a download nor much time.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    """widths: channels from full size down, one a halving; cells: rows and columns of the pooling grid."""

    widths: tuple[int, ...] = (16, 24, 32, 32, 24)
    cells: int = 2
    seed: int = 20240917


class Untrained(nn.Module):
    """Pictures -> mean and deviation of every channel in every cell, at every depth.

    3x3 convolutions with reflected edges, leaky ReLU and 2x2 average pooling. A weight is an integer drawn by
    torch's CPU generator, divided by a power of two and scaled to unit gain: the same on every machine.
    """

    def __init__(self, config: Config = Config()):
        super().__init__()
        self.config = config
        draw = torch.Generator().manual_seed(config.seed)
        for i, (a, b) in enumerate(pairwise((3, *config.widths))):
            whole = torch.randint(-(2**15), 2**15 + 1, (b, a, 3, 3), generator=draw)
            self.register_buffer(f"weight{i}", whole.float() / 2**15 * (3 * 2 / 1.04 / (a * 9)) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Features of pictures.

        Args:
            x: [N, 3, H, W], RGB in [-1, 1], edges of at least 16 * cells. Sets that are compared must have
                one size: the features depend on it.
        Returns: [N, 1024] float32, differentiable in x.
        Raises: ValueError for another shape or smaller pictures.
        """
        least = 2 ** (len(self.config.widths) - 1) * self.config.cells
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < least:
            raise ValueError(f"expected pictures [N, 3, H, W] from {least} px up, got {list(x.shape)}")
        y = x.float().contiguous(memory_format=torch.channels_last)
        out = []
        for i in range(len(self.config.widths)):
            y = F.pad(y, (1, 1, 1, 1), mode="reflect") if min(y.shape[2:]) > 1 else F.pad(y, (1, 1, 1, 1))
            y = F.leaky_relu(F.conv2d(y, self.get_buffer(f"weight{i}")), 0.2)
            mean = F.adaptive_avg_pool2d(y, self.config.cells)
            spread = F.adaptive_avg_pool2d(y.square(), self.config.cells) - mean.square()
            out += [mean.flatten(1), (spread.clamp(min=0) + 1e-6).sqrt().flatten(1)]
            y = F.avg_pool2d(y, 2) if min(y.shape[2:]) > 1 else y
        return torch.cat(out, dim=1)
