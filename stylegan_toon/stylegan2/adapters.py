"""Styles as small changes of a generator: offsets of its biases, and a low rank for its affine layers.

An offset of a style s = affine(w) is a change of the affine's bias (S-space: Wu et al. 2021, arXiv
2011.12799; for adaptation: Alanov et al. 2022, arXiv 2212.10229). A LoRA changes its weight by a product of
two thin matrices (Hu et al. 2022, arXiv 2106.09685). Both fold into an ordinary generator, whose code knows
of neither. docs/styles.md says what a style file holds.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_toon.checkpoint.format import Checkpoint, digest, not_finite
from stylegan_toon.config import from_json, to_json
from stylegan_toon.errors import ModelError
from stylegan_toon.nn.equalized import EqualLinear
from stylegan_toon.nn.modulated import ModulatedConv2d
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.files import compare, outline
from stylegan_toon.stylegan2.generator import Generator

KIND = "style"
FACTORS = ("lora_a", "lora_b")
PARTS = ("bias", *FACTORS)  # what a style changes of a resolution, by the ends of the names


@dataclass(frozen=True)
class Style:
    """The config of a style file.

    generator: the parent's Config as JSON. name: what the parent was called, a known name or a path below
        the working folder; parent: its weights_digest.
    rank: of the LoRA; 0 is offsets alone. frozen: how many resolutions, from 4x4 up, are the parent's.
    """

    generator: dict[str, Any]
    name: str
    parent: str
    rank: int
    frozen: int


class LowRankLinear(EqualLinear):
    """EqualLinear with W + B A / sqrt(r) for W; A [r, in] is drawn from N(0, 1), B [out, r] begins at 0.

    So Adam moves the sum at first as it would move W, whatever the rank. For layers without an activation.
    Source of the root: Kalajdzievski 2023, arXiv 2312.03732.
    """

    def __init__(self, linear: EqualLinear, rank: int):
        nn.Module.__init__(self)  # EqualLinear's would draw a weight
        self.weight, self.bias = linear.weight, linear.bias
        self.scale, self.lr_mul = linear.scale, linear.lr_mul
        n_out, n_in = linear.weight.shape
        self.lora_a = nn.Parameter(torch.randn(rank, n_in))
        self.lora_b = nn.Parameter(torch.zeros(n_out, rank))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight + low_rank(self.lora_a, self.lora_b)
        return F.linear(x, (weight * self.scale).to(x.dtype), (self.bias * self.lr_mul).to(x.dtype))


def low_rank(a: Tensor, b: Tensor) -> Tensor:
    """B A / sqrt(r) [out, in], of a [r, in] and b [out, r]."""
    return b @ a / math.sqrt(len(a))


def add_lora(generator: Generator, rank: int, frozen: int) -> Generator:
    """The generator itself, the affine layers above its `frozen` lowest resolutions now LowRankLinear."""
    for block in generator.synthesis.blocks[frozen:]:
        for module in block.modules():
            if isinstance(module, ModulatedConv2d):
                module.affine = LowRankLinear(module.affine, rank)
    return generator


def style_parameters(generator: Generator, frozen: int) -> dict[str, nn.Parameter]:
    """The parameters that a style changes, by their names in the generator; with add_lora its factors too."""
    blocks = enumerate(generator.synthesis.blocks)
    return {
        f"synthesis.blocks.{k}.{name}": parameter
        for k, block in blocks
        for name, parameter in (block.named_parameters() if k >= frozen else ())
        if name.endswith(PARTS)
    }


def fold(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a generator after add_lora as that of an ordinary one that draws the same."""
    out = {name: tensor for name, tensor in state.items() if not name.endswith(FACTORS)}
    for name, b in state.items():
        if name.endswith("lora_b"):
            stem = name.removesuffix("lora_b")
            out[f"{stem}weight"] = out[f"{stem}weight"] + low_rank(state[f"{stem}lora_a"], b)
    return out


def weights_digest(checkpoint: Checkpoint) -> str:
    """SHA-256 in hex of what makes a generator a style's parent: names, shapes and float16 of its weights.

    A file, its float16 copy and its copy without noise are one parent: strengths of noise do not count, nor
    does w_mean, which follows from the mapping, nor what the header says.
    """
    tensors = {
        name: tensor.half().contiguous()
        for name, tensor in checkpoint.tensors.items()
        if not name.endswith(("w_mean", "noise_strength"))
    }
    return digest("generator", {}, {}, tensors)


def style_checkpoint(
    child: Generator, parent: Checkpoint, name: str, rank: int, frozen: int, meta: Mapping[str, Any]
) -> Checkpoint:
    """The style file of a child of parent, which is a generator's: differences of biases, and factors.

    Args:
        child: the parent's network, trained in style_parameters(child, frozen) alone.
        name: what the parent is called, for a person and for finding it.
    Raises: ModelError if the child differs from the parent in anything else, so is no child of it.
    """
    state = {key: value.detach().cpu() for key, value in child.state_dict().items()}
    trained, tensors = style_parameters(child, frozen), {}
    for key, value in state.items():
        before = None if key.endswith(FACTORS) else parent.tensors[key].to(value.dtype)
        if key in trained:
            tensors[key] = value.clone() if before is None else value - before
        elif before is None or not torch.equal(value, before):
            raise ModelError(f"{name[:60]} is not what this run started from ({key[-60:]} differs); "
                             "name the source of then, or use --resume never")  # fmt: skip
    config = Style(to_json(child.config), name, weights_digest(parent), rank, frozen)
    return Checkpoint(KIND, to_json(config), dict(meta), tensors)


def is_plain(name: str) -> bool:
    """Whether name is a short relative path that leads nowhere but down, on every system."""
    parts = name.split("/")
    return len(name) <= 100 and name.isprintable() and not ({"", ".", ".."} & {*parts} or {*"\\:"} & {*name})


def read_style(checkpoint: Checkpoint) -> Style:
    """The config of a style file. Raises: ModelError if it is none, or the tensors are not those it names."""
    try:
        style = from_json(Style, checkpoint.config)
        if not isinstance(style.generator, dict):
            raise ValueError(f"generator must be an object, not {style.generator!r}")
        shape = from_json(Config, style.generator)
        if not 0 <= style.frozen < shape.n_resolutions or not 0 <= style.rank <= shape.w_dim:
            raise ValueError(f"rank {style.rank} or frozen {style.frozen} is outside of its range")
        if not is_plain(style.name):
            raise ValueError("the name of the parent is no relative path without ..")
        if not re.fullmatch("[0-9a-f]{64}", style.parent):
            raise ValueError("the digest of the parent is none")
        empty = outline(Generator, shape)
        with torch.device("meta"):
            add_lora(empty, style.rank, style.frozen if style.rank else shape.n_resolutions)
    except (ValueError, TypeError, RuntimeError, OverflowError, ModelError) as error:
        raise ModelError(f"no style has this configuration: {str(error).splitlines()[0][:100]}") from None
    compare(style_parameters(empty, style.frozen), checkpoint.tensors, KIND)
    return style


def merge(style: Checkpoint, parent: Checkpoint) -> Checkpoint:
    """The generator, in float32, that a style makes of its parent, with the style's meta.

    That parent has the weights_digest that the style names is for the caller to see.
    Raises: ModelError if style is none, parent has another shape, or the sums are not finite.
    """
    shape = from_json(Config, read_style(style).generator)
    if from_json(Config, parent.config) != shape:
        raise ModelError("the style is of a generator of another shape than its parent has")
    compare(outline(Generator, shape).state_dict(), parent.tensors, "generator")
    tensors = {name: tensor.float() for name, tensor in parent.tensors.items()}
    for name, tensor in style.tensors.items():
        tensors[name] = tensor.float() + (0 if name.endswith(FACTORS) else tensors[name])
    tensors = fold(tensors)
    if bad := not_finite(tensors):
        raise ModelError(f"the style brings tensor {bad[:60]!r} above the float32 range; get another")
    return Checkpoint("generator", parent.config, dict(style.meta), tensors)
