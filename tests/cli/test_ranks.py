"""Training commands in two processes as torchrun starts them: what is said, who writes, who dies."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from stylegan_toon.cli import cli
from stylegan_toon.cli.common import ENVIRONMENT, run
from stylegan_toon.data import Sampler
from stylegan_toon.training.log import entries
from stylegan_toon.training.state import newest_state
from tests.cli.test_targets import drawings
from tests.cli.test_training import FACES, SMALL, done, toon
from tests.processes import meeting_place, together

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
ROOT = Path(__file__).parents[2]
TRAIN = ("train", FACES, "--resolution", 16, "--channels", "8,8,8", "--path-length", 2, "--mixing", 0.9,
         "--ada-images", 100, "--save-every", 2, *SMALL, "--batch", 8)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def single_precision():
    """In bfloat16, which some processors have, rounding alone differs by more than what is compared here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOON_DTYPE", "float32")
        yield


def two(*args, cwd, at=None, what=None, **settings):
    """Run the command line in two processes; at step `at` one of them meets what(rank)."""

    def work(rank):
        batch = Sampler.batch

        def met(self, i):
            if i == at:
                what(rank)
            return batch(self, i)

        Sampler.batch = met
        return run(cli, [str(arg) for arg in args], "stylegan-toon", ENVIRONMENT)

    return together(work, cwd, **settings)


def lines(ended):
    """What several processes said on stderr, without the bar."""
    return [
        line for one in ended for line in one.err.splitlines() if "step/s" not in line and "it/s" not in line
    ]


def both(*args, cwd, **settings):
    ended = two(*args, cwd=cwd, **settings)
    assert [one.code for one in ended] == [0, 0], ended
    return ended


def kill(victim, number):
    return lambda rank: os.kill(os.getpid(), number) if rank == victim else None


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """An undisturbed run of six steps in two processes, and one in one process."""
    folder = tmp_path_factory.mktemp("calm")
    done(*TRAIN, "--steps", 6, "--out", "one", "--quiet", cwd=folder)  # first: what it imports is forked
    both(*TRAIN, "--steps", 6, "--out", "two", "--quiet", cwd=folder)
    return folder


def losses(folder):
    return next(entry for entry in entries(folder) if "rate" in entry)


def close(found, wanted):
    """Whether two runs logged the same in their last step; Adam makes rounding errors larger."""
    for name in ("step", "d", "d/real", "d/sign", "ada/p", "g", "g/path") if "g/path" in wanted else wanted:
        if name not in ("seconds", "rate", "memory_mb"):
            assert found[name] == pytest.approx(wanted[name], rel=1e-3, abs=1e-4), name
    return True


def test_two_processes_leave_the_folder_of_one(calm):
    one, other = ({path.relative_to(calm / n) for path in (calm / n).rglob("*")} for n in ("one", "two"))
    assert one == other and Path("best.safetensors") in one
    assert close(losses(calm / "two"), losses(calm / "one"))
    first, second = (json.loads((calm / n / "run.json").read_text()) for n in ("one", "two"))
    assert first.keys() == second.keys() and first["method"] == second["method"]


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_with_one_line_and_the_run_goes_on_exactly(victim, calm, tmp_path):
    start, store = time.monotonic(), meeting_place()
    ended = two(*TRAIN, "--steps", 6, "--out", "run", "--quiet", cwd=tmp_path, at=3,
                what=kill(victim, signal.SIGKILL), store=store)  # fmt: skip
    assert time.monotonic() - start < 60
    assert ended[victim].code == -signal.SIGKILL and ended[1 - victim].code == 11
    (line,) = lines(ended)
    assert re.fullmatch(
        r"Error: another of 2 processes ended or does not answer; the last good state is "
        r"run/state/00000002.safetensors; the same command goes on", line
    )  # fmt: skip
    both(*TRAIN, "--steps", 6, "--out", "run", "--quiet", cwd=tmp_path, store=store, restarts=1)
    assert done("digest", "run", cwd=tmp_path) == done("digest", "two", cwd=calm)


def test_a_signal_to_one_stops_all_after_the_same_step_and_the_run_goes_on_exactly(calm, tmp_path):
    ended = two(*TRAIN, "--steps", 6, "--out", "run", cwd=tmp_path, at=2, what=kill(1, signal.SIGTERM))
    assert [one.code for one in ended] == [143, 143]
    (line,) = [line for line in lines(ended) if line.startswith("Error")]
    assert line == "Error: stopped after step 3; saved in run; the same command goes on"
    both(*TRAIN, "--steps", 6, "--out", "run", "--quiet", cwd=tmp_path)
    assert done("digest", "run", cwd=tmp_path) == done("digest", "two", cwd=calm)


def test_a_state_goes_on_with_another_number_of_processes(calm, tmp_path):
    done(*TRAIN, "--steps", 2, "--out", "run", "--quiet", cwd=tmp_path)
    both(*TRAIN, "--steps", 4, "--out", "run", "--quiet", cwd=tmp_path)
    done(*TRAIN, "--steps", 6, "--out", "run", "--quiet", cwd=tmp_path)
    last = [entry for entry in entries(tmp_path / "run") if "rate" in entry]
    assert [entry["step"] for entry in last] == [2, 4, 6]
    assert close(last[-1], losses(calm / "one"))


def test_memory_that_runs_out_in_one_process_ends_all_with_one_line(tmp_path):
    def hungry(rank):
        if rank:
            torch.empty(1 << 50)

    ended = two(*TRAIN, "--steps", 6, "--out", "run", "--quiet", cwd=tmp_path, at=3, what=hungry)
    assert [one.code for one in ended] == [11, 6]
    (line,) = lines(ended)
    assert "out of memory at step 3; the last good state" in line and line.endswith("use a smaller --batch")


@pytest.mark.parametrize(
    "args, code, said",
    [
        ((*TRAIN, "--batch", 10, "--out", "run"), 2, "a batch of 10 is 5 groups of 2 pictures, which 2 proc"),
        (("train", "absent.zip", "--out", "run"), 3, "absent.zip"),
        ((*TRAIN, "--steps", 1, "--out", "held"), 7, "held is in use by process"),
    ],
    ids=["batch", "data", "lock"],
)
def test_what_cannot_start_says_so_once_and_leaves_nothing(args, code, said, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "held").mkdir()
    with (tmp_path / "held" / ".lock").open("w") as lock:  # not by hold, which its own children may enter
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = two(*args, cwd=tmp_path)
    (line,) = lines(ended)
    assert said in line and code in {one.code for one in ended} <= {code, 11}
    assert not (tmp_path / "run").exists()


def test_processes_that_do_not_find_each_other_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    code, _, said = toon(*TRAIN, "--out", "run", cwd=tmp_path)
    assert (
        code == 2 and said.startswith("Error: processes do not find each other (") and "RANK expected" in said
    )


def test_finetune_and_encode_prepare_look_and_print_once(tmp_path):
    done(*TRAIN, "--steps", 1, "--out", "faces", "--quiet", cwd=tmp_path)
    drawings(tmp_path / "mine", 9)
    args = (
        "finetune",
        "--target",
        "mine",
        "--source",
        "faces",
        "--batch",
        8,
        "--steps",
        2,
        "--device",
        "cpu",
    )
    for resume in ("auto", "never"):  # never: made again by the first alone
        first, second = both(*args, "--resume", resume, cwd=tmp_path)
        assert first.out.split() == [f"runs/mine/{name}.safetensors" for name in ("best", "last")]
        assert second.out == "" == second.err and "mine: 9 pictures" in first.err
        assert (tmp_path / "runs/mine/report.html").is_file()
    plan, silent = both(*args, "--dry-run", "--json", "--out", "no", cwd=tmp_path)
    assert json.loads(plan.out)["pictures"] == 9 and silent.out == "" and not (tmp_path / "no").exists()
    args = (
        "train-encoder",
        FACES,
        "--source",
        "faces",
        "--batch",
        8,
        "--steps",
        2,
        "--device",
        "cpu",
        "--quiet",
    )
    both(*args, "--out", "e2", cwd=tmp_path)
    done(*args, "--out", "e1", cwd=tmp_path)
    assert close(losses(tmp_path / "e2"), losses(tmp_path / "e1"))
    ended = two(*args[:-5], "--batch", 2, "--out", "no", cwd=tmp_path)
    assert [one.code for one in ended] == [2, 2] and len(lines(ended)) == 1


def test_an_upscaler_of_two_processes_is_that_of_one(tmp_path):
    args = ("train-upscaler", FACES, "--patch", 32, "--batch", 3, "--steps", 2, "--device", "cpu", "--quiet")
    both(*args, "--out", "u2", cwd=tmp_path)
    done(*args, "--out", "u1", cwd=tmp_path)
    assert close(losses(tmp_path / "u2"), losses(tmp_path / "u1"))
    ended = two(*args[:4], "--batch", 1, "--out", "no", cwd=tmp_path)
    assert [one.code for one in ended] == [2, 2] and len(lines(ended)) == 1


@pytest.mark.slow
def test_what_a_person_sees_of_a_killed_process_under_torchrun(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m",
               "stylegan_toon.cli", *map(str, TRAIN), "--out", "run", "--steps", "100000"]  # fmt: skip
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=pipe, stderr=pipe, text=True) as agent:
        end = time.monotonic() + 300
        while not (tmp_path / "run" / "state" / "00000004.safetensors").exists() and time.monotonic() < end:
            assert agent.poll() is None, agent.communicate()
            time.sleep(0.05)
        holder = int((tmp_path / "run" / ".lock").read_text().split()[0])
        children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
        (other,) = {int(pid) for pid in children} - {holder}
        os.kill(other, signal.SIGKILL)
        _, errors = agent.communicate(timeout=60)
    assert agent.returncode == 1
    said = [line for line in errors.replace("\r", "\n").splitlines() if "Error: another" in line]
    assert len(said) == 1 and "the last good state is run/state/" in said[0], errors
    assert re.search(r"exitcode *: 11 ", errors), errors
    assert newest_state(tmp_path / "run") is not None
    assert toon("digest", "run", cwd=tmp_path)[0] == 0
