import math

import numpy as np
import pytest

from stylegan_toon.metrics.pareto import STUDENT, paired_interval, pareto_area, structure_at

FALLING = [(5.0, 0.9), (3.0, 0.7), (1.0, 0.4)]  # less KID for less structure


def test_structure_at_a_kid_by_hand():
    assert structure_at(FALLING, 5) == pytest.approx(0.9)
    assert structure_at(FALLING, 9) == pytest.approx(0.9)
    assert structure_at(FALLING, 4) == pytest.approx(0.8)  # between two checkpoints
    assert structure_at(FALLING, 1.5) == pytest.approx(0.475)
    assert math.isnan(structure_at(FALLING, 0.9))
    assert structure_at([(2.0, 0.5)], 2) == 0.5


def test_a_run_that_comes_back_counts_where_it_was_best():
    there_and_back = [(5.0, 0.9), (1.0, 0.4), (2.0, 0.1)]
    assert structure_at(there_and_back, 2) == pytest.approx(0.525)  # on the way there, not at the end
    assert structure_at(there_and_back[::-1], 2) == pytest.approx(0.525)


def test_an_area_by_hand():
    assert pareto_area([(1.0, 0.5)], 1, 3) == pytest.approx(0.5)
    assert pareto_area([(2.0, 0.5)], 1, 3) == pytest.approx(0.25)  # half of the way it is not reached
    assert pareto_area([(2.0, 0.5)], 1, 3, worst=0.1) == pytest.approx(0.3)
    assert pareto_area(FALLING, 1, 5) == pytest.approx((0.55 + 0.8) / 2, abs=1e-6)


def test_a_run_of_more_structure_at_every_kid_has_more_area():
    rng = np.random.default_rng(0)
    for _ in range(20):
        kids, kept = np.sort(rng.random(6))[::-1] * 4, rng.random(6)
        low = list(zip(kids, kept, strict=True))
        high = [(x, y + 0.1) for x, y in low]
        assert pareto_area(high, 0.5, 4) >= pareto_area(low, 0.5, 4)


def test_the_interval_of_paired_differences_by_hand():
    mean, low, high = paired_interval([1.0, 2.0, 3.0])
    assert (
        mean == 2
        and high - mean == pytest.approx(4.3027 / 3**0.5)
        and mean - low == pytest.approx(high - mean)
    )
    assert paired_interval([0.5])[0] == 0.5 and math.isnan(paired_interval([0.5])[1])


def test_the_quantiles_of_t_are_what_its_density_says():
    t = np.linspace(-3000, 3000, 1_200_001)
    for k, quantile in enumerate(STUDENT[1:4], start=2):  # with one degree of freedom the tails are endless
        density = (1 + t**2 / k) ** (-(k + 1) / 2)
        inside = density[np.abs(t) <= quantile].sum() / density.sum()
        assert inside == pytest.approx(0.95, abs=1e-4)
    assert math.atan(STUDENT[0]) * 2 / math.pi == pytest.approx(0.95, abs=1e-4)  # of 1, in closed form


def test_empty_curves_and_ranges_are_refused():
    for call in (
        lambda: structure_at([], 1),
        lambda: pareto_area([], 0, 1),
        lambda: pareto_area(FALLING, 2, 2),
    ):
        with pytest.raises(ValueError):
            call()
    for bad in ([], list(range(11))):
        with pytest.raises(ValueError, match="1 to 10"):
            paired_interval(bad)
