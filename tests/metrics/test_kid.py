import numpy as np
import pytest
import torch

from stylegan_toon.metrics.kid import kid, standardise, statistics


def loop(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased squared MMD, written as its definition."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (float(a @ b) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def test_value_equals_a_float64_loop():
    rng = np.random.default_rng(1)
    real, fake = rng.normal(size=(13, 6)), rng.normal(0.4, 1.5, size=(9, 6))
    mean, std = rng.normal(size=6), rng.uniform(0.5, 2, size=6)
    wanted = loop((real - mean) / std / 6**0.5, (fake - mean) / std / 6**0.5)
    found = kid(*(torch.from_numpy(a) for a in (real, fake, mean, std)), resamples=0)
    np.testing.assert_allclose(found.value, wanted, rtol=1e-12)
    assert np.isnan(found.low) and np.isnan(found.high)


def test_two_points_c_apart_have_a_known_distance():
    c, zero, one = 0.7, torch.zeros(1), torch.ones(1)
    found = kid(torch.zeros(3, 1), torch.full((4, 1), c, dtype=torch.float64), zero, one)
    assert found.value == pytest.approx(3 * c**2 + 3 * c**4 + c**6)
    assert found.low == pytest.approx(found.value) and found.high == pytest.approx(found.value)


def test_shifted_normal_distributions_have_the_distance_of_their_moments():
    """In one dimension the squared distance is 3 d1^2 + 3 d2^2 + d3^2, dk the gap of the k-th moments."""
    shift, rng, zero = 0.5, np.random.default_rng(2), torch.zeros(1)
    wanted = 3 * shift**2 + 3 * shift**4 + (3 * shift + shift**3) ** 2
    found = [
        kid(*(torch.from_numpy(rng.normal(s, 1, (300, 1))) for s in (0, shift)), zero, zero + 1, 100)
        for _ in range(60)
    ]
    values = np.array([one.value for one in found])
    assert abs(values.mean() - wanted) < 3 * values.std() / 60**0.5
    assert sum(one.low < wanted < one.high for one in found) >= 50


def test_equal_distributions_are_about_0_and_the_interval_holds_it_nearly_always():
    found = [
        kid(torch.randn(120, 8), torch.randn(100, 8), torch.zeros(8), torch.ones(8), 100) for _ in range(60)
    ]
    values = np.array([one.value for one in found])
    assert abs(values.mean()) < 3 * values.std() / 60**0.5
    assert sum(one.low <= 0 <= one.high for one in found) >= 54


def test_the_interval_has_the_width_of_repeated_experiments():
    rng = np.random.default_rng(3)
    sets = [torch.from_numpy(rng.normal(s, 1, size=(150, 4))) for s in (0, 0.6) * 60]
    zero, one = torch.zeros(4), torch.ones(4)
    spread = np.std([kid(a, b, zero, one, 0).value for a, b in zip(sets[::2], sets[1::2], strict=True)])
    found = [kid(a, b, zero, one, 300) for a, b in zip(sets[:20:2], sets[1:20:2], strict=True)]
    widths = np.mean([one.high - one.low for one in found]) / (2 * 1.96)
    assert 0.75 < widths / spread < 1.35


def test_a_seed_gives_the_same_interval():
    real, fake, zero, one = torch.randn(20, 3), torch.randn(20, 3) + 1, torch.zeros(3), torch.ones(3)
    assert kid(real, fake, zero, one, 50, 7) == kid(real, fake, zero, one, 50, 7)
    assert kid(real, fake, zero, one, 50, 7).low != kid(real, fake, zero, one, 50, 8).low


def test_standardising_by_a_sets_own_statistics_gives_length_1_on_average():
    x = torch.randn(400, 5) * torch.tensor([1.0, 2, 3, 0, 9]) + 4
    mean, std = statistics(x)
    assert std[3] == 1  # never moves
    y = standardise(x, mean, std)
    assert float(y.square().sum(1).mean()) == pytest.approx(4 / 5, rel=0.01)
    torch.testing.assert_close(y.mean(0), torch.zeros(5, dtype=torch.float64), atol=1e-6, rtol=0)


def test_wrong_shapes_are_named():
    x, zero = torch.zeros(3, 2), torch.zeros(2)
    with pytest.raises(ValueError, match="two pictures"):
        kid(x, x[:1], zero, zero + 1)
    with pytest.raises(ValueError, match=r"expected features"):
        kid(x, x, torch.zeros(3), torch.ones(3))
