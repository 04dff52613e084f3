import numpy as np
import pytest
import torch

from stylegan_toon.checkpoint.format import Checkpoint, save
from stylegan_toon.config import to_json
from stylegan_toon.errors import ModelError
from stylegan_toon.features.emotion import BOX, EXPRESSIONS, Config, Emotion, load_emotion
from stylegan_toon.features.emotion_onnx import from_onnx
from tests.features.test_mobileface_onnx import field

# What onnxruntime gave with the original file for the pattern below.
ORIGINAL = (0.000503, 1e-06, 0.045135, 0.746794, 0.01255, 0.092758, 0.102259)
SMALL = Config(stem=(2, 3), widths=(4, 5), size=16)


@pytest.fixture(scope="module")
def net() -> Emotion:
    return load_emotion()


def pattern() -> torch.Tensor:
    """[1, 1, 64, 64]: two dark spots over a dark bar, on grey that brightens downwards."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    spots = sum(torch.exp(-((x - a) ** 2 + (y - 24) ** 2) / 30) for a in (20, 43))
    bar = torch.exp(-((x - 31.5) ** 2) / 100 - (y - 48) ** 2 / 10)
    return (y / 64 - 0.2 - 1.2 * spots - bar).clamp(-1, 1)[None, None]


def test_probabilities_equal_those_of_the_original_network(net):
    probabilities, features = net.judge(pattern())
    torch.testing.assert_close(probabilities[0], torch.tensor(ORIGINAL), atol=2e-3, rtol=0)
    assert features.shape == (1, 256) and len(EXPRESSIONS) == 7


def test_a_picture_of_any_size_is_cropped_to_the_face_in_grey(net):
    left, top, side = BOX
    at = (torch.arange(512) + 0.5) / 512
    ramps = torch.stack([at[None].expand(512, -1), at[:, None].expand(-1, 512), torch.zeros(512, 512)])[None]
    inner = (torch.arange(64) + 0.5) / 64 * side
    wanted = 0.299 * (left + inner)[None] + 0.587 * (top + inner)[:, None]
    for size in (512, 128):
        x = torch.nn.functional.interpolate(ramps, (size, size), mode="area")
        torch.testing.assert_close(net.crop(x)[0, 0], wanted, atol=1e-3, rtol=0)
    probabilities, features = net(torch.rand(3, 3, 96, 96) * 2 - 1)
    assert features.shape == (3, 256)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(3))


def test_gradients_reach_the_picture_but_no_weight(net):
    x = (torch.rand(1, 3, 96, 96) * 2 - 1).requires_grad_()
    net(x)[1].square().sum().backward()
    assert x.grad is not None and x.grad[:, :, 40:60, 40:60].abs().min() > 0
    assert all(p.grad is None and not p.requires_grad for p in net.parameters())


def test_another_shape_is_refused(net):
    for shape in ((1, 3, 64, 48), (3, 64, 64), (1, 1, 64, 64)):
        with pytest.raises(ValueError, match="aligned pictures"):
            net(torch.zeros(shape))


def onnx_file(net: Emotion) -> bytes:
    """The convolutions of net in ONNX's own layout, weight and bias apart."""
    graph, state = b"", list(net.state_dict().items())
    names = iter(state)
    for name, tensor in names:
        parts = [(name, tensor)]
        if ".depth" not in name:
            parts.append(next(names))
        inputs = field(1, b"x") + b"".join(field(1, part.encode()) for part, _ in parts)
        graph += field(1, inputs + field(4, b"Conv")) + field(1, field(1, b"x") + field(4, b"Relu"))
        for part, value in parts:
            array = np.ascontiguousarray(value.numpy(), "<f4")
            shape = b"".join(field(1, size) for size in array.shape)
            graph += field(5, shape + field(2, 1) + field(8, part.encode()) + field(9, array.tobytes()))
    return field(1, 8) + field(7, graph)


def test_weights_are_read_from_onnx_in_order():
    net = Emotion(SMALL)
    found = from_onnx(onnx_file(net), SMALL)
    assert found.kind == "features" and found.meta["network"] == "emotion"
    assert found.tensors.keys() == net.state_dict().keys()
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(found.tensors[name], tensor)


def test_another_onnx_file_is_refused():
    data = onnx_file(Emotion(SMALL))
    for bad in (data[:-9], data[1:], b"", onnx_file(Emotion(Config((2, 3), (4, 6), 16)))):
        with pytest.raises(ModelError, match="not the ONNX file of the emotion network"):
            from_onnx(bad, SMALL)


def test_a_file_of_another_network_is_refused(tmp_path):
    net, path = Emotion(SMALL), tmp_path / "a.safetensors"
    save(path, Checkpoint("features", to_json(SMALL), {"network": "other"}, dict(net.state_dict())))
    with pytest.raises(ModelError, match="not of the network emotion"):
        load_emotion(path)
    save(path, Checkpoint("features", to_json(Config()), {"network": "emotion"}, dict(net.state_dict())))
    with pytest.raises(ModelError, match="does not fit"):
        load_emotion(path)
