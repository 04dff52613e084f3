"""Blocks of AnimeGAN 1 and 2: convolutions padded by reflection, inverted residuals, a patch discriminator.

Source: Chen, Liu and Chen 2019 (ISICA, "AnimeGAN: A Novel Lightweight GAN for Photo Animation"), and the
layers' description in TachibanaYoshino/AnimeGAN, AnimeGANv2 and bryandlee/animegan2-pytorch.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stylegan_toon.nn.init import draw_weights
from stylegan_toon.nn.resample import double_tf1


def norm(kind: str, width: int, eps: float = 1e-5) -> nn.Module:
    """kind "instance", over H and W, or "layer", over C, H and W; scale and shift a channel each."""
    if kind == "layer":
        return nn.GroupNorm(1, width, eps)
    return nn.InstanceNorm2d(width, eps, affine=True)


class ConvUnit(nn.Sequential):
    """Reflection padding, convolution, norm, leaky ReLU 0.2: [N, a, H, W] -> [N, b, H / stride, W / stride].

    A stride of 2 pads below and to the right only, and takes even sizes.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int = 3,
        stride: int = 1,
        kind: str = "layer",
        groups: int = 1,
        bias: bool = False,
    ):
        pad = (0, 1, 0, 1) if stride == 2 else (kernel // 2,) * 4
        super().__init__(
            nn.ReflectionPad2d(pad),
            nn.Conv2d(n_in, n_out, kernel, stride, groups=groups, bias=bias),
            norm(kind, n_out),
            nn.LeakyReLU(0.2),
        )


class Separable(nn.Module):
    """A depthwise 3x3 and a 1x1 convolution, then one instance norm and leaky ReLU 0.2."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1):
        super().__init__()
        self.pad = (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1)
        self.depth = nn.Conv2d(n_in, n_in, 3, stride, groups=n_in, bias=False)
        self.point = nn.Conv2d(n_in, n_out, 1, bias=False)
        self.norm = norm("instance", n_out, 1e-6)  # the default in tf.contrib, unlike the other norms'

    def forward(self, x: Tensor) -> Tensor:
        x = self.point(self.depth(F.pad(x, self.pad, mode="reflect")))
        return F.leaky_relu(self.norm(x), 0.2)


class InvertedResidual(nn.Module):
    """1x1 to twice the width, depthwise 3x3, 1x1 to n_out with a norm; + x where the widths are equal."""

    def __init__(self, n_in: int, n_out: int, kind: str = "layer", bias: bool = False):
        """bias: of the depthwise convolution."""
        super().__init__()
        self.expand = ConvUnit(n_in, 2 * n_in, 1, kind=kind)
        self.depth = ConvUnit(2 * n_in, 2 * n_in, 3, kind=kind, groups=2 * n_in, bias=bias)
        self.project = nn.Conv2d(2 * n_in, n_out, 1, bias=False)
        self.norm = norm(kind, n_out)
        self.skip = n_in == n_out

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.project(self.depth(self.expand(x))))
        return x + y if self.skip else y


class Down(nn.Module):
    """The sum of two separable convolutions to half the size: one of stride 2, one after x[::2, ::2].

    The latter is what TensorFlow 1 made of bilinear halving.
    """

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.strided, self.sampled = Separable(n_in, n_out, 2), Separable(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.strided(x) + self.sampled(x[:, :, ::2, ::2])


class AnimeGenerator(nn.Module):
    """AnimeGAN's generator: [N, 3, H, W] in [-1, 1], sides multiples of 4 -> the same; width is 64 there."""

    def __init__(self, width: int = 64, blocks: int = 8):
        super().__init__()
        w = width

        def unit(n_in: int, n_out: int) -> ConvUnit:
            return ConvUnit(n_in, n_out, kind="instance")

        self.b1 = nn.Sequential(unit(3, w), unit(w, w), Down(w, 2 * w))
        self.b2 = nn.Sequential(unit(2 * w, 2 * w), Separable(2 * w, 2 * w), Down(2 * w, 4 * w))
        residuals = [InvertedResidual(4 * w, 4 * w, "instance") for _ in range(blocks)]
        self.m = nn.Sequential(unit(4 * w, 4 * w), *residuals, unit(4 * w, 4 * w))
        self.u2 = nn.Sequential(Separable(4 * w, 2 * w), Separable(2 * w, 2 * w), unit(2 * w, 2 * w))
        self.u1 = nn.Sequential(Separable(2 * w, 2 * w), unit(2 * w, w), unit(w, w))
        self.out = nn.Conv2d(w, 3, 1, bias=False)
        draw_weights(self, nn.init.xavier_uniform_)

    def forward(self, x: Tensor) -> Tensor:
        x = self.m(self.b2(self.b1(x)))
        x = self.u1(double_tf1(self.u2(double_tf1(x))))
        return torch.tanh(self.out(x))


class AnimeGeneratorV2(nn.Module):
    """AnimeGANv2's generator: [N, 3, H, W] in [-1, 1] -> the same; width is 32 there."""

    def __init__(self, width: int = 32, blocks: int = 4):
        """blocks: inverted residuals, the first of which doubles the width."""
        super().__init__()
        w = width
        self.a = nn.Sequential(ConvUnit(3, w, 7), ConvUnit(w, 2 * w, stride=2), ConvUnit(2 * w, 2 * w))
        self.b = nn.Sequential(ConvUnit(2 * w, 4 * w, stride=2), ConvUnit(4 * w, 4 * w))
        widths = [4 * w] + [8 * w] * (blocks - 1)
        residuals = [InvertedResidual(n, 8 * w, bias=True) for n in widths]
        self.c = nn.Sequential(ConvUnit(4 * w, 4 * w), *residuals, ConvUnit(8 * w, 4 * w))
        self.d = nn.Sequential(ConvUnit(4 * w, 4 * w), ConvUnit(4 * w, 4 * w))
        self.e = nn.Sequential(ConvUnit(4 * w, 2 * w), ConvUnit(2 * w, 2 * w), ConvUnit(2 * w, w, 7))
        self.out = nn.Conv2d(w, 3, 1, bias=False)
        draw_weights(self, partial(nn.init.kaiming_normal_, nonlinearity="relu"))

    def forward(self, x: Tensor, align_corners: bool = True) -> Tensor:
        """align_corners: whether both enlargements, bilinear, put corners on corners and end at sizes from
        before, as the port does unless told; otherwise they double, and sides end as multiples of 4.
        """
        half = self.a(x)
        y = self.c(self.b(half))
        sizes = (half.shape[2:], x.shape[2:])
        for size, block in zip(sizes, (self.d, self.e), strict=True):
            if align_corners:
                y = F.interpolate(y, size, mode="bilinear", align_corners=True)
            else:
                y = F.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False)
            y = block(y)
        return torch.tanh(self.out(y))


class CartoonPatch(nn.Module):
    """Patch scores at a quarter of the size, CartoonGAN's discriminator and, with spectral norms and without
    biases, both AnimeGANs': [N, 3, H, W] -> [N, 1, H / 4, W / 4]; width is 32 there."""

    def __init__(self, width: int = 32, kind: str = "instance", spectral: bool = False):
        super().__init__()
        w = width
        widths = [(3, w, 1), (w, 2 * w, 2), (2 * w, 4 * w, 1), (4 * w, 4 * w, 2), (4 * w, 8 * w, 1),
                  (8 * w, 8 * w, 1), (8 * w, 1, 1)]  # fmt: skip
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride, 1, bias=not spectral) for a, b, stride in widths
        )
        draw_weights(self, partial(nn.init.normal_, std=0.02))
        if spectral:
            for conv in self.convs:
                spectral_norm(conv)
        normed = {2: 4 * w, 4: 8 * w, 5: 8 * w}
        self.norms = nn.ModuleList(
            norm(kind, normed[k]) if k in normed else nn.Identity() for k in range(len(widths) - 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        *inner, last = self.convs
        for conv, norm in zip(inner, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), 0.2)
        return last(x)
