"""Binarization: black where a photo is dark, white where it is light. Nothing is trained.

The scGAN paper (arXiv 1904.12615, table 2) compares with "image binarization" and names no algorithm; here
are three: a fixed threshold, Otsu's, and one that follows the neighbourhood. Any size. Grey is ITU-R BT.601,
in 8 bits. Sources: Otsu 1979, IEEE Trans. SMC 9(1); the adaptive one is the local mean minus an offset.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan_toon.metrics.pixel import GREY

WAYS = ("otsu", "fixed", "adaptive")


@dataclass(frozen=True)
class Config:
    """threshold: of "fixed", grey above it is white. window, offset: of "adaptive", in shares of the shorter
    edge and in grey levels."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {}, "small": {}, **{way: {"way": way} for way in WAYS},
    }  # fmt: skip
    paired: ClassVar[bool] = False
    wants: ClassVar[tuple[str, ...]] = ()

    way: str = "otsu"
    threshold: int = 127
    window: float = 0.125
    offset: float = 5.0

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise ValueError(f"way {self.way[:20]!r} is none of {', '.join(WAYS)}")
        if not 0 <= self.threshold <= 255 or not 0 < self.window <= 1:
            raise ValueError(
                f"threshold={self.threshold} window={self.window}: wanted 0 to 255, above 0 to 1"
            )


class Binarize(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config

    def translate(self, photo: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] to the same, every pixel -1 or 1."""
        grey = to_grey(photo)
        config = self.config
        if config.way == "fixed":
            line = torch.full_like(grey[:, :, :1, :1], config.threshold)
        elif config.way == "otsu":
            line = otsu(grey)[:, None, None, None].to(grey)
        else:
            line = local_mean(grey, round(config.window * min(grey.shape[2:])) | 1) - config.offset
        return ((grey > line).to(photo.dtype) * 2 - 1).expand(-1, 3, -1, -1)


def to_grey(x: Tensor) -> Tensor:
    """[N, 3, H, W] in [-1, 1] -> [N, 1, H, W] float32: whole grey levels 0 to 255."""
    weights = x.new_tensor(GREY, dtype=torch.float32)[:, None, None]
    levels = ((x.float().clamp(-1, 1) + 1) * 127.5).round()
    return (levels * weights).sum(1, keepdim=True).round()


def otsu(grey: Tensor) -> Tensor:
    """The threshold t of each picture [N, 1, H, W] of whole levels 0 to 255, [N] int64: dark is <= t.

    It makes the two classes' means as far apart as can be, weighted by how many pixels each has; of equally
    good ones the lowest. A picture of one level gets that level, so it is all dark.
    """
    out = []
    for one in grey.long().flatten(1):
        counts = torch.bincount(one, minlength=256).double()
        levels = torch.arange(256, dtype=torch.float64, device=grey.device)
        below, all_below = counts.cumsum(0), (counts * levels).cumsum(0)
        above, all_above = below[-1] - below, all_below[-1] - all_below
        apart = all_below / below.clamp(min=1) - all_above / above.clamp(min=1)
        between = below * above * apart.square()
        out.append(between.argmax() if between.amax() > 0 else one[0])
    return torch.stack(out)


def local_mean(grey: Tensor, window: int) -> Tensor:
    """Mean of the window x window square round each pixel, edges repeated; window is odd. [N, 1, H, W]."""
    half = window // 2
    return F.avg_pool2d(F.pad(grey, (half,) * 4, mode="replicate"), window, 1)
