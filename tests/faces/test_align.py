from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan_toon.faces.align import align, invert, move, roll, side, square, to_crop, to_photo
from stylegan_toon.faces.detect import find_faces
from stylegan_toon.images import load_image

FIXTURES = Path(__file__).parents[1] / "fixtures"
# Eyes 40 apart, mouth 50 below: 3.6 * 50 = 180 is more than 4 * 40 = 160.
UPRIGHT = np.array([[80, 100], [120, 100], [100, 120], [85, 150], [115, 150]], np.float64)


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    """points turned clockwise (as seen, y down) about the origin, scaled, shifted."""
    a = np.radians(degrees)
    return scale * points @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + shift


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(a.astype(np.float64) - b).mean()))


def test_the_square_of_an_upright_face_is_the_one_worked_by_hand():
    centre, axis = square(UPRIGHT)
    np.testing.assert_allclose(centre, [100, 105])  # a tenth of 50 below the eyes
    np.testing.assert_allclose(axis, [90, 0], atol=1e-12)
    assert side(UPRIGHT) == 180 and roll(UPRIGHT) == 0


def test_wide_eyes_set_the_side():
    wide = UPRIGHT.copy()
    wide[:2] = [[70, 100], [130, 100]]
    assert side(wide) == 240


@pytest.mark.parametrize("degrees", [0, 17, 90, -135, 180])
def test_the_square_follows_a_similarity_of_the_points(degrees):
    points = turned(UPRIGHT, degrees, 1.5, (30, -20))
    centre, axis = square(points)
    np.testing.assert_allclose(centre, turned(np.array([[100, 105]]), degrees, 1.5, (30, -20))[0])
    np.testing.assert_allclose(axis, turned(np.array([[135.0, 0]]), degrees, 1, (0, 0))[0], atol=1e-9)
    assert abs((roll(points) - degrees + 180) % 360 - 180) < 1e-9 and side(points) == pytest.approx(270)


def test_the_matrix_of_a_crop_as_large_as_its_square_is_a_shift():
    # The square starts at (100 - 90, 105 - 90); one sample a pixel, the first on the corner.
    np.testing.assert_allclose(to_photo(UPRIGHT, 180), [[1, 0, 10], [0, 1, 15]], atol=1e-12)
    np.testing.assert_allclose(to_crop(UPRIGHT, 180), [[1, 0, -10], [0, 1, -15]], atol=1e-12)


def test_a_crop_pixel_lies_amid_the_samples_it_averages():
    # 60 pixels of 180: 3 x 3 samples one photo pixel apart, so pixel 0 is the mean of 10, 11 and 12.
    np.testing.assert_allclose(to_photo(UPRIGHT, 60), [[3, 0, 11], [0, 3, 16]], atol=1e-12)


@pytest.mark.parametrize("size", [32, 128, 256])
def test_there_and_back_returns_the_points(size):
    points = turned(UPRIGHT, 33, 2.7, (12, 345))
    np.testing.assert_allclose(
        move(to_photo(points, size), move(to_crop(points, size), points)), points, atol=1e-9
    )
    np.testing.assert_allclose(invert(invert(to_crop(points, size))), to_crop(points, size), atol=1e-9)


def test_eyes_are_level_in_the_crop_whatever_the_turn():
    for degrees in (0, 25, 120, -90):
        points = turned(UPRIGHT, degrees, 2, (500, 400))
        eyes = move(to_crop(points, 128), points)[:2]
        np.testing.assert_allclose(eyes[0, 1], eyes[1, 1], atol=1e-9)
        np.testing.assert_allclose(eyes[1, 0] - eyes[0, 0], 128 * 40 / 180)


def test_points_that_span_no_square_are_refused():
    for points in (np.zeros((5, 2)), np.zeros((4, 2)), np.full((5, 2), np.nan)):
        with pytest.raises(ValueError, match="points"):
            square(points)
    with pytest.raises(ValueError, match="size"):
        align(Image.new("RGB", (9, 9)), UPRIGHT, 0)


def ramp(width: int, height: int) -> Image.Image:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x % 256, y % 256, (x + y) // 2 % 256], 2).astype(np.uint8))


def test_align_at_scale_one_copies_pixels():
    photo = ramp(250, 250)
    np.testing.assert_array_equal(align(photo, UPRIGHT, 180), np.asarray(photo)[15:195, 10:190])


def test_align_samples_where_the_matrix_says():
    photo, points = ramp(250, 250), turned(UPRIGHT - 100, 20, 0.7, (120, 125))
    for size in (40, 100, 200):
        crop = np.asarray(align(photo, points, size)).astype(np.float64)
        x, y = np.meshgrid(np.arange(size), np.arange(size))
        wanted = move(to_photo(points, size), np.stack([x, y], 2))
        np.testing.assert_allclose(crop[..., :2], wanted, atol=1.01)


def test_a_much_larger_photo_is_averaged_not_picked_from():
    stripes = np.zeros((2000, 2000, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = np.asarray(align(Image.fromarray(stripes), 10.0 * UPRIGHT - [0, 50], 64)).astype(np.int64)
    assert abs(crop - 127.5).max() < 3


def test_outside_the_photo_it_is_mirrored_without_repeating_the_edge():
    photo = ramp(250, 250)
    crop = np.asarray(align(photo, UPRIGHT - [10, 0] - [20, 40], 180)).astype(int)
    # The square starts at x = -20, y = -25.
    assert crop[60, :, 0].tolist() == [abs(x) for x in range(-20, 160)]
    assert crop[:, 60, 1].tolist() == [abs(y) for y in range(-25, 155)]


def test_a_face_almost_outside_still_gives_a_picture():
    photo = ramp(60, 40)
    for shift in (-300, -90, 90, 3000):
        for scale in (0.1, 1, 12):
            crop = align(photo, UPRIGHT * scale + shift, 32)
            assert crop.size == (32, 32) and crop.mode == "RGB"


def test_the_crops_of_the_training_pictures_are_reproduced():
    # The reference was cut by OpenCV from points at 320 px, and saved as JPEG (about 40 dB by itself).
    photo = load_image(FIXTURES / "portrait_A000055.jpg")
    wanted = np.asarray(load_image(FIXTURES / "portrait_A000055_crop256.jpg"))
    (face,) = find_faces(photo)
    crop = np.asarray(align(photo, face.points, 256))
    assert psnr(crop, wanted) > 36
    grey, goal = crop.mean(2), wanted.mean(2)
    slope = np.stack([part.ravel() for part in np.gradient(goal)], 1)
    shift = np.linalg.lstsq(slope, (grey - goal).ravel(), rcond=None)[0]
    assert np.abs(shift).max() < 0.1  # pixels
