"""y = leaky_relu(x + bias) * gain, the activation of every StyleGAN2 layer."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_ops import _dispatch

SLOPE = 0.2
GAIN = 2**0.5


def fused_bias_act_ref(
    x: Tensor, bias: Tensor | None = None, slope: float = SLOPE, gain: float = GAIN
) -> Tensor:
    """Leaky ReLU of x + bias, times gain, in plain PyTorch: the definition and the CPU path.

    Args:
        x: [N, C, ...], any float dtype.
        bias: [C], added along dimension 1; None adds nothing.
        slope: the factor of negative values, at least 0; 0 is ReLU, 1 is linear.
        gain: the factor after the activation, at least 0; sqrt(2) keeps the variance.
    Returns: like x, in its dtype and memory layout.
    Raises: ValueError if bias is not [C], or if slope or gain is negative.
    Source: Karras et al. 2020, arXiv 1912.04958, the layers of appendix B.
    """
    _check(x, bias, slope, gain)
    return _reference(x, bias, slope, gain)


def fused_bias_act(x: Tensor, bias: Tensor | None = None, slope: float = SLOPE, gain: float = GAIN) -> Tensor:
    """As fused_bias_act_ref, by the fastest way this device has, differentiable any number of times.

    The gradient keeps the output alone and reads the sign from it, which is why slope and gain may not be
    negative.

    Raises: ValueError as fused_bias_act_ref; KernelUnavailableError under TOON_OPS=cuda without a kernel.
    """
    _check(x, bias, slope, gain)
    if _dispatch.traced(x):
        if _dispatch.mode() != "reference":
            return torch.ops.toon.bias_act(x, None if bias is None else bias.to(x.dtype), slope, gain)
    elif _kernels(x) is not None:
        return _BiasAct.apply(x, _broadcast(bias, x), slope, gain)
    return _reference(x, bias, slope, gain)


def _check(x: Tensor, bias: Tensor | None, slope: float, gain: float) -> None:
    if bias is not None and (bias.ndim != 1 or x.ndim < 2 or bias.shape[0] != x.shape[1]):
        raise ValueError(f"expected bias [{x.shape[1] if x.ndim > 1 else '?'}], got {list(bias.shape)}")
    if not (slope >= 0 and gain >= 0):
        raise ValueError(f"slope and gain must be 0 or more, got slope {slope} and gain {gain}")


def _column(bias: Tensor, x: Tensor) -> Tensor:
    return bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))


def _reference(x: Tensor, bias: Tensor | None, slope: float, gain: float) -> Tensor:
    # Gain is not negative, so it may go in front: gain * bias + gain * x is one pass over memory, and
    # leaky_relu_ another, which keeps for its gradient nothing but its output.
    if bias is not None:
        return F.leaky_relu_(torch.add(_column(bias, x) * gain, x, alpha=gain), slope)
    return F.leaky_relu(x, slope) if gain == 1 else F.leaky_relu_(x * gain, slope)


def _broadcast(bias: Tensor | None, x: Tensor) -> Tensor | None:
    """[C] -> a view in the shape of x, so that autograd sums the bias gradient only where it is asked for.

    (R1 and path length ask for the gradient of pictures and styles; a Function that returned the sum itself
    could not know that, and would read the tensor once more for nothing.)
    """
    return None if bias is None else _column(bias, x).expand(x.shape)


def _kernels(x: Tensor) -> Any:
    """The kernels that take x, or None."""
    found = _dispatch.kernels(x.device, x.dtype)
    return found if found is None or x.is_cuda or found.takes(x) else None


def _run(x: Tensor, bias: Tensor | None, slope: float, gain: float) -> Tensor:
    kernels, layout = _kernels(x), _dispatch.layout(x)
    if kernels is None:
        return _reference(x, bias, slope, gain).contiguous(memory_format=layout)
    return kernels.bias_act(x.contiguous(memory_format=layout), bias, slope, gain)


def _run_grad(dy: Tensor, y: Tensor, slope: float, gain: float) -> Tensor:
    kernels, layout = _kernels(y), _dispatch.layout(y)
    if kernels is None:
        dx = torch.ops.aten.leaky_relu_backward(dy, y, slope, True)
        return (dx * gain).contiguous(memory_format=layout)
    return kernels.bias_act_grad(
        dy.contiguous(memory_format=layout), y.contiguous(memory_format=layout), slope, gain
    )


def _bias_act_grad(dy: Tensor, y: Tensor, slope: float, gain: float) -> Tensor:
    if _dispatch.traced(dy):
        return torch.ops.toon.bias_act_grad(dy, y, slope, gain)
    return _BiasActGrad.apply(dy, y, slope, gain)


# Each operator has one formula for its gradient. An autograd.Function uses it in eager mode, the registered
# operator when traced; made of the functions above, it can be differentiated again and again.


def _save(ctx, inputs, output):
    ctx.slope, ctx.gain = inputs[2:]
    ctx.save_for_backward(output)


def _backward(ctx, dy):
    (y,) = ctx.saved_tensors
    dx = _bias_act_grad(dy, y, ctx.slope, ctx.gain)
    db = dx.sum([0, *range(2, dx.ndim)]) if ctx.needs_input_grad[1] else None
    return dx, db, None, None


def _save_grad(ctx, inputs, output):
    _, y, ctx.slope, ctx.gain = inputs
    ctx.save_for_backward(y)


def _backward_grad(ctx, ddx):
    (y,) = ctx.saved_tensors
    return _bias_act_grad(ddx, y, ctx.slope, ctx.gain), None, None, None  # linear in dy, flat in y


class _BiasAct(torch.autograd.Function):
    """As the registered operator, but of a broadcast bias. (A separate setup_context costs 50 us a call.)"""

    @staticmethod
    def forward(ctx, x, bias, slope, gain):
        row = None if bias is None else bias[(slice(1), slice(None), *[slice(1)] * (x.ndim - 2))].reshape(-1)
        y = _run(x, row, slope, gain)
        _save(ctx, (x, bias, slope, gain), y)
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        dx = _bias_act_grad(dy, y, ctx.slope, ctx.gain)
        return dx, dx if ctx.needs_input_grad[1] else None, None, None


class _BiasActGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *inputs):
        dx = _run_grad(*inputs)
        _save_grad(ctx, inputs, dx)
        return dx

    backward = staticmethod(_backward_grad)


@torch.library.custom_op("toon::bias_act", mutates_args=())
def _op(x: Tensor, bias: Tensor | None, slope: float, gain: float) -> Tensor:
    return _run(x, bias, slope, gain)


@torch.library.custom_op("toon::bias_act_grad", mutates_args=())
def _op_grad(dy: Tensor, y: Tensor, slope: float, gain: float) -> Tensor:
    return _run_grad(dy, y, slope, gain)


@_op.register_fake
def _(x, bias, slope, gain):
    return torch.empty_like(x, memory_format=_dispatch.layout(x))


@_op_grad.register_fake
def _(dy, y, slope, gain):
    return torch.empty_like(y, memory_format=_dispatch.layout(y))


_op.register_autograd(_backward, setup_context=_save)
_op_grad.register_autograd(_backward_grad, setup_context=_save_grad)
