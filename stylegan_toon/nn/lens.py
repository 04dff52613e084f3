"""Eyes that grow and noses that shrink as under a lens, in aligned squares, where they always lie.

The map of Gustafsson 1993, "Interactive image warping" (thesis, Helsinki), with a fall to the fourth power.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

EYES = ((0.37, 0.46, 0.085), (0.62, 0.46, 0.085))  # as losses.latent.PARTS: middle, and half the width
REACH = 1.65  # of the lens round an eye, in half widths of the eye with its brow
NOSE = (0.5, 0.6, 0.1, 0.12)  # middle, and half of width and height
GIVES = 0.2  # of the eyes' growth, how much the nose shrinks


def swell(pictures: Tensor, eyes: float, reach: float = REACH, nose: float | None = None) -> Tensor:
    """Pictures [N, 3, S, S] of aligned faces with larger eyes; what is not near them stays.

    eyes: how much larger in their middle; 0 changes nothing. reach: how far around them, in half widths.
    nose: how much smaller; None goes with the eyes.
    Returns: the same shape and dtype, clamped to -1 to 1.
    """
    if not eyes and not nose:
        return pictures
    size = pictures.shape[3]
    at = (torch.arange(size, dtype=pictures.dtype, device=pictures.device) + 0.5) / size
    y, x = torch.meshgrid(at, at, indexing="ij")
    here = torch.stack([x, y], 2)
    where = here.clone()  # what each pixel shows
    for middle_x, middle_y, half in EYES:
        away = here - here.new_tensor([middle_x, middle_y + 0.01])
        where -= (1 - 1 / (1 + eyes)) * _near(away / (reach * half)) * away
    nose = GIVES * eyes if nose is None else nose
    away = here - here.new_tensor(NOSE[:2])
    where += nose * _near(away / here.new_tensor(NOSE[2:])) * away
    grid = (where * 2 - 1).expand(len(pictures), -1, -1, -1)
    return F.grid_sample(pictures, grid, "bicubic", "reflection", align_corners=False).clamp(-1, 1)


def _near(away: Tensor) -> Tensor:
    """[S, S, 1]: 1 where away [S, S, 2] is 0, falling to 0 where it is as long as 1."""
    return (1 - away.square().sum(2, keepdim=True)).clamp(min=0).square()
