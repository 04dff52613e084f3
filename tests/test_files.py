"""Files written aside: the old one or the new one, and how much room was wanted where there was none."""

import errno
import os
import re
import shutil

import pytest

from stylegan_toon.cli.common import error_line
from stylegan_toon.errors import DiskError
from stylegan_toon.files import open_aside, write_aside


def here(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_full_disk_leaves_the_old_file_and_says_how_much_was_wanted_and_is_free(tmp_path, monkeypatch):
    folder = tmp_path / ("long" * 20)
    path = folder / "model.safetensors"
    write_aside(path, [b"old"])

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError) as caught:
        write_aside(path, [bytes(1 << 20), memoryview(bytes(24)).cast("d")])
    line = error_line(str(caught.value))
    assert line.endswith("free); free some space") and len(line) <= 200 and " ... " not in line
    wanted, free = map(
        int, re.search(r"No space left on device: (\d+) bytes wanted, (\d+) free", line).groups()
    )
    assert wanted == (1 << 20) + 24
    assert free == pytest.approx(shutil.disk_usage(folder).free, abs=1 << 30)
    assert path.read_bytes() == b"old" and here(folder) == ["model.safetensors"]


def test_a_stream_that_finds_no_room_says_how_far_it_came(tmp_path):
    wanted = r"a.png could not be written .*: more than 1000 bytes wanted, \d+ free"
    with pytest.raises(DiskError, match=wanted), open_aside(tmp_path / "new" / "a.png") as file:
        file.write(bytes(1000))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert here(tmp_path / "new") == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, ValueError])
def test_a_block_that_fails_leaves_the_old_file_and_its_own_error(tmp_path, error):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(error), open_aside(tmp_path / "a") as file:
        file.write(b"new")
        raise error
    assert (tmp_path / "a").read_bytes() == b"old" and here(tmp_path) == ["a"]


def test_a_picture_takes_the_place_of_a_link_and_a_model_that_of_the_file_behind_it(tmp_path):
    for name, write in (("picture", open_aside), ("model", write_aside)):
        (tmp_path / name).write_bytes(b"old")
        link = tmp_path / f"{name}-link"
        link.symlink_to(tmp_path / name)
        if write is write_aside:
            write_aside(link, [b"ne", b"w"])
        else:
            with open_aside(link) as file:
                file.write(b"new")
        assert link.read_bytes() == b"new"
        assert (tmp_path / name).read_bytes() == (b"old" if name == "picture" else b"new")
        assert link.is_symlink() == (name == "model")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(DiskError, match="is not a regular file"):
        write_aside(tmp_path / "a", [b"x"])
    with pytest.raises(DiskError, match="could not be written"), open_aside(tmp_path / "a") as file:
        file.write(b"x")
    assert here(tmp_path) == ["a"]
