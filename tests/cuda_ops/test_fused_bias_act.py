"""The reference of fused_bias_act: hand-worked numbers, a NumPy line, every order of gradient."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from cuda_ops import fused_bias_act, fused_bias_act_ref

CASES = [(0.2, 2**0.5), (0.0, 1.0), (1.0, 0.5), (0.2, 1.0), (0.3, 0.0)]


@pytest.mark.parametrize("op", [fused_bias_act, fused_bias_act_ref])
def test_hand_worked_numbers(op):
    x = torch.tensor([[1.0, 1.0, -2.0], [0.0, -1.0, 4.0]])
    bias = torch.tensor([1.0, -3.0, 2.0])
    assert_close(op(x, bias, 0.25, 2.0), torch.tensor([[4.0, -1.0, 0.0], [2.0, -2.0, 12.0]]))
    assert_close(op(x, None, 0.0, 1.0), torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 4.0]]))
    assert_close(op(x), torch.where(x > 0, x, 0.2 * x) * 2**0.5)


def test_hand_worked_gradients():
    x = torch.tensor([[1.0, -1.0], [2.0, 3.0]], requires_grad=True)
    bias = torch.tensor([-1.5, 0.5], requires_grad=True)  # the sums are -0.5, -0.5; 0.5, 3.5
    fused_bias_act(x, bias, 0.5, 2.0).backward(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert_close(x.grad, torch.tensor([[1.0, 2.0], [6.0, 8.0]]))
    assert_close(bias.grad, torch.tensor([7.0, 10.0]))


@pytest.mark.parametrize("slope, gain", CASES)
@pytest.mark.parametrize("shape", [(2, 5), (3, 4, 6), (2, 5, 3, 7), (2, 3, 2, 3, 4)], ids=str)
def test_equals_numpy_in_float64(shape, slope, gain):
    x, bias = torch.randn(shape, dtype=torch.float64), torch.randn(shape[1], dtype=torch.float64)
    z = x.numpy() + bias.numpy().reshape(-1, *[1] * (len(shape) - 2))
    wanted = np.where(z > 0, z, slope * z) * gain
    assert_close(fused_bias_act(x, bias, slope, gain), torch.from_numpy(wanted), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("slope, gain", CASES)
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 2, 3)], ids=str)
@pytest.mark.parametrize("with_bias", [True, False])
def test_gradients_of_first_and_second_order(shape, slope, gain, with_bias):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(shape[1], dtype=torch.float64, requires_grad=True) if with_bias else None
    assert gradcheck(fused_bias_act, (x, bias, slope, gain))
    assert gradgradcheck(fused_bias_act, (x, bias, slope, gain))


@pytest.mark.parametrize(
    "dtype, tolerance", [(torch.float32, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)]
)
def test_other_dtypes_follow_float64(dtype, tolerance):
    x, bias = torch.randn(2, 6, 5, 5).to(dtype), torch.randn(6).to(dtype)
    y = fused_bias_act(x, bias.float())
    assert y.dtype == dtype
    wanted = fused_bias_act(x.double(), bias.double())
    assert_close(y.double(), wanted, rtol=tolerance, atol=tolerance)


def test_a_float32_bias_of_bfloat16_pictures_gets_a_float32_gradient():
    x, bias = torch.randn(2, 4, 3, 3, dtype=torch.bfloat16), torch.zeros(4, requires_grad=True)
    fused_bias_act(x, bias).sum().backward()
    assert bias.grad.dtype == torch.float32


def test_channels_last_stays_channels_last():
    x = torch.randn(2, 6, 5, 7).contiguous(memory_format=torch.channels_last).requires_grad_()
    bias = torch.randn(6)
    y = fused_bias_act(x, bias)
    (dx,) = torch.autograd.grad(y.square().sum(), x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert dx.is_contiguous(memory_format=torch.channels_last)
    assert_close(y, fused_bias_act(x.contiguous(), bias).contiguous(memory_format=torch.channels_last))


def test_non_contiguous_pictures_and_bias():
    x, bias = torch.randn(4, 12, 6, 9)[::2, 1::3, :, ::2], torch.randn(8)[::2]
    assert_close(fused_bias_act(x, bias), fused_bias_act(x.clone(), bias.clone()))


def test_neither_input_is_changed():
    x, bias = torch.randn(2, 3, 4), torch.randn(3)
    before = x.clone(), bias.clone()
    for args in ((x, bias), (x,), (x, None, 0.2, 1.0), (x, None, 1.0, 1.0)):
        fused_bias_act(*args)
    assert_close((x, bias), before, rtol=0, atol=0)


def test_it_is_deterministic_to_the_bit():
    def run():
        torch.manual_seed(1)
        x, bias = torch.randn(4, 64, 32, 32, requires_grad=True), torch.randn(64, requires_grad=True)
        y = fused_bias_act(x, bias)
        return y, *torch.autograd.grad(y.square().sum(), (x, bias))

    assert_close(run(), run(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "args, message",
    [
        ((torch.zeros(2, 3), torch.zeros(4)), r"expected bias \[3\], got \[4\]"),
        ((torch.zeros(2, 3), torch.zeros(1, 3)), r"expected bias \[3\], got \[1, 3\]"),
        ((torch.zeros(3), torch.zeros(3)), r"expected bias \[\?\], got \[3\]"),
        ((torch.zeros(2, 3), None, -0.1), "slope and gain must be 0 or more, got slope -0.1"),
        ((torch.zeros(2, 3), None, 0.2, float("nan")), "got slope 0.2 and gain nan"),
    ],
)
@pytest.mark.parametrize("op", [fused_bias_act, fused_bias_act_ref])
def test_errors_say_what_was_given_and_wanted(op, args, message):
    with pytest.raises(ValueError, match=message):
        op(*args)
