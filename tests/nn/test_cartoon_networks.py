"""UNIT's, CartoonGAN's, AnimeGAN's and White-box's networks: sizes as published, outputs as formulas say."""

import numpy as np
import pytest
import torch
from torch import nn

from stylegan_toon.nn.anime import AnimeGenerator, AnimeGeneratorV2, CartoonPatch
from stylegan_toon.nn.cartoon import CartoonGenerator
from stylegan_toon.nn.munit import ContentEncoder, Decoder, MultiScalePatch, StyleEncoder
from stylegan_toon.nn.resample import double_tf1
from stylegan_toon.nn.whitebox import WhiteBoxGenerator, WhiteBoxPatch
from tests.checkpoint.cartoon_files import biased, depthwise, leaky, linear, reflect, standard
from tests.stylegan2.reference import arrays, conv


@pytest.mark.parametrize(
    "make, count",
    [
        (lambda: nn.ModuleList([ContentEncoder(), Decoder()]), 11_140_483),
        (MultiScalePatch, 8_271_171),
        (StyleEncoder, 2_764_936),
        (CartoonGenerator, 11_129_667),
        (AnimeGenerator, 3_956_096),
        (AnimeGeneratorV2, 2_143_552),
        (lambda: CartoonPatch(spectral=True), 1_128_800),
        (WhiteBoxGenerator, 1_467_075),
    ],
)
def test_they_have_the_published_numbers_of_parameters(make, count):
    assert sum(p.numel() for p in make().parameters()) == count


def scatter(network):
    """The network with every tensor away from its first value, and its state dict as arrays."""
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.add_(torch.randn_like(tensor) * (0.1 if tensor.ndim > 1 else 0.3))
    return network.eval(), arrays(network.state_dict())


def photo(height=16, width=24, channels=3):
    return torch.rand(2, channels, height, width) * 2 - 1


def near(found, wanted, tolerance=1e-5):
    found = found.detach().numpy()
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < tolerance * np.abs(wanted).max()


def doubled(x):
    """As TensorFlow 1: output i lies at i / 2."""
    for axis in (2, 3):
        x = linear(x, np.arange(2 * x.shape[axis]) / 2, axis)
    return x


def test_doubling_is_tensorflow_1s():
    x = photo(3, 5)
    near(double_tf1(x), doubled(x.double().numpy()), 1e-6)
    line = torch.tensor([0.0, 2.0, 6.0]).expand(1, 1, 1, 3)
    assert double_tf1(line)[0, 0].tolist() == [[0, 1, 2, 4, 6, 6]] * 2


def test_white_box_is_a_u_net_with_tensorflows_paddings():
    network, s = scatter(WhiteBoxGenerator(4, 2))
    x = photo()

    def layer(name, y, stride=1):
        weight = s[f"{name}.weight"]
        pad = weight.shape[2] // 2
        sides = (0, 1) if stride == 2 else (pad, pad)
        return biased(s, name, conv(np.pad(y, ((0, 0), (0, 0), sides, sides)), weight, stride))

    y0 = leaky(layer("stem", x.double().numpy()))
    y1 = leaky(layer("wider.0", leaky(layer("downs.0", y0, 2))))
    y = leaky(layer("wider.1", leaky(layer("downs.1", y1, 2))))
    for k in range(2):
        y = y + layer(f"blocks.{k}.conv1", leaky(layer(f"blocks.{k}.conv0", y)))
    y = doubled(leaky(layer("narrow", y))) + y1
    y = doubled(leaky(layer("up0.1", leaky(layer("up0.0", y))))) + y0
    near(network(x), layer("head", leaky(layer("up1", y))))


def test_anime_gan_is_as_its_layers_are_described():
    network, s = scatter(AnimeGenerator(4, 2))
    x = photo()

    def norm(name, y, eps=1e-5):
        return (
            standard(y, (2, 3), eps) * s[f"{name}.weight"][:, None, None] + s[f"{name}.bias"][:, None, None]
        )

    def unit(name, y):
        weight = s[f"{name}.1.weight"]
        y = reflect(y, weight.shape[2] // 2)
        y = depthwise(y, weight) if weight.shape[1] == 1 else conv(y, weight)
        return leaky(norm(f"{name}.2", y))

    def separable(name, y, stride=1):
        y = depthwise(reflect(y, 2 - stride, 1), s[f"{name}.depth.weight"], stride)
        return leaky(norm(f"{name}.norm", conv(y, s[f"{name}.point.weight"]), 1e-6))

    def down(name, y):
        return separable(f"{name}.strided", y, 2) + separable(f"{name}.sampled", y[:, :, ::2, ::2])

    y = down("b1.2", unit("b1.1", unit("b1.0", x.double().numpy())))
    y = down("b2.2", separable("b2.1", unit("b2.0", y)))
    y = unit("m.0", y)
    for k in (1, 2):
        z = unit(f"m.{k}.depth", unit(f"m.{k}.expand", y))
        y = y + norm(f"m.{k}.norm", conv(z, s[f"m.{k}.project.weight"]))
    y = unit("u2.2", separable("u2.1", separable("u2.0", doubled(unit("m.3", y)))))
    y = unit("u1.2", unit("u1.1", separable("u1.0", doubled(y))))
    near(network(x), np.tanh(conv(y, s["out.weight"])), 1e-4)


def test_scores_at_several_scales_are_those_of_halved_pictures():
    network, s = scatter(MultiScalePatch(4, 2, 3))
    x = photo(32, 32)
    y = x.double().numpy()
    for k, found in enumerate(network(x)):
        z = y
        for i in range(2):
            name = f"scales.{k}.{i}"
            z = leaky(biased(s, name, conv(reflect(z, 1), s[f"{name}.weight"], 2)))
        near(found, biased(s, f"scales.{k}.2", conv(z, s[f"scales.{k}.2.weight"])))
        sums = conv(y.reshape(6, 1, *y.shape[2:]), np.ones((1, 1, 3, 3)), 2, 1)
        counts = conv(np.ones((1, 1, *y.shape[2:])), np.ones((1, 1, 3, 3)), 2, 1)
        y = (sums / counts).reshape(2, 3, *sums.shape[2:])


def test_a_style_shifts_and_scales_every_norm_of_a_decoder():
    decoder, s = scatter(Decoder(4, 1, 2))
    content, style = torch.randn(2, 8, 5, 6), torch.randn(2, 2, 4, 8)
    y = content.double().numpy()
    for k in range(2):
        z = y
        for i in range(2):
            name = f"blocks.{k}.conv{i}"
            z = standard(biased(s, name, conv(reflect(z, 1), s[f"{name}.weight"])), (2, 3), 1e-5)
            shift, scale = (style[:, k, 2 * i + j, :, None, None].double().numpy() for j in (0, 1))
            z = z * scale + shift
            z = z if i else np.maximum(z, 0)
        y = y + z
    name, y = "ups.0", y.repeat(2, 2).repeat(2, 3)
    y = biased(s, name, conv(reflect(y, 2), s[f"{name}.weight"]))
    y = (y - y.mean((1, 2, 3), keepdims=True)) / (y.std((1, 2, 3), ddof=1, keepdims=True) + 1e-5)
    y = np.maximum(y * s["norms.0.gamma"][:, None, None] + s["norms.0.beta"][:, None, None], 0)
    near(decoder(content, style), np.tanh(biased(s, "head", conv(reflect(y, 3), s["head.weight"]))))


@pytest.mark.parametrize("kind, axes", [("instance", (2, 3)), ("layer", (1, 2, 3))])
def test_a_cartoons_patches_are_scored_with_weights_of_norm_one(kind, axes):
    torch.manual_seed(1)
    network = CartoonPatch(4, kind, spectral=True)
    x = photo(16, 16)
    for _ in range(60):  # each pass turns the estimates of the largest singular values
        network(x)
    network.eval()
    s = arrays(network.state_dict())
    y = x.double().numpy()
    for k in range(7):
        weight = s[f"convs.{k}.parametrizations.weight.original"]
        weight = weight / np.linalg.svd(weight.reshape(len(weight), -1), compute_uv=False)[0]
        y = conv(y, weight, 2 if k in (1, 3) else 1, 1)
        if k in (2, 4, 5):
            y = standard(y, axes, 1e-5)
            scale, shift = (s[f"norms.{k}.{part}"][:, None, None] for part in ("weight", "bias"))
            y = y * scale + shift
        y = leaky(y) if k < 6 else y
    near(network(x), y, 1e-3)


def test_a_textures_patches_have_an_eighth_of_the_size():
    network = WhiteBoxPatch(1, 4)
    assert network(photo(16, 24, 1)).shape == (2, 1, 2, 3)
    assert all("parametrizations" in name for name, _ in network.named_parameters() if "weight" in name)
