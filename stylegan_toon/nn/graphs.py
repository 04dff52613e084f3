"""CUDA graphs: the kernels of a call recorded once and played again, so that launching them costs nothing."""

from collections.abc import Callable

import torch
from torch import Tensor

WARM = 3  # calls before the one that is recorded: libraries choose their ways in the first


def captured(call: Callable[[Tensor], Tensor], example: Tensor) -> Callable[[Tensor], Tensor]:
    """The same call for inputs of the example's shape and dtype; on a CPU the call itself.

    On a GPU what it returns is overwritten by the next call. The call must not wait for the GPU, nor branch
    on what it computed there.
    Raises: RuntimeError, of torch, for a call that cannot be recorded.
    """
    if example.device.type != "cuda":
        return call
    given, now = example.clone(), torch.cuda.current_stream()
    beside = torch.cuda.Stream()
    beside.wait_stream(now)
    with torch.cuda.stream(beside):
        for _ in range(WARM):
            call(given)
    now.wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = call(given)

    def play(x: Tensor) -> Tensor:
        given.copy_(x)
        graph.replay()
        return made

    return play
