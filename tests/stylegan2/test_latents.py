"""Layers by name and number, style mixing by any of them, and the great circle."""

import numpy as np
import pytest
import torch

from stylegan_toon.errors import UsageError
from stylegan_toon.stylegan2.latents import mix, parse_layers, pick, slerp


@pytest.mark.parametrize(
    "text, n, wanted",
    [
        ("coarse", 12, [0, 1, 2, 3]),
        ("medium", 6, [4, 5]),
        ("fine", 12, [8, 9, 10, 11]),
        ("all", 3, [0, 1, 2]),
        ("0-2,9", 12, [0, 1, 2, 9]),
        (" 5 , coarse,5", 12, [0, 1, 2, 3, 5]),
    ],
)
def test_layers_are_groups_numbers_and_ranges(text, n, wanted):
    assert parse_layers(text, n) == wanted


@pytest.mark.parametrize("text", ["", "course", "0-12", "12", "3-1", "-1", "1,,2", "1.5", "٣", "fine"])
def test_other_layers_are_one_line(text):
    with pytest.raises(UsageError) as caught:
        parse_layers(text, 8 if text == "fine" else 12)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 190


def test_picked_layers_are_those_of_a_and_the_others_those_of_b():
    a, b = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    found = pick(a, b, [0, 3])
    for layer in range(5):
        assert torch.equal(found[:, layer], (a if layer in (0, 3) else b)[:, layer])
    assert torch.equal(pick(a, b, range(5)), a) and torch.equal(pick(a, b, []), b)
    assert all(torch.equal(pick(a, b, range(k)), mix(a, b, k)) for k in range(6))
    for other, layers in ((b[:1], [0]), (b, [5]), (b, [-1])):
        with pytest.raises(ValueError, match=r"expected two|layers"):
            pick(a, other, layers)


def test_slerp_keeps_the_pace_and_the_length_on_the_circle():
    a = np.array([2.0, 0.0, 0.0])
    b = 2 * np.array([np.cos(2.0), np.sin(2.0), 0.0])  # 2 radians apart
    for t in (0.0, 0.25, 0.7, 1.0):
        found = slerp(torch.tensor(a), torch.tensor(b), t).numpy()
        np.testing.assert_allclose(found, 2 * np.array([np.cos(2 * t), np.sin(2 * t), 0]), atol=1e-12)


def test_slerp_of_many_and_of_one_direction():
    a, b = torch.randn(4, 16), torch.randn(4, 16)
    rows = torch.stack([slerp(x, y, 0.3) for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(slerp(a, b, 0.3), rows)
    torch.testing.assert_close(slerp(a, a, 0.3), a)
    torch.testing.assert_close(slerp(a, 3 * a, 0.5), 2 * a)
    assert bool(torch.isfinite(slerp(a, -a, 0.5)).all())
