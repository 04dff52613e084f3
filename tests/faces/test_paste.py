from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan_toon.faces.align import align
from stylegan_toon.faces.paste import paste
from stylegan_toon.images import load_image

PORTRAIT = Path(__file__).parents[2] / "samples" / "nasa_astronaut.png"
# The square is 180 wide around (100, 105).
POINTS = np.array([[80, 100], [120, 100], [100, 120], [85, 150], [115, 150]], np.float64)


def plain(colour: str | tuple[int, int, int], width: int = 64, height: int = 64) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8))


def turned(degrees: float, scale: float, centre: tuple[float, float]) -> np.ndarray:
    a = np.radians(degrees)
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    return scale * (POINTS - [100, 105]) @ turn + centre


@pytest.mark.parametrize("degrees", [0, 30, 200])
@pytest.mark.parametrize("centre", [(150, 120), (5, 200), (299, 1)])
def test_outside_the_mask_every_pixel_is_the_photos_own(degrees, centre):
    photo, points = noise(300, 240), turned(degrees, 0.8, centre)
    out, mask = paste(photo, [(plain("lime"), points)])
    before = np.asarray(photo)
    assert out.shape == before.shape and out.dtype == np.uint8
    assert mask.shape == (240, 300) and mask.dtype == np.float32
    np.testing.assert_array_equal(out[mask == 0], before[mask == 0])
    assert (mask == 0).any() and (mask > 0).any() and (out != before).any()


def test_the_photo_is_left_as_it_was():
    photo = noise(200, 200)
    before = np.array(photo)
    paste(photo, [(plain("lime"), POINTS)])
    np.testing.assert_array_equal(photo, before)


def test_the_mask_rises_smoothly_from_zero_at_the_edge_to_one():
    _, mask = paste(plain("grey", 220, 220), [(plain("lime"), POINTS)], feather=0.15, background=True)
    row = mask[105]
    assert row[100] == 1 and mask.min() == 0 and mask.max() == 1
    assert (row[:11] == 0).all() and (row[190:] == 0).all() and row[14] > 0  # the square ends at 10 and 190
    assert (np.diff(row[:100]) >= 0).all() and np.diff(row[:100]).max() < 1.6 / (0.15 * 180)  # no step
    assert row[int(10 + 0.15 * 180) + 1] == 1 and row[int(10 + 0.075 * 180)] == pytest.approx(0.5, abs=0.05)
    assert mask[15:30, 10:25].max() == 0  # corners are round
    assert np.abs(mask[106:190] - mask[21:105][::-1]).max() < 1e-5  # even about the middle


def test_without_cartoons_nothing_changes():
    photo = noise(50, 40)
    out, mask = paste(photo, [])
    np.testing.assert_array_equal(out, photo)
    assert not mask.any()


def test_a_face_outside_the_photo_changes_nothing():
    photo = noise(50, 40)
    out, mask = paste(photo, [(plain("lime"), POINTS + 5000)])
    np.testing.assert_array_equal(out, photo)
    assert not mask.any()


def test_the_middle_is_the_cartoon_itself_when_colours_are_left_alone():
    out, _ = paste(plain("black", 220, 220), [(plain((200, 30, 60)), POINTS)], colour=0)
    assert np.abs(out[105, 100].astype(int) - [200, 30, 60]).max() <= 1


def test_colour_moves_the_face_part_of_the_way_and_keeps_black_and_white_finite():
    def middle(photo: str, cartoon: str, colour: float) -> np.ndarray:
        out, _ = paste(plain(photo, 220, 220), [(plain(cartoon), POINTS)], colour=colour)
        return out[105, 100].astype(int)

    assert np.abs(middle("#808080", "#c08040", 1.0) - 128).max() <= 2
    np.testing.assert_allclose(middle("#808080", "#c08040", 0.5), [160, 128, 96], atol=2)
    for pair in (("black", "white"), ("white", "black"), ("black", "black"), ("white", "white")):
        for colour in (0.0, 0.5, 1.0):
            assert np.ptp(middle(*pair, colour)) <= 1


def test_the_seam_takes_the_photos_colour():
    # Where the mask is half, a red cartoon on a blue photo would be purple; the edge is moved to blue.
    out, mask = paste(plain("blue", 220, 220), [(plain("red"), POINTS)], colour=0, background=True)
    seam = out[(mask > 0.2) & (mask < 0.8)].astype(int)
    assert np.abs(seam - [0, 0, 255]).mean() < 20


def test_a_crop_put_back_is_nearly_the_photo():
    photo = load_image(PORTRAIT)
    points = np.array([[205, 105], [247, 105], [226, 125], [208, 146], [243, 147]], np.float64)
    crop = align(photo, points, 256)
    out, mask = paste(photo, [(crop, points)], background=True)
    error = np.abs(out.astype(int) - np.asarray(photo))[mask > 0]
    assert error.mean() < 2 and np.percentile(error, 99) < 16


def test_a_cartoon_lands_where_its_face_was_at_every_size():
    # A white dot in the middle of the crop comes back to the middle of the square, turned or not.
    for size in (64, 128, 1024):
        points = turned(25, 0.7, (130, 110))
        dot = np.zeros((size, size, 3), np.uint8)
        half = size // 16
        dot[size // 2 - half : size // 2 + half, size // 2 - half : size // 2 + half] = 255
        out, _ = paste(plain("black", 260, 220), [(Image.fromarray(dot), points)], colour=0)
        bright = out.mean(2)
        y, x = np.mgrid[:220, :260]
        found = [(bright * x).sum() / bright.sum(), (bright * y).sum() / bright.sum()]
        np.testing.assert_allclose(found, [130, 110], atol=0.75)


def test_of_two_overlapping_faces_each_keeps_its_middle():
    left, right = turned(0, 0.6, (100, 110)), turned(0, 0.6, (150, 110))
    pair = [(plain("red"), left), (plain("lime"), right)]
    for order in (pair, pair[::-1]):
        out, mask = paste(plain("grey", 260, 220), order, colour=0, background=True)
        assert out[110, 85].argmax() == 0 and out[110, 165].argmax() == 1
        assert mask[110, 90:160].min() > 0.95


def test_of_floats_that_are_nearly_equal_no_byte_differs_by_more_than_one():
    """Rounded to 8 bits first, a step of one level would grow with the contrast that colours are given."""
    photo = load_image(PORTRAIT)
    points = np.array([[205, 105], [247, 105], [226, 125], [208, 146], [243, 147]], np.float64)
    draw = np.random.default_rng(0)
    flat = np.asarray(photo.crop((140, 40, 312, 212)).resize((128, 128)), np.float32) * 0.45 + 60
    first = flat + draw.uniform(-0.5, 0.5, flat.shape)
    second = first + draw.normal(0, 0.01, flat.shape)
    a, b = (paste(photo, [(cartoon, points)])[0].astype(int) for cartoon in (first, second))
    assert 0 < np.abs(a - b).max() <= 1 and (a != b).mean() < 1e-3
    a, b = (
        paste(photo, [(Image.fromarray(np.rint(cartoon).astype(np.uint8)), points)])[0].astype(int)
        for cartoon in (first, second)
    )
    assert np.abs(a - b).max() > 1  # the case is one that shows it


def test_wrong_arguments_are_named():
    for arguments in ({"feather": 0}, {"feather": 0.6}, {"colour": -0.1}, {"colour": 1.1}):
        with pytest.raises(ValueError, match="feather must be"):
            paste(plain("grey"), [], **arguments)
    with pytest.raises(ValueError, match="square"):
        paste(plain("grey"), [(plain("red", 64, 32), POINTS)])
