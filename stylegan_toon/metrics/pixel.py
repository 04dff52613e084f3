"""Pixel by pixel: MSE, PSNR and SSIM of saved pictures, and how sharp a picture is.

All take uint8 [N, 3, H, W], since published figures are taken from files, and give a float64 value a picture.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

WHITE = 255.0
# SSIM's constants. Source: Wang et al. 2004, IEEE TIP 13(4), section III.C.
WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


def mse(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference over channels and places, [N], on the scale 0 to 255."""
    _check(a, b)
    return (a.double() - b.double()).square().mean((1, 2, 3))


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """10 log10(255^2 / MSE) in decibels, [N]; infinite for equal pictures. Its mean is the average PSNR."""
    return 10 * torch.log10(WHITE**2 / mse(a, b))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity, [N]: the mean over channels and over the places where the window fits.

    A Gaussian window of 11x11, sigma 1.5, without padding; biased (co)variances; c1 = (K1 255)^2,
    c2 = (K2 255)^2. Equal to scikit-image with gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, and to piq without downsampling; torchmetrics keeps a padded border.
    Raises: ValueError for other or unequal shapes, and edges below 11.
    """
    _check(a, b)
    if min(a.shape[2:]) < WINDOW:
        raise ValueError(f"SSIM takes edges of {WINDOW} px and more, got {list(a.shape[2:])}")
    x, y = a.double(), b.double()
    at = torch.arange(WINDOW, dtype=torch.float64, device=x.device) - (WINDOW - 1) / 2
    line = (-at.square() / (2 * SIGMA**2)).exp()
    line = line / line.sum()
    filters = [line.view(shape).expand(3, 1, *shape) for shape in ((WINDOW, 1), (1, WINDOW))]

    def smooth(v: Tensor) -> Tensor:
        for one in filters:
            v = F.conv2d(v, one, groups=3)
        return v

    mean_x, mean_y, xx, yy, xy = (smooth(v) for v in (x, y, x * x, y * y, x * y))
    var_x, var_y, cov = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    c1, c2 = (K1 * WHITE) ** 2, (K2 * WHITE) ** 2
    top = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    return (top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean((1, 2, 3))


def average_gradient(pictures: Tensor) -> Tensor:
    """How sharp, or how noisy: the mean of sqrt((dx^2 + dy^2) / 2), [N], of grey in 0 to 255.

    The convention: forward differences, the last row and column left out, divided by 2 under the root. The
    paper that reports average gradients (arXiv 1904.12615, table 3) gives no formula; others leave out the 2,
    or add |dx| and |dy|, and their values are 1.4 to 2 times as large.
    Raises: ValueError for another shape.
    """
    _check(pictures, pictures)
    if min(pictures.shape[2:]) < 2:
        raise ValueError(f"a gradient needs two rows and columns, got {list(pictures.shape[2:])}")
    weights = torch.tensor(GREY, dtype=torch.float64, device=pictures.device)
    grey = (pictures.double() * weights[:, None, None]).sum(1)
    across, down = grey[:, :-1, 1:] - grey[:, :-1, :-1], grey[:, 1:, :-1] - grey[:, :-1, :-1]
    return ((across.square() + down.square()) / 2).sqrt().mean((1, 2))


def _check(a: Tensor, b: Tensor) -> None:
    if a.dtype != torch.uint8 or b.dtype != torch.uint8:
        raise ValueError(f"expected uint8 pictures, as saved; got {a.dtype} and {b.dtype}")
    if a.ndim != 4 or a.shape[1] != 3 or a.shape != b.shape or 0 in a.shape:
        raise ValueError(f"expected pictures [N, 3, H, W] twice, got {list(a.shape)} and {list(b.shape)}")
