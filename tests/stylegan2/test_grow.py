"""A grown network starts as what it was."""

import torch
import torch.nn.functional as F

from cuda_ops import setup_filter, upfirdn2d
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.grow import grow_discriminator, grow_generator

SMALL = Config(16, (8, 8, 6), 8, 8, 2)


def test_a_grown_generator_draws_the_old_pictures_enlarged():
    g = Generator(SMALL)
    grown = grow_generator(g, 5)
    assert grown.config == Config(32, (8, 8, 6, 5), 8, 8, 2)
    z = torch.randn(3, 8)
    enlarged = upfirdn2d(g(z, noise="none"), setup_filter(gain=4), up=2, pad=(2, 1))
    torch.testing.assert_close(grown(z, noise="none"), enlarged)
    grown(z).sum().backward()
    assert float(grown.synthesis.blocks[-1].to_rgb.conv.weight.grad.abs().sum()) > 0


def test_a_grown_discriminator_fades_from_the_old_one():
    d = Discriminator(SMALL)
    grown = grow_discriminator(d, 5)
    x = torch.randn(4, 3, 32, 32)
    old = d(F.avg_pool2d(x, 2))
    torch.testing.assert_close(grown(x, fade=0.0), old)
    assert not torch.allclose(grown(x, fade=0.5), old)
    assert not torch.allclose(grown(x, fade=0.5), grown(x))
    again = grow_discriminator(grown, 4)
    assert again.config.channels == (8, 8, 6, 5, 4)
    torch.testing.assert_close(again(F.interpolate(x, scale_factor=2), fade=0.0), grown(x))
