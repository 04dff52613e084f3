"""What a translation costs: parameters, operations, seconds and memory a picture."""

import time
from collections.abc import Callable
from itertools import accumulate
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode


class Cost(NamedTuple):
    """Of one picture: flops counts a multiplication and an addition as two, in convolutions and matrix
    products alone; seconds is the median of several; memory_mb is what tensors took at the worst moment, the
    networks' own weights left out (10^6 bytes)."""

    flops: int
    seconds: float
    memory_mb: float


def parameter_count(*networks: nn.Module) -> int:
    """How many numbers the networks have, frozen ones too; one that several share counts once."""
    return sum(p.numel() for p in {id(p): p for net in networks for p in net.parameters()}.values())


def cost(translate: Callable[[Tensor], Tensor], photo: Tensor, repeats: int = 5) -> Cost:
    """Of translate on photo [1, 3, H, W], after one call that warms up, in which the operations are counted.

    Raises: ValueError for another shape, or for no repeats.
    """
    if photo.ndim != 4 or len(photo) != 1 or repeats < 1:
        raise ValueError(f"expected one picture [1, 3, H, W] and repeats > 0, got {list(photo.shape)}")
    with FlopCounterMode(display=False) as counter:
        translate(photo)
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        translate(photo)
        _wait(photo.device)
        seconds.append(time.perf_counter() - began)
    return Cost(counter.get_total_flops(), median(seconds), _most_held(translate, photo) / 1e6)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _most_held(translate: Callable[[Tensor], Tensor], photo: Tensor) -> int:
    """Bytes of tensors, at the worst moment of a call, above those before it."""
    if photo.device.type == "cuda":
        _wait(photo.device)
        torch.cuda.reset_peak_memory_stats(photo.device)
        before = torch.cuda.memory_allocated(photo.device)
        translate(photo)
        return torch.cuda.max_memory_allocated(photo.device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        translate(photo)
    assert profiler.profiler is not None and profiler.profiler.kineto_results is not None
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    return max(accumulate((size for _, size in changes), initial=0))
