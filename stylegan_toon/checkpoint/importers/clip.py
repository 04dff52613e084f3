"""OpenAI's CLIP files with a vision transformer, and the small model of this project written as one.

Source of the layout: github.com/openai/CLIP clip/model.py (MIT): the sizes are read off the tensors.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers.taker import owned
from stylegan_toon.errors import ModelError

KIND = "clip"
NOTES = ("input_resolution", "context_length", "vocab_size")  # numbers beside the weights in an archive
TOKENS, BEGIN, END = 49_408, 49_406, 49_407  # rows of OpenAI's table; its marks round a text


def from_clip(state: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint for a state dict in OpenAI's names, float32.

    Raises: ModelError if it is none, or has a ResNet for pictures.
    """
    tensors = {name: value for name, value in state.items() if name not in NOTES}
    if "visual.attnpool.positional_embedding" in tensors:
        raise ModelError("is a CLIP with a ResNet, which is not read; take a ViT, such as clip-vit-b-32")

    def shape(name: str, ndim: int) -> tuple[int, ...]:
        tensor = tensors.get(name)
        if not isinstance(tensor, Tensor) or tensor.ndim != ndim:
            raise ModelError(f"key {name} is missing or of another shape; it is no CLIP of OpenAI's layout")
        return tuple(tensor.shape)

    width, _, patch, _ = shape("visual.conv1.weight", 4)
    context, text_width = shape("positional_embedding", 2)
    places, _ = shape("visual.positional_embedding", 2)
    config = {
        "embed": shape("text_projection", 2)[1],
        "size": round((places - 1) ** 0.5) * patch,
        "patch": patch,
        "width": width,
        "layers": _blocks(tensors, "visual.transformer"),
        "text_width": text_width,
        "text_layers": _blocks(tensors, "transformer"),
        "context": context,
        "tokens": shape("token_embedding.weight", 2)[0],
    }
    if width % 64 or text_width % 64 or not width * text_width * patch:
        raise ModelError(f"has widths {width} and {text_width}, and CLIP's are multiples of 64")
    return Checkpoint(KIND, config, {}, {name: owned(t, name) for name, t in tensors.items()})


def to_clip(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """A state dict in float16 as `clip.load` of OpenAI's package opens it.

    A small model gets a table of OpenAI's length; all words that it never saw share the mean of its rows.
    Raises: ModelError if the checkpoint is no CLIP.
    """
    if checkpoint.kind != KIND:
        raise ModelError(f"holds a {checkpoint.kind[:40]}, not a CLIP; name another file")
    state = dict(checkpoint.tensors)
    if "words" in checkpoint.meta:
        rows = state["token_embedding.weight"].float()
        table = rows.mean(0).repeat(TOKENS, 1)
        table[torch.tensor(used(checkpoint.meta["words"]))] = rows
        state["token_embedding.weight"] = table
    return {name: tensor.half() for name, tensor in state.items()}


def used(words: Mapping[str, Sequence[int]]) -> list[int]:
    """The rows of OpenAI's table that a small model keeps, in its own order, for the words that it knows."""
    return sorted({BEGIN, END}.union(*words.values()))


def _blocks(tensors: Mapping[str, Any], tower: str) -> int:
    """How many blocks a tower has."""
    start = f"{tower}.resblocks."
    return len({name[len(start) :].split(".")[0] for name in tensors if name.startswith(start)})
