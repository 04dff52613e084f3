"""Photo to w_plus in one pass: a residual network with one output per style layer; and the shift of features.

After Tov et al. 2021, arXiv 2102.02766 (offsets from one w) and Richardson et al. 2021, arXiv 2008.00951;
the trunk has the shape of the discriminator's, whose trained weights are a good start. The shift: Wang et
al. 2022, arXiv 2109.06590 (from what the codes' picture lacks), in passes as Alaluf et al. 2021, arXiv
2104.02699.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_toon.nn.equalized import EqualConv2d, EqualLinear
from stylegan_toon.stylegan2.discriminator import Discriminator, ResidualBlock
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import fold_shift

PASSES = 2  # of a head that gives a shift, each seeing what the one before drew
LEAST = 1e-6  # deviation that a channel is taken to have


@dataclass(frozen=True)
class Config:
    """resolution, channels (from 4x4 up) of the trunk; n_layers and w_dim of the codes; rank of the head.

    rank 0 is the head of Cartoon-StyleGAN's encoder: one linear layer from the trunk to all codes.
    spread: how many directions tell how the codes of photos are spread; 0 where that is not known.
    shift: channels of the features, of the generator's shift_block, whose shift (the space F/W+) a further
        head gives; 0 has none. shift_width and shift_blocks are that head's.
    fine: channels of the features of the one or two resolutions above, whose shift a last head gives.
    """

    resolution: int
    channels: tuple[int, ...]
    n_layers: int
    w_dim: int
    rank: int = 256
    spread: int = 0
    shift: int = 0
    shift_width: int = 128
    shift_blocks: int = 4
    fine: tuple[int, ...] = ()
    fine_width: int = 96
    fine_blocks: int = 2

    def __post_init__(self) -> None:
        if 2 ** (len(self.channels) + 1) != self.resolution or self.resolution > 2**16:
            size, count = str(self.resolution)[:20], len(self.channels)
            raise ValueError(f"a trunk of {size} px cannot have {count} channel numbers")
        if not 0 <= self.spread <= self.n_layers * self.w_dim:
            raise ValueError(
                f"{self.n_layers} codes of {self.w_dim} cannot spread in {self.spread} directions"
            )
        for name in ("shift_blocks", "fine_blocks"):
            if not 0 <= (count := getattr(self, name)) <= 100:
                raise ValueError(f"{name} must be at most 100, not {str(count)[:20]}")
        if len(self.fine) > min(2, len(self.channels) - 1) or (self.fine and not self.shift):
            given = str(self.fine)[:30]
            raise ValueError(f"fine shifts are of one or two resolutions above that of shift, not {given}")


class ShiftHead(nn.Module):
    """A photo, its picture so far and the features behind that -> the shift that brings it nearer.

    All at the places of the features: it tells no more of one than photo and picture show around it.
    """

    unit: Tensor

    def __init__(self, factor: int, channels: int, width: int, blocks: int, below: int = 0):
        """factor: how many pixels a feature has across. below: width of the head of half the resolution."""
        super().__init__()
        self.factor = factor
        self.first = EqualConv2d(6 * factor**2 + channels, width, 3, padding=1)
        self.below = EqualConv2d(below, width, 1) if below else None
        self.blocks = nn.ModuleList(
            nn.Sequential(EqualConv2d(width, width, 3, padding=1), EqualConv2d(width, width, 3, padding=1))
            for _ in range(blocks)
        )
        self.last = EqualConv2d(width, channels, 1, activate=False)
        self.register_buffer("unit", torch.ones(channels, 1, 1))
        nn.init.zeros_(self.last.weight)

    def forward(self, photo: Tensor, drawn: Tensor, features: Tensor) -> Tensor:
        """[N, C, r, r], of photo and drawn [N, 3, R, R] and features [N, C, r, r], which unit scales."""
        return self.last(self.know(photo, drawn, features)) * self.unit

    def know(self, photo: Tensor, drawn: Tensor, features: Tensor, below: Tensor | None = None) -> Tensor:
        """[N, width, r, r], what the shift is told from; below: that of the head below, if there is one."""
        gap = F.pixel_unshuffle(photo - drawn, self.factor)
        x = torch.cat([gap, F.pixel_unshuffle(photo, self.factor), features / self.unit], 1)
        x = self.first(x)
        if self.below is not None and below is not None:
            x = (x + F.interpolate(self.below(below), scale_factor=2)) * 0.5**0.5
        for block in self.blocks:
            x = (x + block(x)) * 0.5**0.5
        return x


class FineHead(nn.Module):
    """A ShiftHead for each of the resolutions above, which also sees what the one below it knows."""

    def __init__(self, config: Config):
        super().__init__()
        size, width = max(4, config.resolution // 8), 0
        self.levels = nn.ModuleList()
        for i, channels in enumerate(config.fine):
            size, below, width = 2 * size, width, max(1, config.fine_width >> i)
            blocks = config.fine_blocks >> i
            self.levels.append(ShiftHead(config.resolution // size, channels, width, blocks, below))
            self.register_buffer(f"place{i}", torch.ones(1, size, size))

    def places(self) -> list[Tensor]:
        """Where each resolution is shifted, [1, r, r] each: 1 is everywhere as much as the head says."""
        return [self.get_buffer(f"place{i}") for i in range(len(self.levels))]

    def forward(self, photo: Tensor, drawn: Tensor, features: Sequence[Tensor]) -> list[Tensor]:
        """The shift of each of the resolutions' features, [N, C, r, r]; photo and drawn [N, 3, R, R]."""
        found: list[Tensor] = []
        x = None
        for level, known, place in zip(self.levels, features, self.places(), strict=False):
            assert isinstance(level, ShiftHead)
            x = level.know(photo, drawn, known, x)
            found.append(level.last(x) * (level.unit * place))
        return found


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
        self.shift = self.fine = None
        if config.shift:
            factor = min(8, config.resolution // 4)
            self.shift = ShiftHead(factor, config.shift, config.shift_width, config.shift_blocks)
        if config.fine:
            self.fine = FineHead(config)
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
        return self.codes_at(torch.randn(n, self.config.spread, device=self.codes_mean.device))

    def codes_at(self, z: Tensor) -> Tensor:
        """The codes [N, L, D] of standard normal z [N, config.spread], as draw draws them."""
        return self.codes_mean + torch.tensordot(z, self.codes_spread, 1)


def draw_shifted(g: Generator, w_plus: Tensor, shift: Tensor | None) -> tuple[Tensor, list[Tensor]]:
    """What g draws of w_plus [N, L, D], [N, 3, R, R], and the features that a shift goes to, with it.

    Those of the lowest resolution are first.
    """
    at = g.config.shift_block
    steps = [*g.synthesis.run(w_plus, "none", shift=shift)]
    return steps[-1][1], [features for features, _ in steps[at : at + 3]]


def predict_shift(
    encoder: nn.Module, g: Generator, photos: Tensor, w_plus: Tensor, fine: bool = True
) -> Tensor | None:
    """The shift [N, C, r, r] that brings g's pictures of w_plus [N, L, D] near to photos [N, 3, R, R].

    None of an encoder that has no head for it. The photos are as large as what g draws.
    fine: also of the resolutions above, folded as latents.unfold_shift takes it, if there is a head for it.
    """
    if not isinstance(encoder, Encoder) or encoder.shift is None:
        return None
    at = g.config.shift_block
    steps = [*g.synthesis.run(w_plus, "none")]
    below = steps[at - 1][1] if at else None  # neither it nor what leads to it sees a shift
    low, shift = steps[at][0], w_plus.new_zeros([])
    for i in range(PASSES):
        if i:
            steps[at:] = g.synthesis.run(w_plus, "none", known=(at, low, below))
        more = encoder.shift(photos, steps[-1][1], low)
        low, shift = low + more.to(low.dtype), shift + more
    if not fine or encoder.fine is None:
        return shift
    known = [shift]
    for _ in range(PASSES):
        steps[at:] = g.synthesis.run(w_plus, "none", shift=fold_shift(known), known=(at, low, below))
        found = encoder.fine(photos, steps[-1][1], [features for features, _ in steps[at + 1 : at + 3]])
        known = [shift, *(map(torch.add, known[1:], found) if known[1:] else found)]
    return fold_shift(known)


def with_shift(encoder: Encoder, unit: Tensor) -> Encoder:
    """A copy of the encoder with a head for shifts that gives none yet.

    unit: [C, r, r], the deviation of the features' channels. Draws the head's weights from torch's generator.
    """
    made = Encoder(replace(encoder.config, shift=len(unit)))
    made.load_state_dict(made.state_dict() | encoder.state_dict())
    assert made.shift
    made.shift.unit.copy_(unit.amax([1, 2], keepdim=True).clamp(min=LEAST))
    return made


def with_fine(encoder: Encoder, units: Sequence[Tensor]) -> Encoder:
    """As with_shift, a copy with a head for the shifts of the resolutions above, which gives none yet.

    units: [C, r, r] of each, the deviation of the features' channels, 0 where they are not to be shifted.
    """
    made = Encoder(replace(encoder.config, fine=tuple(len(unit) for unit in units)))
    made.load_state_dict(made.state_dict() | encoder.state_dict())
    assert made.fine
    for level, place, unit in zip(made.fine.levels, made.fine.places(), units, strict=True):
        assert isinstance(level, ShiftHead)
        level.unit.copy_(unit.amax([1, 2], keepdim=True).clamp(min=LEAST))
        place.copy_((unit / level.unit).amax(0, keepdim=True))
    return made


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
