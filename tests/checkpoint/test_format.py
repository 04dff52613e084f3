"""The project's own file: what is written comes back, what was changed is refused."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from stylegan_toon.checkpoint.format import TRAIN_STATE, Checkpoint, load, save
from stylegan_toon.errors import DiskError, ModelError, NotFiniteError, ToonError


def some() -> Checkpoint:
    base = torch.randn(4, 6)
    tensors = {
        "weight": base, "view of it": base[1:, ::2], "transposed": base.t(), "strength": torch.tensor(0.5),
        "none": torch.zeros(0, 3), "half": torch.randn(3).half(), "brain": torch.randn(3).bfloat16(),
        "double": torch.randn(2).double(), "count": torch.tensor(7), "mask": torch.tensor([True, False]),
        "bytes": torch.arange(3, dtype=torch.uint8), "parameter": torch.nn.Parameter(torch.ones(2)),
    }  # fmt: skip
    return Checkpoint("generator", {"channels": (8, 4), "resolution": 8}, {"note": "ä", "psi": 0.7}, tensors)


def check_line(caught, path) -> None:
    line = str(caught.value)
    assert "\n" not in line and len(line) <= 200 and Path(path).name[-20:] in line, line


def test_what_is_written_comes_back(tmp_path):
    file, saved = tmp_path / "new" / "a.safetensors", some()
    save(file, saved)
    found = load(file, "generator")
    assert (found.kind, found.meta) == (saved.kind, saved.meta)
    assert found.config == {"channels": [8, 4], "resolution": 8}
    assert [*found.tensors] == sorted(saved.tensors)  # in one order, however often it is read
    for name, tensor in saved.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype and torch.equal(found.tensors[name], tensor), name
    found.tensors["weight"].zero_()
    assert found.tensors["view of it"].any()  # no memory is shared
    assert os.listdir(file.parent) == [file.name]  # noqa: PTH208


def test_other_programs_can_read_it(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    save(tmp_path / "a.safetensors", some())
    with safetensors.safe_open(tmp_path / "a.safetensors", "pt") as file:
        about = json.loads(file.metadata()["stylegan_toon"])
        assert set(about) == {"version", "kind", "config", "meta", "digest"}
        assert torch.equal(file.get_tensor("weight"), load(tmp_path / "a.safetensors").tensors["weight"])


def test_half_stores_floating_tensors_as_float16(tmp_path):
    saved = some()
    save(tmp_path / "a.safetensors", saved, half=True)
    found = load(tmp_path / "a.safetensors").tensors
    assert found["weight"].dtype == torch.float16 and found["count"].dtype == torch.int64
    assert torch.equal(found["weight"], saved.tensors["weight"].half())
    saved.tensors["weight"][0, 0] = 1e6
    with pytest.raises(NotFiniteError, match="float16"):
        save(tmp_path / "b.safetensors", saved, half=True)


def test_every_changed_byte_is_refused(tmp_path):
    file = tmp_path / "a.safetensors"
    save(file, some())
    good = file.read_bytes()
    header = 8 + int.from_bytes(good[:8], "little")
    named = [good.index(word) + 1 for word in (b"weight", b"digest", b"version", b"channels", b"0.7", b"F32")]
    places = [0, 3, 8, *named, *range(100, header, 97), *range(header, len(good), 29), len(good) - 1]
    for place in places:
        changed = bytearray(good)
        changed[place] ^= 1
        if changed[:header].rstrip() == good[:header].rstrip() and place < header:
            continue  # padding
        file.write_bytes(changed)
        with pytest.raises(ModelError) as caught:
            load(file)
        check_line(caught, file)
    for cut in (0, 5, 50, header, len(good) - 1):
        file.write_bytes(good[:cut])
        with pytest.raises(ModelError):
            load(file)
    file.write_bytes(good + b"x")
    with pytest.raises(ModelError):
        load(file)


def test_a_file_of_another_kind_program_or_version_is_refused(tmp_path):
    from safetensors.torch import save_file

    file = tmp_path / "a.safetensors"
    save(file, some())
    with pytest.raises(ModelError, match="holds a generator, not an encoder"):
        load(file, "encoder")
    data = file.read_bytes()
    assert data.count(b'version\\": 1') == 1
    file.write_bytes(data.replace(b'version\\": 1', b'version\\": 9'))
    with pytest.raises(ModelError, match="newer"):
        load(file)
    save_file({"a": torch.zeros(2)}, file)
    with pytest.raises(ModelError, match="not made by stylegan-toon"):
        load(file)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_numbers_that_are_not_finite_are_refused(tmp_path, value, dtype):
    bad = Checkpoint("generator", {}, {}, {"a": torch.ones(3), "b": torch.tensor([1, value, 2], dtype=dtype)})
    with pytest.raises(NotFiniteError, match="'b'"):
        save(tmp_path / "a.safetensors", bad)
    bad.kind = TRAIN_STATE  # may hold them; renamed behind our back, the digest tells
    save(tmp_path / "a.safetensors", bad)
    assert load(tmp_path / "a.safetensors").tensors["b"].shape == (3,)


def test_a_writer_that_did_not_check_is_caught_on_reading(tmp_path, monkeypatch):
    from stylegan_toon.checkpoint import format

    with monkeypatch.context() as patch:
        patch.setattr(format, "not_finite", lambda tensors: None)
        save(tmp_path / "a.safetensors", Checkpoint("encoder", {}, {}, {"b": torch.tensor([float("nan")])}))
    with pytest.raises(ModelError, match="'b' holds NaN"):
        load(tmp_path / "a.safetensors")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    odd = (tmp_path, tmp_path / "pipe", tmp_path / ("x" * 300), "a\0b")
    for path in (*odd, Path("/dev/zero"), tmp_path / "missing"):
        with pytest.raises(ModelError) as caught:
            load(path)
        assert len(str(caught.value)) <= 200 and "\n" not in str(caught.value)
    for path in (*odd, "/dev/null", "/proc/nothing/a"):
        with pytest.raises(DiskError) as caught:
            save(path, some())
        assert len(str(caught.value)) <= 200 and "\n" not in str(caught.value)
    assert Path("/dev/null").is_char_device()


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "a.safetensors"
    save(file, some())
    before = file.read_bytes()
    script = (
        "import resource, sys, torch\n"
        "from stylegan_toon.checkpoint.format import Checkpoint, save\n"
        "from stylegan_toon.errors import DiskError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    save(sys.argv[1], Checkpoint('generator', {}, {}, {'a': torch.ones(100_000)}))\n"
        "except DiskError as error:\n"
        "    print(error)\n"
        "    sys.exit(error.exit_code)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.returncode == 9, done.stderr
    assert done.stdout.count("\n") == 1 and "free some space" in done.stdout
    assert file.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [file.name]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real.safetensors")
    save(tmp_path / "link", some())
    assert (tmp_path / "link").is_symlink() and load(tmp_path / "real.safetensors").kind == "generator"


def test_meta_must_be_json(tmp_path):
    for meta in ({"a": float("nan")}, {"a": {1, 2}}):
        with pytest.raises((ValueError, TypeError)) as caught:
            save(tmp_path / "a.safetensors", Checkpoint("generator", {}, meta, {}))
        assert not isinstance(caught.value, ToonError)
    assert not list(tmp_path.iterdir())


def test_five_megabytes_load_quickly(tmp_path):
    tensors = {f"layer{i}": torch.randn(100, 250) for i in range(100)}
    save(tmp_path / "a.safetensors", Checkpoint("generator", {}, {}, tensors), half=True)
    times = []
    for _ in range(5):
        start = time.process_time()
        load(tmp_path / "a.safetensors")
        times.append(time.process_time() - start)
    assert min(times) < 0.03
