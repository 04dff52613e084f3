"""R1 and path length, and both networks, against finite differences in float64."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

from stylegan_toon.losses.regularize import path_length_penalty, r1_penalty
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator

TINY = Config(8, (3, 2), z_dim=4, w_dim=4, mapping_layers=1, group=2)


@pytest.fixture(autouse=True)
def no_float32(monkeypatch):
    """The networks sum pictures and scores in float32, too coarse for finite differences."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.fixture
def d():
    network = Discriminator(TINY).double()
    network.compute_dtype = torch.float64
    return network


@pytest.fixture
def g():
    network = Generator(TINY).double()
    network.synthesis.compute_dtype = torch.float64
    for block in network.synthesis.blocks:
        block.conv1.noise_strength.data.fill_(0.2)
    return network


def double(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def test_discriminator_differentiates_twice(d):
    x = double(2, 3, 8, 8)
    assert gradcheck(d, x, fast_mode=True)
    assert gradgradcheck(d, x, fast_mode=True)


def test_generator_differentiates_twice(g):
    w_plus = double(2, TINY.n_layers, 4)

    def picture(w_plus):
        return g.synthesis(w_plus, "const")[-1]

    assert gradcheck(picture, w_plus, fast_mode=True)
    assert gradgradcheck(picture, w_plus, fast_mode=True)


def test_r1_has_the_right_gradient_in_every_weight(d):
    x = double(2, 3, 8, 8)
    names, weights = zip(*((n, p) for n, p in d.named_parameters() if n != "out.bias"), strict=True)

    def penalty(*values):
        return r1_penalty(functional_call(d, dict(zip(names, values, strict=True)), x), x)

    assert gradcheck(penalty, weights, fast_mode=True)
    gradients = torch.autograd.grad(penalty(*weights), weights, allow_unused=True)
    zero = [name for name, gradient in zip(names, gradients, strict=True) if gradient is None]
    assert all(name.endswith("bias") for name in zero), zero


def test_path_length_has_the_right_gradient_in_every_weight(g):
    w_plus = double(2, TINY.n_layers, 4)
    names, weights = zip(*g.synthesis.named_parameters(), strict=True)
    mean = torch.tensor(0.3, dtype=torch.float64)

    def penalty(*values):
        torch.manual_seed(5)  # the same direction at every call
        pictures = functional_call(g.synthesis, dict(zip(names, values, strict=True)), (w_plus, "const"))[-1]
        return path_length_penalty(pictures, w_plus, mean, decay=0.0)[0]

    assert gradcheck(penalty, weights, fast_mode=True)
    gradients = torch.autograd.grad(penalty(*weights), weights, allow_unused=True)
    assert sum(gradient is not None and bool(gradient.any()) for gradient in gradients) > len(names) // 2
