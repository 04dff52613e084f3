"""The files of the small judges that ship: one way to open them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from stylegan_toon.checkpoint.format import load
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
    checkpoint = load(path, "features")
    if checkpoint.meta.get("network") != network:
        raise ModelError(f"{shown(path)} is not of the network {network}; name {name}")
    net = build(from_json(config, checkpoint.config))
    try:
        net.load_state_dict(checkpoint.tensors)
    except RuntimeError:
        raise ModelError(f"{shown(path)} does not fit its own configuration; get it again") from None
    return channels_last(net.float().eval().requires_grad_(False).to(device))
