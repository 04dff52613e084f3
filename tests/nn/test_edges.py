"""Canny's edges against a plain loop, and what edge smoothing leaves alone."""

import numpy as np
import pytest
import torch

from stylegan_toon.data import load_pictures
from stylegan_toon.nn.edges import canny, edge_smooth, gray

FIXTURES = "tests/fixtures"


def cartoons():
    return load_pictures([f"{FIXTURES}/storybook16.zip"], 48)[:3].float() / 127.5 - 1


def slow_canny(x, low, high):
    """One gray picture [H, W], whole numbers: pixel by pixel, edges followed from a stack."""
    height, width = x.shape
    p = np.pad(x.astype(np.int64), 1, mode="edge")
    dx, dy = np.zeros((height, width), np.int64), np.zeros((height, width), np.int64)
    for i in range(height):
        for j in range(width):
            w = p[i : i + 3, j : j + 3]
            dx[i, j] = (w[:, 2] - w[:, 0]) @ [1, 2, 1]
            dy[i, j] = (w[2] - w[0]) @ [1, 2, 1]
    size = np.abs(dx) + np.abs(dy)
    around = np.pad(size, 1)
    peak = np.zeros((height, width), bool)
    for i in range(height):
        for j in range(width):
            m, a, b = size[i, j], abs(dx[i, j]), abs(dy[i, j])
            angle = np.degrees(np.arctan2(b, a))
            if angle < 22.5:
                before, after, strict = around[i + 1, j], around[i + 1, j + 2], False
            elif angle > 67.5:
                before, after, strict = around[i, j + 1], around[i + 2, j + 1], False
            else:
                s = 1 if dx[i, j] * dy[i, j] > 0 else -1
                before, after, strict = around[i, j + 1 - s], around[i + 2, j + 1 + s], True
            peak[i, j] = m > low and m > before and (m > after if strict else m >= after)
    found = peak & (size > high)
    stack = list(zip(*np.nonzero(found), strict=True))
    while stack:
        i, j = stack.pop()
        for k in range(max(i - 1, 0), min(i + 2, height)):
            for n in range(max(j - 1, 0), min(j + 2, width)):
                if peak[k, n] and not found[k, n]:
                    found[k, n] = True
                    stack.append((k, n))
    return found


@pytest.mark.parametrize("low, high", [(100, 200), (20, 300)])
def test_canny_finds_what_a_loop_over_pixels_finds(low, high):
    x = ((gray(cartoons()) + 1) * 127.5).round()
    found = canny(x, low, high)
    for picture, edges in zip(x, found, strict=True):
        wanted = slow_canny(picture[0].numpy(), low, high)
        assert 20 < wanted.sum() < wanted.size / 2
        assert np.array_equal(edges[0].numpy(), wanted)


def test_canny_draws_one_line_along_a_step_and_none_for_a_faint_one():
    x = torch.zeros(1, 1, 8, 8)
    x[..., 4:] = 255
    assert canny(x)[0, 0].nonzero()[:, 1].tolist() == [3] * 8  # of two equal neighbours the left one
    assert canny(x.mT.contiguous())[0, 0].nonzero()[:, 0].tolist() == [3] * 8
    assert not canny(x * 0.09).any()


def test_only_what_lies_beside_an_edge_is_blurred():
    x = -torch.ones(1, 3, 16, 16)
    x[..., 8:] = 1
    smooth = edge_smooth(x)
    row = smooth[0, 0, 4].tolist()
    # the edge is column 7: columns 5 to 9 are sums of 1 4 6 4 1 over the step
    assert row == [*[-1.0] * 6, *(2 * n / 16 - 1 for n in (1, 5, 11, 15)), *[1.0] * 6]
    assert torch.equal(smooth[0, 0], smooth[0, 2]) and torch.equal(smooth[..., :5], x[..., :5])


def test_a_flat_cartoon_stays_and_a_drawn_one_loses_its_sharpest_steps():
    flat = torch.full((2, 3, 12, 20), 0.3)
    assert torch.equal(edge_smooth(flat), flat)
    x = cartoons()
    smooth = edge_smooth(x)
    changed = (smooth != x).any(1).float().mean()
    assert 0.05 < changed < 0.95
    steps = [(y[..., 1:] - y[..., :-1]).abs().amax((1, 2, 3)) for y in (smooth, x)]
    assert (steps[0] < steps[1]).all() and smooth.abs().max() <= 1 + 1e-6
