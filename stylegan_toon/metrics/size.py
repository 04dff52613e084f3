"""What a translation costs: parameters, operations, seconds and memory a picture."""

import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
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
    with _Held() as held:
        translate(photo)
    return held.most


class _Held(TorchDispatchMode):
    """How many bytes the tensors have that operations made and that are still there, and the most of it.

    What an operation needs within itself is not seen; nor are tensors that were there before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        for size, values in ((False, (args, kwargs)), (True, func(*args, **kwargs or {}))):
            for value in tree_leaves(values):
                if isinstance(value, Tensor):
                    self._note(value.untyped_storage(), size)
        return values

    def _note(self, storage: torch.UntypedStorage, made: bool) -> None:
        key, size = id(storage), storage.nbytes() if made else 0
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
