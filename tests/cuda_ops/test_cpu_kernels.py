"""The kernels for the CPU against the references; where there is no compiler, and where they do not apply."""

import os
import stat
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from cuda_ops import (
    KernelUnavailableError,
    _cpu,
    available,
    fused_bias_act,
    fused_bias_act_ref,
    fused_epilogue,
    setup_filter,
    unavailable_reason,
    upfirdn2d,
    upfirdn2d_ref,
)

DTYPES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}
CASES = [
    (1, 1, (1, 1)),
    (1, 1, (2, 2)),
    (1, 1, (5, -1, 0, 4)),
    (1, 1, (-2, 6, -3, 3)),
    (1, 2, (1, 1)),
    (1, 2, (2, 1, -1, 3)),
    (2, 1, (2, 1)),
    (2, 1, (1, 2, 3, -2)),
    (2, 1, (-3, 5, 6, 6)),
]

try:
    KERNELS = _cpu.load()
except KernelUnavailableError as error:
    pytestmark = pytest.mark.skip(reason=str(error))


@pytest.fixture(autouse=True)
def native(monkeypatch):
    monkeypatch.setenv("TOON_OPS", "native")


def picture(*shape, dtype=torch.float32):
    return torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("up, down, pad", CASES, ids=str)
def test_upfirdn2d(up, down, pad, dtype):
    f = setup_filter((1, 2, 5, 8), gain=2)
    for channels in (3, 20):
        x = picture(2, channels, 13, 10, dtype=dtype)
        assert KERNELS.filters(x, f, up, down) == (dtype != torch.float32)
        wanted = upfirdn2d_ref(x.double(), f.double(), up, down, pad)
        assert_close(upfirdn2d(x, f, up, down, pad).double(), wanted, rtol=DTYPES[dtype], atol=DTYPES[dtype])
        sides = pad if len(pad) == 4 else (*pad, *pad)
        found = KERNELS.upfirdn2d(x, f, up, down, *sides, False)
        assert_close(found.double(), wanted, rtol=DTYPES[dtype], atol=DTYPES[dtype])
        flipped = KERNELS.upfirdn2d(x, f.flip(0, 1), up, down, *sides, True)
        assert_close(flipped.double(), wanted, rtol=DTYPES[dtype], atol=DTYPES[dtype])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("slope, gain", [(0.2, 2**0.5), (0.0, 1.0), (1.0, 0.5)])
def test_bias_act_and_its_gradient(dtype, slope, gain):
    x, bias = picture(2, 18, 5, 7, dtype=dtype).requires_grad_(), torch.randn(18).to(dtype).requires_grad_()
    dy = picture(2, 18, 5, 7, dtype=dtype)
    for b in (bias, None):
        inputs = [x] if b is None else [x, b]
        y = fused_bias_act(x, b, slope, gain)
        wanted = fused_bias_act_ref(x, b, slope, gain)
        assert_close(y, wanted, rtol=DTYPES[dtype], atol=DTYPES[dtype])
        for a, w in zip(
            torch.autograd.grad(y, inputs, dy), torch.autograd.grad(wanted, inputs, dy), strict=True
        ):
            assert_close(a.double(), w.double(), rtol=DTYPES[dtype] * 4, atol=DTYPES[dtype] * 10)


def test_rounding_to_bfloat16_is_that_of_torch():
    x = torch.cat([torch.randn(4096) * 10.0 ** torch.randint(-30, 30, [4096]), torch.tensor([0.0, -0.0])])
    x = torch.cat([x, torch.tensor([float("inf"), -float("inf"), float("nan"), 1 + 2**-8, 1 + 3 * 2**-8])])
    x = x[: len(x) // 2 * 2].reshape(1, 2, -1, 1).bfloat16().contiguous(memory_format=torch.channels_last)
    d = torch.tensor([[1.0 + 2**-9, 0.3]])
    wanted = (x.float() * d[:, :, None, None]).bfloat16()
    assert_close(fused_epilogue(x, d, slope=1, gain=1), wanted, rtol=0, atol=0, equal_nan=True)


def test_threads_change_no_bit():
    x, d = picture(3, 24, 33, 17).requires_grad_(), torch.rand(3, 24, requires_grad=True)
    bias, f = torch.randn(24, requires_grad=True), setup_filter(gain=4)
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            y = fused_epilogue(x, d, bias=bias, f=f)
            found.append([y, *torch.autograd.grad(y, (x, d, bias), torch.ones_like(y))])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_what_they_do_not_take_is_the_reference():
    f, odd = setup_filter(gain=4), torch.randn(4, 4)
    for x, f_used in (
        (torch.randn(2, 3, 8, 8), f),  # stored as [N, C, H, W]
        (picture(2, 3, 8, 8).half(), f),
        (picture(2, 3, 8, 8).bfloat16(), odd),  # no product of two rows
        (picture(2, 3, 8, 8).bfloat16(), setup_filter((1, 2, 1))),
    ):
        assert not KERNELS.filters(x, f_used, 1, 1)
        assert torch.equal(upfirdn2d(x, f_used, pad=(1, 1)), upfirdn2d_ref(x, f_used, pad=(1, 1)))
    assert not KERNELS.filters(picture(2, 3, 8, 8).double(), f, 2, 2)


def test_empty_batches():
    x = torch.randn(0, 3, 8, 8).to(memory_format=torch.channels_last)
    assert fused_epilogue(x, torch.rand(0, 3), f=setup_filter()).shape == (0, 3, 7, 7)


ASK = "import torch; from cuda_ops import fused_bias_act as f; "
ASK += "f(torch.zeros(1, 2, 3, 3).to(memory_format=torch.channels_last)); print('done')"


def run(**env):
    return subprocess.run(
        [sys.executable, "-c", ASK], env={**os.environ, **env}, capture_output=True, text=True
    )


def test_the_first_call_compiles_and_says_so(tmp_path):
    env = {"XDG_CACHE_HOME": str(tmp_path), "TOON_OPS": "native"}
    first, second = run(**env), run(**env)
    assert (first.returncode, first.stdout) == (second.returncode, second.stdout) == (0, "done\n")
    (line,) = first.stderr.splitlines()
    assert line.startswith("cuda_ops: compiled the kernels for this processor in ") and second.stderr == ""


def test_without_a_compiler_it_is_one_line(tmp_path):
    env = {"XDG_CACHE_HOME": str(tmp_path), "TOON_OPS": "native"}
    done = run(**env, CXX="no-such-compiler")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "KernelUnavailableError: TOON_OPS=native, but there is no C++ compiler at CXX=no-such-compiler"
    )
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\necho 'cpu.cpp:1: error: I give up' >&2; exit 1\n")
    broken.chmod(stat.S_IRWXU)
    done = run(**env, CXX=str(broken))
    assert done.returncode == 1 and "did not compile: cpu.cpp:1: error: I give up" in done.stderr
    assert run(XDG_CACHE_HOME=str(tmp_path), TOON_OPS="auto", CXX="no-such-compiler").stdout == "done\n"


def test_whether_they_run_has_a_reason(monkeypatch):
    assert available("cpu") and unavailable_reason("cpu") is None
    monkeypatch.setenv("TOON_OPS", "auto")
    assert unavailable_reason("cpu") == "on the CPU they run under TOON_OPS=native alone"
    assert unavailable_reason("mps") == "there are none for mps"
