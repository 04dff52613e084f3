"""GANILLA and CAMGAN: sizes, attention, and the questions every method is asked."""

import math

import pytest
import torch

from stylegan_toon.methods.i2i import camgan, ganilla
from stylegan_toon.nn.attention import ECA, eca_kernel
from stylegan_toon.nn.pyramid import PyramidGenerator
from tests.methods.i2i.questions import digests, learn, smooth, stream, unmoved

SMALL = {"size": 32, "width": 4, "d_width": 4, "pool_size": 3, "lr": 2e-3}
BOTH = pytest.mark.parametrize(
    "module, cls", [(ganilla, "Ganilla"), (camgan, "Camgan")], ids=["ganilla", "camgan"]
)


def make(module, cls, **changes):
    config = module.Config(**SMALL | changes)
    return getattr(module, cls)(config), config


@pytest.mark.parametrize("attention, numbers", [(False, 7_228_419), (True, 7_228_437)])
def test_a_generator_has_as_many_numbers(attention, numbers):
    with torch.device("meta"):
        assert sum(p.numel() for p in PyramidGenerator(64, attention).parameters()) == numbers


def test_the_parts_are_those_of_the_original():
    with torch.device("meta"):
        net = PyramidGenerator()
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}
    layers = [sum(p.numel() for p in layer.parameters()) for layer in net.layers]
    assert parts["stem"] == 9_472 and parts["to_rgb"] == 9_411
    assert parts["laterals"] + parts["smooth"] == 148_032
    assert layers == [294_912, 1_114_112, 1_196_032, 4_456_448]


@pytest.mark.parametrize("channels, kernel", [(32, 3), (64, 3), (128, 5), (256, 5), (512, 5)])
def test_the_kernel_of_attention_adapts_to_the_channels(channels, kernel):
    assert eca_kernel(channels) == kernel == ECA(channels).conv.weight.shape[2]


def test_attention_is_what_its_equation_says():
    attend = ECA(8)
    x = torch.randn(2, 8, 3, 5)
    means, (weight,) = x.double().mean([2, 3]), attend.conv.weight.double()[0].tolist()
    assert len(weight) == 3
    for n in range(2):
        for c in range(8):
            near = [float(means[n, c + k - 1]) if 0 <= c + k - 1 < 8 else 0.0 for k in range(3)]
            share = 1 / (1 + math.exp(-sum(a * b for a, b in zip(weight, near, strict=True))))
            torch.testing.assert_close(
                attend(x)[n, c].double(), x[n, c].double() * share, rtol=1e-5, atol=1e-6
            )


@BOTH
def test_all_networks_move_in_a_step(module, cls):
    method, config = make(module, cls)
    assert unmoved(method, stream(config)(0)) == []


@pytest.mark.slow
@BOTH
def test_it_learns_four_pictures(module, cls):
    """At 64 px: of 32 their lowest features have four places, by which an instance norm says little.

    Attention halves what goes through it at the start, and narrow networks begin with small numbers already.
    """
    changes = {
        "size": 64,
        "width": 8,
        "d_width": 2,
        "batch": 2,
        "cycle_weight": 100.0,
        "identity_weight": 300.0,
    }
    method, config = make(module, cls, pool_size=0, **changes)
    if module is camgan:
        with torch.no_grad():
            for parameter in method.parameters():
                parameter *= 1.5
    losses = learn(method, stream(config), 50)
    assert losses[-1]["g/cycle"] < 0.7 * losses[0]["g/cycle"]
    photo = smooth(4, 64, 1)
    with torch.inference_mode():
        back = method.eval().back(method.translate(photo))
    assert float((back - photo).abs().mean()) < 0.6 * float((photo - photo.mean()).abs().mean())


@BOTH
def test_six_steps_are_three_and_three(module, cls, tmp_path):
    config = module.Config(**SMALL)
    assert len(digests(lambda: getattr(module, cls)(config), stream(config), tmp_path)) == 1


@pytest.mark.parametrize("size", [(37, 50), (3, 4)])
def test_they_translate_any_size(size):
    method, _ = make(camgan, "Camgan")
    photo = torch.rand(1, 3, *size) * 2 - 1
    with torch.inference_mode():
        assert method.eval().translate(photo).shape == photo.shape == method.back(photo).shape


def test_camgan_has_no_identity_loss_unless_asked_for():
    for weight, there in ((0.0, False), (5.0, True)):
        method, config = make(camgan, "Camgan", identity_weight=weight)
        assert ("g/identity" in learn(method, stream(config), 1)[0]) is there
