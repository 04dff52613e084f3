"""Seeded mutations of good pictures or archives through the readers, as JSON.

    python benchmarks/hostile_files.py pictures --count 20000 --seed 1
    python benchmarks/hostile_files.py archives --count 2000 --seed 1
    python benchmarks/hostile_files.py memory         # the largest pictures that are read, of every mode

Mutation i depends on seed and i alone. Workers read 2,000 in a row each, so that one that crashes is counted
and named; a slice goes through the command line (prepare). What must be 0 stands under "wrong".
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from stylegan_toon import archives, images  # noqa: E402
from stylegan_toon.errors import InputError  # noqa: E402
from tests.hostile import archives as hostile_archives  # noqa: E402
from tests.hostile import pictures as hostile_pictures  # noqa: E402
from tests.hostile.watch import watched  # noqa: E402

BLOCK = 2000
SLOW = 20.0  # seconds
MODES = ("RGB", "RGBA", "LA", "P", "I;16", "F", "CMYK")
DEFLATE = {"compression": "tiff_adobe_deflate"}


def mutation(seeds: list[bytes], seed: int, i: int) -> bytes:
    """The bytes of mutation i."""
    return hostile_pictures.mutated(seeds[i % len(seeds)], np.random.default_rng([seed, i]))


def seeds_of(what: str) -> list[bytes]:
    """The good files that are mutated."""
    return (hostile_pictures if what == "pictures" else hostile_archives).seeds()


def outcome(what: str, data: bytes, path: Path) -> str:
    """read, refused, or what went wrong."""
    try:
        if what == "pictures":
            images.read_image(data, "a.png")
            return "read"
        path.write_bytes(data)
        found = [one_member(read) for _, read in archives.pictures(path)]
        return next((one for one in found if one not in ("read", "refused")), "read")
    except InputError as error:
        return "refused" if len(str(error)) <= 200 and str(error).isprintable() else "not one line"
    except Exception as error:
        return type(error).__name__


def one_member(read: archives.Read) -> str:
    """As outcome, of one member of an archive."""
    try:
        images.read_image(read(), "a member")
        return "read"
    except InputError as error:
        return "refused" if len(str(error)) <= 200 and str(error).isprintable() else "not one line"


def work(what: str, seed: int, first: int, last: int) -> None:
    """Read mutations first to last - 1, and print what became of them."""
    seeds, outcomes, slowest = seeds_of(what), Counter[str](), 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        for data in seeds:  # imports what is imported late
            outcome(what, data, path)
        before = peak_mib()
        with watched(Path(folder)) as seen:
            for i in range(first, last):
                began = time.process_time()
                outcomes[outcome(what, mutation(seeds, seed, i), path)] += 1
                slowest = max(slowest, time.process_time() - began)
        left = len(list(Path(folder).iterdir())) - path.exists()
    about = {"slowest_cpu_s": slowest, "peak_mib": peak_mib(), "before_mib": before}
    print(json.dumps({"outcomes": outcomes, "events": seen[:9], "files_left": left, **about}))


def largest(mode: str) -> dict[str, object]:
    """Read a blank picture of nearly 64 million pixels, and say what it took."""
    kind, settings = ("PNG", {}) if mode in ("RGB", "RGBA", "LA", "P", "I;16") else ("TIFF", DEFLATE)
    file = io.BytesIO()
    Image.new(mode, (7900, 7900)).save(file, kind, **settings)
    began = time.process_time()
    images.read_image(file.getvalue(), mode)
    return {"mode": mode, "cpu_s": round(time.process_time() - began, 2), "peak_mib": round(peak_mib())}


def peak_mib() -> float:
    """The most memory this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, on a Mac bytes
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def through_command_line(what: str, seed: int, count: int) -> dict[str, int]:
    """Mutations through prepare: calls, and those that did not end as they should."""
    seeds, wrong, calls = seeds_of(what), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "in" / f"{i:05d}.png" for i in range(count)]
        paths[0].parent.mkdir()
        for i, path in enumerate(paths):
            path.write_bytes(mutation(seeds, seed, i))
        for source in [paths[0].parent] if what == "pictures" else paths:
            out = Path(folder) / "out.zip"
            command = [sys.executable, "-m", "stylegan_toon.cli", "prepare", str(source), str(out)]
            options = ["--no-align", "--size", "8", "--quiet"]
            done = subprocess.run(command + options, capture_output=True, text=True, cwd=ROOT)
            lines = done.stderr.splitlines()
            fine = done.returncode in (0, 3) and out.exists() == (done.returncode == 0)
            fine &= all(line.startswith("Error: ") and len(line) <= 200 for line in lines)
            if out.exists():
                fine &= zipfile.ZipFile(out).testzip() is None
                out.unlink()
            calls, wrong = calls + 1, wrong + (not fine)
        wrong += {entry.name for entry in Path(folder).iterdir()} != {"in"}
    return {"calls": calls, "wrong": wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["pictures", "archives", "memory"])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--command-line", type=int, default=20, help="Mutations that go through prepare too.")
    parser.add_argument("--mode", help=argparse.SUPPRESS)
    parser.add_argument("--block", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mode:
        print(json.dumps(largest(options.mode)))
        return
    if options.what == "memory":
        for mode in MODES:
            subprocess.run([sys.executable, __file__, "memory", "--mode", mode], check=True)
        return
    if options.block:
        work(options.what, options.seed, *options.block)
        return
    outcomes, events, wrong, blocks = Counter[str](), [], Counter[str](), []
    for first in range(0, options.count, BLOCK):
        last = min(options.count, first + BLOCK)
        block = ["--seed", str(options.seed), "--block", str(first), str(last)]
        try:
            command = [sys.executable, __file__, options.what, *block]
            done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
        except subprocess.TimeoutExpired:
            wrong[f"hang in {first} to {last}"] += 1
            continue
        if done.returncode:
            wrong[f"crash {done.returncode} in {first} to {last}: {done.stderr[-200:]}"] += 1
            continue
        blocks.append(json.loads(done.stdout))
        outcomes.update(blocks[-1]["outcomes"])
        events += blocks[-1]["events"]
        wrong["lines on stderr"] += len(done.stderr.splitlines())
        wrong["files left"] += blocks[-1]["files_left"]
    for name, number in outcomes.items():
        if name not in ("read", "refused"):
            wrong[name] += number
    slowest = max(block["slowest_cpu_s"] for block in blocks)
    wrong["over 20 s"] += slowest > SLOW
    wrong["events"] += len(events)
    line = through_command_line(options.what, options.seed, min(options.count, options.command_line))
    wrong["through the command line"] += line["wrong"]
    result = {
        "what": options.what,
        "count": options.count,
        "seed": options.seed,
        "read": outcomes["read"],
        "refused": outcomes["refused"],
        "wrong": {name: number for name, number in wrong.items() if number},
        "events": events[:5],
        "slowest_cpu_s": round(slowest, 2),
        "peak_mib": round(max(block["peak_mib"] for block in blocks)),
        "of_which_before_mib": round(max(block["before_mib"] for block in blocks)),
        "command_line_calls": line["calls"],
    }
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["wrong"] else 0)


if __name__ == "__main__":
    main()
