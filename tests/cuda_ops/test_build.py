"""The lazy build: keys, GPUs the compiler does not know, locks that end, compilers that fail or hang."""

import inspect
import os
import signal
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


def test_a_cache_whose_parent_others_can_write_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _build.cache_folder().stat().st_mode & 0o777 == 0o700
    (tmp_path / "stylegan-toon").chmod(0o770)
    with pytest.raises(KernelUnavailableError, match=r"others can write to .*stylegan-toon;"):
        _build.cache_folder()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
def test_a_cache_of_someone_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    os.chown(_build.cache_folder(), 12345, 12345)
    with pytest.raises(KernelUnavailableError, match="make it yours"):
        _build.cache_folder()


def test_a_compiler_that_does_not_answer_is_no_bug(tmp_path, monkeypatch):
    nvcc = tmp_path / "nvcc"
    nvcc.write_text("#!/bin/sh\nsleep 100\n")
    nvcc.chmod(0o700)
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *args, **given: real(*args, **given | {"timeout": 0.1}))
    with pytest.raises(KernelUnavailableError, match="did not answer"):
        _build.known_archs(str(nvcc))


# A stand-in compiler: it notes its start, takes its time in a child, and writes the library in pieces.
STAND_IN = """
import contextlib, os, signal, subprocess, sys, threading, time
from pathlib import Path
{end_with_parent}
end_with_parent()
with open(sys.argv[1], "a") as log:
    log.write(f"{{os.getpid()}}\\n")
with open(Path(sys.argv[-1]) / "toon_kernels.so", "wb") as library:
    for _ in range(10):
        library.write(b"x" * 1000)
        library.flush()
        subprocess.run([sys.executable, "-S", "-c", f"import time; time.sleep({{sys.argv[2]}} / 10)"])
"""
fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def stand_in(folder, seconds):
    source = STAND_IN.format(end_with_parent=inspect.getsource(_build.end_with_parent))
    return [sys.executable, "-c", source, str(folder / "starts"), str(seconds)]


def forked(work):
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


def is_whole(library):
    return library.read_bytes() == b"x" * 10_000


@fork
def test_of_eight_processes_at_once_one_compiles_and_all_have_the_library(tmp_path):
    command, folder = stand_in(tmp_path, 0.3), tmp_path / "kernels" / "key"
    folder.parent.mkdir()

    def work():
        assert is_whole(_build.built(folder, "9.0", 60, command))

    statuses = [os.waitpid(pid, 0)[1] for pid in [forked(work) for _ in range(8)]]
    assert statuses == [0] * 8
    assert len((tmp_path / "starts").read_text().split()) == 1
    assert sorted(path.name for path in folder.parent.iterdir()) == ["key", "key.lock", "key.log"]


@fork
def test_killed_at_any_moment_of_the_build_the_next_process_has_the_library(tmp_path):
    command = stand_in(tmp_path, 0.2)
    for moment in range(20):
        folder = tmp_path / str(moment) / "key"
        folder.parent.mkdir()
        builder = forked(lambda folder=folder: _build.built(folder, "9.0", 60, command))
        time.sleep(moment * 0.02)
        os.kill(builder, signal.SIGKILL)
        os.waitpid(builder, 0)
        assert is_whole(_build.built(folder, "9.0", 30, command))
        assert sorted(path.name for path in folder.parent.iterdir()) == ["key", "key.lock", "key.log"]


@fork
def test_the_compilers_end_with_the_process_that_started_them(tmp_path):
    (tmp_path / "kernels").mkdir()
    folder, starts = tmp_path / "kernels" / "key", tmp_path / "starts"
    builder = forked(lambda: _build.built(folder, "9.0", 60, stand_in(tmp_path, 300)))
    end = time.monotonic() + 30
    while not (starts.exists() and starts.read_text()) and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(builder, signal.SIGKILL)
    os.waitpid(builder, 0)
    compiler = int(starts.read_text())
    while time.monotonic() < end:
        try:
            os.kill(compiler, 0)
        except ProcessLookupError:
            return
        stat = Path(f"/proc/{compiler}/stat")
        if stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return  # dead, and not yet fetched by whoever adopted it
        time.sleep(0.02)
    raise AssertionError("the compiler is still running")
