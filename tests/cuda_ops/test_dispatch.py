"""TOON_OPS, and what happens where there is no kernel: real conditions, in processes of their own."""

import os
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from cuda_ops import KernelUnavailableError, fused_bias_act, setup_filter, upfirdn2d
from cuda_ops._dispatch import kernels

CPU, X = torch.device("cpu"), torch.zeros(2, 3, 8, 8)


def run(code, **env):
    paths = os.pathsep.join(p or "." for p in sys.path)
    env = os.environ | {"PYTHONPATH": paths} | env
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


@pytest.mark.parametrize("mode", ["auto", "reference"])
def test_the_cpu_runs_the_reference_without_a_word(mode, monkeypatch, caplog):
    monkeypatch.setenv("TOON_OPS", mode)
    assert kernels(CPU, torch.float32) is None
    x = torch.ones(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    y = upfirdn2d(fused_bias_act(x, torch.ones(1), 0.2, 1.0), torch.ones(1, 1), up=2, pad=(0, 0))
    (dx,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert_close((y.sum().item(), dx.sum().item()), (8.0, 4.0))
    assert caplog.text == ""


def test_asking_for_kernels_on_the_cpu_is_an_error(monkeypatch):
    monkeypatch.setenv("TOON_OPS", "cuda")
    for call in (lambda: fused_bias_act(X), lambda: upfirdn2d(X, setup_filter())):
        with pytest.raises(KernelUnavailableError, match="TOON_OPS=cuda, but the tensor is on cpu"):
            call()


def test_an_unknown_mode_is_answered_with_the_known_ones(monkeypatch):
    monkeypatch.setenv("TOON_OPS", "fast")
    with pytest.raises(ValueError, match="TOON_OPS must be one of auto, reference, native, cuda, not 'fast'"):
        fused_bias_act(X)


def test_a_dtype_without_a_kernel_is_named(monkeypatch):
    monkeypatch.setenv("TOON_OPS", "cuda")
    with pytest.raises(KernelUnavailableError, match=r"no kernel takes torch.int32"):
        kernels(torch.device("cuda"), torch.int32)


# With an empty CUDA_HOME no kernel can be built, with or without a GPU, whatever torch was built for. The
# calls ask what pictures on a GPU would run, since not every machine that runs the tests has one.
ASK = """
import torch
from cuda_ops import _dispatch
ask = lambda: _dispatch.kernels(torch.device("cuda"), torch.half)
"""


def test_a_failed_build_warns_once_in_one_line_and_falls_back(tmp_path):
    home = {"CUDA_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = run(ASK + "print(ask(), ask(), ask())", TOON_OPS="auto", **home)
    assert (done.returncode, done.stdout) == (0, "None None None\n")
    (line,) = done.stderr.splitlines()
    assert line.startswith("cuda_ops: running the PyTorch reference, because ") and len(line) <= 200


def test_a_failed_build_is_an_error_where_kernels_are_demanded(tmp_path):
    home = {"CUDA_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = run(ASK + "ask()", TOON_OPS="cuda", **home)
    assert done.returncode == 1
    assert "KernelUnavailableError: TOON_OPS=cuda, but " in done.stderr.splitlines()[-1]


def test_availability_has_a_reason(tmp_path):
    code = "import cuda_ops; print(cuda_ops.available(), cuda_ops.unavailable_reason())"
    assert run(code, TOON_OPS="reference").stdout == "False TOON_OPS=reference\n"
    done = run(code, TOON_OPS="auto", CUDA_HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.stdout.startswith("False ") and len(done.stdout.splitlines()) == 1 and done.stderr == ""
