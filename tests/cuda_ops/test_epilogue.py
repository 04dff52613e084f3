"""The epilogue: its reference against float64 NumPy, and both ways against finite differences."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from cuda_ops import fused_epilogue, fused_epilogue_ref, setup_filter
from cuda_ops._cpu import COMPILERS, find_compiler
from cuda_ops._dispatch import KernelUnavailableError

try:
    find_compiler()
    WAYS = ["reference", "native"]
except KernelUnavailableError:
    WAYS = ["reference", pytest.param("native", marks=pytest.mark.skip(reason=f"needs one of {COMPILERS}"))]

N, C, H, W = 2, 5, 6, 7
FILTER = setup_filter((1, 2, 5, 8), gain=4)
LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    monkeypatch.setenv("TOON_OPS", request.param)
    return request.param


def all_given(dtype=torch.float64, shared=False, layout=torch.channels_last):
    """x and everything an epilogue can be given, for the output of a filter of 4 taps."""
    size = {
        "d": (N, C),
        "noise": (1 if shared else N, 1, H, W),
        "strength": (),
        "bias": (C,),
        "scale": (N, C),
    }
    given = {name: torch.randn(shape, dtype=dtype) for name, shape in size.items()}
    x = torch.randn(N, C, H + 1, W + 1, dtype=dtype).contiguous(memory_format=layout)
    return x, given


def by_hand(x, given, f, slope, gain, clamp):
    """The formula in NumPy, a pixel at a time."""
    x, f = x.numpy(), f.double().numpy()
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = np.zeros((N, C, H, W))
    for i in range(H):
        for j in range(W):
            y[:, :, i, j] = (padded[:, :, i : i + 4, j : j + 4] * f[::-1, ::-1]).sum((2, 3))
    part = {name: value.numpy() for name, value in given.items()}
    y = y * part["d"][:, :, None, None] + part["noise"] * part["strength"] + part["bias"][:, None, None]
    y = np.clip(np.where(y > 0, y, slope * y) * gain, -clamp, clamp)
    return y * part["scale"][:, :, None, None]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("shared", [False, True])
def test_it_is_the_formula(way, shared, layout):
    x, given = all_given(shared=shared, layout=layout)
    before = x.clone()
    wanted = by_hand(x, given, FILTER, 0.3, 1.7, 0.8)
    y = fused_epilogue(x, **given, f=FILTER, slope=0.3, gain=1.7, clamp=0.8)
    assert_close(y.numpy(), wanted, rtol=1e-12, atol=1e-12)
    assert torch.equal(x, before) and y.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)], ids=str)
@pytest.mark.parametrize("channels", [1, 3, 16, 21, 64])
def test_other_types_and_widths(way, dtype, tolerance, channels):
    x = torch.randn(2, channels, 9, 12, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    d, bias = torch.rand(2, channels, dtype=torch.float64), torch.randn(channels, dtype=torch.float64)
    for f in (None, FILTER):
        wanted = fused_epilogue_ref(x, d, bias=bias, f=f, pad=2)
        y = fused_epilogue(x.to(dtype), d.float(), bias=bias.float(), f=f, pad=2)
        assert y.dtype == dtype
        assert_close(y.double(), wanted, rtol=tolerance, atol=tolerance * 4)


USES = [
    ((), None, 1),
    (("d",), None, 1),
    (("d", "noise", "strength", "bias"), None, None),
    (("d", "noise", "strength", "bias", "scale"), FILTER, 0.9),
    (("noise", "bias", "scale"), FILTER, None),
    (("scale", "strength"), FILTER, None),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("names, f, clamp", USES, ids=lambda value: str(value)[:40])
def test_it_differentiates_twice(way, names, f, clamp, layout):
    x, given = all_given(layout=layout)
    if f is None:
        x = x[:, :, 1:, 1:].contiguous(memory_format=layout)
    used = {name: value.requires_grad_(name != "noise") for name, value in given.items() if name in names}
    learnt = [name for name in used if name != "noise"]

    def op(x, *values):
        return fused_epilogue(x, **used | dict(zip(learnt, values, strict=True)), f=f, clamp=clamp)

    inputs = (x.requires_grad_(), *(used[name] for name in learnt))
    assert gradcheck(op, inputs)
    assert gradgradcheck(op, inputs)


def test_the_gradient_of_the_noise_is_there_too(way):
    x, given = all_given()
    given["noise"].requires_grad_()
    assert gradcheck(lambda noise: fused_epilogue(x, **given | {"noise": noise}, f=FILTER), given["noise"])


def test_a_second_gradient_stays_in_its_operator(way):
    """d may come from the same number as x: what reaches it through x is not this operator's."""
    s = torch.rand(N, C, dtype=torch.float64, requires_grad=True)
    fixed, _ = all_given()

    def op(s):
        return fused_epilogue(fixed * s[:, :, None, None], s.square() + 1, f=FILTER)

    assert gradgradcheck(op, s)


def test_with_and_without_a_graph_the_gradients_agree(way):
    x, given = all_given(torch.float32)
    inputs = [x, *given.values()]
    for value in inputs:
        value.requires_grad_(value is not given["noise"])
    learnt = [value for value in inputs if value.requires_grad]
    y = fused_epilogue(x, **given, f=FILTER, clamp=1.0)
    dy = torch.randn_like(y)
    plain = torch.autograd.grad(y, learnt, dy, retain_graph=True)
    graph = torch.autograd.grad(y, learnt, dy, create_graph=True)
    for a, b in zip(plain, graph, strict=True):
        assert_close(a, b.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"x": torch.zeros(2, 3, 4)}, r"expected x \[N, C, H, W\]"),
        ({"d": torch.zeros(2, 4)}, r"expected d \[2, 5\], got \[2, 4\]"),
        ({"bias": torch.zeros(4)}, r"expected bias \[5\], got \[4\]"),
        ({"strength": torch.zeros(2)}, r"expected strength \[\], got \[2\]"),
        ({"noise": torch.zeros(2, 1, 7, 7)}, r"expected noise \[2 or 1, 1, 6, 7\], got \[2, 1, 7, 7\]"),
        ({"clamp": 0.0}, "clamp must be above 0, got 0.0"),
        ({"slope": -1.0}, "slope and gain must be 0 or more"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_shapes_that_do_not_fit(wrong, said):
    x, given = all_given(torch.float32)
    with pytest.raises(ValueError, match=said):
        fused_epilogue(**{"x": x, **given, "f": FILTER, **wrong})
