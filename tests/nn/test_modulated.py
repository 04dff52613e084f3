"""The modulated convolution against one convolution a sample in float64 NumPy."""

import copy

import numpy as np
import pytest
import torch

from stylegan_toon.nn.equalized import MinibatchStdDev
from stylegan_toon.nn.modulated import ModulatedConv2d, StyledConv
from tests.stylegan2 import reference


def as_reference(conv):
    return {
        "c.weight": conv.weight.detach().numpy()[None].astype(np.float64),
        "c.modulation.weight": conv.affine.weight.detach().numpy().astype(np.float64),
        "c.modulation.bias": conv.affine.bias.detach().numpy().astype(np.float64),
    }


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("up, kernel, demodulate", [(False, 3, True), (True, 3, True), (False, 1, False)])
def test_it_equals_per_sample_weights(up, kernel, demodulate, layout):
    conv = ModulatedConv2d(6, 5, kernel, 7, demodulate, up)
    x, w = torch.randn(3, 6, 8, 8).to(memory_format=layout), torch.randn(3, 7)
    before = x.clone()
    state, exact = as_reference(conv), (x.double().numpy(), w.double().numpy())
    wanted = reference.modulated(state, "c", *exact, demodulate, up)
    graded = conv(x, w)
    with torch.no_grad():
        plain = conv(x, w)
        arranged = copy.deepcopy(conv)
        arranged.arrange()
        assert torch.equal(arranged.weight, conv.weight)
        laid = arranged(x, w)
    for found in (graded, plain, laid):
        assert np.abs(found.detach().numpy() - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert torch.equal(x, before)


def test_noise_is_the_same_with_and_without_gradients():
    layer = StyledConv(4, 3, 5, 8)
    with torch.no_grad():
        layer.noise_strength.fill_(0.3)
    x, w, given = torch.randn(2, 4, 8, 8), torch.randn(2, 5), torch.randn(2, 1, 8, 8)
    kept = given.clone(), layer.noise_const.clone()
    for noise in ("const", "none", given):
        graded = layer(x, w, noise)
        with torch.no_grad():
            assert torch.allclose(graded, layer(x, w, noise), atol=1e-6)
    assert torch.equal(given, kept[0]) and torch.equal(layer.noise_const, kept[1])
    torch.manual_seed(1)
    first = layer(x, w, "random")
    torch.manual_seed(1)
    with torch.no_grad():
        assert torch.allclose(first, layer(x, w, "random"), atol=1e-6)
    assert not torch.allclose(first, layer(x, w, "const"))


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_minibatch_deviation_equals_the_formula(n):
    x = torch.randn(n, 3, 2, 2)
    wanted = reference.stddev_channel(x.double().numpy())
    assert np.abs(MinibatchStdDev(4)(x).numpy() - wanted).max() < 1e-6


def test_minibatch_deviation_takes_any_batch():
    x = torch.randn(6, 3, 2, 2)  # the original fails here; groups of 3 are the largest that fit
    found = MinibatchStdDev(4)(x)[:, 3, 0, 0]
    groups = x.reshape(3, 2, -1).double().numpy()
    wanted = np.sqrt(groups.var(0) + 1e-8).mean(1)
    assert np.abs(found.numpy() - np.tile(wanted, 3)).max() < 1e-6
