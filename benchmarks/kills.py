"""Kill a training run with SIGKILL again and again, go on with the same command, and compare; prints JSON.

python benchmarks/kills.py [--kills 50] [--inside 20] [--seed 0] [--steps 8] [--size 16]

Every run is the command line in a forked process. A kill inside a save falls before or after one of the calls
(open, write, flush, fsync, close, replace, unlink, mkdir) that saving a state makes, counted by a profile
function that only this script sets; any other falls after a random time. A run is killed one to four times,
then left alone, and must end as one that was never killed: the digest of its state (networks, average,
optimisers, path length, ADA, step) and those of its best and last models. Exits with 1 if one does not.
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from stylegan_toon.checkpoint.format import load
from stylegan_toon.cli import cli
from stylegan_toon.cli.common import ENVIRONMENT, run
from stylegan_toon.training import loop
from stylegan_toon.training.state import open_newest, state_digest, states

CALLS = {"open", "write", "flush", "fsync", "close", "replace", "unlink", "mkdir"}
FACES = Path(__file__).parents[1] / "tests" / "fixtures" / "faces16.zip"
OPTIONS = (
    "--w-dim 8 --mapping-layers 2 --batch 4 --device cpu --noise --seed 7 "
    "--path-length 2 --mixing 0.9 --ada-images 100 --save-every 2 --look-every 3 --quiet"
)


def train(out: Path, steps: int, size: int) -> int:
    """The command, in this process; returns its exit code."""
    shape = ["--resolution", str(size), "--channels", ",".join("4" for _ in range(2, size.bit_length()))]
    args = ["train", str(FACES), "--out", str(out), "--steps", str(steps), *shape, *OPTIONS.split()]
    with contextlib.redirect_stdout(io.StringIO()):
        return run(cli, args, "stylegan-toon", ENVIRONMENT)


def forked(work: Callable[[], int]) -> int:
    """The pid of a process that does work and exits with what it returns."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        os._exit(work())
    finally:
        os._exit(99)


def in_save(reached: Callable[[str], None]) -> None:
    """Have reached called, with its name, before and after each of CALLS that saving a state makes."""
    depth = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal depth
        if frame.f_code is loop.save_state.__code__:
            depth += {"call": 1, "return": -1}.get(event, 0)
        if depth and event in ("c_call", "c_return") and argument.__name__ in CALLS:
            reached(f"{event} {argument.__name__}")

    sys.setprofile(profile)


def killing(name: str, at: int) -> Callable[[str], None]:
    """A function that kills this process when it is called with name for the at-th time."""
    left = at

    def reached(found: str) -> None:
        nonlocal left
        left -= found == name
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached


def count_moments(out: Path, steps: int, size: int) -> dict[str, int]:
    """How often in_save meets each name in a whole run."""
    reader, writer = os.pipe()

    def work() -> int:
        found: Counter[str] = Counter()
        in_save(lambda name: found.update([name]))
        code = train(out, steps, size)
        sys.setprofile(None)
        os.write(writer, json.dumps(found).encode())
        return code

    _, status = os.waitpid(forked(work), 0)
    assert status == 0, f"the undisturbed run ended with {status}"
    found: dict[str, int] = json.loads(os.read(reader, 4096))
    return found


def outcome(out: Path) -> dict[str, str]:
    """Digests of the newest state and of the models of a run."""
    found = {"state": state_digest(open_newest(out)[1])}
    for name in ("best", "best.discriminator", "last", "last.discriminator"):
        file = load(out / f"{name}.safetensors")
        found[name] = state_digest(file) + str(file.meta["step"])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--inside", type=int, help="How many of them inside a save. Default: two fifths.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--size", type=int, default=16, help="Pixels; from 32 on the best model is judged.")
    options = parser.parse_args()
    how = (options.steps, options.size)
    torch.set_num_threads(1)
    for name in ("cli.train", "pipelines.train", "images"):  # what a run imports: once, not in every fork
        importlib.import_module(f"stylegan_toon.{name}")
    chance, began = random.Random(options.seed), time.monotonic()
    inside = options.kills * 2 // 5 if options.inside is None else options.inside
    kinds = [True] * inside + [False] * (options.kills - inside)
    chance.shuffle(kinds)
    report: dict[str, Any] = {"kills": 0, "inside_save": 0, "left_unfinished": 0, "runs": 0, "equal": 0}
    report["wrong"] = []
    with tempfile.TemporaryDirectory() as folder:
        calm = Path(folder) / "calm"
        start = time.monotonic()
        moments = count_moments(calm, *how)
        seconds = time.monotonic() - start
        wanted = outcome(calm)
        report |= {"moments_in_saves": moments, "digest": wanted["state"]}
        while kinds:
            out = Path(folder) / f"run{report['runs']}"
            for _ in range(min(chance.randint(1, 4), len(kinds))):
                if kinds[-1]:
                    name = chance.choice(sorted(moments))
                    kill = killing(name, chance.randint(1, moments[name]))
                    pid = forked(lambda kill=kill, out=out: (in_save(kill), train(out, *how))[1])
                else:
                    pid = forked(lambda out=out: train(out, *how))
                    time.sleep(chance.uniform(0, seconds))
                    os.kill(pid, signal.SIGKILL)
                _, status = os.waitpid(pid, 0)
                if os.WIFSIGNALED(status):  # else it was done before the moment came: no kill
                    report["kills"] += 1
                    report["inside_save"] += kinds.pop()
                    report["left_unfinished"] += bool([*out.glob("**/.*.part")])
            _, status = os.waitpid(forked(lambda out=out: train(out, *how)), 0)
            got = outcome(out) if status == 0 else {}
            wrong = [name for name in wanted if got.get(name) != wanted[name]]
            wrong += [f"{len(states(out))} states"] if len(states(out)) != 2 else []
            wrong += [path.name for path in out.glob("**/.*.part")]
            report["runs"] += 1
            report["equal"] += not wrong
            report["wrong"] += [wrong] if wrong else []
    report["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(report, indent=1))
    return int(report["equal"] != report["runs"])


if __name__ == "__main__":
    sys.exit(main())
