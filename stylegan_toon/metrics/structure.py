"""What a cartoon keeps of the face it was made from: figures of pairs, source and child at the same w.

Nothing here is learned, but for the points that a face detector finds.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601
CELLS = 8


def _check(a: Tensor, b: Tensor, least: int) -> None:
    if a.ndim != 4 or a.shape[1] != 3 or a.shape != b.shape or len(a) < least:
        given = f"{list(a.shape)} and {list(b.shape)}"
        raise ValueError(f"expected two sets of {least} or more pictures [N, 3, H, W], got {given}")


def edges(x: Tensor) -> Tensor:
    """[N, 1, H / 4, W / 4] float64: how strong edges are, by Sobel's filters on grey, averaged down.

    Args:
        x: [N, 3, H, W] in [-1, 1], H and W multiples of 4; grey is taken in 0..1, borders are repeated.
    """
    grey = ((x.double() + 1) / 2 * x.new_tensor(GREY).double()[:, None, None]).sum(1, keepdim=True)
    slope = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64, device=x.device)
    mean = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64, device=x.device)
    across = torch.outer(mean, slope)
    filters = torch.stack([across, across.T])[:, None]
    gradient = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), filters)
    return F.avg_pool2d(gradient.square().sum(1, keepdim=True).sqrt(), 4)


def edge_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of the edges of each pair, [N] float64: 1 for equal edges, about 0 for unrelated.

    SSIM over 5x5 windows without padding, population variances, L = 1, of what edges() gives.
    Args:
        a, b: [N, 3, H, W] in [-1, 1], H and W at least 20 and multiples of 4.
    Raises: ValueError for other or unequal shapes.
    Source: Wang et al. 2004, IEEE TIP 13(4); c1 = 0.01^2, c2 = 0.03^2.
    """
    _check(a, b, 1)
    if min(a.shape[2:]) < 20 or a.shape[2] % 4 or a.shape[3] % 4:
        raise ValueError(f"expected edges of 20 px and more, in steps of 4, got {list(a.shape[2:])}")
    x, y = edges(a), edges(b)
    mean_x, mean_y, xx, yy, xy = (F.avg_pool2d(v, 5, 1) for v in (x, y, x * x, y * y, x * y))
    var_x, var_y, cov = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    return (top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean((1, 2, 3))


def layout_correlation(a: Tensor, b: Tensor) -> float:
    """Do colours follow the source? Pearson's r over the pairs, for each cell of 8x8 and channel; the mean.

    1 where what varies from picture to picture varies alike in both; about 0 for shuffled pairs, also where
    all pictures share a layout. A cell that does not vary on one side counts as 0.
    Args:
        a, b: [N, 3, H, W], N > 2, H and W at least 8.
    Raises: ValueError for other or unequal shapes.
    """
    _check(a, b, 3)
    x, y = (F.adaptive_avg_pool2d(v.double(), CELLS).flatten(1) for v in (a, b))
    x, y = x - x.mean(0), y - y.mean(0)
    scale = (x.square().sum(0) * y.square().sum(0)).sqrt()
    return float(torch.where(scale > 1e-12 * len(x), (x * y).sum(0) / scale.clamp(min=1e-300), 0.0).mean())


def landmark_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean distance of five points in units of the eyes' distance in a, [N] float64.

    Args:
        a, b: [N, 5, 2], the points of faces.detect.Face: eyes, nose, mouth corners.
    Raises: ValueError for other or unequal shapes.
    """
    if a.ndim != 3 or a.shape[1:] != (5, 2) or a.shape != b.shape:
        raise ValueError(f"expected points [N, 5, 2] twice, got {list(a.shape)} and {list(b.shape)}")
    a, b = a.double(), b.double()
    eyes = (a[:, 1] - a[:, 0]).norm(dim=1)
    return (a - b).norm(dim=2).mean(1) / eyes


def w_drift(child: Tensor, source: Tensor) -> float:
    """How far fine-tuning moved the mapping: the mean of |M_child(z) - M_source(z)| / |M_source(z)|.

    Args:
        child, source: w of the same z, [N, D].
    """
    return float(((child - source).norm(dim=1) / source.norm(dim=1)).mean())
