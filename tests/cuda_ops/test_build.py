"""The lazy build: keys, GPUs the compiler does not know, locks that end, compilers that fail or hang."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cuda_ops import KernelUnavailableError, _build


def test_the_key_changes_with_the_gpu_and_is_stable():
    assert _build.key("9.0") == _build.key("9.0") != _build.key("8.0")


@pytest.mark.parametrize(
    "capabilities, wanted",
    [
        ([(8, 0)], "8.0"),
        ([(8, 0), (9, 0)], "8.0;9.0"),
        ([(12, 0)], "9.0+PTX"),  # newer than the compiler
        ([(8, 7)], "8.6+PTX"),
        ([(12, 0), (12, 1)], "9.0+PTX"),
    ],
)
def test_gpus_and_compilers_of_different_age(capabilities, wanted):
    assert _build.arch_list(capabilities, [(8, 0), (8, 6), (9, 0)]) == wanted


def test_a_gpu_too_old_for_the_compiler_is_named():
    with pytest.raises(KernelUnavailableError, match=r"no longer compiles for compute capability \(6, 1\)"):
        _build.arch_list([(6, 1)], [(8, 0)])


@pytest.mark.parametrize(
    "text, wanted",
    [
        (
            "[1/3] nvcc -Werror\nFAILED: [code=1] a.o\na.cu(3): error: x is undefined\nerror 2",
            "a.cu(3): error: x is undefined",
        ),
        (
            "Traceback:\n  raise OSError('error')\nOSError: CUDA_HOME is not set",
            "OSError: CUDA_HOME is not set",
        ),
        ("Killed\n\n", "Killed"),
        ("", "no output"),
    ],
)
def test_the_first_error_of_a_log_is_quoted(text, wanted):
    assert _build.first_error(text) == wanted


def test_a_failing_compiler_is_quoted_and_leaves_only_its_log(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "nowhere"))
    folder = tmp_path / "kernels" / "key"
    folder.parent.mkdir()
    with pytest.raises(KernelUnavailableError, match="the CUDA kernels did not compile: ") as caught:
        _build.build(folder, "9.0", 120)
    assert "\n" not in str(caught.value)
    assert [path.name for path in folder.parent.iterdir()] == ["key.log"]
    assert (folder.parent / "key.log").stat().st_size > 0


def test_a_hanging_compiler_is_ended(tmp_path):
    start = time.monotonic()
    with pytest.raises(KernelUnavailableError, match="took more than 0 s"):
        _build.build(tmp_path / "key", "9.0", 0.05)  # the child has not even imported torch by then
    assert time.monotonic() - start < 10
    assert [path.name for path in tmp_path.iterdir()] == ["key.log"]


HOLD = """
import sys, time
from pathlib import Path
from cuda_ops._build import locked
with locked(Path(sys.argv[1]), 1):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_of_a_living_process_ends_waiting_in_time_and_dies_with_it(tmp_path):
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    lock = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, env=env) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(KernelUnavailableError, match=f"its lock is {lock}"), _build.locked(lock, 0.5):
            pass
        holder.kill()
    with _build.locked(lock, 0.5):
        pass


def test_a_cache_that_others_can_write_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _build.cache_folder() == tmp_path / "stylegan-toon" / "kernels"
    Path(_build.cache_folder()).chmod(0o777)
    with pytest.raises(KernelUnavailableError, match="others can write to"):
        _build.cache_folder()
