"""A discriminator that judges patches. Source: Isola et al. 2017, arXiv 1611.07004, section 3.2.2."""

from torch import Tensor, nn

from stylegan_toon.nn.norm import norm as norm_of
from stylegan_toon.nn.norm import small_weights

LEAST = 32  # px: below, the map before the last layer has one place, which cannot be normalised


class PatchGAN(nn.Module):
    """Pictures -> a map of scores, each of a 70x70 patch: [N, C, H, W] -> [N, 1, H / 8 - 2, W / 8 - 2]."""

    def __init__(self, width: int = 64, channels: int = 3, norm: str = "instance"):
        """channels: 3, or 6 for a photo and its cartoon. norm: as nn.norm.norm."""
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for n, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
            conv = nn.Conv2d(n, 2 * n, 4, stride, 1, bias=norm == "instance")
            layers += [conv, norm_of(norm, 2 * n), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))
        small_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)
