"""Which device computes, and in which precision it trains."""

import ctypes
import gc
import os
import sys
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from stylegan_toon.errors import MissingPartError, UsageError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
M_DEFAULT = 128 << 10  # what both begin with
CHOICES = ("auto", "cpu", "cuda", "mps")
Net = TypeVar("Net", bound=nn.Module)


def choose_device(name: str = "auto") -> torch.device:
    """The torch device for one of CHOICES; auto prefers CUDA, then MPS, then the CPU.

    Raises: MissingPartError (exit 5) when the named device is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    if name not in there:
        raise MissingPartError(f"device {name!r} is not known; use one of {', '.join(CHOICES)}")
    if not there[name]:
        version = torch.__version__
        raise MissingPartError(f"device {name!r} is not available to torch {version}; use --device cpu")
    return torch.device(name)


def channels_last(network: Net) -> Net:
    """network, its convolutions' weights laid out for pictures stored as [N, H, W, C]."""
    move: Any = network.to  # its stub knows no memory_format
    return move(memory_format=torch.channels_last)


def keep_buffers() -> None:
    """Ask glibc to keep large freed buffers for the next step instead of handing them back to the system.

    A training step allocates the same hundreds of megabytes again and again, and pays for every page of them.
    A process that may have only so much memory (ulimit -v or -d) hands them back: what it kept would be full
    of holes, too small for even a part of the batch once memory has run out.
    Elsewhere than on glibc this does nothing.
    """
    if glibc := _glibc():
        import resource  # Windows has none

        limits = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
        limited = any(limit != resource.RLIM_INFINITY for limit in limits)
        _keep_below(glibc, M_DEFAULT if limited else 2**31 - 1)


def free_buffers() -> None:
    """Hand all that is free back to the system, now and from now on: memory ran out."""
    # The autograd engine holds the graph of a backward pass that failed until the next pass.
    torch.zeros([], requires_grad=True).add(1).backward()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if glibc := _glibc():
        _keep_below(glibc, M_DEFAULT)
        glibc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library, if it is glibc."""
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return library if hasattr(library, "mallopt") else None


def _keep_below(glibc: ctypes.CDLL, size: int) -> None:
    """Keep freed buffers of less than size bytes."""
    for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
        glibc.mallopt(option, size)


def memory_used() -> int:
    """Bytes that torch holds on the GPU where it uses one, else those of this process in memory.

    Where the system does not tell (it is neither Linux nor Unix), 0; elsewhere than on Linux the most so far.
    """
    if torch.cuda.is_available() and (held := torch.cuda.memory_reserved()):
        return held
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        pass
    try:
        import resource
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def training_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, float32 elsewhere, or with TOON_DTYPE=float32.

    On CPUs that is AVX512_BF16 or AMX, read from /proc/cpuinfo where there is one.
    Raises: UsageError for another TOON_DTYPE than auto and float32.
    """
    wanted = os.environ.get("TOON_DTYPE", "auto")
    if wanted not in ("auto", "float32"):
        raise UsageError(f"TOON_DTYPE is {wanted[:20]!r}; it can be auto or float32")
    if wanted == "float32":
        return torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu":
        info = Path("/proc/cpuinfo")
        flags = info.read_text(errors="replace") if info.is_file() else ""
        return torch.bfloat16 if "avx512_bf16" in flags or "amx_bf16" in flags else torch.float32
    return torch.float32
