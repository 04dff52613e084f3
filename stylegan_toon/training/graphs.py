"""Phases of a training step as CUDA graphs: recorded once for each shape of what they take, then played.

A phase is a function of tensors alone: what is random, and what depends on the number of the step, is drawn
and decided before it. It may change parameters, optimisers and buffers in place, and returns figures.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stylegan_toon.nn.graphs import WARM

Phase = Callable[..., dict[str, Tensor]]
Inputs = Mapping[str, Sequence[Tensor]]
Replay = Callable[[], object]


@dataclass(frozen=True)
class Record:
    """A recorded phase: where its inputs lie, its figures, what plays it, and the gradients it writes."""

    inputs: list[Tensor]
    figures: dict[str, Tensor]
    replay: Replay
    grads: list[tuple[nn.Parameter, Tensor | None]]


def straight(
    name: str, phase: Phase, inputs: Inputs, parameters: Iterable[nn.Parameter]
) -> dict[str, Tensor]:
    """phase(**inputs), as it is."""
    return phase(**inputs)


def record_cuda(call: Callable[[], Any]) -> tuple[Any, Replay]:
    """What the call returned, on the current GPU, and what computes it again from what is in its inputs then.

    Nothing is computed yet. The call must not wait for the GPU.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = call()
    return out, graph.replay


class Player:
    """Calls phases; from the fourth call with tensors of the same shapes on it plays what it recorded.

    The first calls are steps like any other, in which libraries choose their ways. Figures are overwritten by
    the next call of the same name.
    """

    def __init__(self, record: Callable[[Callable[[], Any]], tuple[Any, Replay]] = record_cuda):
        self._record = record
        self._calls: dict[Any, int] = {}
        self._records: dict[Any, Record] = {}

    def __call__(
        self, name: str, phase: Phase, inputs: Inputs, parameters: Iterable[nn.Parameter]
    ) -> dict[str, Tensor]:
        """phase(**inputs), called or played.

        Args:
            name: which phase; what else than inputs decides what it does must be in it, too.
            parameters: those whose gradients it makes.
        """
        given = [x for group in inputs.values() for x in group]
        shapes = ((group, *((x.shape, x.stride(), x.dtype) for x in xs)) for group, xs in inputs.items())
        key = (name, *shapes)
        calls = self._calls[key] = self._calls.get(key, 0) + 1
        if calls <= WARM:
            return phase(**inputs)
        found = self._records.get(key)
        if found is None:
            kept = {group: [x.detach().clone() for x in xs] for group, xs in inputs.items()}
            figures, replay = self._record(lambda: phase(**kept))
            grads = [(p, p.grad) for p in parameters]
            found = self._records[key] = Record(
                [x for xs in kept.values() for x in xs], figures, replay, grads
            )
        for static, new in zip(found.inputs, given, strict=True):
            static.copy_(new)
        found.replay()
        for parameter, grad in found.grads:
            parameter.grad = grad
        return dict(found.figures)
