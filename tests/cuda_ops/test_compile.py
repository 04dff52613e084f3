"""python -m cuda_ops.compile: with nvcc it compiles the kernels, without it says so in one line."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from cuda_ops._build import CSRC
from cuda_ops.compile import Kernel, compile_kernels, main, parse_ptxas

NVCC = shutil.which("nvcc")
PTXAS = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z3fooIdEv' for 'sm_80'
ptxas info    : Function properties for _Z3fooIdEv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 30 registers, used 0 barriers, 464 bytes cmem[0]
ptxas info    : Compile time = 12.3 ms
ptxas info    : Compiling entry function '_Z3barv' for 'sm_90'
ptxas info    : Function properties for _Z3barv
    16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers
"""


def test_the_report_of_ptxas_is_understood():
    assert parse_ptxas(PTXAS) == [Kernel("_Z3fooIdEv", "80", 30, 0, 0), Kernel("_Z3barv", "90", 255, 12, 16)]


@pytest.mark.slow
@pytest.mark.skipif(NVCC is None, reason="needs nvcc")
def test_every_kernel_compiles_for_sm_80_and_sm_90_without_spills(tmp_path, capsys):
    report = tmp_path / "ptxas.txt"
    assert main(["--report", str(report)]) == 0
    kernels = parse_ptxas(report.read_text())
    assert {kernel.arch for kernel in kernels} == {"80", "90"}
    assert sum(kernel.spills + kernel.stack for kernel in kernels) == 0
    # 128 threads a block: 5 blocks or more a processor, 4 of float64, which nobody waits for
    assert max(kernel.registers for kernel in kernels) <= 112
    assert max(kernel.registers for kernel in kernels if "wardId" not in kernel.name) <= 96
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.skipif(NVCC is None, reason="needs nvcc")
def test_a_source_that_does_not_compile_is_reported(tmp_path):
    source = tmp_path / "broken.cu"
    source.write_text(f'#include "{CSRC}/common.h"\n__global__ void broken() {{ missing(); }}\n')
    status, text = compile_kernels(["90"], [source])
    assert status != 0 and "missing" in text


def test_without_nvcc_it_says_so_in_one_line(tmp_path):
    home = {"CUDA_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    command = [sys.executable, "-m", "cuda_ops.compile", "--report", str(tmp_path / "ptxas.txt")]
    done = subprocess.run(command, env=os.environ | home, capture_output=True, text=True)
    assert done.returncode == 5
    wanted = f"cuda_ops: not compiled: there is no CUDA compiler (nvcc) in CUDA_HOME={tmp_path}\n"
    assert (done.stdout, done.stderr) == ("", wanted)


@pytest.mark.skipif(torch.cuda.is_available() or not shutil.which("bash"), reason="needs bash and no GPU")
def test_the_gpu_check_says_that_there_is_no_gpu(tmp_path):
    script, out = CSRC.parent.parent / "tools" / "gpu_check.sh", tmp_path / "out"
    env = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(["bash", str(script), str(out)], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, out.exists()) == (5, "", False)
    assert done.stderr == "gpu_check: PyTorch finds no CUDA device here; see stylegan-toon doctor\n"
