import numpy as np
import pytest
import torch

from stylegan_toon.errors import ModelError
from stylegan_toon.features.mobileface import Config, MobileFace
from stylegan_toon.features.mobileface_onnx import from_onnx

SMALL = Config(widths=(4, 6), embedding=5, size=8)


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def onnx_file(net: MobileFace, scale: np.ndarray) -> bytes:
    """A model of net in ONNX's own layout: rows of the matrix are [H, W, C], its scale stands apart."""
    stage, channels = net.stages[0], net.config.widths[-1]
    matrix = net.head.weight.detach().numpy().reshape(5, channels, 2, 2).transpose(2, 3, 1, 0).reshape(-1, 5)
    nodes = [("Sub", np.float32([127.5])), ("Mul", np.float32([1 / 128]))]
    nodes += [("Conv", net.stem.weight), ("PRelu", net.act.weight), ("Conv", stage.project.weight)]
    for conv, act in zip(stage.convs, stage.acts, strict=True):
        nodes += [("Conv", conv.weight), ("PRelu", act.weight)]
    nodes += [("MatMul", matrix / scale), ("Mul", scale), ("Add", net.head.bias)]
    graph = b""
    for i, (op, value) in enumerate(nodes):
        array = np.ascontiguousarray(value.detach() if isinstance(value, torch.Tensor) else value, "<f4")
        name = f"w{i}".encode()
        shape = b"".join(field(1, size) for size in array.shape)
        graph += field(1, field(1, b"x") + field(1, name) + field(4, op.encode()))
        graph += field(5, shape + field(2, 1) + field(8, name) + field(9, array.tobytes()))
    return field(1, 8) + field(7, graph)


def test_weights_are_read_back_in_the_modules_layout():
    net = MobileFace(SMALL)
    found = from_onnx(onnx_file(net, np.float32([2, 3, 4, 5, 6])), SMALL)
    assert found.kind == "features" and found.meta["network"] == "mobileface"
    assert found.tensors.keys() == net.state_dict().keys()
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(found.tensors[name], tensor)


DAMAGE = {
    "cut": lambda d: d[:-7],
    "shifted": lambda d: d[1:],
    "text": lambda d: b"\xff#" + d,
    "empty": lambda d: b"",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_other_bytes_are_refused(damage):
    with pytest.raises(ModelError, match="not the ONNX file"):
        from_onnx(damage(onnx_file(MobileFace(SMALL), np.ones(5, np.float32))), SMALL)


def test_a_network_of_other_sizes_is_refused():
    with pytest.raises(ModelError, match="not the ONNX file"):
        from_onnx(onnx_file(MobileFace(SMALL), np.ones(5, np.float32)))
