"""The one place that chooses between a kernel and its reference, and between an eager and a traced call."""

import logging
import os
from typing import Any

import torch
from torch import Tensor, nn

MODES = ("auto", "reference", "native", "cuda")
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

_log = logging.getLogger("cuda_ops")  # unconfigured, logging prints the bare line on stderr
_warned = False


class KernelUnavailableError(RuntimeError):
    """A kernel was asked for (TOON_OPS=native or cuda) or probed, and there is none; the message says why."""


def mode() -> str:
    """TOON_OPS: auto (kernels on a GPU, where they work), reference (never), native (kernels, on the CPU too,
    or an error), cuda (kernels on a GPU, or an error).

    Raises: ValueError for any other value.
    """
    value = os.environ.get("TOON_OPS", "auto")
    if value not in MODES:
        raise ValueError(f"TOON_OPS must be one of {', '.join(MODES)}, not {value!r}")
    return value


def tell(text: str) -> None:
    """One line for the person at the screen."""
    _log.warning("cuda_ops: %s", text)


def kernels(device: torch.device, dtype: torch.dtype) -> Any:
    """The compiled kernels for tensors on device, or None where the reference is to run.

    On a GPU the first call builds them; if that fails, one line of warning quotes the reason and every call
    of this process answers None. On the CPU the answer is None but under TOON_OPS=native; which pictures its
    kernels take, takes, filters and takes_epilogue say.

    Raises: KernelUnavailableError under TOON_OPS=native or cuda, instead of None.
    """
    global _warned
    chosen = mode()
    if chosen == "reference" or (chosen == "auto" and device.type != "cuda"):
        return None
    try:
        if chosen == "native" and device.type == "cpu":
            from cuda_ops import _cpu

            return _cpu.load()
        if device.type != "cuda":
            raise KernelUnavailableError(f"the tensor is on {device.type}, not on a CUDA device")
        if dtype not in DTYPES:
            raise KernelUnavailableError(f"no kernel takes {dtype}")
        from cuda_ops._build import load

        return load()
    except KernelUnavailableError as error:
        if chosen != "auto":
            raise KernelUnavailableError(f"TOON_OPS={chosen}, but {error}") from error.__cause__
        if not _warned:
            _warned = True
            _log.warning("cuda_ops: running the PyTorch reference, because %s", error)
        return None


def unavailable_reason(device: str = "cuda") -> str | None:
    """Why no kernels run on device, in one line, or None if they do; builds them where it can."""
    chosen = mode()
    if chosen == "reference":
        return "TOON_OPS=reference"
    try:
        if device == "cuda":
            from cuda_ops._build import load

            load()
        elif device != "cpu":
            return f"there are none for {device}"
        elif chosen != "native":
            return "on the CPU they run under TOON_OPS=native alone"
        else:
            from cuda_ops import _cpu

            _cpu.load()
    except KernelUnavailableError as error:
        return str(error)
    return None


def available(device: str = "cuda") -> bool:
    """Whether kernels run on device; the first call builds them."""
    return unavailable_reason(device) is None


def traced(x: Tensor) -> bool:
    """Whether x belongs to torch.compile, torch.export or a fake mode, which need the registered operator.

    Everything else goes straight to an autograd.Function: the registered operator costs tens of
    microseconds a call, as much as the work itself at 8x8.
    """
    return torch.compiler.is_compiling() or type(x) not in (Tensor, nn.Parameter)


def layout(x: Tensor) -> torch.memory_format:
    """channels_last for pictures stored so, else contiguous: the layout that every result has."""
    if x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format
