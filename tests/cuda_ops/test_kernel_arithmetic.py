"""The device code itself against the references, without a GPU: compiled as C++, one thread after another."""

import ctypes
import shutil
import subprocess
from ctypes import POINTER, Structure, byref, c_double, c_int, c_int64, c_void_p
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import cuda_ops
from cuda_ops import fused_bias_act_ref, setup_filter, upfirdn2d_ref

COMPILER = shutil.which("g++")
CSRC = Path(cuda_ops.__file__).parent / "csrc"
DTYPES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}
LAYOUTS = [torch.contiguous_format, torch.channels_last]

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++")


class BiasAct(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("y", "x", "other")),
        *((name, c_int64) for name in ("size", "step", "channels")),
        *((name, c_double) for name in ("slope", "gain")),
    ]


class Upfirdn2d(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("y", "x", "f")),
        *((name, c_int64) for name in ("n", "c", "h", "w", "out_h", "out_w")),
        *((name, c_int64 * 4) for name in ("x_stride", "y_stride")),
        *((name, c_int) for name in ("kh", "kw", "up", "down")),
        *((name, c_int64) for name in ("pad_x", "pad_y")),
        *((name, c_int) for name in ("flip", "channels_last")),
    ]


@pytest.fixture(scope="module")
def device_code(tmp_path_factory):
    """The launchers of both .cu files, built by the C++ compiler; the type checks of ctypes are on."""
    library = tmp_path_factory.mktemp("kernels") / "kernels.so"
    include = Path(torch.__file__).parent / "include"
    sources = [
        part for name in ("fused_bias_act", "upfirdn2d") for part in ("-x", "c++", str(CSRC / f"{name}.cu"))
    ]
    flags = [
        "-std=c++20",
        "-O1",
        "-fPIC",
        "-shared",
        "-fsanitize=bounds",
        "-fsanitize-undefined-trap-on-error",
    ]
    shim = ["-include", str(Path(__file__).parent / "one_thread.h"), f"-I{include}", f"-I{CSRC}"]
    done = subprocess.run(
        [COMPILER, *flags, *shim, *sources, "-o", str(library)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    code = ctypes.CDLL(str(library))
    code.toon_bias_act.argtypes = code.toon_bias_act_grad.argtypes = [POINTER(BiasAct), c_int, c_void_p]
    code.toon_upfirdn2d.argtypes = [POINTER(Upfirdn2d), c_int, c_void_p]
    return code


def memory(x):
    return torch.channels_last if x.ndim == 4 and not x.is_contiguous() else torch.contiguous_format


def bias_act(code, name, x, other, slope, gain):
    step = 1 if memory(x) == torch.channels_last else x[0, 0].numel()
    y = torch.full_like(x, float("nan"))
    pointer = None if other is None else other.data_ptr()
    args = BiasAct(y.data_ptr(), x.data_ptr(), pointer, x.numel(), step, x.shape[1], slope, gain)
    assert getattr(code, name)(byref(args), list(DTYPES).index(x.dtype), None) == 0
    return y


def upfirdn2d(code, x, f, up, down, pad, flip=False):
    x0, x1, y0, y1 = pad
    h = (x.shape[2] * up + y0 + y1 - f.shape[0]) // down + 1
    w = (x.shape[3] * up + x0 + x1 - f.shape[1]) // down + 1
    f = f.to(torch.float64 if x.dtype == torch.float64 else torch.float32).contiguous()
    y = torch.full((*x.shape[:2], h, w), float("nan"), dtype=x.dtype).contiguous(memory_format=memory(x))
    strides = (c_int64 * 4)(*x.stride()), (c_int64 * 4)(*y.stride())
    pointers = y.data_ptr(), x.data_ptr(), f.data_ptr()
    last = memory(x) == torch.channels_last
    args = Upfirdn2d(*pointers, *x.shape, h, w, *strides, *f.shape, up, down, x0, y0, flip, last)
    assert code.toon_upfirdn2d(byref(args), list(DTYPES).index(x.dtype), None) == 0
    return y


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 3, 7), (2, 16, 4, 4), (3, 8, 5, 3)], ids=str)
@pytest.mark.parametrize("slope, gain", [(0.2, 2**0.5), (0.0, 1.0), (1.0, 0.5)])
def test_bias_act_and_its_gradient(device_code, shape, layout, dtype, slope, gain):
    x, dy, bias = (torch.randn(s).to(dtype) for s in (shape, shape, shape[1]))
    if len(shape) == 4:
        x, dy = x.contiguous(memory_format=layout), dy.contiguous(memory_format=layout)
    x.requires_grad_()
    for b in (bias, None):
        y = fused_bias_act_ref(x, b, slope, gain)
        (dx,) = torch.autograd.grad(y, x, dy)
        kernel_y = bias_act(device_code, "toon_bias_act", x.detach(), b, slope, gain)
        kernel_dx = bias_act(device_code, "toon_bias_act_grad", dy, y.detach(), slope, gain)
        assert_close(kernel_y, y.detach(), rtol=DTYPES[dtype], atol=DTYPES[dtype])
        assert_close(kernel_dx, dx, rtol=DTYPES[dtype], atol=DTYPES[dtype])


CASES = [
    ((4, 4), 1, 1, (1, 1, 1, 1)),
    ((4, 4), 1, 1, (2, 2, 2, 2)),
    ((4, 4), 1, 1, (5, -1, 0, 4)),
    ((4, 4), 1, 2, (1, 1, 1, 1)),
    ((4, 4), 1, 2, (2, 1, -1, 3)),
    ((4, 4), 2, 1, (2, 1, 2, 1)),
    ((4, 4), 2, 1, (1, 2, 3, -2)),
    ((4, 4), 2, 1, (-3, 5, 6, 6)),
    ((4, 4), 2, 2, (2, 1, 2, 1)),
    ((3, 2), 3, 2, (0, 2, -1, 4)),
    ((24, 24), 2, 1, (12, 11, 12, 11)),
    ((1, 5), 4, 3, (-2, 7, 1, 0)),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("kernel, up, down, pad", CASES, ids=str)
def test_upfirdn2d(device_code, kernel, up, down, pad, layout, dtype):
    f = torch.randn(kernel) / (kernel[0] * kernel[1]) ** 0.5
    for channels in (6, 3):
        x = torch.randn(2, channels, 21, 10).to(dtype).contiguous(memory_format=layout)
        wanted = upfirdn2d_ref(x.double(), f.double(), up, down, pad).to(dtype)
        for flip, taps in ((False, f), (True, f.flip(0, 1))):
            y = upfirdn2d(device_code, x, taps, up, down, pad, flip)
            assert_close(y, wanted, rtol=DTYPES[dtype], atol=DTYPES[dtype])


@pytest.mark.parametrize("offset", [1, 2, 3])
def test_pictures_that_start_between_the_16_byte_marks(device_code, offset):
    x = torch.randn(512 + offset)[offset:].reshape(1, 8, 8, 8)
    bias = torch.randn(8 + offset)[offset:]
    assert_close(
        bias_act(device_code, "toon_bias_act", x, bias, 0.2, 1.4), fused_bias_act_ref(x, bias, 0.2, 1.4)
    )
    last = torch.randn(512 + offset)[offset:].reshape(1, 8, 8, 8).permute(0, 3, 1, 2)
    y = upfirdn2d(device_code, last, setup_filter(), 1, 1, (2, 1, 2, 1))
    assert_close(y, upfirdn2d_ref(last, setup_filter(), pad=(2, 1)))
