"""What methods with a generator and a discriminator do alike: one of them moves, the other is still."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from stylegan_toon.losses.adversarial import logistic_fake, logistic_g, lsgan_fake, lsgan_g
from stylegan_toon.training import ranks

# name -> the losses of scores that are to be taken for real, and of those to be taken for fake
TERMS = {"lsgan": (lsgan_g, lsgan_fake), "log": (logistic_g, logistic_fake)}


@contextmanager
def still(network: nn.Module) -> Iterator[None]:
    """network takes no gradient, but passes it on."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def move(opt: Optimizer, losses: Mapping[str, Tensor], share: float, name: str) -> dict[str, Tensor]:
    """Move opt's parameters down the sum of losses, means over this process's share of the batch.

    Returns: the sum under name and each loss under name/..., of the whole batch.
    """
    total = torch.stack(list(losses.values())).sum() * share
    opt.zero_grad()
    total.backward()
    parts = {f"{name}/{key}": value.detach() * share for key, value in losses.items()}
    figures = ranks.share(opt, {name: total.detach()} | parts)
    opt.step()
    return figures
