"""Colour in YUV and the terms of discriminators, by hand and in float64 NumPy."""

import numpy as np
import pytest
import torch

from stylegan_toon.losses.adversarial import (
    logistic_d,
    logistic_fake,
    logistic_g,
    lsgan_d,
    lsgan_fake,
    lsgan_g,
)
from stylegan_toon.losses.color import color_loss, yuv


def test_yuv_of_the_primaries():
    """BT.601: Y of R, G, B is 0.299, 0.587, 0.114; U = 0.492 (B - Y), V = 0.877 (R - Y)."""
    colours = torch.eye(3)[..., None, None] * 2 - 1  # red, green, blue
    for rgb, found in zip(np.eye(3), yuv(colours)[:, :, 0, 0].double().numpy(), strict=True):
        luma = rgb @ [0.299, 0.587, 0.114]
        wanted = [luma, 0.492 * (rgb[2] - luma), 0.877 * (rgb[0] - luma)]
        assert np.abs(found - wanted).max() < 2e-4
    gray = torch.full((1, 3, 2, 2), 0.4)
    assert torch.allclose(yuv(gray), torch.tensor([0.7, 0, 0])[:, None, None].expand(1, 3, 2, 2), atol=1e-6)


def test_color_loss_is_l1_of_y_and_huber_of_u_and_v():
    made, photo = torch.rand(2, 2, 3, 5, 6) * 6 - 3  # so far apart that Huber's line is reached
    weights = np.array([[0.299, 0.587, 0.114], [-0.14714, -0.28887, 0.43601], [0.61498, -0.51497, -0.10001]])
    gap = np.einsum("ij,njhw->nihw", weights, (made - photo).double().numpy() / 2)
    huber = np.where(np.abs(gap) < 1, gap**2 / 2, np.abs(gap) - 0.5)
    assert (np.abs(gap[:, 1:]) > 1).any()
    wanted = np.abs(gap[:, 0]).mean() + huber[:, 1].mean() + huber[:, 2].mean()
    assert float(color_loss(made, photo)) == pytest.approx(wanted, rel=1e-4)
    assert float(color_loss(photo, photo)) == 0


def test_color_loss_has_the_gradient_of_its_formula():
    made = torch.rand(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    photo = torch.rand(1, 3, 2, 2, dtype=torch.float64)
    color_loss(made, photo).backward()
    wanted = torch.zeros_like(made)
    for at in np.ndindex(*made.shape):
        step = torch.zeros_like(photo)
        step[at] = 0.01
        with torch.no_grad():
            wanted[at] = (color_loss(made + step, photo) - color_loss(made - step, photo)) / 0.02
    torch.testing.assert_close(made.grad, wanted, rtol=1e-3, atol=1e-5)


def test_a_discriminators_two_terms_make_its_loss():
    real, fake = torch.randn(2, 7)
    assert float(lsgan_g(real) + lsgan_fake(fake)) == pytest.approx(float(lsgan_d(real, fake)), rel=1e-6)
    assert float(logistic_g(real) + logistic_fake(fake)) == pytest.approx(
        float(logistic_d(real, fake)), rel=1e-6
    )
    assert float(lsgan_fake(torch.tensor([3.0, 1.0]))) == 5
