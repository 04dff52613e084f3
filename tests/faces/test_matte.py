import numpy as np
import pytest
from PIL import Image, ImageDraw

from stylegan_toon.faces.align import align
from stylegan_toon.faces.matte import blur_matrix, head_matte, smooth, spread
from stylegan_toon.faces.paste import paste

POINTS = np.array([[80, 100], [120, 100], [100, 120], [85, 150], [115, 150]], np.float64)


def portrait(head: str, background: str, n: int = 128) -> Image.Image:
    """A round head from 20 % to 80 % of the width and 10 % to 90 % of the height."""
    picture = Image.new("RGB", (n, n), background)
    ImageDraw.Draw(picture).ellipse((0.2 * n, 0.1 * n, 0.8 * n, 0.9 * n), fill=head)
    return picture


def test_smooth_is_level_at_both_ends():
    np.testing.assert_allclose(smooth(np.array([-1, 0, 0.25, 0.5, 1, 3.0])), [0, 0, 0.15625, 0.5, 1, 1])


def test_spread_keeps_a_constant_and_equals_a_sum_over_pixels():
    rng = np.random.default_rng(0)
    weight = rng.random((9, 9))
    np.testing.assert_allclose(spread(np.full((9, 9, 3), 7.0), weight, 3.0), 7.0, rtol=1e-3)
    values = rng.random((9, 9, 3))
    y, x = np.mgrid[:9, :9]
    near = np.exp(-((y - 2) ** 2 + (x - 6) ** 2) / (2 * 3.0**2)) * weight
    wanted = (near[..., None] * values).sum((0, 1)) / (near.sum() + 1e-3)
    np.testing.assert_allclose(spread(values, weight, 3.0)[2, 6], wanted)


def test_a_blur_matrix_is_a_gaussian_of_distances():
    np.testing.assert_allclose(
        blur_matrix(5, 2.0, np.float64)[1], np.exp([-1 / 8, 0, -1 / 8, -4 / 8, -9 / 8])
    )


@pytest.mark.parametrize("head, background", [("tan", "teal"), ("black", "white"), ("brown", "navy")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_head_is_told_from_its_background(head, background, dtype):
    matte = head_matte(np.asarray(portrait(head, background), dtype))
    assert matte.dtype == dtype and matte.min() >= 0 and matte.max() <= 1
    truth = np.asarray(portrait("white", "black").convert("L")) > 127
    upper = np.arange(128)[:, None] < 90  # below, shoulders count as well
    y, x = np.mgrid[:128, :128] / 64 - 1
    inside = (x / 0.55) ** 2 + ((y - 0) / 0.75) ** 2 < 1
    outside = (x / 0.66) ** 2 + ((y - 0) / 0.86) ** 2 > 1
    assert matte[inside].min() > 0.99 and matte[outside & upper].max() < 0.01
    assert np.abs((matte > 0.5)[upper[:, 0]].mean() - truth[upper[:, 0]].mean()) < 0.03


def test_a_background_that_changes_from_side_to_side_is_still_background():
    ramp = np.linspace(40, 200, 128)[None, :, None] * np.ones((128, 1, 3))
    picture = np.asarray(portrait("red", "black"), float)
    picture = np.where(picture[..., :1] > 0, picture, ramp)
    matte = head_matte(picture)
    assert matte[64, 64] == 1 and matte[:60, :15].max() < 0.05 and matte[:60, -15:].max() < 0.05


def test_a_square_of_one_colour_keeps_the_middle_of_the_face():
    matte = head_matte(np.full((64, 64, 3), 90.0))
    assert matte[32, 32] == 1 and matte[:20, :8].max() == 0


def test_beside_neck_and_chin_the_background_stays_background():
    matte = head_matte(np.asarray(portrait("tan", "teal"), float))
    assert matte[120:, :25].max() < 0.01 and matte[120:, -25:].max() < 0.01
    assert matte[124, 64] == 1  # the neck


def test_where_the_photo_is_plainly_background_a_shade_of_the_cartoons_is_too():
    cartoon = np.asarray(portrait("tan", "#60a0a0"), float).copy()
    shade, bold = (slice(80, 100), slice(6, 20)), (slice(80, 100), slice(-20, -6))
    cartoon[shade] = (74, 123, 123)
    cartoon[bold] = (200, 60, 40)  # hair that hangs where the photo has none
    photo = np.asarray(portrait("tan", "grey"), float)
    alone, knowing = head_matte(cartoon), head_matte(cartoon, photo)
    middle = 90, 13
    assert alone[middle] > 0.5 and knowing[middle] < 0.05
    assert knowing[90, -13] > 0.99
    np.testing.assert_allclose(alone[:40], knowing[:40], atol=1e-6)  # above the eyes the photo has no say


def test_the_cartoons_background_stays_out_of_the_photo():
    photo = portrait("tan", "grey", 220)
    cartoon = portrait("orange", "lime")
    plain, mask = paste(photo, [(cartoon, POINTS)], colour=0)
    bold, full = paste(photo, [(cartoon, POINTS)], colour=0, background=True)
    square = np.asarray(align(Image.fromarray(plain), POINTS, 128), int)
    green = (square[..., 1] - square[..., 0])[:80]
    assert green.max() < 12  # no lime halo
    painted = np.asarray(align(Image.fromarray(bold), POINTS, 128), int)[30:60, 12:20]
    assert (painted[..., 1] - painted[..., 0]).max() > 12  # and there is one with it
    assert (full - mask).min() > -1e-6
    assert full.sum() > 1.3 * mask.sum()
