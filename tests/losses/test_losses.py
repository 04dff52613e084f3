"""Losses against numbers worked by hand and float64 NumPy."""

import math

import numpy as np
import pytest
import torch

from stylegan_toon.losses.adversarial import logistic_d, logistic_g
from stylegan_toon.losses.identity import identity_loss
from stylegan_toon.losses.latent import feature_l1, offset_loss, pyramid_l1
from stylegan_toon.losses.regularize import path_length_penalty, r1_penalty
from stylegan_toon.losses.structure import structure_loss


def test_logistic_losses_by_hand():
    zero = torch.zeros(3)
    assert float(logistic_d(zero, zero)) == pytest.approx(2 * math.log(2), rel=1e-6)
    scores = torch.tensor([1.0, -2.0])
    wanted = np.mean([np.log1p(np.exp(-1.0)), np.log1p(np.exp(2.0))])
    assert float(logistic_g(scores)) == pytest.approx(wanted, rel=1e-6)
    saturating = np.mean([np.log(1 - 1 / (1 + np.exp(-s))) for s in (1.0, -2.0)])
    assert float(logistic_g(scores, saturating=True)) == pytest.approx(saturating, rel=1e-6)


def test_r1_of_a_quadratic_is_known():
    x = torch.randn(5, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty((x.square().sum([1, 2, 3]) * 3), x)  # gradient 6x, half its square is 18 x^2
    wanted = 18 * (x.detach().numpy() ** 2).sum((1, 2, 3)).mean()
    assert penalty.item() == pytest.approx(wanted, rel=1e-6)


def test_path_length_of_a_scaled_copy_is_its_scale():
    """Pictures that are c * w: the length of J^T y is c |y| per layer; y has unit mean square per pixel."""
    torch.manual_seed(0)
    w = torch.randn(4, 1, 3 * 64 * 64, requires_grad=True)
    penalty, mean = path_length_penalty((2.5 * w).reshape(4, 3, 64, 64), w, torch.tensor(0.0), decay=1.0)
    assert float(mean) == pytest.approx(2.5 * math.sqrt(3), rel=0.02)
    assert penalty.item() < 0.01


def test_path_mean_moves_by_its_decay():
    w = torch.randn(2, 1, 3 * 8 * 8, requires_grad=True)
    torch.manual_seed(1)
    _, full = path_length_penalty(w.reshape(2, 3, 8, 8), w, torch.tensor(0.0), decay=1.0)
    torch.manual_seed(1)
    _, part = path_length_penalty(w.reshape(2, 3, 8, 8), w, torch.tensor(3.0), decay=0.25)
    assert float(part) == pytest.approx(3 + 0.25 * (float(full) - 3), rel=1e-6)


def test_structure_loss_by_hand_and_without_gradient_to_the_source():
    target = [torch.full((2, 3, 4, 4), 1.0, requires_grad=True), torch.full((2, 3, 8, 8), 5.0)]
    source = [torch.full((2, 3, 4, 4), 3.0, requires_grad=True), torch.full((2, 3, 8, 8), 2.0)]
    assert structure_loss(target, source, 1).item() == 4.0
    loss = structure_loss(target, source, 2)
    assert loss.item() == 13.0
    loss.backward()
    assert target[0].grad is not None and source[0].grad is None
    with pytest.raises(ValueError, match="n_layers=3"):
        structure_loss(target, source, 3)


def test_code_and_picture_losses_by_hand():
    assert float(offset_loss(torch.randn(3, 1, 8).expand(3, 5, 8))) == pytest.approx(0, abs=1e-12)
    assert float(offset_loss(torch.tensor([[[1.0], [3.0]]]))) == 1.0
    a, b = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    b[..., ::2] = -1  # averages to zero at half size: 1 at full size, 0 below
    assert float(pyramid_l1(a, b)) == pytest.approx(1 / 3)
    assert float(feature_l1([torch.full((1, 2), 3.0)], [torch.full((1, 2), 2.0)])) == pytest.approx(0.5)
    unit = torch.eye(3)
    assert float(identity_loss(unit, unit)) == 0 and float(identity_loss(unit, unit.roll(1, 0))) == 1
