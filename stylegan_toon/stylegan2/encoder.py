"""Photo to w_plus in one pass: a residual network with one output per style layer.

After Tov et al. 2021, arXiv 2102.02766 (offsets from one w) and Richardson et al. 2021, arXiv 2008.00951;
the trunk has the shape of the discriminator's, whose trained weights are a good start.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_toon.nn.equalized import EqualConv2d, EqualLinear
from stylegan_toon.stylegan2.discriminator import Discriminator, ResidualBlock


@dataclass(frozen=True)
class Config:
    """resolution, channels (from 4x4 up) of the trunk; n_layers and w_dim of the codes; rank of the head.

    rank 0 is the head of Cartoon-StyleGAN's encoder: one linear layer from the trunk to all codes.
    spread: how many directions tell how the codes of photos are spread; 0 where that is not known.
    """

    resolution: int
    channels: tuple[int, ...]
    n_layers: int
    w_dim: int
    rank: int = 256
    spread: int = 0

    def __post_init__(self) -> None:
        if 2 ** (len(self.channels) + 1) != self.resolution or self.resolution > 2**16:
            size, count = str(self.resolution)[:20], len(self.channels)
            raise ValueError(f"a trunk of {size} px cannot have {count} channel numbers")
        if not 0 <= self.spread <= self.n_layers * self.w_dim:
            raise ValueError(
                f"{self.n_layers} codes of {self.w_dim} cannot spread in {self.spread} directions"
            )


class Encoder(nn.Module):
    """Pictures [N, 3, H, W] in [-1, 1] of aligned faces -> w_plus [N, L, D] = w_mean + w + offsets."""

    w_mean: Tensor
    codes_mean: Tensor
    codes_spread: Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32  # of the trunk; the head is float32
        widths = config.channels[::-1]
        self.from_rgb = EqualConv2d(3, widths[0], 1)
        self.blocks = nn.ModuleList(ResidualBlock(a, b) for a, b in pairwise(widths))
        self.fc = EqualLinear(widths[-1] * 16, config.rank, activate=True) if config.rank else None
        self.base = EqualLinear(config.rank, config.w_dim) if config.rank else None
        self.offsets = EqualLinear(config.rank or widths[-1] * 16, config.n_layers * config.w_dim)
        self.register_buffer("w_mean", torch.zeros(config.w_dim))
        if config.spread:
            self.register_buffer("codes_mean", torch.zeros(config.n_layers, config.w_dim))
            self.register_buffer("codes_spread", torch.zeros(config.spread, config.n_layers, config.w_dim))
        if self.base is not None:
            nn.init.zeros_(self.base.weight)
        nn.init.zeros_(self.offsets.weight)

    def start_from(self, d: Discriminator) -> None:
        """Copy the trunk of a discriminator of the same resolution and channels."""
        self.from_rgb.load_state_dict(d.from_rgb.state_dict())
        self.blocks.load_state_dict(d.blocks.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        size = self.config.resolution
        if x.shape[2:] != (size, size):
            x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
        y = self.from_rgb(x.to(self.compute_dtype, memory_format=torch.channels_last))
        for block in self.blocks:
            y = block(y)
        y = y.to(self.offsets.weight.dtype).flatten(1)
        y = y if self.fc is None else self.fc(y)
        w = self.w_mean if self.base is None else self.w_mean + self.base(y)[:, None]
        return w + self.offsets(y).reshape(-1, self.config.n_layers, self.config.w_dim)

    def draw(self, n: int) -> Tensor:
        """n random codes [n, L, D], spread as the codes of photos are; config.spread must not be 0."""
        z = torch.randn(n, self.config.spread, device=self.codes_mean.device)
        return self.codes_mean + torch.tensordot(z, self.codes_spread, 1)


def with_spread(encoder: Encoder, codes: Tensor, directions: int = 64) -> Encoder:
    """The same encoder, which knows how its codes of photos [N, L, D] are spread.

    It keeps their mean and their principal directions, as long as the standard deviation there.
    N must be above directions.
    """
    if len(codes) <= directions:
        raise ValueError(f"{len(codes)} codes cannot tell {directions} directions")
    config = replace(encoder.config, spread=min(directions, codes[0].numel()))
    known = Encoder(config).to(encoder.w_mean.device).requires_grad_(False)
    codes = codes.cpu()  # where there is float64
    mean = codes.mean(0)
    _, scale, axes = torch.linalg.svd((codes - mean).flatten(1).double(), full_matrices=False)
    long = axes[: config.spread] * (scale[: config.spread, None] / (len(codes) - 1) ** 0.5)
    state = {k: v for k, v in encoder.state_dict().items() if k not in ("codes_mean", "codes_spread")}
    spread = long.reshape(config.spread, *mean.shape).to(mean.dtype)
    known.load_state_dict(state | {"codes_mean": mean, "codes_spread": spread})
    return known.eval()
