"""The StyleGAN2 generator with output skips. Source: Karras et al. 2020, arXiv 1912.04958."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from cuda_ops import setup_filter, upfirdn2d
from stylegan_toon.nn.equalized import EqualLinear, PixelNorm
from stylegan_toon.nn.modulated import StyledConv, ToRGB
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.latents import mix, truncate, unfold_shift

NOISE_MODES = ("const", "random", "none")


class Mapping(nn.Module):
    """z [N, Z] -> w [N, D]: PixelNorm, then layers of EqualLinear with a slow learning rate."""

    def __init__(self, config: Config):
        super().__init__()
        widths = [config.z_dim] + [config.w_dim] * config.mapping_layers
        self.norm = PixelNorm()
        self.layers = nn.ModuleList(
            EqualLinear(a, b, lr_mul=config.mapping_lr_mul, activate=True) for a, b in pairwise(widths)
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

    def forward(
        self, x: Tensor, ws: Sequence[Tensor], noise: Sequence[str | Tensor], shift: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The features and their picture; ws [N, D] and noise are those of the layers, in order.

        With the w of toRGB alone x are the features already.
        shift: what is added to the features, before toRGB sees them.
        """
        if len(ws) == 3:
            x = self.conv0(x, ws[0], noise[0])
        if len(ws) > 1:
            x = self.conv1(x, ws[-2], noise[len(ws) - 2])
        if shift is not None:
            x = x + shift.to(x.dtype)
        return x, self.to_rgb(x, ws[-1])


class Synthesis(nn.Module):
    """w_plus [N, L, D] -> picture [N, 3, R, R], unbounded and nominally in [-1, 1].

    Layer indices: conv1 of 4x4 takes w 0 and its toRGB w 1; block k takes w 2k-1, 2k and, for its toRGB,
    2k+1, which the next block's first convolution shares; unless toRGB layers have codes of their own, one a
    block, behind the L.
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
        self,
        w_plus: Tensor,
        noise: str | Sequence[Tensor] = "random",
        upto: int | None = None,
        shift: Tensor | None = None,
    ) -> list[Tensor]:
        """All running pictures from 4x4 up: rgbs[k] is [N, 3, 4 * 2^k, 4 * 2^k]; the last is the result.

        Args:
            w_plus: [N, L, D] float32, or [N, L + n_resolutions, D], see latents.keep_colours.
            noise: one of NOISE_MODES, or 2 * n_resolutions - 1 tensors [N or 1, 1, r, r].
            upto: run only the first so many resolutions; None means all.
            shift: [N or 1, C, r, r], added to the features of its resolution, or of up to three (the space
                F/W+), as latents.unfold_shift takes it.
        Raises: ValueError for w_plus or shift of another shape, and for another noise mode.
        """
        return [rgb for _, rgb in self.run(w_plus, noise, upto, shift)]

    def run(
        self,
        w_plus: Tensor,
        noise: str | Sequence[Tensor] = "random",
        upto: int | None = None,
        shift: Tensor | None = None,
        known: tuple[int, Tensor, Tensor | None] | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """As forward, resolution by resolution: features before toRGB, and the running picture.

        known: (k, features, picture), what it gave for the k-th and the (k-1)-th (None before the first), to
            go on from there, the k-th included. A shift of the k-th is in the features already.
        """
        n_layers = self.config.n_layers
        rows = (n_layers, n_layers + self.config.n_resolutions)
        if w_plus.ndim != 3 or w_plus.shape[1] not in rows or w_plus.shape[2] != self.config.w_dim:
            wanted = [n_layers, self.config.w_dim]
            raise ValueError(f"expected w_plus [N, {wanted[0]}, {wanted[1]}], got {list(w_plus.shape)}")
        if isinstance(noise, str) and noise not in NOISE_MODES:
            raise ValueError(f"noise must be one of {', '.join(NOISE_MODES)} or tensors, not {noise!r}")
        shifts = {} if shift is None else unfold_shift(self.config, shift)
        picture: Tensor | None = None
        if known is None:
            start = -1
            x = self.const.to(self.compute_dtype).expand(w_plus.shape[0], -1, -1, -1)
            x = x.contiguous(memory_format=torch.channels_last)
        else:
            start, x, picture = known
        ws, noises = w_plus.unbind(1), [noise] * n_layers if isinstance(noise, str) else noise
        colours = ws[n_layers:] or ws[1::2]
        for k, block in enumerate(self.blocks[:upto]):
            first = max(0, 2 * k - 1)
            if k < start:
                continue
            if k == start:
                x, rgb = block(x, [colours[k]], [])
            else:
                own = [*ws[first : 2 * k + 1], colours[k]]
                x, rgb = block(x, own, noises[first : 2 * k + 1], shifts.get(k))
            picture = rgb if picture is None else rgb + upfirdn2d(picture, self.fir, up=2, pad=(2, 1))
            yield x, picture


class Generator(nn.Module):
    """mapping, synthesis, and w_mean, the running mean of w.

    With config.source_resolutions also source_mapping and source_w_mean: the source's, for those resolutions.
    """

    w_mean: Tensor
    source_w_mean: Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)
        self.register_buffer("w_mean", torch.zeros(config.w_dim))
        self.source_mapping: Mapping | None = None
        if config.source_resolutions:
            self.source_mapping = Mapping(config)
            self.register_buffer("source_w_mean", torch.zeros(config.w_dim))

    def codes(self, z: Tensor) -> Tensor:
        """z [N, Z] -> w_plus [N, L, D], every layer's w from the mapping that is its own."""
        own = self.broadcast(self.mapping(z))
        if self.source_mapping is None:
            return own
        return mix(self.broadcast(self.source_mapping(z)), own, 2 * self.config.source_resolutions)

    def centre(self) -> Tensor:
        """What truncation pulls to: w_mean [D]; [L, D] with two mappings, every layer's own mean."""
        if self.source_mapping is None:
            return self.w_mean
        source, own = self.broadcast(torch.stack([self.source_w_mean, self.w_mean]))
        return mix(source[None], own[None], 2 * self.config.source_resolutions)[0]

    def broadcast(self, w: Tensor) -> Tensor:
        """w [N, D] -> w_plus [N, L, D], the same w in every layer."""
        return w[:, None].expand(-1, self.config.n_layers, -1)

    def forward(self, z: Tensor, psi: float = 1.0, noise: str | Sequence[Tensor] = "random") -> Tensor:
        """z [N, Z] -> pictures [N, 3, R, R]; psi below 1 pulls w towards w_mean."""
        w_plus = self.codes(z)
        if psi != 1:
            w_plus = truncate(w_plus, self.centre(), psi)
        return self.synthesis(w_plus, noise)[-1]
