"""Hostile archives: what is good in them is read, the rest named; nothing is extracted, run or written."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from stylegan_toon.archives import pictures
from stylegan_toon.data import load_pictures
from stylegan_toon.decoding import read_image
from stylegan_toon.errors import InputError
from tests.hostile import archives as made
from tests.hostile.pictures import mutated
from tests.hostile.watch import watched

ARCHIVES = made.archives()


def members(path: Path) -> tuple[list[str], list[str]]:
    """The names that can be read, and the lines that refuse the others."""
    good, refused = [], []
    for name, read in pictures(path):
        try:
            picture = read_image(read(), "a member")
        except InputError as error:
            refused.append(str(error))
        else:
            assert picture.mode == "RGB"
            good.append(name)
    assert all(len(line) <= 200 and line.isprintable() for line in refused)
    return good, refused


def test_there_are_fifty_and_more() -> None:
    assert len({one.data for one in ARCHIVES}) >= 50


@pytest.mark.parametrize("one", ARCHIVES, ids=lambda one: one.name)
def test_of_a_hostile_archive_the_good_is_read_and_the_rest_named(one, tmp_path) -> None:
    path = tmp_path / "a.archive"
    path.write_bytes(one.data)
    began = time.process_time()
    if one.good is None:
        with pytest.raises(InputError) as caught:
            members(path)
        line = str(caught.value)
        assert "a.archive" in line and len(line) <= 200 and line.isprintable()
    else:
        good, refused = members(path)
        assert (tuple(good), len(refused)) == (one.good, one.refused)
    assert time.process_time() - began < 5
    assert os.listdir(tmp_path) == ["a.archive"]  # noqa: PTH208


def test_nothing_is_run_or_written_while_they_are_read(tmp_path) -> None:
    paths = []
    for i, one in enumerate(ARCHIVES):
        paths.append(tmp_path / f"{i}")
        paths[-1].write_bytes(one.data)
    for path in paths[::7]:  # imports what is imported late
        outcome(path)
    with watched() as seen:
        for path in paths:
            outcome(path)
    assert seen == []


def outcome(path: Path) -> int:
    """How many pictures are read; -1 where the whole is refused in one line."""
    try:
        return len(members(path)[0])
    except InputError as error:
        assert len(str(error)) <= 200 and str(error).isprintable()
        return -1


def test_seeded_mutations_end_in_pictures_or_one_line(tmp_path, capfd) -> None:
    """A slice of what benchmarks/hostile_files.py does 2,000 times."""
    rng, seeds, path = np.random.default_rng(0), made.seeds(), tmp_path / "a"
    outcomes = set()
    for data in seeds:
        path.write_bytes(data)
        outcome(path)
    with watched(tmp_path) as seen:
        for i in range(200):
            path.write_bytes(mutated(seeds[i % len(seeds)], rng))
            outcomes.add(outcome(path))
    assert seen == [] and capfd.readouterr() == ("", "")
    assert {-1, 1, 2} <= outcomes


def test_too_many_members_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("stylegan_toon.archives.MAX_MEMBERS", 3)
    for name, data in (("z", made.zipped), ("t", made.tarred)):
        (tmp_path / name).write_bytes(data(*((f"{i}.png", made.OTHER) for i in range(4))))
        with pytest.raises(InputError, match="more than 3 members"):
            list(pictures(tmp_path / name))


def test_a_list_of_members_that_fills_memory_is_refused(tmp_path) -> None:
    data = made.overlapping(600_000)
    (tmp_path / "a.zip").write_bytes(data)
    began = time.process_time()
    with pytest.raises(InputError, match=r"a\.zip is .* damaged"):
        list(pictures(tmp_path / "a.zip"))
    assert time.process_time() - began < 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on Windows")
def test_in_a_folder_pipes_links_and_hidden_files_are_left_alone(tmp_path) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for name in ("b.png", "deep/a.png", ".c.png"):
        (folder / name).write_bytes(made.PICTURE)
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "circle").symlink_to(folder)
    (folder / "circle.png").symlink_to("circle.png")
    assert members(folder) == (["b.png", "deep/a.png"], [])
    os.mkfifo(tmp_path / "pipe.zip")
    for path in (tmp_path / "pipe.zip", Path("/dev/zero"), tmp_path / "absent.tar"):
        with pytest.raises(InputError, match="no folder or file"):
            list(pictures(path))


def test_folder_zip_and_tar_train_alike(tmp_path) -> None:
    files = [(f"{i % 3}/{i}.png", made.PICTURE if i % 2 else made.OTHER) for i in range(9)]
    (tmp_path / "a.zip").write_bytes(made.zipped(*files))
    (tmp_path / "a.tar").write_bytes(made.tarred(*files))
    for name, data in files:
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(data)
    loaded = [load_pictures([tmp_path / name], 8) for name in ("a.zip", "a.tar", "folder")]
    assert len(loaded[0]) == 9
    for other in loaded[1:]:
        np.testing.assert_array_equal(loaded[0], other)
