"""What a translation costs: parameters, operations, seconds and memory a picture."""

import threading
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from stylegan_toon.device import memory_used


class Cost(NamedTuple):
    """Of one picture: flops counts a multiplication and an addition as two, in convolutions and matrix
    products alone; seconds is the median of several; memory_mb is the most that was held above what was held
    before (on the CPU sampled every millisecond, so short peaks may be missed)."""

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
    with _Peak(photo.device) as peak:
        for _ in range(repeats):
            began = time.perf_counter()
            translate(photo)
            _wait(photo.device)
            seconds.append(time.perf_counter() - began)
    return Cost(counter.get_total_flops(), median(seconds), peak.more / 1e6)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _Peak:
    """The most bytes held inside the block above those held at its beginning: more."""

    def __init__(self, device: torch.device):
        self.device, self.more, self._end = device, 0, threading.Event()

    def __enter__(self) -> "_Peak":
        if self.device.type == "cuda":
            _wait(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
            return self
        self._before = memory_used()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._end.wait(0.001):
            self.more = max(self.more, memory_used() - self._before)

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self.more = torch.cuda.max_memory_allocated(self.device) - self._before
            return
        self._end.set()
        self._thread.join()
        self.more = max(self.more, memory_used() - self._before)
