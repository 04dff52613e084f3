"""rosinality/stylegan2-pytorch and Cartoon-StyleGAN checkpoints, read by renaming.

Top level: g, d, g_ema, latent_avg, args, ada_aug_p and the optimisers. Sizes, channels, latent width and
mapping depth are read from the tensors' shapes. Source: rosinality/stylegan2-pytorch, model.py and train.py.
"""

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_ops import fused_bias_act, setup_filter
from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.errors import ModelError

IGNORED = ("args", "g_optim", "d_optim", "ada_aug_p")
LR_MUL = 0.01  # lr_mlp of rosinality's Generator; it is in no shape, and no one changes it
W_SAMPLES, W_SEED = 10_000, 0


class _Taker:
    """A state dict from which keys are taken one by one, so that what is left over can be named."""

    def __init__(self, state: Any, what: str):
        if not isinstance(state, Mapping):
            raise ModelError(f"{what!r} is no state dict but {type(state).__name__}; name another file")
        self.state, self.what = dict(state), what

    def shape(self, key: str, ndim: int) -> tuple[int, ...]:
        """The shape of the tensor under key, which must have ndim axes."""
        tensor = self.state.get(key)
        if tensor is None:
            raise ModelError(f"key {self.what}.{key} is missing; it is no StyleGAN2 in rosinality's layout")
        if not isinstance(tensor, Tensor) or tensor.ndim != ndim or not tensor.is_floating_point():
            raise ModelError(f"key {self.what}.{key} is no floating tensor of {ndim} axes; name another file")
        return tuple(tensor.shape)

    def take(self, key: str, *shape: int) -> Tensor:
        """Remove and return the tensor under key, which must have this shape."""
        found = self.shape(key, len(shape))
        if found != shape:
            raise ModelError(f"key {self.what}.{key} is {list(found)}, wanted {list(shape)}")
        return self.state.pop(key).detach().float()

    def drop_fir(self, key: str, gain: float) -> None:
        """Remove the FIR kernel under key, which if present must be the one that the networks here build."""
        kernel, wanted = self.state.pop(key, None), setup_filter(gain=gain)
        if kernel is None:
            return
        if (
            not isinstance(kernel, Tensor)
            or kernel.shape != wanted.shape
            or not torch.allclose(kernel.float(), wanted, atol=1e-5)
        ):
            raise ModelError(f"{self.what}.{key} is not the filter [1, 3, 3, 1]; other filters are not read")

    def last(self, room: str) -> int:
        """The highest i of all keys `room.i.*`, or -1; a gap below it is then a missing key."""
        found = (re.match(rf"{room}\.(\d{{1,3}})\.", str(key)) for key in self.state)
        return max((int(match[1]) for match in found if match), default=-1)

    def finish(self) -> None:
        """Raises: ModelError listing what was not taken."""
        if self.state:
            names = ", ".join(str(key)[:40] for key in list(self.state)[:3])
            more = f" and {len(self.state) - 3} more" if len(self.state) > 3 else ""
            raise ModelError(f"{self.what} holds keys that no StyleGAN2 has: {names}{more}")


def from_rosinality(state: Mapping[str, Any]) -> dict[str, Checkpoint]:
    """Turn a rosinality checkpoint into ours.

    Args:
        state: {"g_ema", "g", "d", "latent_avg", ...}, any of them absent but not both g and g_ema and d.
    Returns: {"generator", "generator_raw", "discriminator"}, those that are there: generator is g_ema, or g
        without it; generator_raw is g beside a g_ema. w_mean is latent_avg where it belongs to that
        generator, else the mean over W_SAMPLES draws of a fixed seed.
    Raises: ModelError naming the key that is missing, left over or of a wrong shape.
    """
    left = [key for key in state if key not in (*IGNORED, "g", "d", "g_ema", "latent_avg")]
    if not any(key in state for key in ("g", "g_ema", "d")):
        raise ModelError("holds none of g_ema, g, d; rosinality's and Cartoon-StyleGAN's .pt are read")
    if left:
        raise ModelError(f"holds entries that are not read: {', '.join(str(key)[:40] for key in left[:3])}")
    found: dict[str, Checkpoint] = {}
    best = "g_ema" if "g_ema" in state else "g"
    if best in state:
        found["generator"] = _generator(_Taker(state[best], best), state.get("latent_avg"))
    if best == "g_ema" and "g" in state:
        found["generator_raw"] = _generator(_Taker(state["g"], "g"), None)
    if "d" in state:
        found["discriminator"] = _discriminator(_Taker(state["d"], "d"))
    return found


def _generator(source: _Taker, latent_avg: Any) -> Checkpoint:
    depth, blocks = max(source.last("style"), 1), max(source.last("to_rgbs"), 0) + 1
    w_dim, z_dim = source.shape("style.1.weight", 2)
    widths = [source.shape("conv1.conv.weight", 5)[1]]
    widths += [source.shape(f"convs.{2 * k + 1}.conv.weight", 5)[1] for k in range(blocks)]
    config = {"resolution": 4 * 2**blocks, "channels": widths, "z_dim": z_dim, "w_dim": w_dim,
              "mapping_layers": depth, "mapping_lr_mul": LR_MUL}  # fmt: skip
    out: dict[str, Tensor] = {}
    for i in range(depth):
        out[f"mapping.layers.{i}.weight"] = source.take(f"style.{i + 1}.weight", w_dim, w_dim if i else z_dim)
        out[f"mapping.layers.{i}.bias"] = source.take(f"style.{i + 1}.bias", w_dim)
    out["synthesis.const"] = source.take("input.input", 1, widths[0], 4, 4)[0]

    def modulated(theirs: str, ours: str, n_in: int, n_out: int, kernel: int) -> None:
        out[f"{ours}.conv.weight"] = source.take(f"{theirs}.conv.weight", 1, n_out, n_in, kernel, kernel)[0]
        out[f"{ours}.conv.affine.weight"] = source.take(f"{theirs}.conv.modulation.weight", n_in, w_dim)
        out[f"{ours}.conv.affine.bias"] = source.take(f"{theirs}.conv.modulation.bias", n_in)

    def styled(theirs: str, ours: str, n_in: int, n_out: int, layer: int) -> None:
        size = 4 * 2 ** ((layer + 1) // 2)
        modulated(theirs, ours, n_in, n_out, 3)
        out[f"{ours}.noise_strength"] = source.take(f"{theirs}.noise.weight", 1)[0]
        out[f"{ours}.bias"] = source.take(f"{theirs}.activate.bias", n_out)
        out[f"{ours}.noise_const"] = source.take(f"noises.noise_{layer}", 1, 1, size, size)[0, 0]

    def to_rgb(theirs: str, ours: str, n_in: int) -> None:
        modulated(theirs, ours, n_in, 3, 1)
        out[f"{ours}.bias"] = source.take(f"{theirs}.bias", 1, 3, 1, 1).flatten()

    styled("conv1", "synthesis.blocks.0.conv1", widths[0], widths[0], 0)
    to_rgb("to_rgb1", "synthesis.blocks.0.to_rgb", widths[0])
    for k in range(blocks):
        n_in, n_out, ours = widths[k], widths[k + 1], f"synthesis.blocks.{k + 1}"
        styled(f"convs.{2 * k}", f"{ours}.conv0", n_in, n_out, 2 * k + 1)
        styled(f"convs.{2 * k + 1}", f"{ours}.conv1", n_out, n_out, 2 * k + 2)
        to_rgb(f"to_rgbs.{k}", f"{ours}.to_rgb", n_out)
        source.drop_fir(f"convs.{2 * k}.conv.blur.kernel", 4)
        source.drop_fir(f"to_rgbs.{k}.upsample.kernel", 4)
    source.finish()
    if latent_avg is None:
        out["w_mean"] = _mean_w([(out[f"mapping.layers.{i}.weight"], out[f"mapping.layers.{i}.bias"])
                                 for i in range(depth)])  # fmt: skip
    elif isinstance(latent_avg, Tensor) and latent_avg.numel() == w_dim and latent_avg.is_floating_point():
        out["w_mean"] = latent_avg.detach().float().flatten()
    else:
        raise ModelError(f"latent_avg is no vector of {w_dim} numbers; remove it or name another file")
    meta = {"imported_from": "rosinality", "weights": source.what,
            "w_mean": "sampled" if latent_avg is None else "latent_avg"}  # fmt: skip
    return Checkpoint("generator", config, meta, out)


def _discriminator(source: _Taker) -> Checkpoint:
    blocks = max(source.last("convs"), 1)
    widths = [source.shape("convs.0.0.weight", 4)[0]]
    widths += [source.shape(f"convs.{k}.skip.1.weight", 4)[0] for k in range(1, blocks + 1)]
    out = {
        "from_rgb.weight": source.take("convs.0.0.weight", widths[0], 3, 1, 1),
        "from_rgb.bias": source.take("convs.0.1.bias", widths[0]),
    }
    for k, (n_in, n_out) in enumerate(pairwise(widths), start=1):
        ours, theirs = f"blocks.{k - 1}", f"convs.{k}"
        out[f"{ours}.conv0.weight"] = source.take(f"{theirs}.conv1.0.weight", n_in, n_in, 3, 3)
        out[f"{ours}.conv0.bias"] = source.take(f"{theirs}.conv1.1.bias", n_in)
        out[f"{ours}.conv1.weight"] = source.take(f"{theirs}.conv2.1.weight", n_out, n_in, 3, 3)
        out[f"{ours}.conv1.bias"] = source.take(f"{theirs}.conv2.2.bias", n_out)
        out[f"{ours}.skip.weight"] = source.take(f"{theirs}.skip.1.weight", n_out, n_in, 1, 1)
        source.drop_fir(f"{theirs}.conv2.0.kernel", 1)
        source.drop_fir(f"{theirs}.skip.0.kernel", 1)
    last = widths[-1]
    out["final_conv.weight"] = source.take("final_conv.0.weight", last, last + 1, 3, 3)
    out["final_conv.bias"] = source.take("final_conv.1.bias", last)
    out["fc.weight"] = source.take("final_linear.0.weight", last, last * 16)
    out["fc.bias"] = source.take("final_linear.0.bias", last)
    out["out.weight"] = source.take("final_linear.1.weight", 1, last)
    out["out.bias"] = source.take("final_linear.1.bias", 1)
    source.finish()
    config = {"resolution": 4 * 2**blocks, "channels": widths[::-1], "group": 4}
    return Checkpoint("discriminator", config, {"imported_from": "rosinality", "weights": source.what}, out)


def _mean_w(layers: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The mean of w over W_SAMPLES draws of z, [D]: the mapping network on its own weights and biases."""
    z = torch.randn(W_SAMPLES, layers[0][0].shape[1], generator=torch.Generator().manual_seed(W_SEED))
    x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for weight, bias in layers:
        x = fused_bias_act(F.linear(x, weight * (LR_MUL / math.sqrt(weight.shape[1]))), bias * LR_MUL)
    return x.mean(0)
