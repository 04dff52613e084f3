"""python -m cuda_ops.compile: do the kernels compile, and what do they cost? Needs nvcc, but no GPU.

The report of ptxas (registers, spills and stack of every kernel) is kept in a file; the last line sums it up.
Exit codes: 0 all compiled, 1 a kernel did not, 5 no nvcc here.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cuda_ops._build import CSRC, CUDA_FLAGS, find_nvcc, first_error
from cuda_ops._dispatch import KernelUnavailableError

ARCHS = ("80", "90")


@dataclass(frozen=True)
class Kernel:
    """What ptxas says of one kernel for one architecture; bytes of spills and stack."""

    name: str
    arch: str
    registers: int
    spills: int
    stack: int


def parse_ptxas(text: str) -> list[Kernel]:
    """The kernels of an nvcc -Xptxas -v report, in its order."""
    pattern = re.compile(
        r"Compiling entry function '(?P<name>\w+)' for 'sm_(?P<arch>\w+)'.*?"
        r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
        r"(?P<loads>\d+) bytes spill loads.*?"
        r"Used (?P<registers>\d+) registers",
        re.DOTALL,
    )
    return [
        Kernel(m["name"], m["arch"], int(m["registers"]), int(m["stores"]) + int(m["loads"]), int(m["stack"]))
        for m in pattern.finditer(text)
    ]


def compile_kernels(archs: Sequence[str] = ARCHS, sources: Sequence[Path] | None = None) -> tuple[int, str]:
    """Compile every .cu for archs, side by side; returns the worst exit status and all that nvcc said.

    Raises: KernelUnavailableError if there is no nvcc.
    """
    nvcc = find_nvcc()
    gencode = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in archs]
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for source in sources or sorted(CSRC.glob("*.cu")):
            out = ["-Xptxas=-v", "-c", str(source), "-o", str(Path(folder) / f"{source.stem}.o")]
            command = [nvcc, "-std=c++17", *CUDA_FLAGS, *gencode, f"-I{CSRC}", *out]
            running.append(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            )
        texts = [child.communicate()[0] for child in running]
    return max(abs(child.returncode) for child in running), "".join(texts)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m cuda_ops.compile", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--arch", nargs="+", default=ARCHS, help="compute capabilities; default: 80 90")
    parser.add_argument(
        "--report", type=Path, default=Path("build/ptxas.txt"), help="where ptxas's report goes"
    )
    options = parser.parse_args(argv)
    try:
        status, text = compile_kernels(options.arch)
    except KernelUnavailableError as error:
        print(f"cuda_ops: not compiled: {error}", file=sys.stderr)
        return 5
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(text, encoding="utf-8")
    if status != 0:
        print(f"cuda_ops: {first_error(text)} (report: {options.report})", file=sys.stderr)
        return 1
    kernels = parse_ptxas(text)
    worst = max(kernels, key=lambda kernel: kernel.registers)
    spills = sum(kernel.spills for kernel in kernels)
    print(
        f"{len(kernels)} kernels for sm_{', sm_'.join(options.arch)}: at most {worst.registers} registers "
        f"({worst.name}), {spills} bytes spilled; report: {options.report}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
