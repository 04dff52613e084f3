"""Photo to w_plus through a feature pyramid: the encoder of pSp, and e4e's, which differs in one addition.

Source: Richardson et al. 2021, arXiv 2008.00951, section 3; Tov et al. 2021, arXiv 2102.02766, section 4.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_toon.nn.equalized import EqualLinear
from stylegan_toon.nn.irse import REDUCTION, UNITS, WIDTHS, IrSe, check

COARSE, MEDIUM = 3, 7  # the codes before these come from the smallest features, and from the next ones
MAX_LAYERS, MAX_RESOLUTION = 64, 4096


@dataclass(frozen=True)
class Config:
    """resolution: edge of the pictures, 256 in the published files. n_layers, w_dim: of the codes.

    offsets: the first head gives w and the others what is added to it (e4e), else each its own code (pSp).
    widths, units, reduction: of the body, as nn.irse.IrSe; four stages.
    """

    resolution: int
    n_layers: int
    w_dim: int
    offsets: bool
    widths: tuple[int, ...] = WIDTHS
    units: tuple[int, ...] = UNITS
    reduction: int = REDUCTION

    def __post_init__(self) -> None:
        check(self.widths, self.units, self.reduction)
        if not 32 <= self.resolution <= MAX_RESOLUTION or self.resolution & (self.resolution - 1):
            given = str(self.resolution)[:20]
            raise ValueError(f"resolution must be a power of two from 32 to {MAX_RESOLUTION}, not {given}")
        if len(self.widths) != 4 or not 0 < self.n_layers <= MAX_LAYERS or self.w_dim < 1:
            raise ValueError(f"widths must be 4, n_layers 1 to {MAX_LAYERS}, w_dim a count")


class Head(nn.Module):
    """Square features of edge 2^n_convs to one code: halved by convolutions down to 1x1, then linear."""

    def __init__(self, n_in: int, w_dim: int, n_convs: int):
        super().__init__()
        widths = [n_in, *[w_dim] * n_convs]
        self.convs = nn.ModuleList(nn.Conv2d(a, w_dim, 3, 2, 1) for a in widths[:-1])
        self.linear = EqualLinear(w_dim, w_dim)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, H] -> [N, D]."""
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.01)
        return self.linear(x.flatten(1))


class PyramidEncoder(nn.Module):
    """Pictures [N, 3, H, W] in [-1, 1] of aligned faces -> w_plus [N, L, D], as stylegan2.encoder.Encoder."""

    w_mean: Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.body = IrSe(config.widths, config.units, config.reduction)
        _, fine, medium, coarse = config.widths
        self.lateral_medium, self.lateral_fine = nn.Conv2d(medium, coarse, 1), nn.Conv2d(fine, coarse, 1)
        shortest = config.resolution.bit_length() - 5  # log2 of the smallest features' edge
        self.heads = nn.ModuleList(
            Head(coarse, config.w_dim, shortest + (i >= COARSE) + (i >= MEDIUM))
            for i in range(config.n_layers)
        )
        self.register_buffer("w_mean", torch.zeros(config.w_dim))

    def forward(self, x: Tensor) -> Tensor:
        size = self.config.resolution
        if x.shape[2:] != (size, size):
            x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
        _, fine, medium, coarse = self.body(x.to(self.w_mean.dtype, memory_format=torch.channels_last))
        medium = _grow(coarse, medium.shape[2:]) + self.lateral_medium(medium)
        fine = _grow(medium, fine.shape[2:]) + self.lateral_fine(fine)
        codes = torch.stack(
            [
                head(coarse if i < COARSE else medium if i < MEDIUM else fine)
                for i, head in enumerate(self.heads)
            ],
            1,
        )
        if self.config.offsets:
            codes = torch.cat([codes[:, :1], codes[:, :1] + codes[:, 1:]], 1)
        return self.w_mean + codes


def _grow(x: Tensor, size: torch.Size) -> Tensor:
    """Enlarged so that the corner pixels stay in the corners, which the published weights expect."""
    return F.interpolate(x, size, mode="bilinear", align_corners=True)
