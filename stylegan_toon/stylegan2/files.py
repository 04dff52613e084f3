"""Networks to checkpoints and back."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.config import from_json, to_json
from stylegan_toon.device import channels_last
from stylegan_toon.errors import ModelError
from stylegan_toon.nn.modulated import ModulatedConv2d
from stylegan_toon.nn.upscaler import Config as UpscalerConfig
from stylegan_toon.nn.upscaler import Upscaler
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.encoder import Config as EncoderConfig
from stylegan_toon.stylegan2.encoder import Encoder
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.pyramid import Config as PyramidConfig
from stylegan_toon.stylegan2.pyramid import PyramidEncoder

Net = TypeVar("Net", bound=nn.Module)
AnyEncoder = Encoder | PyramidEncoder
FACTORIES = (torch.randn, torch.zeros, torch.ones, torch.full, torch.empty)
DRAWS = (nn.init.kaiming_uniform_, nn.init.uniform_, Tensor.uniform_)  # of torch's own layers, in place


class _Blank(TorchFunctionMode):
    """While a network is built to be loaded, nothing is drawn for it: faster, and seeds stay put."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in DRAWS:
            return None
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))


class _Outline(TorchFunctionMode):
    """While a network is built for its shapes alone, what it draws or fills takes no memory."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in DRAWS:
            return None
        if func in (Tensor.div, Tensor.__truediv__):  # on meta tensors it would load torch._dynamo, for 1 s
            return args[0]
        if func not in FACTORIES:
            return func(*args, **kwargs)
        return (torch.empty if func is torch.randn else func)(*args, **{**kwargs, "device": "meta"})


def outline(cls: Callable[[Any], Net], config: Any) -> Net:
    """The network cls(config) with its parameters on the meta device: names and shapes, no memory."""
    with _Outline():
        return cls(config)


def build_generator(checkpoint: Checkpoint, trainable: bool = False) -> Generator:
    """The generator of a checkpoint, float32 on the CPU.

    Args:
        trainable: False gives eval mode, no gradients, weights laid out for speed; True a network to train.
    Raises: ModelError if the kind, the configuration, a tensor's name or its shape is not the network's.
    """
    return _build(Generator, Config, "generator", checkpoint, trainable)


def build_discriminator(checkpoint: Checkpoint, trainable: bool = False) -> Discriminator:
    """The discriminator of a checkpoint; arguments and errors as in build_generator."""
    return _build(Discriminator, Config, "discriminator", checkpoint, trainable)


def build_encoder(checkpoint: Checkpoint, trainable: bool = False) -> AnyEncoder:
    """The encoder of a checkpoint, ours or pSp's and e4e's; arguments and errors as in build_generator."""
    if "units" in checkpoint.config:
        return _build(PyramidEncoder, PyramidConfig, "encoder", checkpoint, trainable)
    return _build(Encoder, EncoderConfig, "encoder", checkpoint, trainable)


def build_upscaler(checkpoint: Checkpoint, trainable: bool = False) -> Upscaler:
    """The upscaler of a checkpoint; arguments and errors as in build_generator."""
    return _build(Upscaler, UpscalerConfig, "upscaler", checkpoint, trainable)


def generator_checkpoint(
    generator: Generator, meta: Mapping[str, Any] | None = None, half: bool = False
) -> Checkpoint:
    """A checkpoint of copies of the generator's tensors, floating ones as float16 with half."""
    return _checkpoint("generator", generator, generator.state_dict(), meta, half)


def discriminator_checkpoint(
    discriminator: Discriminator, meta: Mapping[str, Any] | None = None, half: bool = False
) -> Checkpoint:
    """As generator_checkpoint; a fromRGB that is still being faded out is left behind."""
    state = {k: v for k, v in discriminator.state_dict().items() if not k.startswith("old_from_rgb.")}
    return _checkpoint("discriminator", discriminator, state, meta, half)


def encoder_checkpoint(
    encoder: AnyEncoder, meta: Mapping[str, Any] | None = None, half: bool = False
) -> Checkpoint:
    """As generator_checkpoint."""
    return _checkpoint("encoder", encoder, encoder.state_dict(), meta, half)


def upscaler_checkpoint(
    upscaler: Upscaler, meta: Mapping[str, Any] | None = None, half: bool = False
) -> Checkpoint:
    """As generator_checkpoint."""
    return _checkpoint("upscaler", upscaler, upscaler.state_dict(), meta, half)


def _checkpoint(
    kind: str, network: Any, state: Mapping[str, Tensor], meta: Mapping[str, Any] | None, half: bool
) -> Checkpoint:
    dtype = torch.float16 if half else torch.float32
    tensors = {name: tensor.detach().to("cpu", dtype, copy=True) for name, tensor in state.items()}
    return Checkpoint(kind, to_json(network.config), dict(meta or {}), tensors)


def _build(cls: type[Net], shape: type, kind: str, checkpoint: Checkpoint, trainable: bool) -> Net:
    if checkpoint.kind != kind:
        raise ModelError(f"the file holds a {checkpoint.kind[:40]}, not a {kind}; name another file")
    try:
        config: Any = from_json(shape, checkpoint.config)
        wanted = outline(cls, config).state_dict()  # a file cannot make us allocate more than it holds
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise ModelError(f"no {kind} has this configuration: {str(error).splitlines()[0][:100]}") from None
    compare(wanted, checkpoint.tensors, kind)
    with _Blank():
        network = cls(config)
    network.load_state_dict(checkpoint.tensors)
    if trainable:
        return network
    channels_last(network.eval().requires_grad_(False))
    for module in network.modules():
        if isinstance(module, ModulatedConv2d):
            module.arrange()
    return network


def compare(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], kind: str) -> None:
    """Raises: ModelError naming the first tensors that are missing, left over, or of another shape."""
    missing, left = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    for names, problem in ((missing, "lacks"), (left, "has too many:")):
        if names:
            listed = ", ".join(name[:50] for name in sorted(names)[:2])
            raise ModelError(f"the {kind} {problem} {len(names)} tensors: {listed}; it is of another version")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape or not found[name].is_floating_point():
            raise ModelError(
                f"tensor {name} of the {kind} is {list(found[name].shape)}, wanted {list(tensor.shape)}"
            )
