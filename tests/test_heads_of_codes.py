"""tools/heads_of_codes.py: which drawn head belongs to what the source draws of a code."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOOL = Path(__file__).parents[1] / "tools/heads_of_codes.py"
BLUE, PALE, DARK, FAIR, BROWN, RED = (
    (80, 120, 220), (235, 190, 165), (90, 55, 40), (190, 160, 110), (70, 45, 35), (170, 40, 40),
)  # fmt: skip


def face(skin, hair=None, long=False, fringe=False, beard=None, shirt=RED, collar=RED):
    """An aligned face in patches of colour, [128, 128, 3]."""
    out = np.empty((128, 128, 3), np.uint8)
    y, x = np.mgrid[:128, :128]
    beside = np.abs(x - 63.5)
    out[:] = BLUE
    out[(y > 112) & (beside < 60)] = shirt
    if long:
        out[(y > 20) & (beside < 42)] = hair
    out[((x - 63.5) / 30) ** 2 + ((y - 68) / 46) ** 2 < 1] = skin
    out[(y > 112) & (beside < 12)] = collar
    if hair:
        out[((x - 63.5) / 34) ** 2 + ((y - 40) / 34) ** 2 < (y < (48 if fringe else 34))] = hair
    if beard:
        out[(y > 96) & (y < 112) & (beside < 16)] = beard
    return out


def heads(tmp_path, **faces):
    """The rows that are written for faces by name, as invert's pictures of a photo and a face."""
    codes = tmp_path / "codes"
    codes.mkdir()
    for name, one in faces.items():
        both = np.concatenate([np.full_like(one, 255), one], 1)
        Image.fromarray(both).save(codes / f"{name}.png")
    subprocess.run([sys.executable, TOOL, codes, tmp_path / "rows"], check=True)
    return {row["file"]: row for row in map(json.loads, (tmp_path / "rows").read_text().splitlines())}


def light(colour):
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) @ [0.299, 0.587, 0.114]


def test_a_head_has_what_the_face_shows(tmp_path):
    faces = {
        "bald": face(PALE),
        "short": face(PALE, BROWN),
        "beard": face(PALE, BROWN, beard=BROWN),
        "dark": face(DARK, (20, 16, 15)),
        "fair": face(PALE, FAIR, long=True),
        "fringe": face(PALE, BROWN, long=True, fringe=True),
        "suit": face(PALE, BROWN, shirt=(30, 30, 34), collar=(240, 240, 240)),
    }
    rows = heads(tmp_path, **faces)
    options = {name.removesuffix(".png"): row["options"] for name, row in rows.items() if "-" not in name}
    shapes = {
        name: [one.get(part) for part in ("hair", "rearHair", "beard")] for name, one in options.items()
    }
    assert shapes == {
        "bald": [None, None, None], "short": ["sideComed", None, None], "dark": ["sideComed", None, None],
        "beard": ["sideComed", None, "fullBeard"], "fair": ["bun", "longStraight", None],
        "fringe": ["sideComed", "longStraight", None], "suit": ["sideComed", None, None],
    }  # fmt: skip
    assert {name for name, one in options.items() if one["clothes"] != "tShirt"} == {"suit"}
    assert light(options["dark"]["skinColor"]) < 80 < 180 < light(options["short"]["skinColor"])
    assert (
        light(options["dark"]["hairColor"])
        < light(options["short"]["hairColor"])
        < light(options["fair"]["hairColor"])
    )
    assert options["short"]["clothesColor"] != options["suit"]["clothesColor"]
    red, green, blue = (int(rows["bald.png"]["background"][i : i + 2], 16) for i in (0, 2, 4))
    assert red < green < blue and abs(blue - BLUE[2]) < 20


def test_every_code_has_a_calm_head_and_one_in_a_mood_that_differ_in_nothing_else(tmp_path):
    rows = heads(tmp_path, **{f"{i}": face(PALE, BROWN) for i in range(8)})
    assert len(rows) == 16 and {f"{i}.png" for i in range(8)} <= set(rows)
    moods = [name.removesuffix(".png").split("-")[1] for name in rows if "-" in name]
    assert sorted(moods) == ["angry"] * 2 + ["happy"] * 4 + ["sad"] * 2
    for name, row in rows.items():
        calm = rows[name.split("-")[0].removesuffix(".png") + ".png"]["options"]
        differ = {part for part in calm if calm[part] != row["options"][part]}
        assert differ <= {"mouth", "eyebrows"} and ("mouth" in differ) == ("-" in name)


@pytest.mark.parametrize("given", [(), ("one",)])
def test_without_folder_and_file_it_says_how_it_is_called(given):
    done = subprocess.run([sys.executable, TOOL, *given], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("usage: ") and "CODES ROWS" in done.stderr
