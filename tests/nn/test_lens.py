"""The lens over eyes: pictures of their own coordinates tell where each pixel was taken from."""

import numpy as np
import pytest
import torch

from stylegan_toon.losses.latent import PARTS
from stylegan_toon.nn.lens import EYES, REACH, swell

SIZE = 64


def coordinates(count=1):
    """[count, 3, S, S]: x and y, -1 to 1; of what is linear a bicubic filter keeps all but a thousandth."""
    at = (torch.arange(SIZE, dtype=torch.float64) + 0.5) / SIZE * 2 - 1
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x, y, x * 0])[None].repeat(count, 1, 1, 1)


def test_eyes_lie_where_the_losses_have_them():
    assert [part[:3] for part in PARTS[:2]] == [*EYES]


def test_nothing_grows_by_nothing():
    picture = torch.rand(1, 3, 16, 16)
    assert swell(picture, 0.0) is picture


@pytest.mark.parametrize("eyes, reach, nose", [(0.25, 1.35, 0.0), (0.5, REACH, None), (0.0, REACH, 0.3)])
def test_every_pixel_comes_from_where_the_formula_says(eyes, reach, nose):
    found = swell(coordinates(), eyes, reach, nose)[0].numpy()
    middle = (np.arange(SIZE) + 0.5) / SIZE
    for row in range(2, SIZE - 2):
        for column in range(2, SIZE - 2):
            x, y = here = middle[column], middle[row]
            wanted = np.array(here)
            for mx in (0.37, 0.62):
                away = np.array([x - mx, y - 0.47])
                t = 1 - (np.hypot(*away) / (reach * 0.085)) ** 2
                wanted = wanted - (1 - 1 / (1 + eyes)) * max(t, 0) ** 2 * away
            away = np.array([x - 0.5, y - 0.6])
            t = 1 - (away[0] / 0.1) ** 2 - (away[1] / 0.12) ** 2
            wanted = wanted + (0.2 * eyes if nose is None else nose) * max(t, 0) ** 2 * away
            np.testing.assert_allclose((found[:2, row, column] + 1) / 2, wanted, atol=1e-3)


def test_an_eye_grows_by_as_much_in_its_middle_and_the_outline_stays():
    picture = torch.full((2, 3, 128, 128), 0.8)
    y, x = torch.meshgrid(torch.arange(128) + 0.5, torch.arange(128) + 0.5, indexing="ij")
    pupil = ((x / 128 - 0.37) ** 2 + (y / 128 - 0.47) ** 2).sqrt() < 3 / 128
    picture[:, :, pupil] = -1
    picture[:, :, :, :30] = 0.1
    made = swell(picture, 0.5)
    area = (made[0, 0] < 0).sum() / pupil.sum()
    assert 1.5**2 * 0.75 < area < 1.5**2 * 1.15  # the lens is strongest in the middle alone
    assert torch.equal(made[0], made[1])
    torch.testing.assert_close(made[..., :28], picture[..., :28])
    torch.testing.assert_close(made[:, :, 85:], picture[:, :, 85:])
