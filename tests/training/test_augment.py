"""ADA: what it does to pictures, and how p follows the discriminator."""

import pytest
import torch

from stylegan_toon.training.augment import Augment, colour_matrices, recolour, warp, warp_matrices


def test_p_zero_changes_nothing_and_p_one_does():
    x = torch.rand(8, 3, 16, 16) * 2 - 1
    assert torch.equal(Augment(0.0)(x), x)
    y = Augment(1.0)(x)
    assert y.shape == x.shape and all(not torch.allclose(a, b) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("quarter", range(4))
def test_quarter_turns_are_exact(quarter):
    x = torch.rand(1, 3, 8, 8)
    angle = torch.tensor(quarter * torch.pi / 2)
    c, s = angle.cos().round(), angle.sin().round()
    matrix = torch.tensor([[[c, -s, 0], [s, c, 0], [0, 0, 1]]])
    torch.testing.assert_close(warp(x, matrix), torch.rot90(x, quarter, (2, 3)), atol=1e-6, rtol=0)


def test_all_four_quarter_turns_and_the_mirror_occur():
    torch.manual_seed(0)
    seen = set()
    for matrix in warp_matrices(4000, 0.5):
        linear = matrix[:2, :2]
        if torch.allclose(linear.abs().sum(0), torch.ones(2), atol=1e-5) and linear.abs().round().sum() == 2:
            seen.add(tuple(linear.round().int().flatten().tolist()))
    assert len(seen) == 8  # four turns, each mirrored or not


def test_half_of_all_transformations_are_left_out_at_p_one_half():
    torch.manual_seed(0)
    moved = (warp_matrices(4000, 0.2)[:, :2] - torch.eye(3)[:2]).abs().amax([1, 2]) > 1e-6
    colours = (colour_matrices(4000, 0.2) - torch.eye(4)).abs().amax([1, 2]) > 1e-6
    # mirror and quarter turn are no-ops for 1/2 and 1/4 of their draws; six warps and five colours in all
    keep = 0.9 * 0.85 * 0.8**4 * (1 - (1 - 0.8**0.5)) ** 2
    assert float(moved.float().mean()) == pytest.approx(1 - keep, abs=0.03)
    assert float(colours.float().mean()) == pytest.approx(1 - 0.8**4 * 0.9, abs=0.03)


def test_colours_keep_grey_where_only_hue_and_saturation_change():
    torch.manual_seed(0)
    grey = torch.full((500, 3, 2, 2), 0.3)
    y = recolour(grey, colour_matrices(500, 0.3))
    spread = (y.amax(1) - y.amin(1)).amax([1, 2])
    assert float(spread.max()) < 1e-5  # luma lies on the axis all of them keep


def test_p_rises_by_the_pictures_seen_while_d_is_too_sure_and_falls_else():
    augment = Augment(0.0, target=0.6, images=1000, every=2)
    for i in range(4):
        augment.update(torch.tensor(10.0), 10, i)
    assert float(augment.p) == pytest.approx(0.04)
    for i in range(4, 6):
        augment.update(torch.tensor(-10.0), 10, i)
    assert float(augment.p) == pytest.approx(0.02)
    for i in range(6, 20):
        augment.update(torch.tensor(-10.0), 10, i)
    assert float(augment.p) == 0.0


def test_gradients_pass_through():
    x = (torch.rand(4, 3, 8, 8) * 2 - 1).requires_grad_()
    Augment(1.0)(x).square().sum().backward()
    assert x.grad is not None and float(x.grad.abs().sum()) > 0
