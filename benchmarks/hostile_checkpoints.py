"""Give `stylegan-toon convert` model files that are made to do harm, and mutations of good ones; prints JSON.

python benchmarks/hostile_checkpoints.py [--count 5000] [--seed 0] [--every 1] [--only LAYOUT] [--memory]

Every file must end in one line on standard error and exit code 4 (a mutated foreign file may also be read, as
nothing tells a changed number from another), within 20 s and 1.5 GB, without running code, opening a socket,
importing, or writing anywhere but to the output folder. An audit hook watches. --memory measures instead
what large good files take, in sizes of the file. The exit code is 0 if all held. (Two runs of one seed are
not equal to the byte: torch's legacy format holds addresses.)
"""

import argparse
import contextlib
import encodings.cp437  # of names in zips; loaded when first met, which the hook would see
import encodings.unicode_escape  # noqa: F401 - of error lines, likewise
import io
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from stylegan_toon.cli import cli  # noqa: E402
from stylegan_toon.cli.common import ENVIRONMENT, run  # noqa: E402
from tests.checkpoint import hostile, nvidia_file  # noqa: E402

SECONDS, BYTES = 20, 1500 << 20
RUNS_CODE = (
    "exec", "compile", "import", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.startfile",
    "os.spawn", "pty.spawn", "subprocess.Popen", "socket.", "ctypes.", "pickle.find_class", "marshal.",
    "code.", "function.", "urllib.", "ftplib.", "http.", "webbrowser.", "shutil.",
    "os.chmod", "os.chown", "os.kill",
)  # fmt: skip
WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
events: list[str] = []
watching: Path | None = None


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook: notes what no model file may cause."""
    if watching is None:
        return
    if event.startswith(RUNS_CODE):
        events.append(f"{event} {str(arguments)[:80]}")
    elif event in WRITES or (event == "open" and writing(arguments)):
        for path in arguments[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
            if isinstance(path, str | bytes) and not Path(os.fsdecode(path)).absolute().is_relative_to(
                watching
            ):
                events.append(f"{event} {os.fsdecode(path)[:80]}")


def writing(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    return bool(set(mode or "") & set("wax+")) or bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def too_slow(number: int, frame: Any) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def peak(reset: bool = False) -> int:
    """The most bytes of memory this process has had since it was reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) << 10


def attempt(data: bytes, folder: Path) -> tuple[int, list[str], float]:
    """Convert a file of these bytes: the exit code, what was wrong about it, the seconds."""
    global watching
    source, out = folder / "in" / "model.bin", folder / "out"
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(data)
    said, printed = io.StringIO(), io.StringIO()
    events.clear()
    before = peak(reset=True)
    start = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    watching = out
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
            code = run(
                cli, ["convert", str(source), str(out / "a.safetensors")], "stylegan-toon", ENVIRONMENT
            )
    finally:
        watching = None
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = time.process_time() - start
    wrong = [*events]
    line = said.getvalue()
    if code == 4 and not (line.count("\n") == 1 and len(line) <= 201 and line[:-1].isprintable()):
        wrong.append(f"not one line: {line[:300]!r}")
    if code == 4 and (printed.getvalue() or (out.exists() and any(out.iterdir()))):
        wrong.append("something was written or printed")
    if code not in (0, 4):
        wrong.append(f"exit code {code}: {line[:300]!r}")
    if (grown := peak() - before) > max(BYTES, 3 * len(data)):
        wrong.append(f"{grown >> 20} MB of memory")
    for made in out.iterdir() if out.exists() else []:
        made.unlink()
    return code, wrong, seconds


def campaign(folder: Path, count: int, seed: int, every: int, only: str | None) -> dict[str, Any]:
    marker = folder / "ran"
    good = hostile.good()
    for data in (*good.values(), *(data[: len(data) // 2] for data in good.values()), *good.values()):
        attempt(data, folder)  # imports what a conversion imports, so that later imports are seen
    for name, data in good.items():
        code, wrong, _ = attempt(data, folder)
        if code or wrong:
            raise SystemExit(f"the good file {name} was not read: exit code {code}, {wrong}")
    results: dict[str, Any] = {"cases": 0, "payloads": 0, "mutations": 0, "seed": seed}
    failures, codes, slowest = [], Counter[str](), (0.0, "")

    def one(kind: str, name: str, data: bytes, may_be_read: bool) -> None:
        nonlocal slowest
        code, wrong, seconds = attempt(data, folder)
        slowest = max(slowest, (round(seconds, 2), name))
        codes[f"{kind} {code}"] += 1
        if code == 0 and not may_be_read:
            wrong.append("was read")
        if marker.exists():
            wrong.append("its payload ran")
            marker.unlink()
        failures.extend(f"{name}: {what}" for what in wrong)

    for name, data in itertools.islice(hostile.cases(str(marker)), 0, None if every else 0, every or 1):
        results["cases"] += 1
        results["payloads"] += name.startswith("payload")
        one("cases", name, data, False)
    kinds, draw = [only] if only else sorted(good), random.Random(seed)
    for i in range(count):
        kind, other = kinds[i % len(kinds)], draw.choice(sorted(good))
        data = good[kind]
        while data == good[kind]:  # a mutation may write what was there
            data = hostile.mutate(good[kind], good[other], draw)
        results["mutations"] += 1
        one(f"mutated {kind}", f"mutation {i} of {kind}", data, kind != "own")
    return {
        **results, "codes": dict(sorted(codes.items())), "slowest_s": slowest,
        "peak_mb": peak() >> 20, "failures": failures,
    }  # fmt: skip


def memory(folder: Path) -> dict[str, Any]:
    """What reading large good files takes above what the process had before, in sizes of the file."""
    import torch

    from stylegan_toon.pipelines.convert import convert
    from tests.stylegan2 import reference

    channels = [256, 256, 256, 256, 128, 64]
    g, d = reference.generator_state(channels, 256, 4), reference.discriminator_state(channels)
    theirs = {
        "G": nvidia_file.generator(g),
        "G_ema": nvidia_file.generator(g),
        "D": nvidia_file.discriminator(d),
    }
    (folder / "nvidia.pkl").write_bytes(nvidia_file.dump(theirs))
    mine = {"g": g, "g_ema": {key: value.clone() for key, value in g.items()}, "d": d}
    for name, new in (("ros-zip.pt", True), ("ros-legacy.pt", False)):
        torch.save(mine, folder / name, _use_new_zipfile_serialization=new)
    del g, d, theirs, mine
    convert(folder / "ros-zip.pt", folder / "own.safetensors")
    found = {}
    for name in ("nvidia.pkl", "ros-zip.pt", "ros-legacy.pt", "own.safetensors"):
        command = [sys.executable, __file__, "--memory-of", str(folder / name)]
        taken = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        size = (folder / name).stat().st_size
        found[name] = {"mb": round(size / 1e6, 1), "times": round(taken / size, 2)}
    most = max(row["times"] for row in found.values())
    return {"memory": found, "failures": [] if most <= 3 else [f"{most} times the file"]}


def memory_of(path: Path) -> int:
    """The bytes that converting a file takes in this process, above what it has before."""
    from stylegan_toon.pipelines.convert import convert

    os.chdir(path.parent)
    for name, data in hostile.good().items():  # loads the parts of torch that a conversion needs
        Path(name).write_bytes(data)
        convert(name, "small.safetensors")
    before = peak(reset=True)
    convert(path, "out.safetensors")
    return peak() - before


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=5000, help="mutations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="take each Nth of the made files; 0 takes none")
    parser.add_argument(
        "--only",
        choices=("arcface", "e4e", "nvidia", "own", "ros-legacy", "ros-zip"),
        help="mutate this layout",
    )
    parser.add_argument(
        "--memory", action="store_true", help="measure the memory of large good files instead"
    )
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(memory_of(options.memory_of))
        return 0
    sys.addaudithook(watch)
    signal.signal(signal.SIGPROF, too_slow)
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            root = Path(folder).resolve()
            report = (
                memory(root)
                if options.memory
                else campaign(root, options.count, options.seed, options.every, options.only)
            )
        finally:
            os.chdir(here)
    print(json.dumps(report, indent=1))
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
