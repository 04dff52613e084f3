"""The one place that chooses between a kernel and its reference, and between an eager and a traced call."""

import logging
import os
from types import ModuleType

import torch
from torch import Tensor, nn

MODES = ("auto", "reference", "cuda")
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

_log = logging.getLogger("cuda_ops")  # unconfigured, logging prints the bare line on stderr
_warned = False


class KernelUnavailableError(RuntimeError):
    """A CUDA kernel was asked for (TOON_OPS=cuda) or probed, and there is none; the message says why."""


def mode() -> str:
    """TOON_OPS: auto (kernels where they work), reference (never), cuda (kernels or an error).

    Raises: ValueError for any other value.
    """
    value = os.environ.get("TOON_OPS", "auto")
    if value not in MODES:
        raise ValueError(f"TOON_OPS must be one of {', '.join(MODES)}, not {value!r}")
    return value


def kernels(device: torch.device, dtype: torch.dtype) -> ModuleType | None:
    """The compiled extension for tensors on device, or None where the reference is to run.

    On the CPU the answer is None without a word. On a GPU the first call builds the extension; if that fails,
    one line of warning quotes the reason and every call of this process answers None.

    Raises: KernelUnavailableError under TOON_OPS=cuda, instead of None.
    """
    global _warned
    chosen = mode()
    if chosen == "reference" or (chosen == "auto" and device.type != "cuda"):
        return None
    try:
        if device.type != "cuda":
            raise KernelUnavailableError(f"the tensor is on {device.type}, not on a CUDA device")
        if dtype not in DTYPES:
            raise KernelUnavailableError(f"no kernel takes {dtype}")
        from cuda_ops._build import load

        return load()
    except KernelUnavailableError as error:
        if chosen == "cuda":
            raise KernelUnavailableError(f"TOON_OPS=cuda, but {error}") from error.__cause__
        if not _warned:
            _warned = True
            _log.warning("cuda_ops: running the PyTorch reference, because %s", error)
        return None


def unavailable_reason() -> str | None:
    """Why the kernels cannot run here, in one line, or None if they can; builds them where it can."""
    if mode() == "reference":
        return "TOON_OPS=reference"
    try:
        from cuda_ops._build import load

        load()
    except KernelUnavailableError as error:
        return str(error)
    return None


def available() -> bool:
    """Whether the kernels run here; on a machine with a GPU the first call builds them."""
    return unavailable_reason() is None


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
