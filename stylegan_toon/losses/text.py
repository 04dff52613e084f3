"""Losses of editing by text."""

import torch.nn.functional as F
from torch import Tensor


def text_direction(wanted: Tensor, neutral: Tensor | None = None) -> Tensor:
    """Where a text points in CLIP's space: the unit vector from a neutral text to it; without one, itself.

    wanted: [E] of length 1; neutral: [E], a text's or the mean of several. Texts of one small model lie so
    close together that their cosines with a picture say little, and their difference says what the text adds.
    Source: Gal et al. 2021, arXiv 2108.00946, eq. 2 (the direction between texts).
    """
    return wanted if neutral is None else F.normalize(wanted - neutral, dim=0)


def text_loss(pictures: Tensor, direction: Tensor) -> Tensor:
    """1 - the scalar product of each picture's embedding with the direction; [N].

    pictures: [N, E] of length 1; direction: [E], of text_direction. With a plain text it is the cosine loss
    of Patashnik et al. 2021, arXiv 2103.17249, eq. 1; with a difference of texts it has the gradient of the
    step's product with the direction, as the picture before the edit is fixed.
    """
    return 1 - pictures @ direction


def step_loss(step: Tensor) -> Tensor:
    """Mean square of a step of codes, for each face; step: [N, L, D]. Returns [N].

    Source: StyleCLIP's code; the paper, eq. 3, writes the norm.
    """
    return step.square().flatten(1).mean(1)
