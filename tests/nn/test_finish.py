"""Tones and lines of the photo around a face: worked by hand, and against float64 NumPy."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from stylegan_toon.nn import finish
from stylegan_toon.nn.finish import FINISHES, Finish, finish_of, finished
from stylegan_toon.paths import sample_file


def plain(colour, size=(40, 30)):
    return Image.new("RGB", size, colour)


def levels(picture):
    return np.asarray(picture).astype(int)


def test_paint_leaves_the_picture_as_it_is():
    picture = plain((10, 200, 90))
    assert finished(FINISHES["paint"], picture, 3.0) is picture


@pytest.mark.parametrize("grey, tone", [(5, 0), (60, 51), (51, 51), (90, 102), (240, 255), (255, 255)])
def test_lightness_goes_to_the_nearest_tone(grey, tone):
    # tones 51 apart: parts of a step below 0.3 go down, above 0.7 up
    assert (levels(finished(Finish(steps=51), plain((grey,) * 3))) == tone).all()


def test_between_two_tones_the_way_is_smooth():
    made = [levels(finished(Finish(steps=40), plain((grey,) * 3)))[0, 0, 0] for grey in range(80, 121)]
    assert made[20] == 100 and made == sorted(made) and max(np.diff(made)) < 6


def test_colours_become_richer_and_lightness_stays():
    red, green, blue = (100, 60, 40)
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    made = levels(finished(Finish(colour=2.0), plain((red, green, blue))))[0, 0]
    assert np.abs(made - [2 * red - light, 2 * green - light, 2 * blue - light]).max() <= 0.5
    assert (levels(finished(Finish(colour=0.0), plain((red, green, blue))))[0, 0] == round(light)).all()


def test_ink_is_black_or_white():
    dark, light = (levels(finished(FINISHES["ink"], plain(c))) for c in ((45, 40, 50), (150, 90, 80)))
    assert (dark == 0).all() and (light == 255).all()


def test_a_line_is_drawn_on_the_darker_side_of_an_edge_and_nowhere_else():
    photo = np.full((40, 60, 3), 170, np.uint8)
    photo[:, 30:] = 90
    made = levels(finished(Finish(lines=1.0), Image.fromarray(photo)))[20, :, 0]
    assert (made[:29] == 170).all() and (made[36:] == 90).all()
    assert made[30:33].min() == 0


def between(plane, y, x):
    """The plane at fractions of pixels, linearly; beyond the border is what lies at it."""

    def at(rows, columns):
        last = np.array(plane.shape) - 1
        return plane[np.clip(rows, 0, last[0]), np.clip(columns, 0, last[1])]

    top, left = np.floor(y + 1e-9).astype(int), np.floor(x + 1e-9).astype(int)
    down, along = y - top, x - left
    upper = at(top, left) * (1 - along) + at(top, left + 1) * along
    lower = at(top + 1, left) * (1 - along) + at(top + 1, left + 1) * along
    return upper * (1 - down) + lower * down


def test_dashes_become_a_line_and_specks_pale():
    photo = np.full((60, 60, 3), 200, np.uint8)
    photo[15, 6:54] = 110
    photo[15, 6:54:5] = 200
    photo[45, 30] = 110
    made = levels(finished(Finish(lines=1.0), Image.fromarray(photo)))[..., 0]
    assert (made[15, 10:50] < 20).all() and made[45, 30] > 100


def test_lines_are_those_of_differences_of_gaussians():
    photo = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    luma = photo @ np.array([0.299, 0.587, 0.114])

    def blurred(weights):
        wide = np.pad(luma, len(weights) // 2, mode="edge")
        rows = np.apply_along_axis(np.convolve, 1, wide, weights, "valid")
        return np.apply_along_axis(np.convolve, 0, rows, weights, "valid")

    inner, outer = np.array([1, 4, 6, 4, 1]) / 16, np.array([1, 8, 28, 56, 70, 56, 28, 8, 1]) / 256
    gap = blurred(outer) - blurred(inner)
    rows, columns = np.mgrid[: gap.shape[0], : gap.shape[1]]
    means = []
    for angle in [(3, x) for x in range(-3, 4)] + [(y, 3) for y in range(-2, 3)]:  # of slope 1/3, 2/3, 1 ...
        places = (np.array(angle)[:, None, None] * t / 3 for t in range(-3, 4))
        means.append(np.mean([between(gap, rows + dy, columns + dx) for dy, dx in places], 0))
    x = np.clip((np.max(means, 0) - 2.5) / 2.5, 0, 1)
    wanted = photo * (1 - 0.5 * (x * x * (3 - 2 * x)))[..., None]
    made = levels(finished(Finish(lines=0.5), Image.fromarray(photo), dtype=torch.float64))
    assert (wanted < photo - 20).mean() > 0.05 and np.abs(made - wanted).max() < 6  # marks are told to 1/8


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (64, 48)])
def test_any_size_and_every_band_gives_the_same(monkeypatch, size):
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8))
    whole = [levels(finished(FINISHES["cel"], photo, scale)) for scale in (0.5, 1.0, 2.3)]
    monkeypatch.setattr(finish, "BAND", 100)
    for scale, made in zip((0.5, 1.0, 2.3), whole, strict=True):
        assert made.shape == (*size, 3) and (levels(finished(FINISHES["cel"], photo, scale)) == made).all()


def test_lines_are_as_wide_as_the_scale_says_and_as_crisp():
    wide = []
    for scale in (1, 4):
        photo = np.full((40 * scale, 80 * scale, 3), 170, np.uint8)
        photo[:, 40 * scale :] = 90
        row = levels(finished(Finish(lines=1.0), Image.fromarray(photo), scale))[20 * scale, :, 0]
        wide.append((row[40 * scale :] < 80).sum())
    assert wide[0] >= 2 and 3 * wide[0] <= wide[1] <= 5 * wide[0]


KINDS = {"even": "cel", "ink": "ink", "lines": "comic", "smooth": "paint"}


def drawing(kind, seed, size=200):
    """A head of our own: even colours, black lines on white, or a smooth light with or without dark lines."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    light = 40 + 400 * (x - x**2 * draw.uniform(0.4, 0.6)) * (1 - 0.5 * y)
    rough = draw.normal(0, 6, (size, size, 3))
    picture = Image.fromarray((light[..., None] * (1, 0.8, 0.7) + rough).clip(0, 255).astype(np.uint8))
    if kind in ("even", "ink"):
        picture = plain((240, 200, 170) if kind == "even" else (255, 255, 255), (size, size))
    pen, eye = ImageDraw.Draw(picture), (20, 20, 30)
    if kind == "even":
        pen.ellipse((40, 30, 160, 190), (250, 220, 190))
        pen.rectangle((70, 140, 130, 150), (200, 80, 80))
    if kind in ("ink", "lines"):
        for i in range(6):
            pen.line([(30, 40 + 22 * i), (100, 55 + 22 * i), (170, 40 + 22 * i)], eye, 6)
    if kind != "smooth":
        pen.ellipse((70, 80, 85, 95), eye)
    return picture


@pytest.mark.parametrize(
    "kind, name", [("even", "cel"), ("ink", "ink"), ("lines", "comic"), ("smooth", "paint")]
)
@pytest.mark.parametrize("size", [64, 200, 500])
def test_a_finish_is_told_from_even_tones_black_and_white_and_lines(kind, name, size):
    some = [drawing(kind, seed).resize((size, size), Image.Resampling.LANCZOS) for seed in range(5)]
    assert finish_of(some) == name


def test_a_few_pictures_of_another_kind_do_not_count():
    assert (
        finish_of([drawing("even", i) for i in range(5)] + [drawing("smooth", i) for i in range(4)]) == "cel"
    )


@pytest.mark.parametrize("size", [16, 32, 128])
def test_noise_is_not_drawn(size):
    some = [np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8) for seed in range(5)]
    assert finish_of([Image.fromarray(one) for one in some]) == "paint"


def test_no_pictures_have_no_finish():
    with pytest.raises(ValueError, match="no pictures"):
        finish_of([])


@pytest.mark.parametrize(
    "name, wanted",
    [("avatar", "cel"), ("toonhead", "cel"), ("ink", "ink"), ("comic", "comic"), ("storybook", "paint"),
     ("portraits", "paint")],
)  # fmt: skip
def test_the_sets_that_ship_look_as_they_are_drawn_jpeg_or_not(name, wanted):
    with zipfile.ZipFile(sample_file(name)) as pack:
        files = [file for file in pack.namelist() if file.endswith((".webp", ".png", ".jpg"))][:12]
        some = [Image.open(io.BytesIO(pack.read(file))).convert("RGB") for file in files]
    assert finish_of(some) == wanted
    packed = [io.BytesIO() for _ in some]
    for picture, file in zip(some, packed, strict=True):
        picture.save(file, "JPEG", quality=60)
    assert finish_of([Image.open(file) for file in packed]) == wanted
