"""The pictures that ship are what their card says, and the script that makes them leaves out what it must."""

import importlib.util
import io
import re
import runpy
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from stylegan_toon.archives import pictures
from stylegan_toon.paths import sample_file
from stylegan_toon.pipelines.targets import SHIPPED

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "stylegan_toon" / "samples"
CARD = (SAMPLES / "README.md").read_text(encoding="utf-8")
SAID = {
    row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \| (\d+) \| ([\d,]+) \| (.+) \| (.+) \|$", CARD, re.M)
}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_samples", ROOT / "tools" / "make_samples.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_samples"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_samples"]


def test_the_card_lists_what_is_there_and_together_it_is_under_six_million_bytes():
    assert set(SAID) == {*SHIPPED, "portraits"} == {path.stem for path in SAMPLES.glob("*.zip")}
    sizes = {name: sample_file(name).stat().st_size for name in SAID}
    assert {name: int(said[1].replace(",", "")) for name, said in SAID.items()} == sizes
    assert sum(sizes.values()) < 6_000_000


@pytest.mark.parametrize("name", sorted(SAID))
def test_an_archive_holds_the_pictures_of_its_card_and_nothing_that_names_anybody(name):
    count, _, title, licence = SAID[name]
    with zipfile.ZipFile(sample_file(name)) as pack:
        infos = pack.infolist()
        wanted = ["LICENSE.txt", *(f"{i:05d}.webp" for i in range(int(count)))]
        assert [info.filename for info in infos] == wanted
        assert {(info.compress_type, info.date_time) for info in infos} == {(0, (1980, 1, 1, 0, 0, 0))}
        assert not any(info.extra or info.comment for info in infos) and not pack.comment
        text = pack.read("LICENSE.txt").decode()
        for info in infos[1:]:
            data = pack.read(info)
            assert data[:4] == b"RIFF" and data[12:16] in (b"VP8 ", b"VP8L")  # the one chunk: no EXIF, no XMP
            assert int.from_bytes(data[16:20], "little") + 20 in (len(data), len(data) - 1)
        assert Image.open(io.BytesIO(data)).size == (128, 128)
    assert f"{name}: {count} pictures, 128 x 128, {title}." in text and licence in text and "held out" in text
    credit = re.search(rf"^- `{name}`: (.+)$", CARD, re.M)[1]
    assert f"Credit: {credit}" in text.splitlines()
    assert len(list(pictures(sample_file(name)))) == int(count)


def test_open_mouths_of_drawn_heads_are_dark():
    with zipfile.ZipFile(sample_file("toonhead")) as pack:
        heads = [Image.open(io.BytesIO(pack.read(f"{i:05d}.webp"))).convert("RGB") for i in range(900)]
    dark = np.array([0x61, 0x15, 0x19])  # of ToonHead's laughs, angry and open mouths
    mouths = [np.asarray(head)[78:96, 48:80].astype(int) for head in heads]
    assert sum((np.abs(mouth - dark).max(2) < 24).sum() >= 5 for mouth in mouths) > 500


def test_a_wheel_holds_them(monkeypatch):
    settings = {}
    setuptools = ModuleType("setuptools")  # whoever runs the tests need not have it
    setuptools.setup, setuptools.find_packages = settings.update, lambda include: include
    monkeypatch.setitem(sys.modules, "setuptools", setuptools)
    runpy.run_path(str(ROOT / "setup.py"))
    package = ROOT / "stylegan_toon"
    found = {path for pattern in settings["package_data"]["stylegan_toon"] for path in package.glob(pattern)}
    assert found == {*SAMPLES.glob("*.zip"), SAMPLES / "README.md"}


def pack(path, sources):
    """A pack whose picture i is of one colour that tells i; its manifest says where each comes from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ["file,caption,source"]
    with zipfile.ZipFile(path, "w") as file:
        for i, source in enumerate(sources):
            made = io.BytesIO()
            Image.new("RGB", (64, 64), (i * 5, 100, 200)).save(made, "PNG", pnginfo=None)
            file.writestr(f"{i:05d}.png", made.getvalue())
            rows.append(f"{i:05d}.png,a named person,{source}")
        file.writestr("manifest.csv", "\n".join(rows))


def test_the_script_leaves_out_what_is_held_out_here_or_in_a_larger_pack_and_gives_the_same_bytes(
    script, tmp_path
):
    pack(tmp_path / "few.zip", [f"s{i}" for i in range(22)])
    pack(tmp_path / "large.zip", [*(f"other{i}" for i in range(9)), "s3", "s4"])  # s3 is its number 9
    sample = script.Sample("x", "few.zip", "t", "l", "c", script.LOSSLESS, most=18, also_held=("large.zip",))
    digests = []
    for run in "ab":
        (tmp_path / run).mkdir()
        count = script.write(sample, tmp_path, tmp_path / run)
        digests.append((tmp_path / run / "x.zip").read_bytes())
    assert digests[0] == digests[1] and b"named" not in digests[0] and b"s4" not in digests[0]
    with zipfile.ZipFile(tmp_path / "a" / "x.zip") as made:
        names = made.namelist()[1:]
        colours = [Image.open(made.open(name)).getpixel((5, 5))[0] // 5 for name in names]
    assert colours == [i for i in range(22) if i not in (3, 9, 19)][:18] and count == 18


def test_spaced_pictures_are_drawn_from_the_whole_pack(script, tmp_path):
    pack(tmp_path / "few.zip", range(20))
    sample = script.Sample("x", "few.zip", "t", "l", "c", {}, most=6, spaced=True)
    with zipfile.ZipFile(tmp_path / "few.zip") as opened:
        assert [int(name[:5]) for name in script.chosen(sample, tmp_path, opened)] == [0, 3, 6, 10, 13, 16]


def test_lab_of_known_colours(script):
    known = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 0, 255]]], np.uint8)
    wanted = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]]  # CIE 1976, D65
    np.testing.assert_allclose(script.to_lab(known)[0], wanted, atol=0.06)
    some = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    np.testing.assert_allclose(script.to_rgb(script.to_lab(some)) * 255, some, atol=1e-6)


def test_the_bilateral_filter_equals_its_definition(script):
    picture = np.random.default_rng(1).integers(256, size=(7, 6, 3), dtype=np.uint8)
    wanted = np.zeros(picture.shape)
    for i in range(7):
        for j in range(6):
            total = weight = 0.0
            for y in range(-2, 3):
                for x in range(-2, 3):
                    if y * y + x * x > 4:
                        continue
                    a, b = i + y, j + x
                    a = -a if a < 0 else 12 - a if a > 6 else a  # mirrored at the edge pixel
                    b = -b if b < 0 else 10 - b if b > 5 else b
                    far = np.abs(picture[a, b].astype(float) - picture[i, j]).sum()
                    share = np.exp(-(y * y + x * x) / (2 * 3.0**2) - far**2 / (2 * 80.0**2))
                    total, weight = total + share * picture[a, b], weight + share
            wanted[i, j] = total / weight
    made = script.bilateral(picture, radius=2, tone=80, space=3)
    assert np.abs(made - wanted).max() <= 0.5 + 1e-3


def test_a_comic_has_few_tones_and_dark_lines(script):
    slope = np.repeat(np.linspace(40, 220, 64).astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    flat = script.comic(slope)[32, 8:56, 0].astype(int)
    jumps = np.abs(np.diff(flat))
    assert (jumps <= 1).mean() > 0.4 and jumps.max() > 6  # steps, where the slope rose by 2 or 3 everywhere
    marked = np.full((32, 32, 3), 180, np.uint8)
    marked[:, 15:17] = 120
    assert script.comic(marked)[16, 15, 0] < 60 < script.comic(marked)[16, 2, 0]
