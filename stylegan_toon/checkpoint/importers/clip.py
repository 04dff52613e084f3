"""OpenAI's CLIP files, and the small model of this project written as one.

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

    Raises: ModelError if it is none.
    """
    tensors = {
        name: value
        for name, value in state.items()
        if name not in NOTES and not name.endswith(".num_batches_tracked")
    }

    def shape(name: str, ndim: int) -> tuple[int, ...]:
        tensor = tensors.get(name)
        if not isinstance(tensor, Tensor) or tensor.ndim != ndim:
            raise ModelError(f"key {name} is missing or of another shape; it is no CLIP of OpenAI's layout")
        return tuple(tensor.shape)

    context, text_width = shape("positional_embedding", 2)
    if "visual.attnpool.positional_embedding" in tensors:
        places, _ = shape("visual.attnpool.positional_embedding", 2)
        width, patch = shape("visual.layer1.0.conv1.weight", 4)[0], 32
        stages = [_blocks(tensors, f"visual.layer{i}") for i in range(1, 5)]
        pictures = {"layers": 0, "stages": stages}
    else:
        places, _ = shape("visual.positional_embedding", 2)
        width, _, patch, _ = shape("visual.conv1.weight", 4)
        pictures = {"layers": _blocks(tensors, "visual.transformer.resblocks")}
    config = {
        "embed": shape("text_projection", 2)[1],
        "size": round((places - 1) ** 0.5) * patch,
        "patch": patch,
        "width": width,
        **pictures,
        "text_width": text_width,
        "text_layers": _blocks(tensors, "transformer.resblocks"),
        "context": context,
        "tokens": shape("token_embedding.weight", 2)[0],
    }
    if width * (32 if "stages" in pictures else 1) % 64 or text_width % 64 or not width * text_width * patch:
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
    """How many blocks a tower, or a stage of it, has."""
    start = f"{tower}."
    return len({name[len(start) :].split(".")[0] for name in tensors if name.startswith(start)})
