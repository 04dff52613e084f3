"""The upscaler against float64 NumPy, and by what it costs."""

import numpy as np
import pytest
import torch
from torch import nn

from stylegan_toon.nn.upscaler import Config, Upscaler, enlarge


def bicubic(n: int) -> np.ndarray:
    """[2 n, n]: Keys' cubic with a = -0.75 at twice as many places, edges repeated."""
    out = np.zeros((2 * n, n))
    for i in range(2 * n):
        centre = (i + 0.5) / 2 - 0.5
        for j in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            x, a = abs(centre - j), -0.75
            inner = (a + 2) * x**3 - (a + 3) * x**2 + 1
            outer = a * (x**3 - 5 * x**2 + 8 * x - 4)
            out[i, min(max(j, 0), n - 1)] += inner if x <= 1 else outer
    return out


def trained(seed=0, **config):
    """A network whose last convolution does something."""
    torch.manual_seed(seed)
    network = Upscaler(Config(**{"width": 8, "blocks": 2} | config)).double()
    nn.init.normal_(network.tail.weight, std=0.05)
    return network


@pytest.mark.parametrize("height, width", [(6, 8), (5, 7), (2, 1)])
def test_untrained_it_is_the_bicubic_enlargement(height, width):
    x = torch.rand(2, 3, height, width, dtype=torch.float64) * 2 - 1
    made = Upscaler(Config(8, 1)).double()(x).detach().numpy()
    np.testing.assert_allclose(made, bicubic(height) @ x.numpy() @ bicubic(width).T, atol=1e-12)


def test_a_picture_moved_by_two_pixels_gives_one_moved_by_four():
    network, x = trained(), torch.rand(1, 3, 56, 56, dtype=torch.float64)
    a, b = network(x), network(x.roll((2, -2), (2, 3)))
    middle = slice(40, 72)  # further from the edges than the network sees
    torch.testing.assert_close(a.roll((4, -4), (2, 3))[..., middle, middle], b[..., middle, middle])


def test_an_odd_picture_is_the_even_one_with_its_last_pixels_repeated():
    network, x = trained(), torch.rand(1, 3, 9, 12, dtype=torch.float64)
    longer = torch.cat([x, x[:, :, -1:]], 2)
    made = network(x)
    assert made.shape == (1, 3, 18, 24)
    torch.testing.assert_close(made[:, :, :14], network(longer)[:, :, :14])  # bicubic repeats on its own


def test_it_has_the_numbers_and_takes_the_multiplications_that_are_told_of():
    network, count = Upscaler(Config()), 0

    def add(conv, given, out):
        nonlocal count
        count += conv.weight.numel() * out.shape[2] * out.shape[3]

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(add)
    network(network(torch.zeros(1, 3, 128, 128)))
    assert sum(p.numel() for p in network.parameters()) == 275_424 < 1_000_000
    assert count / (5 * 128**2) == pytest.approx(69e3, rel=0.01) and count == pytest.approx(5.6e9, rel=0.01)


@pytest.mark.parametrize("edge, factor", [(0, 1), (16, 1), (16.5, 2), (38, 2), (39, 4), (64, 4), (5000, 4)])
def test_pictures_are_doubled_until_they_are_nearly_large_enough_and_twice_at_most(edge, factor):
    network = trained()
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64) * 2 - 1
    made = enlarge(network, x, edge)
    wanted = x
    for _ in range({1: 0, 2: 1, 4: 2}[factor]):
        wanted = network(wanted).clamp(-1, 1)
    assert made.shape[2] == 16 * factor and torch.equal(made, wanted.detach())


@pytest.mark.parametrize("config", [{"width": 0}, {"blocks": -1}, {"width": 10**6}, {"blocks": True}])
def test_no_other_shape_is_built(config):
    with pytest.raises(ValueError, match="counts from 1"):
        Config(**config)
