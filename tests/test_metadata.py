"""What a picture tells of itself, and what it keeps to itself."""

import hashlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from stylegan_toon import __version__
from stylegan_toon.errors import InputError
from stylegan_toon.images import save_png
from stylegan_toon.metadata import KEY, chunks, file_entry, read, told


def png(path, **text):
    info = PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    Image.new("RGB", (4, 4)).save(path, pnginfo=info)
    return path


def test_what_is_written_is_read_again_with_the_version(tmp_path):
    about = {"command": "toonify", "seed": 2**32 - 1, "photo": {"name": "Zoë 顔 \u202e\n.jpg"}, "size": None}
    save_png(tmp_path / "a.png", np.zeros((2, 3, 3), np.uint8), chunks(about))
    assert read(tmp_path / "a.png") == {**about, "version": __version__}
    with Image.open(tmp_path / "a.png") as made:
        assert made.info["Software"] == f"stylegan-toon {__version__}" and made.info[KEY].isascii()


def test_a_path_is_told_relative_or_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert told("photos/me.jpg") == told(tmp_path / "here" / "photos" / "me.jpg") == "photos/me.jpg"
    assert told("../secret/me.jpg") == told("/home/someone/me.jpg") == told(tmp_path / "me.jpg") == "me.jpg"
    (tmp_path / "here" / "x").write_bytes(b"abc")
    wanted = {"name": "style", "file": "x", "sha256": hashlib.sha256(b"abc").hexdigest()}
    assert file_entry(tmp_path / "here" / "x", "style") == wanted


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "1", "null", "[" * 100_000, '{"psi": NaN}', '{"a": -Infinity}']
)
def test_a_note_that_is_no_object_is_refused_in_one_line(tmp_path, text):
    with pytest.raises(InputError, match=r"a\.png") as caught:
        read(png(tmp_path / "a.png", **{KEY: text}))
    assert len(str(caught.value)) <= 200


def test_what_carries_no_note_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    whole = png(tmp_path / "plain.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:20])
    Image.new("RGB", (4, 4)).save(tmp_path / "jpeg.png", "JPEG")
    for name in ("text.png", "plain.png", "cut.png", "jpeg.png", "missing.png", "."):
        with pytest.raises(InputError) as caught:
            read(tmp_path / name)
        assert len(str(caught.value)) <= 200 and "\n" not in str(caught.value)
