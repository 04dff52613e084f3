"""Files of the originals load by name, every key consumed; the networks take and return what theirs do."""

import pytest
import torch
import torch.nn.functional as F

import stylegan_toon
from stylegan_toon.checkpoint.importers.cyclegan import from_cyclegan
from stylegan_toon.errors import ModelError, UsageError
from tests.checkpoint import original_files


def saved(state, path):
    torch.save(state, path)
    return path


def count(network):
    return sum(p.numel() for p in network.parameters())


def resnet_by_hand(state, x, blocks):
    """CycleGAN's generator in float64, written down from its table of layers."""
    p = {key: value.double() for key, value in state.items()}

    def conv(name, y, pad=0, **more):
        if pad:
            y = F.pad(y, (pad,) * 4, mode="reflect")
        return F.conv2d(y, p[f"{name}.weight"], p[f"{name}.bias"], **more)

    def normal(y):
        mean, var = y.mean([2, 3], keepdim=True), y.var([2, 3], keepdim=True, unbiased=False)
        return (y - mean) / (var + 1e-5).sqrt()

    y = F.relu(normal(conv("model.1", x.double(), 3)))
    for name in ("model.4", "model.7"):
        y = F.relu(normal(conv(name, y, stride=2, padding=1)))
    for i in range(10, 10 + blocks):
        z = F.relu(normal(conv(f"model.{i}.conv_block.1", y, 1)))
        y = y + normal(conv(f"model.{i}.conv_block.5", z, 1))
    for i in (10 + blocks, 13 + blocks):
        w, b = p[f"model.{i}.weight"], p[f"model.{i}.bias"]
        y = F.relu(normal(F.conv_transpose2d(y, w, b, stride=2, padding=1, output_padding=1)))
    return torch.tanh(conv(f"model.{17 + blocks}", y, 3))


@pytest.mark.parametrize("old", [False, True])
def test_a_small_cyclegan_gives_what_its_table_of_layers_gives(old, tmp_path):
    state = original_files.cyclegan(2, 8, old)
    net = stylegan_toon.load_original("cyclegan", saved(state, tmp_path / "latest_net_G_A.pth"))
    x = torch.rand(1, 3, 32, 48) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(net(x).double(), resnet_by_hand(state, x, 2), rtol=0, atol=2e-5)
    assert not net.training and not any(p.requires_grad for p in net.parameters())


def test_cyclegans_of_full_size_load_with_as_many_numbers(tmp_path):
    for blocks, numbers in ((9, 11_378_179), (6, 7_837_699)):
        checkpoint = from_cyclegan(original_files.cyclegan(blocks, old=True))
        assert sum(t.numel() for t in checkpoint.tensors.values()) == numbers
        assert checkpoint.config["blocks"] == blocks


def test_what_no_generator_has_is_named(tmp_path):
    state = original_files.cyclegan(1, 4) | {"model.99.weight": torch.zeros(1)}
    with pytest.raises(ModelError, match=r"keys that no generator has: model\.99\.weight"):
        stylegan_toon.load_original("cyclegan", saved(state, tmp_path / "g.pth"))


@pytest.mark.parametrize("key", ["model.1.weight", "model.10.conv_block.5.bias", "model.18.weight"])
def test_what_is_missing_is_named(key, tmp_path):
    state = original_files.cyclegan(1, 4)
    del state[key]
    with pytest.raises(ModelError, match=key.replace(".", r"\.")):
        stylegan_toon.load_original("cyclegan", saved(state, tmp_path / "g.pth"))


def test_another_name_or_file_is_refused_in_a_line(tmp_path):
    with pytest.raises(UsageError, match=r"no original of 'x' is read; known: .*cyclegan"):
        stylegan_toon.load_original("x", saved({}, tmp_path / "g.pth"))
    (tmp_path / "x.pth").write_bytes(b"no torch file")
    with pytest.raises(ModelError, match=r"x\.pth: is no file of torch\.save"):
        stylegan_toon.load_original("cyclegan", tmp_path / "x.pth")
    with pytest.raises(ModelError, match="is not there"):
        stylegan_toon.load_original("cyclegan", tmp_path / "absent.pth")
