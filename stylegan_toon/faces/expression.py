"""Moods by moving the features of a face: brows, lids and mouth corners are pushed, nothing is learnt.

What goes where follows the action units of Ekman and Friesen's Facial Action Coding System (1978): sad
is inner brows up and mouth corners down (1, 15), happy corners up and out (12), angry brows down and
lips pressed (4, 24), surprised brows up, eyes wide and jaw dropped (1, 2, 5, 26). It makes labelled
pictures for training and no portraits: they look pushed.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

MOODS = ("happy", "sad", "angry", "surprised", "neutral")
# Anchors, in eye distances: of which point (0, 1 the eyes, 2 the mouth's middle, 3, 4 its corners), how far
# outwards (away from the middle of the face) and down from it, and how wide the push is.
ANCHORS = (
    (0, -0.22, -0.33, 0.16), (1, -0.22, -0.33, 0.16),  # inner brows
    (0, 0.20, -0.33, 0.18), (1, 0.20, -0.33, 0.18),  # outer brows
    (0, 0.0, -0.10, 0.12), (1, 0.0, -0.10, 0.12),  # upper lids
    (3, 0.0, 0.0, 0.15), (4, 0.0, 0.0, 0.15),  # mouth corners
    (2, 0.0, -0.08, 0.16), (2, 0.0, 0.16, 0.22),  # upper lip; lower lip and chin
)  # fmt: skip
# How far each kind of anchor goes outwards and down at strength 1, in eye distances.
PUSHES = {
    #            inner brow     outer brow     upper lid     corner         upper lip    lower lip
    "happy":     ((0, 0),       (0, 0),        (0, 0.02),    (0.10, -0.15), (0, 0.02),   (0, 0.03)),
    "sad":       ((-0.02, -0.13), (0, 0.07),   (0, 0.03),    (0.0, 0.17),   (0, -0.05),  (0, -0.03)),
    "angry":     ((-0.05, 0.15), (0, -0.05),   (0, 0.03),    (-0.02, 0.06), (0, 0.04),   (0, -0.05)),
    "surprised": ((0, -0.14),   (0, -0.16),    (0, -0.06),   (-0.08, 0.04), (0, -0.05),  (0, 0.24)),
    "neutral":   ((0, 0),       (0, 0),        (0, 0),       (0, 0),        (0, 0),      (0, 0)),
}  # fmt: skip
OPEN = 0.11  # half the height of the mouth that opens in surprise, in eye distances


def push(points: Tensor, mood: Tensor, strength: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the features of faces are pushed, and how far.

    Args:
        points: [N, 5, 2], eyes, nose, mouth corners of level faces, the viewer's left first; x right, y down.
        mood: [N] int64, places in MOODS.
        strength: [N]; 0 leaves the face, about 0.5 to 1.3 is seen.
    Returns: anchors [N, 10, 2]; what is added to them [N, 10, 2]; widths [N, 10], all in the unit of points.
    """
    eye = (points[:, 1] - points[:, 0]).norm(dim=1)[:, None, None]
    places = torch.cat([points[:, :2], points[:, 3:].mean(1, keepdim=True), points[:, 3:]], dim=1)
    which, out, down, width = zip(*ANCHORS, strict=True)
    side = points.new_tensor([{0: -1, 3: -1, 1: 1, 4: 1}.get(i, 0) for i in which])  # outwards, in x
    shift = torch.stack([points.new_tensor(out) * side, points.new_tensor(down)], dim=1)
    anchors = places[:, list(which)] + shift * eye
    table = points.new_tensor([PUSHES[name] for name in MOODS])[:, [0, 0, 1, 1, 2, 2, 3, 3, 4, 5]]
    table = table * torch.stack([side, torch.ones_like(side)], dim=1)
    return anchors, table[mood] * strength[:, None, None] * eye, points.new_tensor(width) * eye[..., 0]


def resample(x: Tensor, grid: Tensor, points: Tensor, mood: Tensor, strength: Tensor) -> Tensor:
    """Draw pictures at grid with the features pushed towards a mood.

    Args:
        x: [N, 3, H, W] in [-1, 1].
        grid: [N, h, w, 2], as F.grid_sample takes it.
        points: [N, 5, 2] in the unit of grid; a face with NaN in its points is left as it is.
        mood, strength: as push.
    Returns: [N, 3, h, w].
    """
    known = torch.isfinite(points).all(dim=(1, 2))
    anchors, moves, widths = push(torch.nan_to_num(points), mood, strength * known)
    at = grid
    for k in range(anchors.shape[1]):  # what is drawn at p comes from where p was before the push
        away = (grid - anchors[:, k, None, None] - moves[:, k, None, None]).square().sum(3)
        near = torch.exp(-away / (2 * widths[:, k, None, None].clamp(min=1e-6) ** 2))
        at = at - near[..., None] * moves[:, k, None, None]
    out = F.grid_sample(x, at, padding_mode="reflection", align_corners=False)
    return _open_mouth(
        out, grid, anchors[:, 8:10].mean(1), moves[:, 9, 1], known & (mood == MOODS.index("surprised"))
    )


def _open_mouth(x: Tensor, grid: Tensor, middle: Tensor, drop: Tensor, which: Tensor) -> Tensor:
    """Darken an ellipse between the parted lips of the faces in which."""
    height = (drop / PUSHES["surprised"][5][1] * OPEN).clamp(min=1e-6)
    gap = grid - middle[:, None, None] - torch.stack([torch.zeros_like(drop), drop * 0.35], 1)[:, None, None]
    radius = (gap[..., 0] / (1.1 * height[:, None, None])) ** 2 + (gap[..., 1] / height[:, None, None]) ** 2
    dark = torch.sigmoid((1 - radius) * 4)[:, None] * which[:, None, None, None]
    inside = x.new_tensor([-0.75, -0.88, -0.88])[:, None, None]
    return x + dark * (inside - x)
