"""The image pool and the schedule."""

import pytest
import torch

from stylegan_toon.training.pool import ImagePool
from stylegan_toon.training.schedule import flat_then_linear


def numbered(*numbers):
    return torch.tensor([float(n) for n in numbers])[:, None, None, None].expand(-1, 3, 2, 2).clone()


def values(x):
    return x[:, 0, 0, 0].tolist()


def test_until_it_is_full_pictures_come_back_and_are_kept():
    pool = ImagePool(3, 2)
    assert values(pool(numbered(1, 2, 3))) == [1, 2, 3]
    assert values(pool.pictures) == [1, 2, 3]


def test_then_half_are_older_ones_which_they_replace():
    pool = ImagePool(4, 2)
    held = set(values(pool(numbered(1, 2, 3, 4))))
    older = 0
    for n in range(5, 405):
        (out,) = values(pool(numbered(n)))
        if out != n:
            older += 1
            assert out in held  # what comes back leaves the pool, and the new picture is in it
            held = held - {out} | {n}
        assert set(values(pool.pictures)) == held
    assert 160 < older < 240


def test_a_pool_of_nothing_gives_back_what_comes():
    assert values(ImagePool(0, 2)(numbered(1, 2))) == [1, 2]


def test_its_state_is_all_it_remembers():
    a, b = ImagePool(2, 2), ImagePool(2, 2)
    a(numbered(1, 2, 3))
    b.load_state_dict(a.state_dict())
    out = []
    for pool in (a, b):
        torch.manual_seed(1)
        out.append(values(pool(numbered(4, 5, 6, 7))))
    assert out[0] == out[1]


def test_the_schedule_is_that_of_the_original():
    """1 - max(0, e + 1 - 100) / 101 of its 200 epochs; we stay at the last one's."""
    for e in range(200):
        assert flat_then_linear(e, 100, 100) == pytest.approx(1 - max(0, e + 1 - 100) / 101)
    assert flat_then_linear(500, 100, 100) == flat_then_linear(199, 100, 100) > 0
