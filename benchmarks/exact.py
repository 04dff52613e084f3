"""Are the bytes the same whatever the threads, the batch and the instruction set? With --exact and without.

    python benchmarks/exact.py PHOTOS... [--refine N] [--seeds 0-15] [--cases 18] [--mode both] [--out FILE]

Every case is a process of its own, which runs `toonify` over all photos, then `generate`: 1 and 2 threads, by
batches of 1, 4 and 16, by three instruction sets. The first six hold each of these values twice or more.
Printed are, a case a line, the digest of all pictures' pixels, and how many bytes differ from those of the
first case; then how much slower --exact was, in CPU seconds of the cases of one thread, so that other work on
the machine matters less (the load at both ends is noted). Exits with 1 if --exact gave two digests,
or if without it a byte was more than one grey level off, or more than 0.1 % of bytes.
"""

import argparse
import hashlib
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
NUMPY = ",".join(np._core._multiarray_umath.__cpu_dispatch__)  # what is not of its baseline
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
SSE = {
    "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "NPY_DISABLE_CPU_FEATURES": NUMPY, "OPENBLAS_CORETYPE": "Nehalem", "JSIMD_FORCENONE": "1",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX,-FMA,-FMA4,-AVX512F",
}  # fmt: skip
INSTRUCTIONS: dict[str, dict[str, str]] = {"native": {}, "AVX2": AVX2, "oldest": SSE}
FIRST = (  # threads, batch, instructions
    (1, 1, "native"),
    (2, 16, "oldest"),
    (1, 4, "AVX2"),
    (2, 4, "native"),
    (1, 16, "oldest"),
    (2, 1, "AVX2"),
)
EVERY = itertools.product((1, 2), (1, 4, 16), INSTRUCTIONS)
CASES = (*FIRST, *(case for case in EVERY if case not in FIRST))


WORKER = """
import json, sys
from stylegan_toon.cli import cli
from stylegan_toon.cli.common import run
sys.exit(max(run(cli, args, "stylegan-toon", "STYLEGAN_TOON") for args in json.loads(sys.argv[1])))
"""


def draw(photos: list[str], out: Path, case: tuple, exact: bool, args: argparse.Namespace) -> float:
    """Run both commands in a case; returns their CPU seconds."""
    threads, batch, instructions = case
    # Waiting threads sleep: they spin for ever where something else has the core.
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    env |= INSTRUCTIONS[instructions]
    more = ["--out", str(out), "--batch", str(batch), "--quiet", "--device", "cpu", *["--exact"] * exact]
    models = ["--style", args.style, "--source", args.source]
    commands = [
        ["toonify", *photos, *models, "--refine-steps", str(args.refine), *more],
        ["generate", args.style, "--seeds", args.seeds, "--noise", "random", *more],
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", WORKER, json.dumps(commands)],
        env={**env, "PYTHONPATH": str(ROOT)}, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def pixels(folder: Path) -> dict[str, np.ndarray]:
    """Every picture below a folder."""
    files = sorted(folder.rglob("*.png"))
    return {str(file.relative_to(folder)): np.asarray(Image.open(file), np.int16) for file in files}


def digest(pictures: dict[str, np.ndarray]) -> str:
    total = hashlib.sha256()
    for name, values in pictures.items():
        total.update(f"{name} {values.shape}".encode() + values.astype(np.uint8).tobytes())
    return total.hexdigest()


def compare(photos: list[str], exact: bool, args: argparse.Namespace) -> dict:
    """All cases of one mode."""
    rows, first = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(CASES[: args.cases]):
            out = Path(folder) / str(number)
            seconds = draw(photos, out, case, exact, args)
            now = pixels(out)
            first = first or now
            gaps = {name: np.abs(now[name] - values) for name, values in first.items()}
            row = {
                "threads": case[0], "batch": case[1], "instructions": case[2], "digest": digest(now)[:16],
                "differing": sum(int((gap > 0).sum()) for gap in gaps.values()),
                "of": sum(gap.size for gap in gaps.values()),
                "worst_picture": max(float((gap > 0).mean()) for gap in gaps.values()),
                "most": max(int(gap.max()) for gap in gaps.values()), "cpu_seconds": round(seconds, 2),
            }  # fmt: skip
            rows.append(row)
            print(
                f"{'exact' if exact else 'default'}  " + "  ".join(f"{k} {v}" for k, v in row.items()),
                flush=True,
            )
    return {"cases": rows, "digests": len({row["digest"] for row in rows})}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--refine", type=int, default=0, help="steps of optimisation")
    parser.add_argument("--seeds", default="0-15")
    parser.add_argument("--style", default="storybook")
    parser.add_argument("--source", default="faces")
    parser.add_argument("--cases", type=int, default=len(CASES))
    parser.add_argument("--mode", choices=("exact", "default", "both"), default="both")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    wanted = ("exact", "default") if args.mode == "both" else (args.mode,)
    result = {
        "date": time.strftime("%F"), "cores": os.cpu_count(),
        **{name: version(name) for name in ("torch", "numpy", "pillow")},
        "photos": len(args.photos), "refine": args.refine, "seeds": args.seeds,
        "load_before": round(os.getloadavg()[0], 2),
    }  # fmt: skip
    result |= {mode: compare(args.photos, mode == "exact", args) for mode in wanted}
    good = True
    if "exact" in wanted:
        good = result["exact"]["digests"] == 1
        print(f"--exact: {result['exact']['digests']} digest(s)")
    if "default" in wanted:
        rows = result["default"]["cases"]
        result["share"] = max(row["differing"] / row["of"] for row in rows)
        result["most"] = max(row["most"] for row in rows)
        good = good and result["most"] <= 1 and result["share"] <= 0.001
        print(f"without: at most {result['most']} grey levels in at most {result['share']:.5%} of bytes")
    if len(wanted) == 2:
        exact, plain = (
            sum(row["cpu_seconds"] for row in result[mode]["cases"] if row["threads"] == 1) for mode in wanted
        )
        result["slower"] = round(exact / plain, 2)
        print(f"--exact took {result['slower']} times the CPU seconds")
    result["load_after"] = round(os.getloadavg()[0], 2)
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
