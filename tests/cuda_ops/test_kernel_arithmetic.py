"""The device code itself against the references, without a GPU: compiled as C++, one thread after another."""

import ctypes
import shutil
import subprocess
from ctypes import POINTER, byref, c_int, c_int64, c_void_p
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import cuda_ops
from cuda_ops import fused_bias_act_ref, fused_epilogue_ref, setup_filter, upfirdn2d_ref
from cuda_ops._cpu import BiasAct, Epilogue, Upfirdn2d

COMPILER = shutil.which("g++")
CSRC = Path(cuda_ops.__file__).parent / "csrc"
DTYPES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}
LAYOUTS = [torch.contiguous_format, torch.channels_last]

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++")


@pytest.fixture(scope="module")
def device_code(tmp_path_factory):
    """The launchers of all .cu files, built by the C++ compiler; the type checks of ctypes are on."""
    library = tmp_path_factory.mktemp("kernels") / "kernels.so"
    include = Path(torch.__file__).parent / "include"
    sources = [
        part
        for name in ("epilogue", "fused_bias_act", "upfirdn2d")
        for part in ("-x", "c++", str(CSRC / f"{name}.cu"))
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
    code.toon_epilogue.argtypes = code.toon_epilogue_grad.argtypes = [POINTER(Epilogue), c_int, c_void_p]
    code.toon_epilogue_tiles.argtypes, code.toon_epilogue_tiles.restype = [c_int64, c_int64], c_int64
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


SIDES = ("d", "noise", "strength", "bias", "scale")


def epilogue(code, x, given, f=None, pad=1, slope=0.2, gain=2**0.5, clamp=None, dy=None):
    """y; with dy the gradient of FIR(x), and the sums for d, bias, strength and scale [N, 4, C]."""
    real = torch.float64 if x.dtype == torch.float64 else torch.float32
    kept = {name: value.to(real).contiguous() for name, value in given.items()}
    if f is not None:
        kept["taps"] = f.to(real).contiguous()
    trim = 0 if f is None else 2 * pad - 3
    (n, c, h, w), layout = x.shape, memory(x)
    shape = n, c, h + trim, w + trim
    y = torch.full(shape, float("nan"), dtype=x.dtype).contiguous(memory_format=layout)
    tiles = code.toon_epilogue_tiles(*shape[2:])
    sums = torch.full((n, tiles, 4, c), float("nan"), dtype=real)
    shared = "noise" not in kept or len(kept["noise"]) == 1
    args = Epilogue(
        y=y.data_ptr(), x=x.data_ptr(), **{name: value.data_ptr() for name, value in kept.items()}, n=n, c=c,
        h=h, w=w, out_h=shape[2], out_w=shape[3], pad=pad, noise_step=0 if shared else shape[2] * shape[3],
        tiles=tiles, slope=slope, gain=gain, clamp=-1.0 if clamp is None else clamp,
        channels_last=layout == torch.channels_last,
    )  # fmt: skip
    dtype = list(DTYPES).index(x.dtype)
    if dy is None:
        assert code.toon_epilogue(byref(args), dtype, None) == 0
        return y
    args.dy, args.sums = dy.data_ptr(), sums.data_ptr()
    assert code.toon_epilogue_grad(byref(args), dtype, None) == 0
    return y, sums.sum(1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("pad", [None, 1, 3])
@pytest.mark.parametrize("clamp, shared", [(None, True), (1.0, False)])
@pytest.mark.parametrize("channels", [6, 3])
def test_epilogue_and_its_gradient(device_code, channels, clamp, shared, pad, layout, dtype):
    f = None if pad is None else torch.randn(4, 4) / 4
    out = (19, 35) if pad is None else (18 + 2 * pad - 3, 34 + 2 * pad - 3)
    x = torch.randn(2, channels, *((19, 35) if pad is None else (18, 34))).to(dtype)
    x = x.contiguous(memory_format=layout)
    shapes = {"d": (2, channels), "noise": (1 if shared else 2, 1, *out), "strength": (), "bias": (channels,)}
    given = {name: torch.randn(shape) for name, shape in {**shapes, "scale": (2, channels)}.items()}
    wide = {name: value.double().requires_grad_(name != "noise") for name, value in given.items()}
    wide_x = x.double().requires_grad_()
    settings = {"f": f, "pad": pad or 1, "slope": 0.3, "gain": 1.3, "clamp": clamp}
    exact = settings | {"f": None if f is None else f.double()}
    wanted = fused_epilogue_ref(wide_x, **wide, **exact)
    close = {"rtol": DTYPES[dtype], "atol": DTYPES[dtype] * 4}
    assert_close(epilogue(device_code, x, given, **settings).double(), wanted.detach(), **close)

    dy = torch.randn(wanted.shape).to(dtype).contiguous(memory_format=layout)
    learnt = [wide_x, *(wide[name] for name in ("d", "bias", "strength", "scale"))]
    dx, d, bias, strength, scale = torch.autograd.grad(wanted, learnt, dy.double())
    du, sums = epilogue(device_code, x, given, **settings, dy=dy)
    if f is not None:
        du = upfirdn2d_ref(du.double(), f.double().flip(0, 1), pad=(3 - pad, 3 - pad))
    size = wanted[0, 0].numel() ** 0.5  # the sums are of so many numbers of size 1
    assert_close(du.double(), dx, rtol=DTYPES[dtype], atol=DTYPES[dtype] * 10)
    for found, exactly in (
        (sums[:, 0], d), (sums[:, 1].sum(0), bias), (sums[:, 2].sum(), strength), (sums[:, 3], scale)
    ):  # fmt: skip
        assert_close(found.double() / size, exactly / size, rtol=DTYPES[dtype] * 4, atol=DTYPES[dtype] * 10)


def test_epilogue_without_anything_but_a_factor(device_code):
    x, d = torch.randn(2, 4, 5, 6), torch.randn(2, 4)
    y = epilogue(device_code, x, {"d": d}, slope=1.0, gain=1.0)
    assert_close(y, x * d[:, :, None, None])
