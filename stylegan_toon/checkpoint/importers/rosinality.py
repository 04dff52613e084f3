"""rosinality/stylegan2-pytorch and what was made from it, read and written by renaming.

Top level of a training file: g, d, g_ema, latent_avg, args, ada_aug_p and the optimisers; of an encoder of
Cartoon-StyleGAN: e; of e4e, pSp and StyleCLIP's mapper: state_dict with decoder.* and encoder.* or mapper.*,
latent_avg, opts. Sizes, channels, latent width and mapping depth are read from the tensors' shapes.
Source: rosinality/stylegan2-pytorch, model.py and train.py; Cartoon-StyleGAN, model.py (Encoder).
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_ops import fused_bias_act, setup_filter
from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers import irse, styleclip
from stylegan_toon.checkpoint.importers.taker import (
    MAX_BLOCKS,
    Taker,
    discriminator_shapes,
    generator_shapes,
    owned,
    trunk_shapes,
)
from stylegan_toon.errors import ModelError

IGNORED = ("args", "g_optim", "d_optim", "e_optim", "ada_aug_p")
BESIDE_STATE = (
    "opts", "global_step", "optimizer", "best_val_loss", "discriminator_state_dict",
    "discriminator_optimizer_state_dict",
)  # fmt: skip
LR_MUL = 0.01  # lr_mlp of rosinality's Generator; it is in no shape, and no one changes it
GROUP = 4
W_SAMPLES, W_SEED = 10_000, 0
ORDER = ("style", "input", "conv1", "to_rgb1", "convs", "to_rgbs", "noises")


def from_rosinality(state: Mapping[str, Any]) -> dict[str, Checkpoint]:
    """Turn a rosinality checkpoint into ours.

    Args:
        state: {"g_ema", "g", "d", "e", "latent_avg", ...}, any of them absent but not all networks; or
            {"state_dict", "latent_avg", ...}.
    Returns: {"generator", "generator_raw", "discriminator", "encoder", "mapper"}, those there: generator is
        g_ema, or g without it; generator_raw is g beside a g_ema. w_mean is latent_avg where it belongs to
        that generator, else the mean over W_SAMPLES draws of a fixed seed. Networks of a state_dict that
        are not read stand in the generator's meta, as not_read.
    Raises: ModelError naming the key that is missing, left over or of a wrong shape.
    """
    if "state_dict" in state:
        return _from_state_dict(state)
    left = [key for key in state if key not in (*IGNORED, "g", "d", "e", "g_ema", "latent_avg")]
    if not any(key in state for key in ("g", "g_ema", "d", "e")):
        raise ModelError("holds none of g_ema, g, d, e; rosinality's and Cartoon-StyleGAN's .pt are read")
    if left:
        raise ModelError(f"holds entries that are not read: {', '.join(str(key)[:40] for key in left[:3])}")
    found: dict[str, Checkpoint] = {}
    best = "g_ema" if "g_ema" in state else "g"
    if best in state:
        found["generator"] = _generator(Taker(state[best], best), state.get("latent_avg"))
    if best == "g_ema" and "g" in state:
        found["generator_raw"] = _generator(Taker(state["g"], "g"), None)
    if "d" in state:
        found["discriminator"] = _discriminator(Taker(state["d"], "d"))
    if "e" in state:
        found["encoder"] = _encoder(Taker(state["e"], "e"))
    return found


def to_rosinality(found: Mapping[str, Checkpoint]) -> dict[str, Any]:
    """The entries of a rosinality file: g_ema, g and d, those that are there, and latent_avg.

    A mean of w that was sampled on reading is left out again. Tensors are float32 and share no memory.
    Raises: ModelError for a network that the layout cannot express.
    """
    state: dict[str, Any] = {}
    for kind, key in (("generator", "g_ema"), ("generator_raw", "g")):
        if kind in found:
            state[key] = _generator_state(found[kind])
    if "discriminator" in found:
        checkpoint = found["discriminator"]
        if checkpoint.config.get("group", GROUP) != GROUP:
            raise ModelError(f"a minibatch-stddev group other than {GROUP} cannot be written in this layout")
        state["d"] = _discriminator_state(checkpoint)
    if not state:
        raise ModelError("holds no generator and no discriminator to write in rosinality's layout")
    if "generator" in found and found["generator"].meta.get("w_mean") != "sampled":
        state["latent_avg"] = _float(found["generator"].tensors["w_mean"])
    return state


def _from_state_dict(state: Mapping[str, Any]) -> dict[str, Checkpoint]:
    left = [key for key in state if key not in ("state_dict", "latent_avg", *BESIDE_STATE)]
    if left:
        raise ModelError(f"holds entries that are not read: {', '.join(str(key)[:40] for key in left[:3])}")
    networks: dict[str, dict[str, Any]] = {}
    for key, value in Taker(state["state_dict"], "state_dict").state.items():
        room, _, name = str(key).partition(".")
        networks.setdefault(room, {})[name] = value
    if "decoder" not in networks or not set(networks) <= {"decoder", "encoder", "mapper"}:
        rooms = ", ".join(room[:20] for room in list(networks)[:4])
        raise ModelError(f"state_dict holds {rooms or 'nothing'}; the decoder of e4e's and pSp's is read")
    mean = state.get("latent_avg")
    if isinstance(mean, Tensor) and mean.ndim == 2 and len(mean) and bool((mean == mean[0]).all()):
        mean = mean[0]  # their loaders repeat it for every layer
    found = {"generator": _generator(Taker(networks.pop("decoder"), "decoder"), mean)}
    opts = given if isinstance(given := state.get("opts"), Mapping) else {}
    if "encoder" in networks and (whose := irse.encoder_of(opts)):
        found["encoder"] = _style_encoder(networks.pop("encoder"), whose, opts, found["generator"])
    if "mapper" in networks and styleclip.is_mapper(networks["mapper"]):
        found["mapper"] = styleclip.from_mapper(networks.pop("mapper"), opts, found["generator"])
    found["generator"].meta["not_read"] = sorted(networks)
    return found


def _style_encoder(state: Any, whose: str, opts: Mapping[str, Any], generator: Checkpoint) -> Checkpoint:
    """e4e's or pSp's; its codes are added to the mean of w, unless opts say otherwise."""
    centred = opts.get("start_from_latent_avg", True)
    encoder = irse.from_style_encoder(state, whose, generator.tensors["w_mean"] if centred else None)
    made, wanted = encoder.config, generator.config
    n_layers = 2 * len(wanted["channels"])
    if (made["n_layers"], made["w_dim"]) != (n_layers, wanted["w_dim"]):
        raise ModelError(
            f"the encoder gives {made['n_layers']} codes of {made['w_dim']}, but its decoder takes "
            f"{n_layers} of {wanted['w_dim']}; the two do not belong together"
        )
    return encoder


def _generator(source: Taker, latent_avg: Any) -> Checkpoint:
    depth = max(source.last(r"style\.(\d{1,3})\."), 1)
    blocks = max(source.last(r"to_rgbs\.(\d{1,3})\."), 0) + 1
    if blocks > MAX_BLOCKS:
        raise ModelError(f"{source.what} has {blocks} blocks; it is no StyleGAN2 in rosinality's layout")
    w_dim, z_dim = source.shape("style.1.weight", 2)
    widths = [source.shape("conv1.conv.weight", 5)[1]]
    widths += [source.shape(f"convs.{2 * k + 1}.conv.weight", 5)[1] for k in range(blocks)]
    config = {"resolution": 4 * 2**blocks, "channels": widths, "z_dim": z_dim, "w_dim": w_dim,
              "mapping_layers": depth, "mapping_lr_mul": LR_MUL}  # fmt: skip
    out: dict[str, Tensor] = {}
    for ours, shape in generator_shapes(config):
        theirs, axes = _their_generator(ours, shape)
        out[ours] = source.take(theirs, axes).reshape(shape)
    for key in _generator_kernels(blocks):
        source.drop_fir(key, 4)
    source.finish()
    if latent_avg is None:
        out["w_mean"] = _mean_w([(out[f"mapping.layers.{i}.weight"], out[f"mapping.layers.{i}.bias"])
                                 for i in range(depth)])  # fmt: skip
    elif isinstance(latent_avg, Tensor) and latent_avg.numel() == w_dim:
        out["w_mean"] = owned(latent_avg.flatten(), "latent_avg")
    else:
        raise ModelError(f"latent_avg is no vector of {w_dim} numbers; remove it or name another file")
    meta = {"imported_from": "rosinality", "weights": source.what,
            "w_mean": "sampled" if latent_avg is None else "latent_avg"}  # fmt: skip
    return Checkpoint("generator", config, meta, out)


def _discriminator(source: Taker) -> Checkpoint:
    channels = _trunk_channels(source)
    out = {}
    for ours, shape in discriminator_shapes(channels):
        out[ours] = source.take(_their_discriminator(ours), shape)
    for key in _discriminator_kernels(len(channels) - 1):
        source.drop_fir(key, 1)
    source.finish()
    config = {"resolution": 2 * 2 ** len(channels), "channels": channels, "group": GROUP}
    return Checkpoint("discriminator", config, {"imported_from": "rosinality", "weights": source.what}, out)


def _encoder(source: Taker) -> Checkpoint:
    """Cartoon-StyleGAN's: a discriminator's trunk, then one 4x4 convolution to all codes, without a bias."""
    channels = _trunk_channels(source)
    n_layers, head = 2 * len(channels), f"convs.{len(channels)}.weight"
    codes = source.shape(head, 4)[0]
    if codes % n_layers:
        raise ModelError(f"key e.{head} gives {codes} numbers, which are no {n_layers} codes")
    out = {}
    for ours, shape in trunk_shapes(channels):
        out[ours] = source.take(_their_discriminator(ours), shape)
    out["offsets.weight"] = source.take(head, (codes, channels[0], 4, 4)).reshape(codes, -1)
    out["offsets.bias"] = torch.zeros(codes)
    out["w_mean"] = torch.zeros(codes // n_layers)
    for key in _discriminator_kernels(len(channels) - 1):
        source.drop_fir(key, 1)
    source.finish()
    config = {"resolution": 2 * 2 ** len(channels), "channels": channels, "n_layers": n_layers,
              "w_dim": codes // n_layers, "rank": 0}  # fmt: skip
    return Checkpoint("encoder", config, {"imported_from": "Cartoon-StyleGAN", "weights": source.what}, out)


def _trunk_channels(source: Taker) -> list[int]:
    blocks = max(source.last(r"convs\.(\d{1,3})\.skip\."), 1)
    if blocks > MAX_BLOCKS:
        raise ModelError(f"{source.what} has {blocks} blocks; it is no StyleGAN2 in rosinality's layout")
    widths = [source.shape("convs.0.0.weight", 4)[0]]
    widths += [source.shape(f"convs.{k}.skip.1.weight", 4)[0] for k in range(1, blocks + 1)]
    return widths[::-1]


def _their_generator(ours: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """rosinality's name for a tensor of our generator, and the shape it has there."""
    if match := re.fullmatch(r"mapping\.layers\.(\d+)\.(\w+)", ours):
        return f"style.{int(match[1]) + 1}.{match[2]}", shape
    if ours == "synthesis.const":
        return "input.input", (1, *shape)
    match = re.fullmatch(r"synthesis\.blocks\.(\d+)\.(conv0|conv1|to_rgb)\.([\w.]+)", ours)
    assert match is not None, ours
    k, layer, part = int(match[1]), match[2], match[3]
    number = 2 * k - 2 + (layer == "conv1")
    if layer == "to_rgb":
        room = f"to_rgbs.{k - 1}" if k else "to_rgb1"
    else:
        room = f"convs.{number}" if k else "conv1"
    if part == "noise_const":
        return f"noises.noise_{number + 1}", (1, 1, *shape)
    if part == "noise_strength":
        return f"{room}.noise.weight", (1,)
    if part == "conv.weight":
        return f"{room}.conv.weight", (1, *shape)
    if part == "bias":
        return (f"{room}.bias", (1, 3, 1, 1)) if layer == "to_rgb" else (f"{room}.activate.bias", shape)
    return f"{room}.{part.replace('affine', 'modulation')}", shape


def _their_discriminator(ours: str) -> str:
    """rosinality's name for a tensor of our discriminator; the shapes are the same."""
    room, _, part = ours.rpartition(".")
    if match := re.fullmatch(r"blocks\.(\d+)\.(\w+)", room):
        layer, at = {"conv0": ("conv1", 0), "conv1": ("conv2", 1), "skip": ("skip", 1)}[match[2]]
        return f"convs.{int(match[1]) + 1}.{layer}.{at + (part == 'bias')}.{part}"
    if room in ("from_rgb", "final_conv"):
        return f"{'convs.0' if room == 'from_rgb' else room}.{int(part == 'bias')}.{part}"
    return f"final_linear.{0 if room == 'fc' else 1}.{part}"


def _generator_kernels(blocks: int) -> list[str]:
    """The names of the FIR kernels, all of gain 4."""
    rooms = ("convs.{1}.conv.blur.kernel", "to_rgbs.{0}.upsample.kernel")
    return [room.format(k, 2 * k) for k in range(blocks) for room in rooms]


def _discriminator_kernels(blocks: int) -> list[str]:
    """The names of the FIR kernels, all of gain 1."""
    return [f"convs.{k}.{layer}.0.kernel" for k in range(1, blocks + 1) for layer in ("conv2", "skip")]


def _generator_state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    config = checkpoint.config
    if config.get("mapping_lr_mul", LR_MUL) != LR_MUL:
        raise ModelError(f"a mapping learning rate other than {LR_MUL} cannot be written in this layout")
    if config.get("source_resolutions"):
        raise ModelError("this layout has no place for the second mapping of --freeze-sg; leave --to out")
    state = {}
    for ours, shape in generator_shapes({"z_dim": 512, "w_dim": 512, "mapping_layers": 8, **config}):
        theirs, axes = _their_generator(ours, shape)
        state[theirs] = _float(checkpoint.tensors[ours]).reshape(axes)
    for key in _generator_kernels(len(config["channels"]) - 1):
        state[key] = setup_filter(gain=4)
    return dict(sorted(state.items(), key=lambda item: ORDER.index(item[0].partition(".")[0])))


def _discriminator_state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    channels, tensors = checkpoint.config["channels"], checkpoint.tensors
    state = {_their_discriminator(name): _float(tensors[name]) for name, _ in discriminator_shapes(channels)}
    return state | {key: setup_filter() for key in _discriminator_kernels(len(channels) - 1)}


def _float(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32, copy=True).contiguous()


def _mean_w(layers: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The mean of w over W_SAMPLES draws of z, [D]: the mapping network on its own weights and biases."""
    z = torch.randn(W_SAMPLES, layers[0][0].shape[1], generator=torch.Generator().manual_seed(W_SEED))
    x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for weight, bias in layers:
        x = fused_bias_act(F.linear(x, weight * (LR_MUL / math.sqrt(weight.shape[1]))), bias * LR_MUL)
    return x.mean(0)
