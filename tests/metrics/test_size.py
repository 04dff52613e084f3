import time

import pytest
import torch
from torch import nn

from stylegan_toon.metrics.size import cost, parameter_count


def test_parameters_count_once_where_they_are_shared():
    conv = nn.Conv2d(3, 8, 3)
    other = nn.Sequential(conv, nn.Linear(2, 5, bias=False))
    assert parameter_count(conv) == 3 * 8 * 9 + 8
    assert parameter_count(conv, other) == 3 * 8 * 9 + 8 + 10
    other.requires_grad_(False)
    assert parameter_count(other) == 3 * 8 * 9 + 8 + 10


def test_operations_of_a_convolution_are_two_for_every_weight_and_place():
    conv = nn.Conv2d(3, 8, 3, padding=1)
    found = cost(conv, torch.zeros(1, 3, 16, 20), repeats=1)
    assert found.flops == 2 * (3 * 8 * 9) * (16 * 20)


def test_seconds_and_memory_are_those_of_one_call():
    def translate(x):
        for _ in range(3):  # one after the other, so never more than one of them
            held = torch.ones(40_000_000, dtype=torch.uint8)
            del held
        time.sleep(0.03)
        return x + 1

    found = cost(translate, torch.zeros(1, 3, 8, 8), repeats=3)
    assert 0.03 <= found.seconds < 0.5
    assert found.memory_mb == pytest.approx(40, rel=1e-3)
    assert found.flops == 0


def test_more_than_one_picture_is_refused():
    with pytest.raises(ValueError, match="one picture"):
        cost(nn.Identity(), torch.zeros(2, 3, 8, 8))


def test_memory_is_what_is_there_at_once_and_views_take_none():
    """Two convolutions one after the other: at the second one its input and its output."""
    one, two = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Conv2d(8, 4, 1, bias=False)
    with torch.inference_mode():
        found = cost(lambda x: two(one(x)).flatten(1)[:, :5], torch.zeros(1, 3, 100, 100), repeats=1)
    assert found.memory_mb == pytest.approx((8 + 4) * 10_000 * 4 / 1e6)
