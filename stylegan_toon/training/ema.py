"""The exponential moving average of a generator's weights."""

import torch
from torch import nn


def ema_beta(batch: int, half_life: float, seen: int, ramp: float = 0.05) -> float:
    """0.5^(batch / h) with h = min(half_life, ramp * seen) pictures; ramp 0 means no ramp-up.

    Source: Karras et al. 2020, arXiv 2006.06676, appendix; half_life is about 10 thousand there.
    """
    if ramp:
        half_life = min(half_life, ramp * seen)
    return 0.5 ** (batch / max(half_life, 1e-8))


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, beta: float) -> None:
    """average <- model + beta * (average - model) for parameters; buffers are copied."""
    kept, new = tuple(average.parameters()), tuple(model.parameters())
    torch._foreach_lerp_(kept, new, 1 - beta)
    for a, b in zip(average.buffers(), model.buffers(), strict=True):
        a.copy_(b)
