"""What StyleGAN2 does between convolutions: plain PyTorch references, and kernels that must equal them."""

from cuda_ops._dispatch import KernelUnavailableError, available, unavailable_reason
from cuda_ops.epilogue import fused_epilogue, fused_epilogue_ref
from cuda_ops.fused_bias_act import fused_bias_act, fused_bias_act_ref
from cuda_ops.upfirdn2d import setup_filter, upfirdn2d, upfirdn2d_ref

__all__ = [
    "KernelUnavailableError",
    "available",
    "fused_bias_act",
    "fused_bias_act_ref",
    "fused_epilogue",
    "fused_epilogue_ref",
    "setup_filter",
    "unavailable_reason",
    "upfirdn2d",
    "upfirdn2d_ref",
]
