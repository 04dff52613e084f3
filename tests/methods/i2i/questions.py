"""What every method from picture to picture is asked: does all of it move, does it learn four pictures, does
a run that stopped end where an undisturbed one ends. Used by the tests beside it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylegan_toon.training.loop import Run, train
from stylegan_toon.training.state import open_newest, state_digest


def smooth(n: int, size: int, seed: int, channels: int = 3) -> Tensor:
    """[n, channels, size, size] in [-1, 1]: pictures of a few large blots."""
    coarse = torch.randn(n, channels, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(-1, 1)


def stream(config: Any, **more: Tensor) -> Callable[[int], dict[str, Tensor]]:
    """Batches out of four photos and four cartoons, whose colours are the photos' turned round; and more."""
    photo = smooth(4, config.size, 1)
    domains = {"photo": photo, "cartoon": -photo if config.paired else -smooth(4, config.size, 2), **more}

    def batch(i: int) -> dict[str, Tensor]:
        at = [(i * config.batch + k) % 4 for k in range(config.batch)]
        return {name: pictures[at] for name, pictures in domains.items()}

    return batch


def unmoved(method: Any, batch: Mapping[str, Tensor], steps: int = 1) -> list[str]:
    """The names of parameters that so many steps leave as they are, less biases that a norm takes away."""
    assert isinstance(method, nn.Module)
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    opt = method.optimizers()
    for i in range(steps):
        method.step(batch, opt, i)
    return [name for name, p in method.named_parameters() if torch.equal(p, before[name])]


def learn(method: Any, batches: Callable[[int], Mapping[str, Tensor]], steps: int) -> list[dict[str, float]]:
    """The losses of so many steps."""
    opt, out = method.optimizers(), []
    for i in range(steps):
        torch.manual_seed(i)
        out.append({key: float(value) for key, value in method.step(batches(i), opt, i).items()})
    return out


def digests(make: Callable[[], Any], batches: Callable[[int], Mapping[str, Tensor]], out: Path) -> set[str]:
    """The digests of 6 steps, and of 3, a new process's worth of forgetting, and 3 more."""
    for name, stops in (("calm", (6,)), ("torn", (3, 6))):
        for steps in stops:
            torch.manual_seed(5)
            run = Run(out / name, steps, save_every=3, look_every=100, log_every=1, seed=3, quiet=True)
            train(make(), batches, run, lambda done: {}, {})
    return {state_digest(open_newest(out / name)[1]) for name in ("calm", "torn")}
