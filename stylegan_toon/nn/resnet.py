"""The residual generator of CycleGAN.

Source: Johnson et al. 2016, arXiv 1603.08155; Zhu et al. 2017, arXiv 1703.10593, section 7.1.
"""

from torch import Tensor, nn

from stylegan_toon.nn.norm import norm as norm_of
from stylegan_toon.nn.norm import small_weights


class ResnetBlock(nn.Module):
    """x + two 3x3 convolutions of it, the edges reflected; nothing after the sum."""

    def __init__(self, channels: int, norm: str, dropout: bool):
        super().__init__()
        bias = norm == "instance"

        def half() -> list[nn.Module]:
            conv = nn.Conv2d(channels, channels, 3, bias=bias)
            return [nn.ReflectionPad2d(1), conv, norm_of(norm, channels)]

        between = [nn.ReLU(), *([nn.Dropout(0.5)] if dropout else [])]
        self.conv_block = nn.Sequential(*half(), *between, *half())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class ResnetGenerator(nn.Module):
    """[N, 3, H, W] in [-1, 1] -> the same: two halvings, residual blocks, two doublings, tanh.

    The layers lie in one row, so that their numbers are those in files of the original.
    """

    multiple, least = 4, 8  # what edges must be a multiple of, to come out as they came in, and reach

    def __init__(self, width: int = 64, blocks: int = 9, norm: str = "instance", dropout: bool = False):
        """norm: as nn.norm.norm; convolutions before a batch norm have no bias."""
        super().__init__()
        bias = norm == "instance"
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7, bias=bias)]
        layers += [norm_of(norm, width), nn.ReLU()]
        for n in (width, 2 * width):
            layers += [nn.Conv2d(n, 2 * n, 3, 2, 1, bias=bias), norm_of(norm, 2 * n), nn.ReLU()]
        layers += [ResnetBlock(4 * width, norm, dropout) for _ in range(blocks)]
        for n in (4 * width, 2 * width):
            up = nn.ConvTranspose2d(n, n // 2, 3, 2, 1, output_padding=1, bias=bias)
            layers += [up, norm_of(norm, n // 2), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())
        small_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)
