"""Losses of picture-to-picture methods against hand-worked numbers and loops in float64."""

import numpy as np
import pytest
import torch

from stylegan_toon.losses.adversarial import lsgan_d, lsgan_g
from stylegan_toon.losses.cycle import attentive_l1
from stylegan_toon.losses.style import gram, total_variation


def test_least_squares_by_hand():
    real, fake = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, -1.0]])
    assert float(lsgan_d(real, fake)) == pytest.approx((0 + 1) / 2 + (0.25 + 1) / 2)
    assert float(lsgan_g(fake)) == pytest.approx((0.25 + 4) / 2)
    assert float(lsgan_d(torch.ones(3), torch.zeros(3))) == 0 == float(lsgan_g(torch.ones(2)))


def test_total_variation_against_a_loop():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    for power in (1, 2):
        down = [abs(x[n, c, i + 1, j] - x[n, c, i, j]) ** power
                for n in range(2) for c in range(3) for i in range(3) for j in range(5)]  # fmt: skip
        across = [abs(x[n, c, i, j + 1] - x[n, c, i, j]) ** power
                  for n in range(2) for c in range(3) for i in range(4) for j in range(4)]  # fmt: skip
        wanted = np.mean(down) + np.mean(across)
        assert float(total_variation(torch.from_numpy(x), power)) == pytest.approx(wanted, rel=1e-6)
    assert float(total_variation(torch.full((1, 3, 4, 4), 0.7))) == 0


def test_gram_against_a_loop():
    f = np.random.default_rng(1).normal(size=(2, 3, 4, 5))
    wanted = np.array(
        [[[np.sum(f[n, i] * f[n, j]) / 20 for j in range(3)] for i in range(3)] for n in range(2)]
    )
    np.testing.assert_allclose(gram(torch.from_numpy(f)).numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_attentive_l1_against_a_loop():
    rng = np.random.default_rng(2)
    made, wanted = rng.normal(size=(2, 2, 3, 4, 4))
    regions = np.zeros((2, 2, 4, 4))
    regions[:, 0, :2, :2] = 1
    regions[0, 1, 2:, 1:] = 1  # nowhere in the second picture
    weights = (1.0, 0.5, 0.25)
    total = 0.0
    for n in range(2):
        gap = np.abs(made[n] - wanted[n])
        total += gap.mean() + 0.5 * gap[:, :2, :2].mean()
        total += 0.25 * gap[:, 2:, 1:].mean() if n == 0 else 0
    found = attentive_l1(*map(torch.from_numpy, (made, wanted, regions)), weights)
    assert float(found) == pytest.approx(total / 2, rel=1e-5)
    with pytest.raises(ValueError, match="2 weights for 2 regions"):
        attentive_l1(*map(torch.from_numpy, (made, wanted, regions)), (1.0, 0.5))


def test_weight_on_the_whole_picture_alone_is_plain_l1():
    a, b = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    found = attentive_l1(a, b, torch.ones(2, 1, 4, 4), (1.0, 0.0))
    torch.testing.assert_close(found, torch.nn.functional.l1_loss(a, b))
