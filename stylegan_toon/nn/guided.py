"""The guided filter: smooths one picture along the edges of another, and draws it anew at another's size."""

import torch
import torch.nn.functional as F
from torch import Tensor


def box_mean(x: Tensor, radius: int) -> Tensor:
    """The mean over the part of a square of 2 radius + 1 that lies inside the picture, [N, C, H, W]."""
    return F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)


def guided_lines(guide: Tensor, x: Tensor, radius: int, eps: float) -> tuple[Tensor, Tensor]:
    """The lines a * guide + b nearest to x in every window, averaged over the windows that hold a pixel.

    Args:
        guide, x: [N, C, H, W] of one shape; channel c of x follows channel c of guide.
        eps: the guide's variance below which a window is flattened.
    Returns: a and b, [N, C, H, W] each, differentiable in both. Enlarged, they draw x along a larger guide.
    Source: He, Sun and Tang 2010 (ECCV, "Guided Image Filtering"), eqs. 5, 6 and 8; enlarged: He and Sun
    2015, arXiv 1505.00996.
    """
    both = torch.cat([guide, x, guide * x, guide * guide], 1)
    mean_g, mean_x, mean_gx, mean_gg = box_mean(both, radius).chunk(4, 1)
    a = (mean_gx - mean_g * mean_x) / (mean_gg - mean_g * mean_g + eps)
    a_mean, b_mean = box_mean(torch.cat([a, mean_x - a * mean_g], 1), radius).chunk(2, 1)
    return a_mean, b_mean


def guided_filter(guide: Tensor, x: Tensor, radius: int, eps: float) -> Tensor:
    """x, [N, C, H, W], as the lines of guided_lines along guide of the same shape."""
    a, b = guided_lines(guide, x, radius, eps)
    return a * guide + b


def along_photo(photo: Tensor, guide: Tensor, change: Tensor, radius: int, eps: float) -> Tensor:
    """A photo with a change that was seen on a small picture of it: drawn along the photo's own edges.

    Args:
        photo: [N, C, S, S].
        guide: [N, C, R, R], the same picture, of the size of change; change: [N, C, R, R], what is added.
        radius, eps: as guided_lines, in pixels and variances of guide.
    Returns: [N, C, S, S], photo + a * photo + b with the lines of change by guide, enlarged.
    """
    lines = torch.cat(guided_lines(guide, change, radius, eps), 1)
    if lines.shape[2:] != photo.shape[2:]:
        lines = F.interpolate(lines, photo.shape[2:], mode="bilinear", align_corners=False)
    a, b = lines.chunk(2, 1)
    return photo + a * photo + b


def changed_photo(
    photo: Tensor,
    guide: Tensor,
    before: Tensor,
    after: Tensor,
    large: Tensor,
    radius: int,
    eps: float,
    far: float,
) -> tuple[Tensor, Tensor]:
    """A photo on which a small drawing of it was changed: its own detail, but where shapes have moved.

    Where the change is nearly a line of the photo (guided_lines) the photo is drawn on with it, as by
    along_photo, what is left of the change added; where it is not, the changed drawing stands.
    Args:
        photo: [N, C, S, S]; guide: [N, C, R, R], the same picture.
        before, after: [N, C, R, R], the drawing of it and what became of that; large: [N, C, S, S], after.
        radius, eps: as guided_lines. far: how far from its line, a mean over channels and a square of 5, the
            change must be for the photo to count for half.
    Returns: the changed photo, [N, C, S, S] and [N, C, R, R]. Where after is before it is the photo.
    """
    change = after - before
    a, b = guided_lines(guide, change, radius, eps)
    left = change - (a * guide + b)
    gone = box_mean(left.abs().mean(1, keepdim=True), 2) / far
    kept = box_mean(1 / (1 + gone * gone * gone * gone), 2)  # in arithmetic alone; no hard rims
    lines = torch.cat([a, b, left, kept], 1)
    if lines.shape[2:] != photo.shape[2:]:
        lines = F.interpolate(lines, photo.shape[2:], mode="bilinear", align_corners=False)
    large_a, large_b, large_left, share = lines.split([photo.shape[1]] * 3 + [1], 1)
    drawn_on = photo + large_a * photo + large_b + large_left
    return large + share * (drawn_on - large), after + kept * (guide + change - after)
