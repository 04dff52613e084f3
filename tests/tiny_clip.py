"""A small CLIP with random weights that knows a few words."""

import torch

from stylegan_toon.checkpoint.format import Checkpoint, save
from stylegan_toon.checkpoint.importers.clip import KIND, used
from stylegan_toon.config import to_json
from stylegan_toon.features.clip import CLIP, Clip, Config
from stylegan_toon.features.clip_words import Words

KNOWN = {"a": [320], "really": [1414], "sad": [3719], "happy": [900], "face": [1710], "red": [22], "!": [0]}
MOODS = KNOWN | {"angry": [4880], "surprised": [8870]}


def network(known=KNOWN) -> CLIP:
    tokens = len(used(known))
    net = CLIP(
        Config(
            8, size=16, patch=8, width=64, layers=1, text_width=64, text_layers=1, context=9, tokens=tokens
        )
    )
    for parameter in net.parameters():  # so that texts lie apart
        parameter.data += torch.randn_like(parameter) * 0.1
    return net.eval().requires_grad_(False)


def clip(known=KNOWN) -> Clip:
    return Clip(network(known), Words(known))


def write(path):
    net = network()
    save(path, Checkpoint(KIND, to_json(net.config), {"words": KNOWN}, net.state_dict()))
    return path
