"""VGG's maps, from files in two namings, and what stands in for them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.checkpoint.importers.vgg import from_vgg
from stylegan_toon.errors import ModelError
from stylegan_toon.features.vgg import Config, Vgg, load_maps

COUNTS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


def state(kind="vgg19", caffe=False, width=4):
    """A file's state dict; block b has b * width channels."""
    draw, out, n_in, place = torch.Generator().manual_seed(3), {}, 3, 0
    for block, count in enumerate(COUNTS[kind], 1):
        for k in range(1, count + 1):
            name = f"conv{block}_{k}" if caffe else f"features.{place}"
            n = block * width
            out[f"{name}.weight"] = torch.randn(n, n_in, 3, 3, generator=draw) * (2 / n_in / 9) ** 0.5
            out[f"{name}.bias"] = torch.randn(n, generator=draw) * 0.1
            n_in, place = n, place + 2
        place += 1
    if not caffe:
        out |= {f"classifier.{i}.{part}": torch.zeros(2) for i in (0, 3, 6) for part in ("weight", "bias")}
    return out


def by_hand(weights, x, caffe):
    """conv4_4 in float64: means and deviations as the two trainings had them."""
    if caffe:
        y = (x.double() + 1) * 127.5
        y = y.flip(1) - torch.tensor([103.939, 116.779, 123.68], dtype=torch.float64)[:, None, None]
    else:
        y = (x.double() + 1) / 2 - torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
        y = y / torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]
    convs = [key for key in weights if key.endswith(".weight") and not key.startswith("classifier")]
    for i, key in enumerate(convs[:12]):
        if i in (2, 4, 8):
            y = F.max_pool2d(y, 2)
        y = F.conv2d(y, weights[key].double(), weights[key.replace("weight", "bias")].double(), padding=1)
        if i < 11:
            y = F.relu(y)
    return y


@pytest.mark.parametrize("caffe", [False, True])
def test_conv4_4_is_what_the_layers_give_one_by_one(caffe, tmp_path):
    weights = state(caffe=caffe)
    torch.save(weights, tmp_path / "vgg.pth")
    maps, said = load_maps(tmp_path / "vgg.pth")
    x = torch.rand(2, 3, 32, 40) * 2 - 1
    found, active = maps(x, ["conv4_4", "relu4_4"])
    wanted = by_hand(weights, x, caffe)
    scale = float(wanted.abs().max())
    torch.testing.assert_close(found.double() / scale, wanted / scale, rtol=0, atol=1e-5)
    assert torch.equal(active, F.relu(found)) and said == "VGG19 of vgg.pth"


def test_vgg_of_full_size_has_as_many_numbers_as_published():
    with torch.device("meta"):
        assert sum(p.numel() for p in Vgg(Config()).parameters()) == 20_024_384


def test_vgg16_is_read_too_and_what_is_left_over_is_named():
    assert from_vgg(state("vgg16"))["features"].config["convs"] == [2, 2, 3, 3, 3]
    with pytest.raises(ModelError, match="keys that no VGG has: extra"):
        from_vgg(state() | {"extra": torch.zeros(1)})
    with pytest.raises(ModelError, match="has 15 convolutions"):
        from_vgg({key: value for key, value in state().items() if not key.startswith("features.34")})


def test_gradients_reach_the_picture_and_not_the_weights(tmp_path):
    torch.save(state(), tmp_path / "vgg.pth")
    for path in (tmp_path / "vgg.pth", None):
        maps, _ = load_maps(path)
        x = torch.rand(1, 3, 32, 32, requires_grad=True)
        maps(x, ["conv4_4"])[0].square().sum().backward()
        assert float(x.grad.abs().sum()) > 0


def test_without_a_file_mobileface_stands_in_and_says_so():
    said = []
    maps, line = load_maps(None, report=said.append)
    assert "MobileFace" in line and said == [f"feature losses: {line}"]
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    sizes = [y.shape[2] for y in maps(x, ["conv3_1", "conv4_4", "relu5_1"])]
    assert sizes == [16, 8, 4]  # as in VGG
    assert np.isfinite(maps(x, ["conv1_1"])[0].numpy(force=True)).all()
    with pytest.raises(ValueError, match="no layer of VGG"):
        maps(x, ["conv6_1"])


def test_another_network_is_refused(tmp_path):
    torch.save({"features.0.weight": torch.zeros(4, 3, 11, 11)}, tmp_path / "alex.pth")
    with pytest.raises(ModelError):
        load_maps(tmp_path / "alex.pth")
    with pytest.raises(ModelError, match="is not there"):
        load_maps(tmp_path / "absent.pth")


def test_an_unknown_layer_is_named(tmp_path):
    net = Vgg(Config((1, 1, 1, 1, 1), (2, 2, 2, 2, 2)))
    with pytest.raises(ValueError, match="no layer 'conv1_2'"):
        net(torch.zeros(1, 3, 32, 32), ["relu1_2"])


def test_read_any_knows_such_a_file(tmp_path):
    torch.save(state(caffe=True), tmp_path / "x")
    assert read_any(tmp_path / "x")["features"].config["caffe"] is True
