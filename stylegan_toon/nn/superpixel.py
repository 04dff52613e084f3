"""Superpixels: a picture in patches of one colour each, for White-box's structure term.

SLIC, without the step that joins scattered pixels to their neighbours: it changes little in the mean colours,
which are all that is used. So it is thirty lines of torch that run where the batch is, and no optional part.
Source: Achanta et al. 2012 (PAMI, "SLIC Superpixels Compared to State-of-the-art Superpixel Methods").
"""

import torch
from torch import Tensor

XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)  # D65


def lab(x: Tensor) -> Tensor:
    """CIE L*a*b* of sRGB pictures [N, 3, H, W] in [0, 1]; L* is in 0..100."""
    linear = torch.where(x > 0.04045, ((x.clamp(min=0.04) + 0.055) / 1.055) ** 2.4, x / 12.92)
    xyz = torch.einsum("ij,njhw->nihw", x.new_tensor(XYZ), linear) / x.new_tensor(WHITE)[:, None, None]
    f = torch.where(xyz > 0.008856, xyz.clamp(min=1e-3) ** (1 / 3), 7.787 * xyz + 16 / 116)
    return torch.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


@torch.no_grad()
def superpixels(x: Tensor, count: int = 200, compactness: float = 10.0, rounds: int = 5) -> Tensor:
    """Every pixel of pictures [N, 3, H, W] in [-1, 1] in the mean colour of its superpixel, [N, 3, H, W].

    Args:
        count: about how many superpixels a picture has; they start as a grid.
        compactness: how much L*a*b* distance a distance of one grid step weighs.
    A pixel goes to the nearest of the nine centres around its place in the grid; means are taken of x.
    """
    n, _, height, width = x.shape
    step = max((height * width / count) ** 0.5, 1.0)
    rows, columns = max(round(height / step), 1), max(round(width / step), 1)
    y, z = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    places = torch.stack(torch.meshgrid(y, z, indexing="ij")).to(x.dtype) * (compactness / step)
    feature = torch.cat([lab((x.clamp(-1, 1) + 1) / 2), places.expand(n, -1, -1, -1)], 1).flatten(2)
    home_y, home_x = y * rows // height, z * columns // width
    shift = torch.arange(-1, 2, device=x.device)
    near_y = (home_y[None] + shift[:, None]).clamp(0, rows - 1)
    near_x = (home_x[None] + shift[:, None]).clamp(0, columns - 1)
    near = (near_y[:, None, :, None] * columns + near_x[None, :, None, :]).reshape(9, -1)  # [9, H W]
    own = near[4].expand(n, -1)
    for _ in range(rounds):
        centres = means(feature, own, rows * columns)
        gaps = [(feature - centres[:, :, candidate]).square().sum(1) for candidate in near]
        own = near[torch.stack(gaps).argmin(0), torch.arange(height * width, device=x.device)]
    flat = x.flatten(2)
    colours = means(flat, own, rows * columns)
    return colours.gather(2, own[:, None].expand_as(flat)).reshape(x.shape)


def means(values: Tensor, label: Tensor, count: int) -> Tensor:
    """The mean of values [N, C, P] over the places of each label [N, P], as [N, C, count]; 0 over none."""
    n, channels, _ = values.shape
    ones = torch.cat([values, values.new_ones(n, 1, values.shape[2])], 1)
    sums = values.new_zeros(n, channels + 1, count).scatter_add_(2, label[:, None].expand_as(ones), ones)
    return sums[:, :-1] / sums[:, -1:].clamp(min=1)
