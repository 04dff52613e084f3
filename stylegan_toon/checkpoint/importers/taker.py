"""What all importers share: taking tensors out of a foreign state dict, and the names of our own networks."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from cuda_ops import setup_filter
from stylegan_toon.checkpoint.format import not_finite
from stylegan_toon.errors import ModelError

FLOATS = (torch.float16, torch.bfloat16, torch.float32)
MAX_BLOCKS = 15  # 2^17 px; beyond it a file is no generator


class Taker:
    """A state dict from which keys are taken one by one, so that what is left over can be named."""

    def __init__(
        self, state: Any, what: str, layout: str = "rosinality's layout", network: str = "StyleGAN2"
    ):
        """what: where in the file the state dict stands, or empty; layout, network: what messages call it."""
        if not isinstance(state, Mapping):
            raise ModelError(f"{what!r} is no state dict but {type(state).__name__}; name another file")
        self.state, self.what, self.layout, self.network = dict(state), what, layout, network

    def named(self, key: str) -> str:
        """The key as messages name it."""
        return f"{self.what}.{key}" if self.what else key

    def shape(self, key: str, ndim: int) -> tuple[int, ...]:
        """The shape of the tensor under key, which must have ndim axes."""
        tensor = self.state.get(key)
        if tensor is None:
            raise ModelError(f"key {self.named(key)} is missing; it is no {self.network} in {self.layout}")
        if not isinstance(tensor, Tensor) or tensor.ndim != ndim or not tensor.is_floating_point():
            raise ModelError(f"key {self.named(key)} is no floating tensor of {ndim} axes; name another file")
        return tuple(tensor.shape)

    def take(self, key: str, shape: tuple[int, ...]) -> Tensor:
        """Remove the tensor under key, which must have this shape, and return a float32 copy of it."""
        found = self.shape(key, len(shape))
        if found != shape:
            raise ModelError(f"key {self.named(key)} is {list(found)}, wanted {list(shape)}")
        return owned(self.state.pop(key), self.named(key))

    def drop_fir(self, key: str, gain: float) -> None:
        """Remove the FIR kernel under key, which if present must be the one that the networks here build."""
        kernel, wanted = self.state.pop(key, None), setup_filter(gain=gain)
        if kernel is None:
            return
        same = isinstance(kernel, Tensor) and kernel.shape == wanted.shape
        if not same or not torch.allclose(kernel.float(), wanted, atol=1e-5):
            raise ModelError(f"{self.what}.{key} is not the filter [1, 3, 3, 1]; other filters are not read")

    def last(self, pattern: str) -> int:
        """The highest i of all keys that begin like pattern, whose group is i; -1 without any.

        A gap below it is then a missing key.
        """
        found = (re.match(pattern, str(key)) for key in self.state)
        return max((int(match[1]) for match in found if match), default=-1)

    def finish(self) -> None:
        """Raises: ModelError listing what was not taken."""
        if self.state:
            names = ", ".join(str(key)[:40] for key in list(self.state)[:3])
            more = f" and {len(self.state) - 3} more" if len(self.state) > 3 else ""
            raise ModelError(f"{self.what or 'it'} holds keys that no {self.network} has: {names}{more}")


def owned(tensor: Tensor, name: str) -> Tensor:
    """A dense float32 copy of a foreign tensor. Raises: ModelError for doubles and for NaN or infinity."""
    if tensor.dtype not in FLOATS:
        raise ModelError(f"tensor {name[:60]!r} is {tensor.dtype}; save it as float32")
    copy = torch.empty(tensor.shape).copy_(tensor.detach())
    if not_finite({name: copy}):
        raise ModelError(f"tensor {name[:60]!r} holds NaN or infinity; take an earlier checkpoint")
    return copy


def generator_shapes(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor of a generator of this configuration, but w_mean."""
    channels, w_dim = config["channels"], config["w_dim"]
    for i in range(config["mapping_layers"]):
        yield f"mapping.layers.{i}.weight", (w_dim, w_dim if i else config["z_dim"])
        yield f"mapping.layers.{i}.bias", (w_dim,)
    yield "synthesis.const", (channels[0], 4, 4)
    for k, (n_in, n_out) in enumerate(pairwise([channels[0], *channels])):
        layers = [("conv1", n_out, n_out), ("to_rgb", n_out, 3)]
        for layer, a, b in layers if k == 0 else [("conv0", n_in, n_out), *layers]:
            name, kernel, size = f"synthesis.blocks.{k}.{layer}", 1 if layer == "to_rgb" else 3, 4 * 2**k
            yield f"{name}.conv.weight", (b, a, kernel, kernel)
            yield f"{name}.conv.affine.weight", (a, w_dim)
            yield f"{name}.conv.affine.bias", (a,)
            if layer != "to_rgb":
                yield f"{name}.noise_strength", ()
                yield f"{name}.noise_const", (size, size)
            yield f"{name}.bias", (b,)


def trunk_shapes(channels: list[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of the tensors of fromRGB and the residual blocks; channels from 4x4 up."""
    widths = channels[::-1]
    yield "from_rgb.weight", (widths[0], 3, 1, 1)
    yield "from_rgb.bias", (widths[0],)
    for k, (n_in, n_out) in enumerate(pairwise(widths)):
        yield f"blocks.{k}.conv0.weight", (n_in, n_in, 3, 3)
        yield f"blocks.{k}.conv0.bias", (n_in,)
        yield f"blocks.{k}.conv1.weight", (n_out, n_in, 3, 3)
        yield f"blocks.{k}.conv1.bias", (n_out,)
        yield f"blocks.{k}.skip.weight", (n_out, n_in, 1, 1)


def discriminator_shapes(channels: list[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor of a discriminator; channels from 4x4 up."""
    yield from trunk_shapes(channels)
    last = channels[0]
    yield "final_conv.weight", (last, last + 1, 3, 3)
    yield "final_conv.bias", (last,)
    yield "fc.weight", (last, last * 16)
    yield "fc.bias", (last,)
    yield "out.weight", (1, last)
    yield "out.bias", (1,)
