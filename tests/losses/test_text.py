"""Losses of editing by text, by hand and by finite differences."""

import torch
from torch.testing import assert_close

from stylegan_toon.losses.text import step_loss, text_direction, text_loss


def test_a_plain_text_is_its_own_direction_and_a_difference_has_length_one():
    a, b = torch.tensor([0.6, 0.8, 0.0]), torch.tensor([0.6, 0.0, 0.8])
    assert text_direction(a) is a
    assert_close(text_direction(a, b), torch.tensor([0.0, 0.5**0.5, -(0.5**0.5)]))


def test_the_text_loss_is_one_less_the_cosine():
    pictures = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]])
    assert_close(text_loss(pictures, torch.tensor([1.0, 0.0])), torch.tensor([0.0, 1.0, 2.0, 0.4]))


def test_the_step_loss_is_the_mean_square_of_each_face():
    step = torch.tensor([[[1.0, 2.0], [3.0, 0.0]], [[0.0, 0.0], [0.0, 2.0]]])
    assert_close(step_loss(step), torch.tensor([14 / 4, 1.0]))


def test_gradients_are_those_of_finite_differences():
    x, d = torch.randn(3, 4, dtype=torch.float64, requires_grad=True), torch.randn(4, dtype=torch.float64)
    neutral = torch.randn(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: text_loss(x, text_direction(d, neutral)), x)
    assert torch.autograd.gradcheck(lambda x: step_loss(x.reshape(3, 2, 2)), x)
