"""The generalised Kuwahara filter: flat strokes with crisp edges, as a brush leaves them.

Source: Papari, Petkov and Campisi 2007, IEEE TIP 16(11), "Artistic edge and corner enhancing smoothing".
Deviation: sectors are cut by cos^2, so that eight of them add up to the whole disc; variances are of the
three channels together.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

SECTORS = 8
LEAST = 1e-4  # of a variance, in a range of 2: below it a sector is flat
WIDEST = 3.0  # px: wider strokes are painted on a smaller picture, and grow with it
BAND = 2**16  # pixels filtered at a time: their 8 sectors fit into a processor's cache


def kuwahara(pictures: Tensor, radius: float) -> Tensor:
    """Every pixel becomes the mean of the calmest of eight sectors round it, softly chosen.

    A sector's mean counts by the 8th power of its deviation less. A blurred edge has one calm side, so it
    becomes a sharp one; noise and small texture go.
    Args:
        pictures: [N, 3, H, W] in [-1, 1], floating point.
        radius: of the disc, in pixels, above 0; H and W must be above it.
    Returns: the same shape and dtype; no value leaves the range of its disc. Differentiable.
    """
    reach = math.ceil(radius)
    kernels = sectors(radius).to(pictures)
    x = F.pad(pictures, (reach,) * 4, mode="reflect")
    n, _, height, width = pictures.shape
    rows = max(1, BAND // (n * width))
    bands = [x[:, :, top : top + rows + 2 * reach] for top in range(0, height, rows)]
    return torch.cat([_calmest(band, kernels) for band in bands], 2)


def _calmest(x: Tensor, kernels: Tensor) -> Tensor:
    """[N, 3, H - 2 R, W - 2 R] of padded pictures [N, 3, H, W]; kernels: sectors."""
    square = x.square().sum(1, keepdim=True)
    both = torch.cat([x, square], 1).flatten(0, 1)[:, None]
    found = F.conv2d(both, kernels[:, None])
    found = found.reshape(len(x), 4, SECTORS, *found.shape[2:])
    mean = found[:, :3]
    variance = (found[:, 3] - mean.square().sum(1)).clamp(min=0)
    weight = (variance + LEAST).square().square().reciprocal()  # deviation ** -8
    weight = weight / weight.sum(1, keepdim=True)
    return (mean * weight[:, None]).sum(2)


def sectors(radius: float) -> Tensor:
    """[8, 2 R + 1, 2 R + 1] float64, R the radius rounded up: a Gaussian disc in sectors, each of sum 1."""
    reach = math.ceil(radius)
    line = torch.arange(-reach, reach + 1, dtype=torch.float64)
    x, y = line[None, :], line[:, None]
    disc = torch.exp(-(x.square() + y.square()) / (2 * (radius / 2) ** 2))
    disc = disc * (x.square() + y.square() <= (radius + 0.5) ** 2)
    angle = torch.atan2(y.expand_as(disc), x.expand_as(disc))
    step = 2 * math.pi / SECTORS
    parts = []
    for k in range(SECTORS):
        away = torch.remainder(angle - k * step + math.pi, 2 * math.pi) - math.pi
        share = torch.where(away.abs() < step, torch.cos(away * math.pi / (2 * step)).square(), 0.0)
        share[reach, reach] = 1 / SECTORS
        parts.append(disc * share)
    whole = torch.stack(parts)
    return whole / whole.sum((1, 2), keepdim=True)


def paint(picture: Image.Image, radius: float, dtype: torch.dtype = torch.float32) -> Image.Image:
    """An RGB picture of any size through the filter, in memory that its size hardly changes.

    radius: as there; below 1 it is 1, and above WIDEST the picture is made smaller first, then larger again.
    A picture too small for the disc stays as it is. In float64 it is the same on every machine.
    """
    radius, size = max(1.0, radius), picture.size
    if radius > WIDEST:
        small = [max(1, round(edge * WIDEST / radius)) for edge in size]
        picture, radius = picture.resize((small[0], small[1]), Image.Resampling.LANCZOS), WIDEST
    reach = math.ceil(radius)
    if min(picture.size) <= reach:
        return picture.resize(size, Image.Resampling.BICUBIC)
    levels = np.pad(np.asarray(picture), ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    rows, kernels = max(1, BAND // picture.width), sectors(radius).to(dtype)
    bands = []
    for top in range(0, picture.height, rows):  # each with the rows beside it that its strokes reach
        band = torch.from_numpy(levels[top : top + rows + 2 * reach].transpose(2, 0, 1).copy())[None]
        with torch.inference_mode():
            drawn = _calmest(band.to(dtype) / 127.5 - 1, kernels)[0]
            bands.append(((drawn + 1) * 127.5).round().clamp(0, 255).byte())
    painted = Image.fromarray(torch.cat(bands, 1).permute(1, 2, 0).contiguous().numpy())
    return painted.resize(size, Image.Resampling.BICUBIC) if painted.size != size else painted
