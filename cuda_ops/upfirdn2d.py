"""Upsample by zeros, pad, FIR filter, downsample: the resampling of StyleGAN2."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_ops import _dispatch

FIR = (1, 3, 3, 1)


def setup_filter(taps: Sequence[float] = FIR, gain: float = 1.0) -> Tensor:
    """The outer product of taps with themselves, of sum gain, float32 [K, K].

    Raises: ValueError if taps is empty or sums to 0.
    Source: Karras et al. 2020, arXiv 1912.04958; 4 * setup_filter() is the upsampling filter.
    """
    f = torch.tensor(taps, dtype=torch.float64)
    if f.ndim != 1 or not sum(taps):
        raise ValueError(f"expected a row of taps whose sum is not 0, got {taps}")
    f = torch.outer(f, f)
    return (f * (gain / f.sum())).float()


def upfirdn2d_ref(x: Tensor, f: Tensor, up: int = 1, down: int = 1, pad: Sequence[int] = (0, 0)) -> Tensor:
    """Insert up - 1 zeros after each pixel, pad, convolve with f, keep every down-th pixel; plain PyTorch.

    Args:
        x: [N, C, H, W], any float dtype.
        f: [KH, KW], the filter of a true convolution; it gets no gradient.
        up, down: factors for both axes.
        pad: (before, after) for both axes, or (left, right, top, bottom); negative crops.
    Returns: [N, C, H', W'] with H' = (H * up + top + bottom - KH) // down + 1, dtype and layout of x.
    Raises: ValueError if the filter does not fit in the padded picture, or an argument has the wrong shape.
    Source: Karras et al. 2020, arXiv 1912.04958, section 3.2; the definition of its four steps is ours.
    """
    return _reference(x, f, up, down, *_check(x, f, up, down, pad), False)


def upfirdn2d(x: Tensor, f: Tensor, up: int = 1, down: int = 1, pad: Sequence[int] = (0, 0)) -> Tensor:
    """As upfirdn2d_ref, by the fastest way this device has, differentiable any number of times.

    Raises: ValueError as upfirdn2d_ref; KernelUnavailableError under TOON_OPS=cuda without a kernel.
    """
    return _upfirdn2d(x, f, up, down, *_check(x, f, up, down, pad), False)


def _check(x: Tensor, f: Tensor, up: int, down: int, pad: Sequence[int]) -> tuple[int, int, int, int]:
    if x.ndim != 4 or f.ndim != 2:
        raise ValueError(
            f"expected x [N, C, H, W] and a filter [KH, KW], got {list(x.shape)} and {list(f.shape)}"
        )
    if up < 1 or down < 1 or len(pad) not in (2, 4):
        raise ValueError(
            f"expected up and down of 1 or more and 2 or 4 paddings, got {up}, {down}, {list(pad)}"
        )
    x0, x1, y0, y1 = pad if len(pad) == 4 else (*pad, *pad)
    h, w = x.shape[2] * up, x.shape[3] * up
    fits = h + y0 + y1 >= f.shape[0] and w + x0 + x1 >= f.shape[1]
    if not fits or min(x0, x1) < -w or min(y0, y1) < -h:
        size = list(x.shape[2:])
        raise ValueError(
            f"a {list(f.shape)} filter does not fit into {size} with up {up} and padding {list(pad)}"
        )
    return x0, x1, y0, y1


def _reference(
    x: Tensor, f: Tensor, up: int, down: int, x0: int, x1: int, y0: int, y1: int, flip: bool
) -> Tensor:
    """flip: correlate with f instead of convolving, which is what gradients need."""
    dtype, layout = x.dtype, _dispatch.layout(x)
    if x.device.type == "cpu" and (dtype == torch.float16 or (up > 1 and dtype == torch.bfloat16)):
        x = x.float()  # for these the CPU has no fast 16-bit path; converting is 2 to 30 times faster
    n, c, h, w = x.shape
    kh, kw = f.shape
    f = f.to(x.dtype)
    scatter = up > 1
    if scatter:
        # A transposed convolution touches no inserted zero. It gives every pixel that f can reach, of which
        # the paddings leave out so many; where they ask for more, the zeros are really inserted.
        top, bottom, left, right = kh - 1 - y0, kh - up - y1, kw - 1 - x0, kw - up - x1
        scatter = min(top, bottom, left, right) >= 0
    if scatter:
        weight = (f.flip(0, 1) if flip else f).expand(c, 1, kh, kw)
        cut = min(top, bottom), min(left, right)
        y = F.conv_transpose2d(x, weight, stride=up, padding=cut, groups=c)
        if down > 1 or top != bottom or left != right:
            rows, columns = h * up + y0 + y1 - kh + 1, w * up + x0 + x1 - kw + 1
            y = y.narrow(2, top - cut[0], rows).narrow(3, left - cut[1], columns)[:, :, ::down, ::down]
    else:
        weight = (f if flip else f.flip(0, 1)).expand(c, 1, kh, kw)
        if up > 1:
            x = F.pad(x.reshape(n, c, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
        if x.device.type == "cpu" and dtype == torch.float64:
            y = _by_taps(F.pad(x, (x0, x1, y0, y1)), weight[0, 0], down)
        elif x0 == x1 >= 0 and y0 == y1 >= 0:
            y = F.conv2d(x, weight, stride=down, padding=(y0, x0), groups=c)
        else:
            y = F.conv2d(F.pad(x, (x0, x1, y0, y1)), weight, stride=down, groups=c)
    return (y if y.dtype == dtype else y.to(dtype)).contiguous(memory_format=layout)


def _by_taps(x: Tensor, f: Tensor, down: int) -> Tensor:
    """Correlate x with f, a tap at a time: torch's float64 convolution would go channel by channel."""
    (kh, kw), height, width = f.shape, x.shape[2], x.shape[3]
    rows, columns = height - kh + 1, width - kw + 1
    taps = [
        (tap, x[:, :, i : i + rows : down, j : j + columns : down])
        for i, line in enumerate(f.tolist())
        for j, tap in enumerate(line)
    ]
    y = taps[0][1] * taps[0][0]
    for tap, part in taps[1:]:
        y = torch.add(y, part, alpha=tap) if torch.is_grad_enabled() else y.add_(part, alpha=tap)
    return y


def _run(x: Tensor, f: Tensor, up: int, down: int, x0: int, x1: int, y0: int, y1: int, flip: bool) -> Tensor:
    kernels = _dispatch.kernels(x.device, x.dtype)
    if kernels is None or not (x.is_cuda or kernels.filters(x, f, up, down)):
        return _reference(x, f, up, down, x0, x1, y0, y1, flip)
    if not x.is_cuda:
        return kernels.upfirdn2d(x, f, up, down, x0, x1, y0, y1, flip)
    x = x.contiguous(memory_format=_dispatch.layout(x))
    f = f.to(torch.float64 if x.dtype == torch.float64 else torch.float32).contiguous()
    return kernels.upfirdn2d(x, f, up, down, x0, x1, y0, y1, flip)


def _upfirdn2d(
    x: Tensor, f: Tensor, up: int, down: int, x0: int, x1: int, y0: int, y1: int, flip: bool
) -> Tensor:
    if _dispatch.traced(x):
        op = _reference if _dispatch.mode() == "reference" else torch.ops.toon.upfirdn2d
        return op(x, f, up, down, x0, x1, y0, y1, flip)
    if torch.is_grad_enabled() and x.requires_grad:
        return _Upfirdn2d.apply(x, f, up, down, x0, x1, y0, y1, flip)
    return _run(x, f, up, down, x0, x1, y0, y1, flip)


# One formula for the gradient: the same operation with up and down exchanged and the filter flipped, so that
# it can be differentiated again and again. The autograd.Function uses it in eager mode, the registered op
# when traced. (Autograd's own double backward of a depthwise convolution would loop over the channels.)


def _save(ctx, inputs, output):
    x, f, *ctx.args = inputs
    ctx.size = x.shape[2:]
    ctx.save_for_backward(f)


def _backward(ctx, dy):
    (f,) = ctx.saved_tensors
    up, down, x0, _, y0, _, flip = ctx.args
    h, w = ctx.size
    kh, kw = f.shape
    x1, y1 = w * up - dy.shape[3] * down + x0 - up + 1, h * up - dy.shape[2] * down + y0 - up + 1
    dx = _upfirdn2d(dy, f, down, up, kw - x0 - 1, x1, kh - y0 - 1, y1, not flip)
    return dx, *[None] * 8


class _Upfirdn2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *inputs):  # a separate setup_context would cost 50 microseconds a call
        output = _run(*inputs)
        _save(ctx, inputs, output)
        return output

    backward = staticmethod(_backward)


@torch.library.custom_op("toon::upfirdn2d", mutates_args=())
def _op(x: Tensor, f: Tensor, up: int, down: int, x0: int, x1: int, y0: int, y1: int, flip: bool) -> Tensor:
    return _run(x, f, up, down, x0, x1, y0, y1, flip)


@_op.register_fake
def _(x, f, up, down, x0, x1, y0, y1, flip):
    h = (x.shape[2] * up + y0 + y1 - f.shape[0]) // down + 1
    w = (x.shape[3] * up + x0 + x1 - f.shape[1]) // down + 1
    return x.new_empty(x.shape[0], x.shape[1], h, w).contiguous(memory_format=_dispatch.layout(x))


_op.register_autograd(_backward, setup_context=_save)
