"""Moods by moving features: what is moved, where to, and what stays."""

import pytest
import torch
from torch.nn import functional as F

from stylegan_toon.faces.expression import MOODS, push, resample

FACE = torch.tensor([[-0.25, -0.05], [0.25, -0.05], [0.0, 0.25], [-0.22, 0.45], [0.22, 0.45]])
IDENTITY = F.affine_grid(torch.eye(2, 3)[None], [1, 3, 96, 96], align_corners=False)


def dot(at: tuple[float, float]) -> torch.Tensor:
    """[1, 3, 96, 96]: a white spot on black."""
    away = (IDENTITY - torch.tensor(at)).square().sum(3)
    return (2 * torch.exp(-away / (2 * 0.02**2)) - 1).expand(3, 96, 96)[None]


def centre(x: torch.Tensor) -> torch.Tensor:
    weight = x[0, 0].clamp(min=0)  # the spot's, and not that of the opened mouth, which is dark
    return (IDENTITY[0] * weight[..., None]).sum((0, 1)) / weight.sum()


def moved(at: tuple[float, float], mood: str, strength: float = 0.6) -> torch.Tensor:
    """[2], how far a spot goes."""
    x = dot(at)
    y = resample(x, IDENTITY, FACE[None], torch.tensor([MOODS.index(mood)]), torch.tensor([strength]))
    return centre(y) - centre(x)


@pytest.mark.parametrize("mood, down", [("sad", 1), ("happy", -1)])
def test_mouth_corners_go_down_for_sad_and_up_for_happy(mood: str, down: int) -> None:
    for x in (-0.22, 0.22):
        way = moved((x, 0.45), mood)
        assert float(way[1]) * down > 0.02
        if mood == "happy":
            assert float(way[0]) * x > 0  # and outwards


@pytest.mark.parametrize("mood, down", [("angry", 1), ("sad", -1), ("surprised", -1)])
def test_inner_brows_go_down_for_angry_and_up_for_sad_and_surprised(mood: str, down: int) -> None:
    for x in (-0.14, 0.14):
        assert float(moved((x, -0.215), mood)[1]) * down > 0.015


def test_a_push_of_a_small_spot_is_what_push_says() -> None:
    anchors, moves, widths = push(FACE[None].double(), torch.tensor([1]), torch.tensor([0.5]).double())
    corner = 6  # of the viewer's left
    assert anchors[0, corner].tolist() == pytest.approx([-0.22, 0.45])
    assert moves[0, corner].tolist() == pytest.approx([0.0, 0.17 * 0.5 * 0.5])  # of an eye distance of 0.5
    assert widths[0, corner].item() == pytest.approx(0.15 * 0.5)
    assert float(moved((-0.22, 0.45), "sad", 0.5)[1]) == pytest.approx(0.17 * 0.25, abs=0.012)


def test_strength_0_neutral_and_a_face_without_points_stay_as_they_are() -> None:
    x = torch.rand(3, 3, 96, 96) * 2 - 1
    points = FACE.repeat(3, 1, 1)
    points[2, 4] = torch.nan
    moods = torch.tensor([MOODS.index("sad"), MOODS.index("neutral"), MOODS.index("surprised")])
    y = resample(x, IDENTITY.expand(3, -1, -1, -1), points, moods, torch.tensor([0.0, 1.0, 1.0]))
    torch.testing.assert_close(y, x, atol=1e-4, rtol=0)


def test_surprise_opens_a_dark_mouth_and_leaves_the_edge() -> None:
    x = torch.full((1, 3, 96, 96), 0.4)
    y = resample(x, IDENTITY, FACE[None], torch.tensor([MOODS.index("surprised")]), torch.tensor([1.0]))
    row, column = divmod(int(y[0].mean(0).argmin()), 96)
    where = IDENTITY[0, row, column]
    assert abs(float(where[0])) < 0.06 and 0.4 < float(where[1]) < 0.62
    assert float(y.min()) < -0.5
    torch.testing.assert_close(y[..., :30], x[..., :30])
