"""Weight gradients as matrix products: against NumPy, finite differences, and torch's own in a network."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from stylegan_toon.losses.regularize import r1_penalty
from stylegan_toon.nn import convolution
from stylegan_toon.nn.convolution import conv2d, conv_transpose2d, weight_gradient
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator

SHAPES = [  # stride, padding, kernel, height, width
    (1, 1, 3, 7, 6), (1, 0, 3, 5, 8), (2, 0, 3, 9, 8), (2, 1, 3, 8, 7), (1, 0, 1, 5, 4), (2, 0, 1, 6, 5),
    (2, 0, 2, 6, 7), (3, 1, 3, 8, 10), (1, 2, 5, 6, 7), (1, 1, 3, 1, 1),
]  # fmt: skip


@pytest.mark.parametrize("stride, padding, kernel, height, width", SHAPES)
def test_every_tap_is_the_sum_over_all_places(stride, padding, kernel, height, width):
    draw = np.random.default_rng(3)
    large = draw.standard_normal((3, 4, height, width))
    h, w = ((edge + 2 * padding - kernel) // stride + 1 for edge in (height, width))
    small = draw.standard_normal((3, 5, h, w))
    padded = np.pad(large, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    wanted = np.zeros((5, 4, kernel, kernel))
    for i in range(h):
        for j in range(w):
            seen = padded[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            wanted += np.einsum("ns,nbyx->sbyx", small[:, :, i, j], seen)
    made = weight_gradient(torch.tensor(small), torch.tensor(large), stride, padding, [kernel, kernel])
    np.testing.assert_allclose(made.numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("stride, padding, kernel, height, width", SHAPES)
def test_both_convolutions_have_first_and_second_derivatives(stride, padding, kernel, height, width):
    torch.manual_seed(0)
    x = torch.randn(2, 2, height, width, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 2, kernel, kernel, dtype=torch.float64, requires_grad=True)

    def forth(x, weight):
        return convolution._Conv.apply(x, weight, stride, padding)

    made = forth(x, weight)
    torch.testing.assert_close(made, F.conv2d(x, weight, stride=stride, padding=padding))
    assert gradcheck(forth, (x, weight)) and gradgradcheck(forth, (x, weight))

    def back(y, weight):
        return convolution._Transposed.apply(y, weight, stride, padding, [height, width])

    y = made.detach().requires_grad_()
    assert gradcheck(back, (y, weight)) and gradgradcheck(back, (y, weight))


def gradients(monkeypatch, capability):
    """Of R1 and of a picture's score, by the weights of both networks; and how often products made them."""
    made = []

    def counted(*given):
        made.append(1)
        return weight_gradient(*given)

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(convolution, "weight_gradient", counted)
    torch.manual_seed(1)
    config = Config(32, (32, 32, 32, 48), 16, 16, 2)
    g, d = Generator(config), Discriminator(config)
    score = d(g(torch.randn(2, 16), noise="none")).sum()
    real = (torch.rand(2, 3, 32, 32) * 2 - 1).requires_grad_()
    (score + r1_penalty(d(real), real)).backward()
    named = [*g.named_parameters(), *((f"d.{name}", p) for name, p in d.named_parameters())]
    return {name: p.grad for name, p in named if p.grad is not None}, len(made)


def test_networks_have_the_same_gradients_by_products_as_by_torch(monkeypatch):
    wanted, none = gradients(monkeypatch, "AVX512")
    made, some = gradients(monkeypatch, "AVX2")
    assert none == 0 and some >= 8 and made.keys() == wanted.keys()
    for name, one in wanted.items():
        torch.testing.assert_close(made[name], one, rtol=1e-4, atol=1e-5 * float(one.abs().max()))


def test_without_gradients_or_for_other_numbers_torchs_own_are_called(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    weight = torch.randn(4, 4, 3, 3, requires_grad=True)
    x = torch.randn(1, 4, 8, 8)
    assert type(conv2d(x, weight).grad_fn).__name__ == "_ConvBackward"
    assert type(conv_transpose2d(x, weight, 2).grad_fn).__name__ == "_TransposedBackward"
    for other in (conv2d(x.double(), weight.double()), conv2d(x.bfloat16(), weight.bfloat16())):
        assert type(other.grad_fn).__name__ == "ConvolutionBackward0"
    assert not conv2d(x, weight.detach()).requires_grad
    with torch.no_grad():
        assert not conv2d(x, weight).requires_grad
    monkeypatch.setenv("TOON_OPS", "reference")
    assert type(conv2d(x, weight).grad_fn).__name__ == "ConvolutionBackward0"
