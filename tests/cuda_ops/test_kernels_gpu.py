"""The kernels on a GPU against the references: forward, backward, twice backward; dtypes and layouts."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

import cuda_ops
from cuda_ops import (
    fused_bias_act,
    fused_bias_act_ref,
    fused_epilogue,
    fused_epilogue_ref,
    setup_filter,
    upfirdn2d,
    upfirdn2d_ref,
)

pytestmark = pytest.mark.gpu

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}
LAYOUTS = [torch.contiguous_format, torch.channels_last]
USES = [
    ((2, 64, 65, 65), {"pad": (1, 1)}),
    ((2, 48, 64, 64), {"pad": (2, 2)}),
    ((2, 48, 64, 64), {"down": 2, "pad": (1, 1)}),
    ((2, 3, 32, 32), {"up": 2, "pad": (2, 1)}),
    ((1, 5, 9, 7), {"up": 3, "down": 2, "pad": (-1, 4, 2, 0)}),
]


@pytest.fixture(autouse=True)
def kernels_only(monkeypatch):
    monkeypatch.setenv("TOON_OPS", "cuda")


def make(shape, dtype, layout=torch.contiguous_format):
    x = torch.randn(shape, device="cuda").to(dtype)
    return (x.contiguous(memory_format=layout) if len(shape) == 4 else x).requires_grad_()


def close(kernel, reference, dtype):
    for a, b in zip(kernel, reference, strict=True):
        assert_close(a.double(), b.double(), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype], check_stride=False)


def derivatives(op, x, others, cotangent, direction):
    """y; the gradients; and those of <gradient of x, direction> by the cotangent and x, where they exist."""
    cotangent = cotangent.clone().requires_grad_()
    y = op(x)
    first = torch.autograd.grad(y, (x, *others), cotangent, create_graph=True)
    second = torch.autograd.grad((first[0] * direction).sum(), (cotangent, x), allow_unused=True)
    return [t for t in (y, *first, *second) if t is not None]


def test_the_kernels_are_available():
    assert cuda_ops.unavailable_reason() is None


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 3, 7), (1, 512, 4, 4), (4, 64, 33, 33)], ids=str)
@pytest.mark.parametrize("slope, gain", [(0.2, 2**0.5), (0.0, 1.0), (1.0, 0.5)])
def test_bias_act_equals_its_reference(shape, layout, dtype, slope, gain):
    x, bias = make(shape, dtype, layout), make(shape[1:2], dtype)
    cotangent, direction = torch.randn_like(x), torch.randn_like(x)
    for b in (bias, None):
        others = () if b is None else (b,)
        got = derivatives(lambda x, b=b: fused_bias_act(x, b, slope, gain), x, others, cotangent, direction)
        wide = [t.detach().double().requires_grad_() for t in (x, *others)]
        wanted = derivatives(
            lambda x, w=wide: fused_bias_act_ref(x, w[1] if len(w) > 1 else None, slope, gain),
            wide[0],
            wide[1:],
            cotangent.double(),
            direction.double(),
        )
        assert got[0].dtype == dtype and got[0].stride() == x.stride()
        scale = x[:, 0].numel() ** 0.5  # the bias gradient sums so many numbers of size 1
        got[1 + len(others)], wanted[1 + len(others)] = (
            t[1 + len(others)] / (scale if others else 1) for t in (got, wanted)
        )
        kernel = [t for t in got if t.abs().sum() > 0]
        reference = [t for t in wanted if t.abs().sum() > 0]  # the reference spells a zero gradient out
        close(kernel, reference, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("shape, use", USES, ids=str)
@pytest.mark.parametrize("kernel", [(4, 4), (3, 5), (24, 24)], ids=str)
def test_upfirdn2d_equals_its_reference(shape, use, kernel, layout, dtype):
    use = use | ({"pad": (23, 23)} if kernel == (24, 24) else {})
    x = make(shape, dtype, layout)
    f = setup_filter() if kernel == (4, 4) else torch.randn(kernel) / (kernel[0] * kernel[1]) ** 0.5
    f = f.cuda()
    cotangent = torch.randn_like(upfirdn2d(x, f, **use))
    direction = torch.randn_like(x)
    got = derivatives(lambda x: upfirdn2d(x, f, **use), x, (), cotangent, direction)
    wide = x.detach().double().requires_grad_()
    wanted = derivatives(
        lambda x: upfirdn2d_ref(x, f.double(), **use), wide, (), cotangent.double(), direction.double()
    )
    assert got[0].dtype == dtype and got[0].is_contiguous(memory_format=layout)
    close(got, wanted[: len(got)], dtype)


def test_gradcheck_in_float64():
    x, bias = make((2, 3, 4, 5), torch.float64), make((3,), torch.float64)
    f = torch.randn(4, 4, device="cuda", dtype=torch.float64)
    for check in (gradcheck, gradgradcheck):
        assert check(fused_bias_act, (x, bias))
        for up, down in ((1, 1), (2, 1), (1, 2), (3, 2)):
            assert check(upfirdn2d, (x, f, up, down, (2, 1)))


def layer(x, weight, bias, f, ops):
    """A blurred convolution and its activation, as in the discriminator."""
    act, resample = ops
    y = resample(act(torch.nn.functional.conv2d(x, weight, padding=1), bias), f, 1, 1, (2, 2))
    return act(torch.nn.functional.conv2d(y, weight, stride=2), bias)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("use", ["r1", "path length"])
def test_r1_and_path_length_give_the_same_gradients(use, layout):
    weight, bias = make((8, 8, 3, 3), torch.float64), make((8,), torch.float64)
    x, f = make((2, 8, 16, 16), torch.float64, layout), setup_filter().cuda()
    noise = torch.randn(2, 8, 8, 8, device="cuda", dtype=torch.float64)
    results = []
    for ops in ((fused_bias_act, upfirdn2d), (fused_bias_act_ref, upfirdn2d_ref)):
        y = layer(x, weight, bias, f, ops)
        score = y.sum() if use == "r1" else (y * noise).sum()
        (g,) = torch.autograd.grad(score, x, create_graph=True)
        penalty = g.square().sum() if use == "r1" else (g.square().sum([1, 2, 3]).sqrt() - 1).square().mean()
        results.append((penalty, *torch.autograd.grad(penalty, (weight, bias), allow_unused=True)[:1]))
    assert_close(*results, rtol=1e-10, atol=1e-10)


def test_more_than_2_to_the_31_elements():
    x = torch.zeros(1, 2, 2**15, 2**15 + 1, device="cuda", dtype=torch.float16)
    x[0, 1, -1, -1] = 3
    bias = torch.tensor([0.0, 1.0], device="cuda", dtype=torch.float16)
    y = fused_bias_act(x, bias, 0.2, 1.0)
    assert y[0, 1, -1, -1] == 4 and y[0, 0].abs().max() == 0
    z = upfirdn2d(x, setup_filter().cuda(), pad=(2, 1))
    assert z[0, 1, -1, -1] == 3 * setup_filter()[1, 1]


def test_a_stream_of_its_own_and_an_empty_batch():
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        x = torch.ones(1, 4, 8, 8, device="cuda")
        y = fused_bias_act(x)
    stream.synchronize()
    assert_close(y, x * 2**0.5)
    empty = torch.empty(0, 4, 8, 8, device="cuda")
    assert fused_bias_act(empty).shape == empty.shape
    assert upfirdn2d(empty, setup_filter().cuda(), pad=(2, 1)).shape == empty.shape


def test_compiled_it_equals_eager():
    f = setup_filter().cuda()

    def net(x, bias):
        return upfirdn2d(fused_bias_act(x, bias), f, down=2, pad=(1, 1))

    x, bias = make((2, 8, 16, 16), torch.float32), make((8,), torch.float32)
    results = []
    for g in (net, torch.compile(net, fullgraph=True, backend="aot_eager")):
        y = g(x, bias)
        results.append((y, *torch.autograd.grad(y.square().sum(), (x, bias))))
    assert_close(*results)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("channels, filtered", [(64, True), (64, False), (5, True)])
@pytest.mark.parametrize("clamp", [None, 1.0])
def test_epilogue_equals_its_reference(clamp, channels, filtered, layout, dtype):
    x = make((2, channels, 34, 50), dtype, layout)
    f, out = (setup_filter(gain=4).cuda(), (33, 49)) if filtered else (None, (34, 50))
    shapes = {"d": (2, channels), "strength": (), "bias": (channels,), "scale": (2, channels)}
    given = {name: torch.randn(shape, device="cuda", requires_grad=True) for name, shape in shapes.items()}
    noise = torch.randn(1, 1, *out, device="cuda")
    cotangent, direction = torch.randn(2, channels, *out, device="cuda").to(dtype), torch.randn_like(x)
    wide = [t.detach().double().requires_grad_() for t in (x, *given.values())]

    def op(x, f=f):
        return fused_epilogue(x, **given, noise=noise, f=f, clamp=clamp)

    def reference(x):
        learnt = dict(zip(given, wide[1:], strict=True))
        exact = None if f is None else f.double()
        return fused_epilogue_ref(x, **learnt, noise=noise.double(), f=exact, clamp=clamp)

    got = derivatives(op, x, list(given.values()), cotangent, direction)
    wanted = derivatives(reference, wide[0], wide[1:], cotangent.double(), direction.double())
    assert got[0].dtype == dtype
    for a, b in zip(got, wanted, strict=True):
        size = max(1.0, float(b.detach().abs().max()))  # sums over a picture are large
        assert_close(a.double() / size, b / size, rtol=TOLERANCE[dtype], atol=8 * TOLERANCE[dtype])


def test_epilogue_differentiates_twice():
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64, device="cuda", requires_grad=True)
    d = torch.rand(2, 3, dtype=torch.float64, device="cuda", requires_grad=True)
    f = setup_filter(gain=4).cuda()

    def op(x, d):
        return fused_epilogue(x, d, f=f)

    assert gradcheck(op, (x, d))
    assert gradgradcheck(op, (x, d))
