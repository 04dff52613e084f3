"""The same bytes on every machine: networks in float64, random numbers that its vectors do not change."""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from stylegan_toon.errors import MissingPartError

Net = TypeVar("Net", bound=nn.Module)


def double(network: Net) -> Net:
    """The network itself, now in float64. Raises: MissingPartError on a device without it."""
    if any(tensor.device.type == "mps" for tensor in network.parameters()):
        raise MissingPartError("--exact computes in float64, which this GPU lacks; use --device cpu")
    for module in network.double().modules():
        if hasattr(module, "compute_dtype"):
            module.compute_dtype = torch.float64  # type: ignore[assignment]
    return network


def normal(shape: Sequence[int], draw: torch.Generator, exact: bool = False) -> Tensor:
    """Standard normal numbers from a generator of the CPU, as torch.randn draws them, float32.

    exact: the same numbers in float64, equal to those of torch.randn to about 1e-6. torch.randn has one
        logarithm and cosine for AVX2 and another for other processors, which differ in the last bits.
    Source: Box and Muller 1958; torch takes 16 uniform numbers at a time, radii from the first 8.
    """
    count = math.prod(shape)
    if not exact:
        return torch.randn(*shape, generator=draw)
    if count < 16:  # torch draws these one by one, in double
        return torch.randn(*shape, generator=draw).double()
    u = torch.rand(count, generator=draw).double()
    whole = _box_muller(u[: count - count % 16])
    if count % 16:  # the last 16 are drawn anew
        whole = torch.cat([whole[: count - 16], _box_muller(torch.rand(16, generator=draw).double())])
    return whole.reshape(*shape)


def _box_muller(u: Tensor) -> Tensor:
    first, second = u.reshape(-1, 2, 8).unbind(1)
    radius, angle = (-2 * torch.log1p(-first)).sqrt(), 2 * math.pi * second
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1).flatten()
