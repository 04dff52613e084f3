"""The shape of a StyleGAN2: everything a network needs to be built, nothing that depends on its weights."""

from collections.abc import Sequence
from dataclasses import dataclass


def channels_for(resolution: int, multiplier: int = 2) -> tuple[int, ...]:
    """The original's channels from 4x4 up: min(16384 * multiplier / r, 512).

    Source: Karras et al. 2020, arXiv 1912.04958 (multiplier 2), and NVIDIA's half-width variant (1).
    """
    return tuple(min(16384 * multiplier // 2**k, 512) for k in range(2, resolution.bit_length()))


@dataclass(frozen=True)
class Config:
    """resolution: a power of two from 8 up. channels: one number a resolution, from 4x4 up.

    source_resolutions: the style layers of so many resolutions, from 4x4 up, take their w from a second
        mapping, the source's; for a child of FreezeSG with a mapping of its own. 0 is the plain StyleGAN2.
    """

    resolution: int
    channels: tuple[int, ...]
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    mapping_lr_mul: float = 0.01
    group: int = 4  # minibatch-stddev, discriminator only
    source_resolutions: int = 0

    def __post_init__(self) -> None:
        if not 8 <= self.resolution <= 2**16 or self.resolution & (self.resolution - 1):
            given = str(self.resolution)[:20]
            raise ValueError(f"resolution must be a power of two from 8 to 65536, not {given}")
        if len(self.channels) != self.n_resolutions:
            raise ValueError(
                f"{self.resolution} px needs {self.n_resolutions} channel numbers, not {len(self.channels)}"
            )
        counts = (*self.channels, self.z_dim, self.w_dim, self.mapping_layers, self.group)
        if not all(isinstance(count, int) and count > 0 for count in counts):
            raise ValueError(f"channels, dimensions, layers and group must be counts from 1 up, not {counts}")
        if self.mapping_layers > 100:
            raise ValueError(f"mapping_layers must be at most 100, not {str(self.mapping_layers)[:20]}")
        if not 0 <= self.source_resolutions < self.n_resolutions:
            given = str(self.source_resolutions)[:20]
            raise ValueError(f"source_resolutions must be in 0..{self.n_resolutions - 1}, not {given}")

    @property
    def n_resolutions(self) -> int:
        """How many resolutions there are from 4x4 up."""
        return self.resolution.bit_length() - 2

    @property
    def n_layers(self) -> int:
        """L of w_plus: 2 log2(resolution) - 2."""
        return 2 * self.n_resolutions

    @property
    def shift_block(self) -> int:
        """Which resolution, from 0 for 4x4 up, is the lowest whose features codes of F/W+ shift: an eighth of
        the whole, and at least 4 px."""
        return max(0, self.n_resolutions - 4)

    @property
    def shift_shape(self) -> tuple[int, int, int]:
        """(C, r, r) of the largest shift of codes of F/W+: of the features of resolution shift_block and of
        two more above it, as far as there are, those folded as pixel_unshuffle does."""
        k = self.shift_block
        return sum(self._shift_widths(k, 3)), 4 << k, 4 << k

    def shift_parts(self, shape: Sequence[int]) -> tuple[int, tuple[int, ...]]:
        """The lowest resolution, counted from 0 for 4x4 up, that a shift of shape [N, C, r, r] is of, and how
        many of its channels are of that, of the next, of the one after it. Raises: ValueError."""
        for k in range(self.n_resolutions):
            for count in (1, 2, 3):
                widths = self._shift_widths(k, count)
                if tuple(shape[1:]) == (sum(widths), 4 << k, 4 << k):
                    return k, widths
        raise ValueError(f"no resolution has features [N, C, r, r] of {list(shape)}")

    def _shift_widths(self, k: int, count: int) -> tuple[int, ...]:
        return tuple(4**i * channels for i, channels in enumerate(self.channels[k : k + count]))
