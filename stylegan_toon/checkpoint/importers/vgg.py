"""VGG's convolutions, read by renaming: torchvision's files and Gatys' vgg_conv.pth, of 16 or 19 layers.

What follows the convolutions (torchvision's classifier) is left out. Both have their own input: torchvision's
is RGB by ImageNet's mean and deviation, Gatys' BGR from 0 to 255 less a mean, as Caffe's.
Source: Simonyan and Zisserman 2015, arXiv 1409.1556; pytorch/vision; leongatys/PytorchNeuralStyleTransfer.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers.taker import Taker
from stylegan_toon.errors import ModelError

CONVS = {13: (2, 2, 3, 3, 3), 16: (2, 2, 4, 4, 4)}  # in each block, by their number


def is_vgg(state: Mapping[str, Any]) -> bool:
    """Whether a torch file's dictionary is the state dict of a VGG without batch norms."""
    first = state.get("features.0.weight", state.get("conv1_1.weight"))
    return (
        isinstance(first, Tensor) and tuple(first.shape[1:]) == (3, 3, 3) and "features.1.weight" not in state
    )


def from_vgg(state: Mapping[str, Any]) -> dict[str, Checkpoint]:
    """Turn the state dict of a VGG into ours, {"features"}.

    Raises: ModelError naming the key that is missing, left over or of a wrong shape.
    """
    caffe = "conv1_1.weight" in state
    named = {key: value for key, value in state.items() if not key.startswith("classifier.")}
    source = Taker(named, "", "Gatys' layout" if caffe else "torchvision's layout", "VGG")
    count = sum(key.endswith(".weight") for key in named)
    if count not in CONVS:
        raise ModelError(f"has {count} convolutions; VGG16 has 13 and VGG19 16")
    out: dict[str, Tensor] = {}
    widths: list[int] = []
    n_in, place = 3, 0
    for block, convs in enumerate(CONVS[count], 1):
        for k in range(1, convs + 1):
            theirs, ours = f"conv{block}_{k}" if caffe else f"features.{place}", f"convs.conv{block}_{k}"
            width = source.shape(f"{theirs}.weight", 4)[0]
            out[f"{ours}.weight"] = source.take(f"{theirs}.weight", (width, n_in, 3, 3))
            out[f"{ours}.bias"] = source.take(f"{theirs}.bias", (width,))
            n_in, place = width, place + 2  # a ReLU after each
        widths.append(n_in)
        place += 1  # the pooling
    source.finish()
    config = {"convs": list(CONVS[count]), "widths": widths, "caffe": caffe}
    meta = {"imported_from": "Gatys" if caffe else "torchvision", "network": "vgg"}
    return {"features": Checkpoint("features", config, meta, out)}
