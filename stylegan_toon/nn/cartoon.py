"""CartoonGAN's generator.

Source: Chen, Lai and Liu 2018 (CVPR, "CartoonGAN: Generative Adversarial Networks for Photo Cartoonization"),
and the layers' description in Yijunmaverick/CartoonGAN-Test-Pytorch-Torch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_toon.nn.munit import reflecting


def norm(width: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(width, eps=1e-9, affine=True)


class Stage(nn.Module):
    """A convolution that changes the size, a 3x3 one, norm and ReLU; both pad with zeros."""

    def __init__(self, first: nn.Module, width: int):
        super().__init__()
        self.first, self.second, self.norm = first, nn.Conv2d(width, width, 3, 1, 1), norm(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.second(self.first(x))))


class Residual(nn.Module):
    """x + two reflecting convolutions with norms, ReLU between them and none after the sum."""

    def __init__(self, width: int):
        super().__init__()
        self.conv0, self.conv1 = reflecting(width, width, 3), reflecting(width, width, 3)
        self.norm0, self.norm1 = norm(width), norm(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm1(self.conv1(F.relu(self.norm0(self.conv0(x)))))


class CartoonGenerator(nn.Module):
    """[N, 3, H, W] in [-1, 1] -> the same; sides that are no multiples of 4 come out as the next ones."""

    def __init__(self, width: int = 64, blocks: int = 8):
        super().__init__()
        w = width
        self.stem, self.norm = reflecting(3, w, 7), norm(w)
        self.downs = nn.ModuleList(Stage(nn.Conv2d(n, 2 * n, 3, 2, 1), 2 * n) for n in (w, 2 * w))
        self.blocks = nn.ModuleList(Residual(4 * w) for _ in range(blocks))
        self.ups = nn.ModuleList(
            Stage(nn.ConvTranspose2d(2 * n, n, 3, 2, 1, output_padding=1), n) for n in (2 * w, w)
        )
        self.head = reflecting(w, 3, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        for part in (*self.downs, *self.blocks, *self.ups):
            x = part(x)
        return torch.tanh(self.head(x))
