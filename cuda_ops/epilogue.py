"""What follows a modulated convolution: filter, demodulate, add noise and bias, leaky ReLU; in one pass."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cuda_ops import _dispatch
from cuda_ops.fused_bias_act import GAIN, SLOPE, fused_bias_act
from cuda_ops.upfirdn2d import upfirdn2d


@dataclass(frozen=True)
class Given:
    """All that an epilogue is given beside the picture, as fused_epilogue_ref has it."""

    d: Tensor | None = None
    noise: Tensor | None = None
    strength: Tensor | None = None
    bias: Tensor | None = None
    scale: Tensor | None = None
    f: Tensor | None = None
    pad: int = 1
    slope: float = SLOPE
    gain: float = GAIN
    clamp: float | None = None


LEARNT = ("d", "noise", "strength", "bias", "scale")


def fused_epilogue_ref(
    x: Tensor,
    d: Tensor | None = None,
    noise: Tensor | None = None,
    strength: Tensor | None = None,
    bias: Tensor | None = None,
    scale: Tensor | None = None,
    f: Tensor | None = None,
    pad: int = 1,
    slope: float = SLOPE,
    gain: float = GAIN,
    clamp: float | None = None,
) -> Tensor:
    """clamp(leaky_relu(FIR(x) * d + noise * strength + bias) * gain) * scale, in plain PyTorch.

    Args:
        x: [N, C, H, W], any float dtype.
        d: [N, C], the demodulation; None multiplies by nothing, as None adds nothing below.
        noise: [N or 1, 1, H', W'], times strength [], or alone.
        bias: [C].
        scale: [N, C], the styles of the next convolution.
        f, pad: the filter [K, K] of upfirdn2d and its padding on each side; None leaves x as it is.
        slope, gain: as in fused_bias_act.
        clamp: the largest absolute value after gain, above 0; None for no limit.
    Returns: [N, C, H', W'], H' = H + 2 pad + 1 - K with a filter, else H; in x's dtype and layout.
    Raises: ValueError for a shape that does not fit.
    Source: Karras et al. 2020, arXiv 1912.04958, section 2 and figure 2.
    """
    given = Given(d, noise, strength, bias, scale, f, pad, slope, gain, clamp)
    _check(x, given)
    return _reference(x, given, False)


def fused_epilogue(
    x: Tensor,
    d: Tensor | None = None,
    noise: Tensor | None = None,
    strength: Tensor | None = None,
    bias: Tensor | None = None,
    scale: Tensor | None = None,
    f: Tensor | None = None,
    pad: int = 1,
    slope: float = SLOPE,
    gain: float = GAIN,
    clamp: float | None = None,
    overwrite: bool = False,
) -> Tensor:
    """As fused_epilogue_ref, by the fastest way this device has, differentiable any number of times.

    overwrite: x is needed no more, so that without gradients the reference may work in its memory.
    Raises: ValueError as fused_epilogue_ref; KernelUnavailableError where a kernel is demanded and missing.
    """
    given = Given(d, noise, strength, bias, scale, f, pad, slope, gain, clamp)
    _check(x, given)
    if _kernels(x, given) is None:
        return _reference(x, given, overwrite)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, *_learnt(given))):
        return _Epilogue.apply(x, *_learnt(given), given)
    return _run(x, given)


def _check(x: Tensor, given: Given) -> None:
    if x.ndim != 4:
        raise ValueError(f"expected x [N, C, H, W], got {list(x.shape)}")
    (n, c, h, w), trim = x.shape, 0
    if given.f is not None:
        trim = 2 * given.pad + 1 - given.f.shape[0]
    for name, wanted in (("d", (n, c)), ("scale", (n, c)), ("bias", (c,)), ("strength", ())):
        value = getattr(given, name)
        if value is not None and value.shape != wanted:
            raise ValueError(f"expected {name} {list(wanted)}, got {list(value.shape)}")
    noise = given.noise
    if noise is not None and (noise.ndim != 4 or noise.shape[0] not in (1, n)
                              or noise.shape[1:] != (1, h + trim, w + trim)):  # fmt: skip
        raise ValueError(f"expected noise [{n} or 1, 1, {h + trim}, {w + trim}], got {list(noise.shape)}")
    if given.clamp is not None and not given.clamp > 0:
        raise ValueError(f"clamp must be above 0, got {given.clamp}")
    if not (given.slope >= 0 and given.gain >= 0):
        raise ValueError(f"slope and gain must be 0 or more, got {given.slope} and {given.gain}")


def _reference(x: Tensor, given: Given, overwrite: bool) -> Tensor:
    y = x if given.f is None else upfirdn2d(x, given.f, pad=(given.pad, given.pad))
    own = not torch.is_grad_enabled() and (overwrite or given.f is not None)  # else y is somebody else's

    if given.d is not None:
        d = given.d.to(y.dtype)[:, :, None, None]
        y, own = y.mul_(d) if own else y * d, own or not torch.is_grad_enabled()
    if given.noise is not None:
        noise = given.noise if given.strength is None else given.noise * given.strength
        y = y.add_(noise.to(y.dtype)) if own else y + noise.to(y.dtype)
    if given.bias is not None or given.slope != 1 or given.gain != 1:
        y = fused_bias_act(y, given.bias, given.slope, given.gain)
    if given.clamp is not None:
        y = y.clamp(-given.clamp, given.clamp)
    return y if given.scale is None else y * given.scale.to(y.dtype)[:, :, None, None]


def _learnt(given: Given) -> list[Tensor | None]:
    return [getattr(given, name) for name in LEARNT]


def _kernels(x: Tensor, given: Given) -> Any:
    """The kernels that take this call, or None; they have no gradient for the noise itself."""
    if _dispatch.traced(x):
        return None
    found = _dispatch.kernels(x.device, x.dtype)
    if found is None or (given.noise is not None and given.noise.requires_grad and torch.is_grad_enabled()):
        return None
    if x.is_cuda:
        return found if given.f is None or given.f.shape == (4, 4) else None
    return found if found.takes_epilogue(x, given) else None


def _flat(given: Given) -> list[Any]:
    """As the compiled extension for GPUs takes it."""
    clamp = -1.0 if given.clamp is None else given.clamp
    return [*_learnt(given), given.f, given.pad, given.slope, given.gain, clamp]


def _run(x: Tensor, given: Given) -> Tensor:
    kernels = _kernels(x, given)
    if x.is_cuda:
        return kernels.epilogue(x.contiguous(memory_format=_dispatch.layout(x)), *_flat(given))
    return kernels.epilogue(x, given)


class _Epilogue(torch.autograd.Function):
    """Keeps x and what was given, and computes the rest anew; a second gradient is the reference's."""

    @staticmethod
    def forward(ctx, x, d, noise, strength, bias, scale, given):
        ctx.given = replace(given, **dict.fromkeys(LEARNT))
        ctx.save_for_backward(x, d, noise, strength, bias, scale)
        return _run(x, given)

    @staticmethod
    def backward(ctx, dy):
        x, *learnt = ctx.saved_tensors
        given = replace(ctx.given, **dict(zip(LEARNT, learnt, strict=True)))
        wanted = dict(zip(("x", *LEARNT, "given"), ctx.needs_input_grad, strict=True))
        if torch.is_grad_enabled():
            # Views, so that these are the gradients of this operator alone, whatever its inputs come from.
            views = [None if t is None else t.view_as(t) for t in (x, *learnt)]
            y = _reference(views[0], replace(given, **dict(zip(LEARNT, views[1:], strict=True))), False)
            inputs = {name: view for name, view in zip(wanted, views, strict=False) if wanted[name]}
            found = torch.autograd.grad(y, list(inputs.values()), dy, create_graph=True, allow_unused=True)
            by_name = dict(zip(inputs, found, strict=True))
            return *(by_name.get(name) for name in ("x", *LEARNT)), None
        return *_gradients(dy, x, given, wanted), None


def _gradients(dy: Tensor, x: Tensor, given: Given, wanted: dict[str, bool]) -> list[Tensor | None]:
    """Those of x and LEARNT, in order, by the kernels."""
    layout = _dispatch.layout(x)
    dy, more = dy.contiguous(memory_format=layout), [given]
    if x.is_cuda:
        x, more = x.contiguous(memory_format=layout), _flat(given)
    du, sums = _kernels(x, given).epilogue_grad(dy, x, *more)
    dx: Tensor | None = du if wanted["x"] else None
    if dx is not None and given.f is not None:
        back = given.f.shape[0] - 1 - given.pad
        dx = upfirdn2d(du, given.f.flip(0, 1), pad=(back, back))
    totals = {
        "d": sums[:, 0], "bias": sums[:, 1].sum(0), "strength": sums[:, 2].sum(), "scale": sums[:, 3]
    }  # fmt: skip
    found = {name: totals[name].to(getattr(given, name).dtype) for name in totals if wanted[name]}
    return [dx, *(found.get(name) for name in LEARNT)]
