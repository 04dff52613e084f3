"""tools/make_drawings.py, as it is typed: each look draws a square, under its name."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOOL = Path(__file__).parents[1] / "tools" / "make_drawings.py"


def drawn(folder, look):
    command = [sys.executable, TOOL, folder / "in", folder / look, "--look", look]
    subprocess.run([str(part) for part in command], check=True)
    with Image.open(folder / look / "a.png") as picture:
        assert picture.size == (128, 128) and picture.mode == "RGB"
        return np.asarray(picture).astype(int)


@pytest.fixture
def folder(tmp_path):
    """A skin-coloured square with a black disc of 4 px where the viewer's left eye lies, dark hair above."""
    picture = np.full((128, 128, 3), (224, 172, 140), np.uint8)
    y, x = np.mgrid[:128, :128] + 0.5
    picture[(x - 0.37 * 128) ** 2 + (y - 0.47 * 128) ** 2 < 4**2] = 0
    picture[:20] = 30
    (tmp_path / "in").mkdir()
    Image.fromarray(picture).save(tmp_path / "in" / "a.webp", lossless=True)
    return tmp_path


def test_every_look_draws_what_it_says(folder):
    with Image.open(folder / "in" / "a.webp") as given:
        before = (np.asarray(given)[40:80].max(2) < 110).sum()
    soft, ink, flat = (drawn(folder, look) for look in ("soft", "ink", "flat"))
    for picture in (soft, flat):
        assert (picture[40:80].max(2) < 110).sum() > 1.2 * before  # the eye grew
        skin = picture[100:120, 80:120].reshape(-1, 3)
        assert (np.ptp(skin, 0) <= 3).all() and skin[0, 0] > skin[0, 1] > skin[
            0, 2
        ]  # and skin is still plain skin
    assert (ink == ink[..., :1]).all()
    assert ink[100:120, 80:120].min() > 240 and ink[2:12, 40:80].max() < 60  # skin is paper, hair is ink
