"""The frame around every command, with small commands that fail in the ways that are hard to bring about."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
import torch

from stylegan_toon import errors
from stylegan_toon.cli.common import MAX_LINE, Common, error_line, printable, run, toon_command

ROOT = Path(__file__).parents[2]


def failing(error: BaseException | None = None) -> click.Command:
    @toon_command("stylegan-toon fail")
    def fail(common: Common) -> None:
        common.report("at work")
        if error is not None:
            raise error
        common.result("a line")
        common.document({"seed": common.seed})

    return fail


def call(command: click.Command, *args: str) -> int:
    return run(command, args, "fail", "STYLEGAN_TOON_FAIL")


@pytest.mark.parametrize("kind", errors.ToonError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_each_error_of_ours_ends_with_its_code(kind: type[errors.ToonError], capsys) -> None:
    assert call(failing(kind("x.png is bad; take another")), "--quiet") == kind.exit_code
    assert capsys.readouterr() == ("", "Error: x.png is bad; take another\n")


@pytest.mark.parametrize(
    "error, code",
    [
        (KeyboardInterrupt(), 130),
        (MemoryError(), 6),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), 6),
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), 9),
        (PermissionError(errno.EACCES, "Permission denied", "a.png"), 9),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 3000), 2),
        (OSError(errno.EROFS, "Read-only file system", "a.png"), 9),
        (ValueError("two\nlines"), 1),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.png"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_other_errors_end_with_the_code_of_their_kind(error: BaseException, code: int, capsys) -> None:
    assert call(failing(error), "--quiet") == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("Error: ")


def test_a_real_allocation_beyond_all_memory_is_6(capsys) -> None:
    @toon_command("stylegan-toon greedy")
    def greedy(common: Common) -> None:
        torch.empty(1 << 60, dtype=torch.uint8)

    assert call(greedy) == 6
    assert "out of memory" in capsys.readouterr().err


def test_a_bug_shows_its_traceback_only_with_debug(capsys, monkeypatch) -> None:
    assert call(failing(ZeroDivisionError("by zero"))) == 1
    assert capsys.readouterr().err.splitlines()[1:] == [
        "Error: ZeroDivisionError: by zero (this is a bug, run again with --debug)"
    ]
    assert call(failing(ZeroDivisionError("by zero")), "--debug") == 1
    assert "Traceback" in capsys.readouterr().err
    assert call(failing(errors.ModelError("no model")), "--debug") == 4
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("STYLEGAN_TOON_DEBUG", "1")
    assert call(failing(ZeroDivisionError("by zero"))) == 1
    assert "Traceback" in capsys.readouterr().err


def test_results_go_to_stdout_and_the_log_to_stderr(capsys) -> None:
    assert call(failing()) == 0
    assert capsys.readouterr() == ("a line\n", "at work\n")


def test_json_is_the_one_document_on_stdout(capsys) -> None:
    assert call(failing(), "--json", "--seed", "7") == 0
    assert json.loads(capsys.readouterr().out) == {"seed": 7}
    assert call(failing(ValueError("bad")), "--json") == 1
    assert json.loads(capsys.readouterr().out)["exit_code"] == 1


def test_an_error_after_the_document_adds_no_second_one(capsys) -> None:
    @toon_command("stylegan-toon partly")
    def partly(common: Common) -> None:
        common.document({"paths": ["a.png"]})
        raise errors.InputError("1 of 2 inputs failed")

    assert call(partly, "--json") == 3
    assert json.loads(capsys.readouterr().out) == {"paths": ["a.png"]}


def test_quiet_keeps_the_result_and_drops_the_log(capsys) -> None:
    assert call(failing(), "--quiet") == 0
    assert capsys.readouterr() == ("a line\n", "")


def test_a_long_text_keeps_its_beginning_and_its_remedy() -> None:
    line = error_line("portrait.jpg: " + "x" * 1000 + "; use --faces largest")
    assert len(line) == MAX_LINE
    assert line.startswith("Error: portrait.jpg: x")
    assert line.endswith("; use --faces largest")


@pytest.mark.parametrize(
    "char, shown",
    [("\n", r"\n"), ("\x1b", r"\x1b"), ("\x9b", r"\x9b"), ("\u202e", r"\u202e"), ("\udcff", r"\udcff")],
)
def test_characters_that_could_deceive_are_escaped(char: str, shown: str) -> None:
    assert printable(f"ä{char}b") == f"ä{shown}b"


SLEEPER = """
import sys, time
from stylegan_toon.cli.common import run, toon_command
@toon_command("sleep")
def sleep(common):
    common.result("ready")
    sys.stdout.flush()
    try:
        while True:
            time.sleep(0.05)
    except Exception:
        pass  # as code does that collects the errors of single files
sys.exit(run(sleep, [], "sleep", "STYLEGAN_TOON_SLEEP"))
"""


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"])
def test_a_signal_ends_a_command_with_its_code_and_one_line(number: signal.Signals, code: int) -> None:
    command, pipe = [sys.executable, "-c", SLEEPER], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        start = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert time.monotonic() - start < 5
    assert err.startswith("Error: ")
    assert err.count("\n") == 1


def talker(lines: int) -> list[str]:
    code = f"""
import sys
from stylegan_toon.cli.common import run, toon_command
@toon_command("talk")
def talk(common):
    for i in range({lines}):
        common.result(i)
sys.exit(run(talk, [], "talk", "STYLEGAN_TOON_TALK"))
"""
    return [sys.executable, "-c", code]


@pytest.mark.parametrize("lines", [10, 100_000])
def test_a_reader_that_goes_away_is_met_in_silence(lines: int) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(talker(lines), cwd=ROOT, stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == 9


@pytest.mark.parametrize("lines", [10, 100_000])
def test_a_full_disk_behind_stdout_is_9(lines: int) -> None:
    if not Path("/dev/full").exists():
        return  # only Linux has one
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(talker(lines), cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 9
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr
