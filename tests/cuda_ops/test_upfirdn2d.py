"""The reference of upfirdn2d: hand-worked numbers, a float64 NumPy loop, every order of gradient."""

import itertools

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from cuda_ops import setup_filter, upfirdn2d, upfirdn2d_ref

PADS = [
    (0, 0),
    (1, 1),
    (2, 1),
    (1, 2),
    (3, 3),
    (5, 4),
    (-1, 2),
    (2, -1),
    (-1, -1),
    (2, 0, 1, 3),
    (-2, 4, 3, -1),
]
USES = [  # those of StyleGAN2: blur behind a transposed convolution, before a strided one, skip up, skip down
    ((1, 1), (65, 64), {"pad": (1, 1)}),
    ((1, 1), (64, 65), {"pad": (2, 2)}),
    ((2, 1), (32, 64), {"up": 2, "pad": (2, 1)}),
    ((1, 2), (64, 32), {"down": 2, "pad": (1, 1)}),
]


def numpy_loop(x, f, up, down, pad):
    """The four steps, one after another and one pixel at a time."""
    x0, x1, y0, y1 = pad if len(pad) == 4 else (*pad, *pad)
    n, c, h, w = x.shape
    z = np.zeros((n, c, h * up, w * up))
    z[:, :, ::up, ::up] = x
    p = np.zeros((n, c, h * up + y0 + y1, w * up + x0 + x1))
    for i, j in itertools.product(range(p.shape[2]), range(p.shape[3])):
        if 0 <= i - y0 < h * up and 0 <= j - x0 < w * up:
            p[:, :, i, j] = z[:, :, i - y0, j - x0]
    kh, kw = f.shape
    y = np.zeros((n, c, p.shape[2] - kh + 1, p.shape[3] - kw + 1))
    for i, j in itertools.product(range(y.shape[2]), range(y.shape[3])):
        y[:, :, i, j] = (p[:, :, i : i + kh, j : j + kw] * f[::-1, ::-1]).sum((2, 3))
    return y[:, :, ::down, ::down]


def test_the_filter_is_normalised_and_its_corner_is_1_in_64():
    assert_close(setup_filter()[0], torch.tensor([1.0, 3.0, 3.0, 1.0]) / 64)
    assert setup_filter().sum() == 1
    assert setup_filter((1, 2, 1), gain=4).sum() == 4


@pytest.mark.parametrize("op", [upfirdn2d, upfirdn2d_ref])
def test_hand_worked_numbers(op):
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    f = torch.tensor([[1.0, 10.0]])  # a true convolution: the later tap meets the earlier pixel
    assert_close(op(x, f), torch.tensor([[[[12.0], [34.0]]]]))
    assert_close(op(x, f, pad=(1, 0, 0, 0)), torch.tensor([[[[1.0, 12.0], [3.0, 34.0]]]]))
    assert_close(op(x, torch.ones(2, 2), up=2, pad=(1, 0)), x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert_close(op(x, torch.ones(2, 2), down=2), torch.tensor([[[[10.0]]]]))
    assert_close(op(x, torch.ones(1, 1), pad=(-1, 0)), torch.tensor([[[[4.0]]]]))


@pytest.mark.parametrize("pad", PADS, ids=str)
@pytest.mark.parametrize("up, down", [(1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (1, 3), (3, 2), (2, 3), (4, 4)])
@pytest.mark.parametrize("kernel", [(1, 1), (4, 4), (3, 2), (5, 6)], ids=str)
def test_equals_a_numpy_loop_in_float64(kernel, up, down, pad):
    x, f = torch.randn(2, 3, 8, 9, dtype=torch.float64), torch.randn(kernel, dtype=torch.float64)
    y = upfirdn2d(x, f, up, down, pad)
    wanted = numpy_loop(x.numpy(), f.numpy(), up, down, pad)
    assert_close(y, torch.from_numpy(np.ascontiguousarray(wanted)), rtol=1e-12, atol=1e-12)


def test_a_filter_of_24_taps():
    x, f = torch.randn(1, 2, 13, 11, dtype=torch.float64), torch.randn(24, 24, dtype=torch.float64)
    for up, down, pad in ((2, 1, (12, 11)), (1, 2, (12, 11)), (2, 2, (20, 23))):
        wanted = torch.from_numpy(np.ascontiguousarray(numpy_loop(x.numpy(), f.numpy(), up, down, pad)))
        assert_close(upfirdn2d(x, f, up, down, pad), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pad", [(2, 1), (1, 1), (-1, 3), (3, 0, 2, 2)], ids=str)
@pytest.mark.parametrize("up, down", [(1, 1), (2, 1), (1, 2), (2, 3), (3, 2)])
@pytest.mark.parametrize("kernel", [(4, 4), (3, 2)], ids=str)
def test_gradients_of_first_and_second_order(kernel, up, down, pad):
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    f = torch.randn(kernel, dtype=torch.float64)
    assert gradcheck(upfirdn2d, (x, f, up, down, pad), fast_mode=True)
    assert gradgradcheck(upfirdn2d, (x, f, up, down, pad), fast_mode=True)


def test_the_gradient_is_the_transposed_matrix():
    f, args = setup_filter().double(), (2, 1, (2, 1))
    columns = [
        upfirdn2d(e.reshape(1, 1, 3, 4), f, *args).flatten() for e in torch.eye(12, dtype=torch.float64)
    ]
    x = torch.zeros(1, 1, 3, 4, dtype=torch.float64, requires_grad=True)
    dy = torch.randn(1, 1, 6, 8, dtype=torch.float64)
    (dx,) = torch.autograd.grad(upfirdn2d(x, f, *args), x, dy)
    assert_close(dx.flatten(), torch.stack(columns) @ dy.flatten())


@pytest.mark.parametrize("factors, sizes, use", USES, ids=str)
@pytest.mark.parametrize(
    "dtype, tolerance", [(torch.float32, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)]
)
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
def test_dtypes_and_layouts_of_the_uses_in_stylegan2(factors, sizes, use, dtype, tolerance, memory):
    x = torch.randn(2, 8, sizes[0], sizes[0]).to(dtype).contiguous(memory_format=memory).requires_grad_()
    y = upfirdn2d(x, setup_filter(), **use)
    (dx,) = torch.autograd.grad(y, x, y.detach())
    assert y.shape == (2, 8, sizes[1], sizes[1]) and y.dtype == dx.dtype == dtype
    assert y.is_contiguous(memory_format=memory) and dx.is_contiguous(memory_format=memory)
    z = x.detach().double().contiguous().requires_grad_()
    wanted = upfirdn2d(z, setup_filter(), **use)
    (dz,) = torch.autograd.grad(wanted, z, y.detach().double())
    assert_close(y.double(), wanted, rtol=tolerance, atol=tolerance, check_stride=False)
    assert_close(dx.double(), dz, rtol=tolerance, atol=tolerance, check_stride=False)


def test_non_contiguous_pictures_and_filters():
    x, f = torch.randn(4, 6, 9, 14)[::2, ::3, 1:, ::2], torch.randn(8, 3).T[:, ::2]
    for up, down in ((1, 1), (2, 1), (1, 2)):
        assert_close(upfirdn2d(x, f, up, down, (2, 2)), upfirdn2d(x.clone(), f.clone(), up, down, (2, 2)))


def test_it_is_deterministic_to_the_bit():
    def run():
        torch.manual_seed(1)
        x = torch.randn(4, 16, 32, 32).contiguous(memory_format=torch.channels_last).requires_grad_()
        y = upfirdn2d(x, setup_filter(), up=2, pad=(2, 1))
        return y, *torch.autograd.grad(y.square().sum(), x)

    assert_close(run(), run(), rtol=0, atol=0)


PICTURE, F4 = torch.zeros(1, 1, 2, 3), torch.ones(4, 4)


@pytest.mark.parametrize(
    "args, message",
    [
        ((PICTURE, F4), r"a \[4, 4\] filter does not fit into \[2, 3\] with up 1 and padding \[0, 0\]"),
        ((PICTURE, F4, 1, 1, (-9, 20)), r"does not fit .* padding \[-9, 20\]"),
        ((PICTURE[0], F4), r"expected x \[N, C, H, W\] and a filter \[KH, KW\], got \[1, 2, 3\]"),
        ((PICTURE, torch.ones(4)), r"got \[1, 1, 2, 3\] and \[4\]"),
        ((PICTURE, F4, 0), r"expected up and down of 1 or more and 2 or 4 paddings, got 0, 1"),
        ((PICTURE, F4, 1, 1, (1, 2, 3)), r"2 or 4 paddings, got 1, 1, \[1, 2, 3\]"),
    ],
)
@pytest.mark.parametrize("op", [upfirdn2d, upfirdn2d_ref])
def test_errors_say_what_was_given_and_wanted(op, args, message):
    with pytest.raises(ValueError, match=message):
        op(*args)


def test_a_filter_without_weight_is_refused():
    with pytest.raises(ValueError, match="whose sum is not 0"):
        setup_filter((1, -1))
