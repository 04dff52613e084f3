"""The files of the small judges that ship: one way to open them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from stylegan_toon.checkpoint.format import Checkpoint, load
from stylegan_toon.config import from_json
from stylegan_toon.device import channels_last
from stylegan_toon.errors import ModelError, shown
from stylegan_toon.paths import pretrained_file

Net = TypeVar("Net", bound=nn.Module)


def load_features(
    build: Callable[[Any], Net],
    config: type,
    network: str,
    path: str | Path | None,
    device: str | torch.device,
) -> Net:
    """build(config of the file) with its weights, float32 and frozen.

    Args:
        network: what the header must name.
        path: a checkpoint of kind "features"; None takes the one that ships.
    Raises: ModelError when the file is missing, broken or of another network.
    """
    name = f"{network}.safetensors"
    path = path or pretrained_file(name)
    if path is None:
        raise ModelError(f"the face judge {name} is missing; put it into pretrained/ or install again")
    return build_features(build, config, network, load(path, "features"), path, device)


def build_features(
    build: Callable[[Any], Net],
    config: type,
    network: str,
    checkpoint: Checkpoint,
    path: str | Path,
    device: str | torch.device,
) -> Net:
    """As load_features, of a checkpoint that was read from path."""
    if checkpoint.meta.get("network") != network:
        raise ModelError(f"{shown(path)} is not of the network {network}; name another file")
    try:
        with torch.device("meta"):  # shapes are compared before anything is allocated
            net = build(from_json(config, checkpoint.config))
        net.load_state_dict(checkpoint.tensors, assign=True)
    except (RuntimeError, ValueError, TypeError, OverflowError):
        raise ModelError(f"{shown(path)} does not fit its own configuration; get it again") from None
    return channels_last(net.float().eval().requires_grad_(False).to(device))
