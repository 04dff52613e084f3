"""Files made to do harm: a process that converts them all, watched by an audit hook."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from stylegan_toon.checkpoint.importers import unpickle as machine
from stylegan_toon.checkpoint.importers.nvidia import read
from stylegan_toon.checkpoint.importers.torch_file import TABLE
from stylegan_toon.checkpoint.importers.unpickle import unpickle
from stylegan_toon.errors import ModelError
from tests.checkpoint import hostile

ROOT = Path(__file__).parents[2]


def test_hostile_files_end_in_one_line_and_run_nothing():
    script = str(
        ROOT / "benchmarks" / "hostile_checkpoints.py"
    )  # alone it takes all and thousands of mutations
    command = [sys.executable, script, "--every", "4", "--count", "36", "--seed", "7"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    report = json.loads(done.stdout)
    assert report["failures"] == []
    assert report["cases"] >= 120 and report["payloads"] >= 60 and report["mutations"] >= 20
    assert report["codes"]["cases 4"] == report["cases"]
    assert report["codes"]["mutated own 4"] >= 5 and "mutated own 0" not in report["codes"]
    assert report["peak_mb"] < 1500


def test_the_machine_agrees_with_pythons_pickler_on_plain_values():
    numbers = [1, -2, 300, 70_000, -(1 << 31), 1 << 200, 0.1, None, True, False, "ä\U0001f600"]
    value = {"a": numbers, 3: (1, (2,), (), (1, 2, 3))}
    value |= {"b": {"c": {}, "d": []}, "long": list(range(5000)), "set": {1, "x"}, "same": value["a"]}
    for protocol in (2, 3, 4, 5):
        data = pickle.dumps(value, protocol)
        found, end = unpickle(memoryview(data + b"more"), 0, TABLE)
        if protocol < 4:
            assert found.pop("set") == set()  # a name, whose contents no file needs
        assert found == {key: item for key, item in value.items() if key in found} and end == len(data)
        assert found["same"] is found["a"]
    raw, _ = unpickle(memoryview(pickle.dumps(b"bytes" * 100, 4)), 0, TABLE)
    assert raw == b"bytes" * 100 and isinstance(raw, memoryview)


def test_pickles_of_one_file_share_a_budget(monkeypatch):
    inner = hostile.legacy(b"\x80\x02" + b"N" * 2000 + hostile.storage("0", 1) + b".", {"0": bytes(4)})
    nested = hostile.call("torch.storage", "_load_from_bytes", hostile.raw_bytes(inner))
    many = b"\x80\x02](" + nested * 30 + b"e."
    with pytest.raises(ModelError, match="without NVIDIA's networks"):
        read(many)
    monkeypatch.setattr(
        machine.Budget, "__init__", lambda self: self.__dict__.update(steps=50_000, text=1000)
    )
    with pytest.raises(ModelError, match="more than 1000000 steps"):
        read(many)
