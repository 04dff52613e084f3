"""Bias + leaky ReLU and FIR resampling: a plain PyTorch reference, and CUDA kernels that must equal it."""

from cuda_ops._dispatch import KernelUnavailableError, available, unavailable_reason
from cuda_ops.fused_bias_act import fused_bias_act, fused_bias_act_ref
from cuda_ops.upfirdn2d import setup_filter, upfirdn2d, upfirdn2d_ref

__all__ = [
    "KernelUnavailableError",
    "available",
    "fused_bias_act",
    "fused_bias_act_ref",
    "setup_filter",
    "unavailable_reason",
    "upfirdn2d",
    "upfirdn2d_ref",
]
