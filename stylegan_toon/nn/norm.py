"""Normalisation by name, first weights, and sizes that a network can take."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

NORMS = ("instance", "batch")


def check_norm(kind: str) -> None:
    """Raises: ValueError for a kind of norm that is not known."""
    if kind not in NORMS:
        raise ValueError(f"norm {kind[:20]!r} is none of {', '.join(NORMS)}")


def norm(kind: str, channels: int) -> nn.Module:
    """A layer that normalises channels: "instance" without numbers of its own, or "batch" with them.

    Raises: ValueError for another kind.
    """
    check_norm(kind)
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.BatchNorm2d(channels)


def small_weights(network: nn.Module) -> nn.Module:
    """network, its convolutions drawn from N(0, 0.02) with biases 0, its BatchNorm scales from N(1, 0.02).

    Source: Radford et al. 2016, arXiv 1511.06434, section 3; as CycleGAN and pix2pix start.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)
    return network


def padded(network: Callable[[Tensor], Tensor], x: Tensor, multiple: int, least: int = 1) -> Tensor:
    """network(x) of a picture of any size: its last rows and columns are repeated until the network takes it,
    and cut off again.

    x: [N, 3, H, W]. multiple: what the edges must be a multiple of; least: and reach.
    """
    height, width = x.shape[2:]
    bottom, right = (-(-max(edge, least) // multiple) * multiple - edge for edge in (height, width))
    whole = F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
    return network(whole)[:, :, :height, :width]
