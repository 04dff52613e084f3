"""NVIDIA's pickles: every number arrives, and nothing in them runs."""

import pickle
import sys

import numpy as np
import pytest
import torch

from stylegan_toon.checkpoint.importers import nvidia, read_any
from stylegan_toon.pipelines.convert import convert
from stylegan_toon.pipelines.models import load_discriminator, load_generator
from tests.checkpoint import nvidia_file
from tests.checkpoint.refusal import refused
from tests.stylegan2 import reference

SMALL, LARGER = [8, 8, 6], [12, 12, 10, 8, 6]  # 16 and 64 px


def state(channels=SMALL, **kwargs):
    return reference.generator_state(channels, **{"style_dim": 16, "n_mlp": 2, **kwargs})


def write(path, **entries):
    path.write_bytes(nvidia_file.dump(entries, path.with_name("ran")))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("channels", [SMALL, LARGER], ids=["16px", "64px"])
def test_every_tensor_arrives_bit_for_bit_and_nothing_runs(tmp_path, channels, protocol):
    s, raw, d = state(channels), state(channels, seed=5), reference.discriminator_state(channels)
    entries = {"G": nvidia_file.generator(raw), "D": nvidia_file.discriminator(d, group=8, frozen=3),
               "G_ema": nvidia_file.generator(s)}  # fmt: skip
    path = tmp_path / "network-snapshot.anything"
    path.write_bytes(nvidia_file.dump(entries, tmp_path / "ran", protocol))
    assert not {"torch_utils", "dnnlib"} & set(sys.modules)
    found = read_any(path)
    assert set(found) == {"generator", "generator_raw", "discriminator"}
    ours = found["generator"].tensors
    for k in range(len(channels)):
        theirs = "conv1" if k == 0 else f"convs.{2 * k - 1}"
        block = f"synthesis.blocks.{k}"
        assert ours[f"{block}.conv1.conv.weight"].equal(s[f"{theirs}.conv.weight"][0])
        assert ours[f"{block}.conv1.noise_const"].equal(s[f"noises.noise_{2 * k}"][0, 0])
        assert ours[f"{block}.conv1.noise_strength"].equal(s[f"{theirs}.noise.weight"][0])
    assert ours["w_mean"].equal(torch.linspace(-1, 1, 16))
    for kind, given, more in (("generator", s, 16), ("generator_raw", raw, 16), ("discriminator", d, 0)):
        wanted = sum(v.numel() for k, v in given.items() if not k.endswith("kernel")) + more
        assert sum(t.numel() for t in found[kind].tensors.values()) == wanted
    assert found["discriminator"].config == {
        "resolution": 2 * 2 ** len(channels),
        "channels": channels,
        "group": 8,
    }
    assert found["generator"].meta["conv_clamp"] == 256
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("channels", [SMALL, LARGER], ids=["16px", "64px"])
def test_pictures_and_scores_agree_with_the_formulas(tmp_path, channels):
    s, d = state(channels, n_mlp=3), reference.discriminator_state(channels)
    source = write(tmp_path / "a.pkl", G_ema=nvidia_file.generator(s), D=nvidia_file.discriminator(d))
    files = convert(source, f"{tmp_path}/out/")
    assert [file.name for file in files] == ["a.safetensors", "a.discriminator.safetensors"]
    g, judge = load_generator(files[0]), load_discriminator(files[1])
    z = torch.randn(2, 16)
    wanted = reference.generator(s, z.numpy(), 0.6, torch.linspace(-1, 1, 16))
    with torch.inference_mode():
        pictures = g(z, 0.6, noise="const")
        scores = judge(pictures).numpy()
    assert np.abs(pictures.numpy() - wanted).max() < 1e-5 * np.abs(wanted).max()
    expected = reference.discriminator(d, pictures.numpy())
    assert np.abs(scores - expected).max() < 1e-5 * np.abs(expected).max()
    assert load_generator(source).config == g.config


def test_width_depth_and_learning_rate_are_read_from_the_file(tmp_path):
    net = nvidia_file.generator(state(style_dim=24, n_mlp=5))
    for layer in net.mapping.children():
        layer.bias_gain = 0.02
    config = read_any(write(tmp_path / "a.pkl", G_ema=net))["generator"].config
    assert (config["w_dim"], config["mapping_layers"], config["mapping_lr_mul"]) == (24, 5, 0.02)
    assert config["channels"] == SMALL and config["resolution"] == 16
    net.mapping.fc1.bias_gain = 0.5
    refused(write(tmp_path / "b.pkl", G_ema=net), "different bias_gain")


def test_a_generator_without_an_average_is_read(tmp_path):
    found = read_any(write(tmp_path / "a.pkl", G=nvidia_file.generator(state()), G_ema=None, D=None))
    assert set(found) == {"generator"}
    assert found["generator"].meta["weights"] == "G"


def change(net, room, **settings):
    for name, value in settings.items():
        setattr(net.get_submodule(room), name, value)
    return net


@pytest.mark.parametrize(
    "room, settings, words",
    [
        ("", {"c_dim": 10}, ["10 labels"]),
        ("synthesis.b8", {"architecture": "resnet"}, ["b8.architecture", "resnet"]),
        ("synthesis.b8.conv0", {"activation": "relu"}, ["activation is relu"]),
        ("synthesis.b8.conv0", {"use_noise": False}, ["use_noise is False"]),
        ("synthesis", {"img_channels": 1}, ["img_channels is 1"]),
        ("synthesis.b8.conv1", {"surprise": torch.nn.Parameter(torch.ones(1))}, ["b8.conv1.surprise"]),
        ("synthesis.b8.conv1", {"bias": None}, ["b8.conv1.bias is missing"]),
        ("synthesis.b8.conv1", {"bias": torch.nn.Parameter(torch.ones(3))}, ["bias is [3], wanted [8]"]),
        ("synthesis.b8.conv1", {"bias": torch.nn.Parameter(torch.full([8], torch.nan))}, ["bias", "NaN"]),
        ("synthesis.b8.conv1", {"bias": torch.nn.Parameter(torch.ones(8).double())}, ["float64"]),
        ("synthesis.b8", {"resample_filter": torch.ones(2, 2)}, ["filter [1, 3, 3, 1]"]),
        ("synthesis", {"L0_36_512": nvidia_file.Net("Layer", {"weight": torch.ones(1)})}, ["StyleGAN3"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_another_architecture_is_refused_by_name(tmp_path, room, settings, words):
    refused(write(tmp_path / "a.pkl", G_ema=change(nvidia_file.generator(state()), room, **settings)), *words)


def test_numpy_arrays_of_stylegan3_do_not_hide_what_it_is(tmp_path):
    layer = nvidia_file.Net("SynthesisLayer", {"weight": torch.ones(1)}, in_size=np.array([36, 36]))
    net = change(nvidia_file.generator(state()), "synthesis", L0_36_512=layer)
    refused(write(tmp_path / "a.pkl", G_ema=net), "StyleGAN3 of config t or r")


def test_a_pickle_of_tensorflow_is_told_what_to_do(tmp_path):
    class Network:
        pass

    Network.__module__, Network.__qualname__ = "dnnlib.tflib.network", "Network"
    names = ["dnnlib.tflib", "dnnlib.tflib.network"]
    with nvidia_file.their_names(), pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setitem(sys.modules, name, type(sys)(name))
        sys.modules["dnnlib.tflib.network"].Network = Network
        (tmp_path / "a.pkl").write_bytes(pickle.dumps((Network(), Network(), Network()), 3))
    refused(tmp_path / "a.pkl", "TensorFlow", "legacy.py")


def test_other_networks_in_the_file_are_named(tmp_path):
    g = nvidia_file.generator(state())
    refused(write(tmp_path / "a.pkl", G_ema=g, encoder=g), "encoder")


def test_a_storage_named_twice_is_read_once(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        nvidia, "read_legacy", lambda *given, read=nvidia.read_legacy: calls.append(1) or read(*given)
    )
    g = nvidia_file.generator(state())
    tensors = len(g.state_dict()) + 2  # and the pipe's; the tests' one filter is one storage
    filters = sum(key.endswith("resample_filter") for key in g.state_dict())
    nvidia.read(nvidia_file.dump({"G": g, "G_ema": g}))
    assert len(calls) <= tensors and len(calls) >= tensors - filters


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_writing_their_names_gives_back_every_tensor(tmp_path, kind):
    if kind == "generator":
        theirs = nvidia_file.generator(state(SMALL))
    else:
        theirs = nvidia_file.discriminator(reference.discriminator_state(SMALL))
    path = tmp_path / "network.pkl"
    path.write_bytes(nvidia_file.dump({"G_ema" if kind == "generator" else "D": theirs}, tmp_path / "ran"))
    written = nvidia.to_nvidia(read_any(path)[kind])
    wanted = {k: v for k, v in theirs.state_dict().items() if not k.endswith("resample_filter")}
    assert set(written) == set(wanted)
    assert all(written[name].equal(tensor) for name, tensor in wanted.items())
