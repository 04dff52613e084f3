import pytest
import torch

from stylegan_toon.metrics.identity import identity_cosine


def test_a_picture_is_itself_at_any_size_and_unlike_another():
    x = torch.nn.functional.interpolate(torch.rand(3, 3, 8, 8) * 2 - 1, size=128, mode="bicubic").clamp(-1, 1)
    half = torch.nn.functional.interpolate(x, size=64, mode="bilinear", antialias=True)
    torch.testing.assert_close(identity_cosine(x, x, batch=2), torch.ones(3))
    assert identity_cosine(x, half).min() > 0.9
    assert identity_cosine(x, x.roll(1, 0)).max() < 0.9


def test_values_beyond_white_are_clamped():
    x = torch.rand(1, 3, 64, 64) * 6 - 3
    torch.testing.assert_close(identity_cosine(x, x.clamp(-1, 1)), torch.ones(1))


def test_different_numbers_are_refused():
    with pytest.raises(ValueError, match="2 photos, but 1"):
        identity_cosine(torch.zeros(2, 3, 64, 64), torch.zeros(1, 3, 64, 64))
    assert identity_cosine(torch.zeros(0, 3, 64, 64), torch.zeros(0, 3, 64, 64)).shape == (0,)
