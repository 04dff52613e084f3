"""The StyleGAN2 generator with output skips. Source: Karras et al. 2020, arXiv 1912.04958."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from cuda_ops import setup_filter, upfirdn2d
from stylegan_toon.nn.equalized import EqualLinear, PixelNorm
from stylegan_toon.nn.modulated import StyledConv, ToRGB
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.latents import truncate

NOISE_MODES = ("const", "random", "none")


class Mapping(nn.Module):
    """z [N, Z] -> w [N, D]: PixelNorm, then layers of EqualLinear with a slow learning rate."""

    def __init__(self, config: Config):
        super().__init__()
        widths = [config.z_dim] + [config.w_dim] * config.mapping_layers
        self.norm = PixelNorm()
        self.layers = nn.ModuleList(
            EqualLinear(a, b, lr_mul=config.mapping_lr_mul, activate=True)
            for a, b in pairwise(widths)
        )

    def forward(self, z: Tensor) -> Tensor:
        x = self.norm(z)
        for layer in self.layers:
            x = layer(x)
        return x


class SynthesisBlock(nn.Module):
    """One resolution: convolutions (one at 4x4, two above), and its toRGB."""

    def __init__(self, n_in: int, n_out: int, w_dim: int, resolution: int):
        super().__init__()
        if resolution > 4:
            self.conv0 = StyledConv(n_in, n_out, w_dim, resolution, up=True)
        self.conv1 = StyledConv(n_out, n_out, w_dim, resolution)
        self.to_rgb = ToRGB(n_out, w_dim)


class Synthesis(nn.Module):
    """w_plus [N, L, D] -> picture [N, 3, R, R], unbounded and nominally in [-1, 1].

    Layer indices: conv1 of 4x4 takes w 0 and its toRGB w 1; block k takes w 2k-1, 2k and, for its toRGB,
    2k+1, which the next block's first convolution shares.
    """

    fir: Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32  # of the convolutions; the picture is summed in float32
        self.const = nn.Parameter(torch.randn(config.channels[0], 4, 4))
        widths = [config.channels[0], *config.channels]
        self.blocks = nn.ModuleList(
            SynthesisBlock(widths[k], widths[k + 1], config.w_dim, 2 ** (k + 2))
            for k in range(config.n_resolutions)
        )
        self.register_buffer("fir", setup_filter(gain=4), persistent=False)

    def forward(
        self, w_plus: Tensor, noise: str | Sequence[Tensor] = "random", upto: int | None = None
    ) -> list[Tensor]:
        """All running pictures from 4x4 up: rgbs[k] is [N, 3, 4 * 2^k, 4 * 2^k]; the last is the result.

        Args:
            w_plus: [N, L, D] float32.
            noise: one of NOISE_MODES, or 2 * n_resolutions - 1 tensors [N or 1, 1, r, r].
            upto: run only the first so many resolutions; None means all.
        """
        if w_plus.ndim != 3 or w_plus.shape[1:] != (self.config.n_layers, self.config.w_dim):
            wanted = [self.config.n_layers, self.config.w_dim]
            raise ValueError(f"expected w_plus [N, {wanted[0]}, {wanted[1]}], got {list(w_plus.shape)}")
        if isinstance(noise, str) and noise not in NOISE_MODES:
            raise ValueError(f"noise must be one of {', '.join(NOISE_MODES)} or tensors, not {noise!r}")
        x = self.const.to(self.compute_dtype).expand(w_plus.shape[0], -1, -1, -1)
        x = x.contiguous(memory_format=torch.channels_last)
        rgbs: list[Tensor] = []
        inputs = [noise] * (self.config.n_layers - 1) if isinstance(noise, str) else noise
        for k, block in enumerate(self.blocks[:upto]):
            if k > 0:
                x = block.conv0(x, w_plus[:, 2 * k - 1], inputs[2 * k - 1])
            x = block.conv1(x, w_plus[:, 2 * k], inputs[2 * k])
            rgb = block.to_rgb(x, w_plus[:, 2 * k + 1])
            rgbs.append(rgb if k == 0 else rgb + upfirdn2d(rgbs[-1], self.fir, up=2, pad=(2, 1)))
        return rgbs


class Generator(nn.Module):
    """mapping, synthesis, and w_mean, the running mean of w."""

    w_mean: Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)
        self.register_buffer("w_mean", torch.zeros(config.w_dim))

    def broadcast(self, w: Tensor) -> Tensor:
        """w [N, D] -> w_plus [N, L, D], the same w in every layer."""
        return w[:, None].expand(-1, self.config.n_layers, -1)

    def forward(self, z: Tensor, psi: float = 1.0, noise: str | Sequence[Tensor] = "random") -> Tensor:
        """z [N, Z] -> pictures [N, 3, R, R]; psi below 1 pulls w towards w_mean."""
        w_plus = self.broadcast(self.mapping(z))
        if psi != 1:
            w_plus = truncate(w_plus, self.w_mean, psi)
        return self.synthesis(w_plus, noise)[-1]
