"""The kernels for the CPU: one C++ file, compiled in seconds on first use and called through ctypes."""

import contextlib
import ctypes
import functools
import os
import platform
import shutil
import struct
import subprocess
import sys
import time
from ctypes import POINTER, Structure, byref, c_double, c_int, c_int64, c_void_p
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cuda_ops import _build, _dispatch
from cuda_ops._dispatch import KernelUnavailableError

if TYPE_CHECKING:
    from cuda_ops.epilogue import Given

DTYPES = {torch.float64: 0, torch.float32: 1, torch.bfloat16: 3}  # the numbers of common.h
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fopenmp", "-fPIC")
COMPILE = (sys.executable, "-c", "import sys; from cuda_ops import _cpu; _cpu._compile(sys.argv[1])")
TILE = 8  # rows whose sums are taken together

_loaded: "Kernels | KernelUnavailableError | None" = None


class Upfirdn2d(Structure):
    """As upfirdn2d.h has it."""

    _fields_ = [
        *((name, c_void_p) for name in ("y", "x", "f")),
        *((name, c_int64) for name in ("n", "c", "h", "w", "out_h", "out_w")),
        *((name, c_int64 * 4) for name in ("x_stride", "y_stride")),
        *((name, c_int) for name in ("kh", "kw", "up", "down")),
        *((name, c_int64) for name in ("pad_x", "pad_y")),
        *((name, c_int) for name in ("flip", "channels_last")),
    ]


class BiasAct(Structure):
    """As fused_bias_act.h has it."""

    _fields_ = [
        *((name, c_void_p) for name in ("y", "x", "other")),
        *((name, c_int64) for name in ("size", "step", "channels")),
        *((name, c_double) for name in ("slope", "gain")),
    ]


class Epilogue(Structure):
    """As epilogue.h has it."""

    _fields_ = [
        *((name, c_void_p) for name in ("y", "x", "dy", "taps", "d", "noise", "strength", "bias", "scale")),
        ("sums", c_void_p),
        *((name, c_int64) for name in ("n", "c", "h", "w", "out_h", "out_w", "pad", "noise_step", "tiles")),
        *((name, c_double) for name in ("slope", "gain", "clamp")),
        *((name, c_int) for name in ("channels_last", "threads")),
    ]


class Kernels:
    """The compiled operators. Pictures are [N, C, H, W] in channels_last memory, of one of DTYPES."""

    def __init__(self, library: Path):
        self.code = ctypes.CDLL(str(library))
        for name, of, more in (
            ("upfirdn2d", Upfirdn2d, 1),
            ("bias_act", BiasAct, 1),
            ("bias_act_grad", BiasAct, 1),
            ("epilogue", Epilogue, 0),
            ("epilogue_grad", Epilogue, 0),
        ):
            getattr(self.code, f"toon_cpu_{name}").argtypes = [POINTER(of), c_int, *[c_int] * more]

    def takes(self, x: Tensor) -> bool:
        """Whether x is of a type and layout that the kernels take; the rest is for the reference."""
        return x.dtype in DTYPES and x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)

    def filters(self, x: Tensor, f: Tensor, up: int, down: int) -> bool:
        """Whether upfirdn2d takes these, and is faster: torch's own convolution of float32 is as fast.

        f must be a product of four taps down and four across.
        """
        return (
            self.takes(x)
            and x.dtype != torch.float32
            and (up, down) in ((1, 1), (1, 2), (2, 1))
            and taps(f, False) is not None
        )

    def takes_epilogue(self, x: Tensor, given: "Given") -> bool:
        """As filters, of what follows a convolution."""
        return self.takes(x) and (given.f is None or taps(given.f, False) is not None)

    def upfirdn2d(
        self, x: Tensor, f: Tensor, up: int, down: int, x0: int, x1: int, y0: int, y1: int, flip: bool
    ) -> Tensor:
        """As cuda_ops.upfirdn2d_ref, of what filters says yes to."""
        n, c, h, w = x.shape
        out_h, out_w = (h * up + y0 + y1 - 4) // down + 1, (w * up + x0 + x1 - 4) // down + 1
        y = _empty(x, n, c, out_h, out_w)
        known = taps(f, flip)
        assert known is not None, "filters has looked"
        known = _in(known, x.dtype)
        args = Upfirdn2d(
            y.data_ptr(), x.data_ptr(), known.data_ptr(), n, c, h, w, out_h, out_w, (c_int64 * 4)(),
            (c_int64 * 4)(), 4, 4, up, down, x0, y0, flip, 1,
        )  # fmt: skip
        self._run("upfirdn2d", args, x, torch.get_num_threads())
        return y

    def bias_act(self, x: Tensor, bias: Tensor | None, slope: float, gain: float) -> Tensor:
        """As cuda_ops.fused_bias_act_ref."""
        y, row = torch.empty_like(x), None if bias is None else bias.to(x.dtype).contiguous()
        args = BiasAct(y.data_ptr(), x.data_ptr(), _pointer(row), x.numel(), 1, x.shape[1], slope, gain)
        self._run("bias_act", args, x, torch.get_num_threads())
        return y

    def bias_act_grad(self, dy: Tensor, y: Tensor, slope: float, gain: float) -> Tensor:
        """dy * gain, and times slope where y is not positive."""
        dx = torch.empty_like(y)
        args = BiasAct(dx.data_ptr(), dy.data_ptr(), y.data_ptr(), y.numel(), 1, 1, slope, gain)
        self._run("bias_act_grad", args, y, torch.get_num_threads())
        return dx

    def epilogue(self, x: Tensor, given: "Given") -> Tensor:
        """As cuda_ops.fused_epilogue_ref."""
        args, kept = self._epilogue(x, given)
        y = kept["y"] = _empty(x, *x.shape[:2], args.out_h, args.out_w)
        args.y = y.data_ptr()
        self._run("epilogue", args, x)
        return y

    def epilogue_grad(self, dy: Tensor, x: Tensor, given: "Given") -> tuple[Tensor, Tensor]:
        """The gradient of FIR(x), like dy, and sums [N, 4, C]: for d, bias, strength and scale."""
        args, _kept = self._epilogue(x, given)
        args.tiles = -(-args.out_h // TILE)
        du, sums = torch.empty_like(dy), _in(dy.new_empty(args.n, args.tiles, 4, args.c), x.dtype)
        args.y, args.dy, args.sums = du.data_ptr(), dy.data_ptr(), sums.data_ptr()
        self._run("epilogue_grad", args, x)
        return du, sums.sum(1)

    def _epilogue(self, x: Tensor, given: "Given") -> tuple[Epilogue, dict[str, Tensor]]:
        """The arguments that both directions share, and the tensors that must outlive them."""
        n, c, h, w = x.shape
        kept: dict[str, Tensor] = {}
        for name in ("d", "noise", "strength", "bias", "scale"):
            if (value := getattr(given, name)) is not None:
                kept[name] = _in(value, x.dtype).contiguous()
        if given.f is not None:
            known = taps(given.f, False)
            assert known is not None, "takes_epilogue has looked"
            kept["taps"] = _in(known, x.dtype)
            h, w = h + 2 * given.pad - 3, w + 2 * given.pad - 3
        shared = "noise" not in kept or len(kept["noise"]) == 1
        args = Epilogue(
            x=x.data_ptr(), **{name: tensor.data_ptr() for name, tensor in kept.items()}, n=n, c=c,
            h=x.shape[2], w=x.shape[3], out_h=h, out_w=w, pad=given.pad, noise_step=0 if shared else h * w,
            tiles=1, slope=given.slope, gain=given.gain, clamp=-1.0 if given.clamp is None else given.clamp,
            channels_last=1, threads=torch.get_num_threads(),
        )  # fmt: skip
        return args, kept

    def _run(self, name: str, args: Structure, x: Tensor, *more: int) -> None:
        if x.numel():
            failed = getattr(self.code, f"toon_cpu_{name}")(byref(args), DTYPES[x.dtype], *more)
            assert not failed, f"toon_cpu_{name} does not take {x.dtype}"


def _empty(x: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)


def _pointer(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


def _in(x: Tensor, dtype: torch.dtype) -> Tensor:
    """In the type that the kernels compute in for pictures of dtype."""
    return x.to(torch.float64 if dtype == torch.float64 else torch.float32)


def taps(f: Tensor, flip: bool) -> Tensor | None:
    """A filter [4, 4] as float64 [8]: four taps down and four across, in the order in which they meet pixels.

    flip: as the operators have it, which convolve without. None for a filter that is no such product.
    """
    if f.shape != (4, 4) or f.dtype not in (torch.float32, torch.float64):
        return None
    return _taps(struct.pack("16d", *f.flatten().tolist()), flip)


@functools.lru_cache(maxsize=64)
def _taps(numbers: bytes, flip: bool) -> Tensor | None:
    f = torch.tensor(struct.unpack("16d", numbers), dtype=torch.float64).reshape(4, 4)
    f = f if flip else f.flip(0, 1)
    i, j = divmod(int(f.abs().argmax()), 4)
    if not f[i, j]:
        return torch.zeros(8, dtype=torch.float64)
    down, across = f[:, j], f[i] / f[i, j]
    same = torch.allclose(torch.outer(down, across), f, rtol=1e-6, atol=1e-6 * float(f.abs().max()))
    return torch.cat([down, across]) if same else None


def load() -> Kernels:
    """The kernels, compiled if they are not in the cache; later calls repeat the first answer.

    Raises: KernelUnavailableError, whose message is one line.
    """
    global _loaded
    if _loaded is None:
        try:
            _loaded = Kernels(_library())
        except KernelUnavailableError as error:
            _loaded = error
        except (OSError, AttributeError) as error:
            _loaded = KernelUnavailableError(_build.one_line(f"the CPU kernels did not load: {error}"))
    if isinstance(_loaded, KernelUnavailableError):
        raise KernelUnavailableError(str(_loaded))
    return _loaded


def _library() -> Path:
    compiler = find_compiler()
    folder = _build.cache_folder() / f"cpu-{_build.key(processor() + compiler + ' '.join(FLAGS))}"
    library = folder / f"{_build.NAME}.so"
    if not library.exists():
        began = time.monotonic()
        _build.built(folder, "", command=COMPILE)
        seconds = time.monotonic() - began
        _dispatch.tell(f"compiled the kernels for this processor in {seconds:.0f} s, once ({compiler})")
    return library


def find_compiler() -> str:
    """$CXX, or the first of COMPILERS on PATH. Raises: KernelUnavailableError if there is none."""
    given = os.environ.get("CXX")
    found = shutil.which(given) if given else next(filter(None, map(shutil.which, COMPILERS)), None)
    if not found:
        where = f"at CXX={given}" if given else f"({', '.join(COMPILERS)}) on PATH"
        raise KernelUnavailableError(f"there is no C++ compiler {where}")
    return found


def processor() -> str:
    """What the code is compiled for: a cache may be shared by computers of different kinds."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor()


def _compile(work: str) -> None:
    """In the child of the build. OpenMP must be torch's own, or two pools of threads wait for each other."""
    _build.end_with_parent()
    made, library = str(Path(work) / "cpu.o"), str(Path(work) / f"{_build.NAME}.so")
    own = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    compiler = find_compiler()
    for command in (
        [compiler, *FLAGS, f"-I{_build.CSRC}", "-c", str(_build.CSRC / "cpu.cpp"), "-o", made],
        [compiler, "-shared", made, *([str(own[0])] if own else ["-fopenmp"]), "-o", library],
    ):
        subprocess.run(command, check=True)
