"""Files of the originals load by name, every key consumed; the networks take and return what theirs do."""

import pytest
import torch
import torch.nn.functional as F

import stylegan_toon
from stylegan_toon.checkpoint.importers.cyclegan import from_cyclegan
from stylegan_toon.checkpoint.importers.ganilla import from_ganilla
from stylegan_toon.checkpoint.importers.pix2pix import from_pix2pix
from stylegan_toon.errors import ModelError, UsageError
from tests.checkpoint import original_files


def saved(state, path):
    torch.save(state, path)
    return path


def resnet_by_hand(state, x, blocks):
    """CycleGAN's generator in float64, written down from its table of layers."""
    p = {key: value.double() for key, value in state.items()}

    def conv(name, y, pad=0, **more):
        if pad:
            y = F.pad(y, (pad,) * 4, mode="reflect")
        return F.conv2d(y, p[f"{name}.weight"], p[f"{name}.bias"], **more)

    y = F.relu(instance(conv("model.1", x.double(), 3)))
    for name in ("model.4", "model.7"):
        y = F.relu(instance(conv(name, y, stride=2, padding=1)))
    for i in range(10, 10 + blocks):
        z = F.relu(instance(conv(f"model.{i}.conv_block.1", y, 1)))
        y = y + instance(conv(f"model.{i}.conv_block.5", z, 1))
    for i in (10 + blocks, 13 + blocks):
        w, b = p[f"model.{i}.weight"], p[f"model.{i}.bias"]
        y = F.relu(instance(F.conv_transpose2d(y, w, b, stride=2, padding=1, output_padding=1)))
    return torch.tanh(conv(f"model.{17 + blocks}", y, 3))


@pytest.mark.parametrize("old", [False, True])
def test_a_small_cyclegan_gives_what_its_table_of_layers_gives(old, tmp_path):
    state = original_files.cyclegan(2, 8, old)
    net = stylegan_toon.load_original("cyclegan", saved(state, tmp_path / "latest_net_G_A.pth"))
    x = torch.rand(1, 3, 32, 48) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(net.double()(x.double()), resnet_by_hand(state, x, 2), rtol=0, atol=1e-9)
    assert not net.training and not any(p.requires_grad for p in net.parameters())


def instance(y):
    mean, var = y.mean([2, 3], keepdim=True), y.var([2, 3], keepdim=True, unbiased=False)
    return (y - mean) / (var + 1e-5).sqrt()


def unet_by_hand(state, x, depth):
    """pix2pix's generator in float64, level in level, as eval() computes it."""
    p = {key: value.double() for key, value in state.items()}

    def norm(name, y):
        if f"{name}.weight" not in p:
            return instance(y)
        mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
        scale = p[f"{name}.weight"] / (var + 1e-5).sqrt()
        return y * scale[:, None, None] + (p[f"{name}.bias"] - mean * scale)[:, None, None]

    def level(i, path, y):
        inmost, first = i == depth - 1, i == 0
        y = y if first else F.leaky_relu(y, 0.2)
        down = f"{path}.{0 if first else 1}"
        z = F.conv2d(y, p[f"{down}.weight"], p.get(f"{down}.bias"), stride=2, padding=1)
        if not inmost:
            z = level(i + 1, f"{path}.{1 if first else 3}.model", z if first else norm(f"{path}.2", z))
        up = f"{path}.{3 if inmost or first else 5}"
        z = F.conv_transpose2d(F.relu(z), p[f"{up}.weight"], p.get(f"{up}.bias"), stride=2, padding=1)
        return torch.tanh(z) if first else torch.cat([y, norm(f"{path}.{4 if inmost else 6}", z)], 1)

    return level(0, "model.model", x.double())


def pyramid_by_hand(state, x):
    """GANILLA's generator in float64."""
    p = {key: value.double() for key, value in state.items()}

    def conv(name, y, pad=0, stride=1):
        y = F.pad(y, (pad,) * 4, mode="reflect") if pad else y
        return F.conv2d(y, p[f"{name}.weight"], p.get(f"{name}.bias"), stride=stride)

    y = F.relu(instance(conv("conv1", x.double(), 3)))
    y = F.max_pool2d(F.pad(y, (1, 1, 1, 1), mode="reflect"), 3, 2)
    kept = []
    for k in (1, 2, 3, 4):
        for i in (0, 1):
            name, stride = f"layer{k}.{i}", 2 if k > 1 and i == 0 else 1
            z = F.relu(instance(conv(f"{name}.conv1", y, 1, stride)))
            z = instance(conv(f"{name}.conv2", z, 1))
            if f"{name}.shortcut.0.weight" in p:
                y = instance(conv(f"{name}.shortcut.0", y, stride=stride))
            y = F.relu(instance(conv(f"{name}.final_conv.1", torch.cat([z, y], 1), 1)))
        kept.append(y)
    y = conv("fpn.P5_1", kept[3])
    for k in (4, 3, 2):
        y = y.repeat_interleave(2, 2).repeat_interleave(2, 3) + conv(f"fpn.P{k}_1", kept[k - 2])
    y = conv("fpn.P2_2", y.repeat_interleave(2, 2).repeat_interleave(2, 3), 1)
    return torch.tanh(conv("conv2", y, 3))


@pytest.mark.parametrize("batch", [True, False])
def test_a_small_pix2pix_gives_what_its_levels_give(batch, tmp_path):
    state = original_files.pix2pix(5, 4, batch)
    net = stylegan_toon.load_original("pix2pix", saved(state, tmp_path / "latest_net_G.pth"))
    x = torch.rand(1, 3, 64, 32) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(net.double()(x.double()), unet_by_hand(state, x, 5), rtol=0, atol=1e-9)


@pytest.mark.parametrize("old", [False, True])
def test_a_small_ganilla_gives_what_its_layers_give(old, tmp_path):
    state = original_files.ganilla(4, old)
    net = stylegan_toon.load_original("ganilla", saved(state, tmp_path / "latest_net_G_A.pth"))
    x = torch.rand(1, 3, 32, 48) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(net.double()(x.double()), pyramid_by_hand(state, x), rtol=0, atol=1e-9)


def parameters(checkpoint):
    return sum(t.numel() for key, t in checkpoint.tensors.items() if "running_" not in key)


def test_originals_of_full_size_are_read_with_as_many_numbers():
    assert parameters(from_cyclegan(original_files.cyclegan(9, old=True))) == 11_378_179
    assert parameters(from_cyclegan(original_files.cyclegan(6))) == 7_837_699
    assert parameters(from_pix2pix(original_files.pix2pix())) == 54_413_955
    state = original_files.ganilla()
    assert len(state) == 41 and parameters(from_ganilla(state)) == 7_228_419


@pytest.mark.parametrize(
    "name, state", [("pix2pix", original_files.pix2pix(5, 2)), ("ganilla", original_files.ganilla(2))]
)
def test_a_file_of_another_method_or_with_more_or_less_is_refused(name, state, tmp_path):
    other = "ganilla" if name == "pix2pix" else "cyclegan"
    with pytest.raises(ModelError, match="is missing"):
        stylegan_toon.load_original(other, saved(state, tmp_path / "g.pth"))
    with pytest.raises(ModelError, match=r"holds keys that no .* has: more"):
        stylegan_toon.load_original(name, saved(state | {"more": torch.zeros(1)}, tmp_path / "g.pth"))
    for key in state:
        if "num_batches" not in key:
            less = {k: v for k, v in state.items() if k != key}
            with pytest.raises(ModelError):
                stylegan_toon.load_original(name, saved(less, tmp_path / "g.pth"))


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
