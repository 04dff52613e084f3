"""Hostile pictures: read right or refused in one line, quickly, and nothing is run or written."""

import os
import time

import numpy as np
import pytest

from stylegan_toon.decoding import read_image
from stylegan_toon.errors import InputError
from stylegan_toon.images import load_image
from tests.hostile import pictures as made
from tests.hostile.watch import watched

PICTURES = made.pictures()


def outcome(data: bytes) -> np.ndarray | str:
    """The picture [H, W, 3], or the line that refuses it."""
    try:
        picture = read_image(data, "a.png")
    except InputError as error:
        line = str(error)
        assert line.startswith("a.png ") and len(line) <= 200 and line.isprintable()
        return line
    assert picture.mode == "RGB" and not picture.info
    return np.asarray(picture).astype(int)


def test_there_are_a_hundred_and_more() -> None:
    assert len({one.data for one in PICTURES}) >= 100


@pytest.mark.parametrize("one", PICTURES, ids=lambda one: one.name)
def test_a_hostile_picture_is_read_right_or_refused(one, capfd) -> None:
    began = time.process_time()
    got = outcome(one.data)
    assert time.process_time() - began < 5
    assert capfd.readouterr() == ("", "")
    if one.wanted is None:
        assert isinstance(got, str)
    elif not isinstance(one.wanted, str):
        assert not isinstance(got, str), got
        assert got.shape == one.wanted.shape
        gaps = np.abs(got - one.wanted.astype(int))
        assert (np.quantile(gaps, 0.9) if one.gap else gaps.max()) <= one.gap


def test_nothing_is_run_or_written_while_they_are_read() -> None:
    for data in made.seeds():  # imports the decoders
        outcome(data)
    with watched() as seen:
        for one in PICTURES:
            outcome(one.data)
    assert seen == []


def test_the_watch_sees_what_it_watches_for(tmp_path) -> None:
    with watched(tmp_path) as seen:
        (tmp_path / "fine").write_text("")
        assert seen == []
        exec("1")
        (tmp_path / ".." / "outside").write_text("")
        (tmp_path / "fine").rename(tmp_path.parent / "moved")
    assert [line.split()[0] for line in seen if "import" not in line] == ["compile", "exec", "open"]


def test_seeded_mutations_end_in_a_picture_or_one_line(capfd) -> None:
    """A slice of what benchmarks/hostile_files.py does 20,000 times."""
    rng, seeds = np.random.default_rng(0), made.seeds()
    read = sum(isinstance(outcome(data), str) for data in seeds)
    with watched() as seen:
        for i in range(600):
            read += not isinstance(outcome(made.mutated(seeds[i % len(seeds)], rng)), str)
    assert seen == [] and capfd.readouterr() == ("", "")
    assert 60 < read < 540


def test_phone_pictures_are_read_where_the_extra_is_there_and_survive_mutation() -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    upright = made.quarters()
    data = made.saved(upright, "HEIF", quality=95)
    assert np.quantile(np.abs(outcome(data) - upright.astype(int)), 0.9) <= 30
    turned = made.saved(np.ascontiguousarray(np.rot90(upright)), "HEIF", quality=95, exif=made.exif(6))
    assert np.quantile(np.abs(outcome(turned) - upright.astype(int)), 0.9) <= 30
    rng = np.random.default_rng(0)
    for _ in range(50):
        outcome(made.mutated(data, rng))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on Windows")
def test_what_is_called_like_a_picture_but_no_file_is_refused_at_once(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "nowhere.png").symlink_to("gone.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "circle", "nowhere", "zero", "absent", "absent/deep", "x" * 300):
        with pytest.raises(InputError) as caught:
            load_image(tmp_path / f"{name}.png")
        assert len(str(caught.value)) <= 200 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name",
    [
        "a b.png",
        "ümläut 漫画.png",
        "-rf.png",
        "$(touch x).png",
        "'; x.png",
        "a\nb.png",
        "no suffix",
        "%s.png",
    ],
)
def test_odd_names_are_names(tmp_path, name) -> None:
    (tmp_path / name).write_bytes(made.saved(made.quarters(), "PNG"))
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / name)), made.quarters())


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_a_name_that_is_no_text_is_a_name(tmp_path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png")
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(made.saved(made.quarters(), "PNG"))
    np.testing.assert_array_equal(np.asarray(load_image(path)), made.quarters())
    with pytest.raises(InputError, match=r"\?\?\.jpg does not exist"):
        load_image(path.replace(".png", ".jpg"))
