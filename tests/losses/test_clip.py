"""Losses between pictures and texts, by hand."""

import math

import pytest
import torch

from stylegan_toon.losses.clip import caption_loss, prompt_loss


def test_prompt_loss_by_hand_leaves_out_what_is_not_known() -> None:
    pictures = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    prompts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [-1.0, 0.0], [1.0, 0.0]])
    labels = torch.tensor([[0, -1], [1, 2], [-1, -1]])
    found = prompt_loss(pictures, prompts, labels, (2, 3), torch.tensor(2.0))
    first = math.log(1 + math.exp(-2))  # both pictures: logit 2 for the right one, 0 for the other
    second = math.log(math.exp(1.6) + 2) - 0.0  # picture 1: 1.6, 0 and 0, of which the last is right
    assert found.tolist() == pytest.approx([first, second], rel=1e-5)
    none = prompt_loss(pictures, prompts, torch.full((3, 2), -1), (2, 3), torch.tensor(2.0))
    assert none.tolist() == [0.0, 0.0]


def test_caption_loss_by_hand_counts_wrong_captions_alone() -> None:
    pictures = torch.eye(2)
    captions = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    scale, wrong = torch.tensor(3.0), torch.tensor([[False, True], [False, False]])
    # Rows: picture 0 has its own (3) and a wrong one (3); picture 1 its own alone. Columns: caption 0 has
    # its own picture alone; caption 1 its own (0) and picture 0 (3), which it is wrong for.
    wanted = (math.log(2) / 2 + math.log(1 + math.exp(3)) / 2) / 2
    assert float(caption_loss(pictures, captions, wrong, scale)) == pytest.approx(wanted, rel=1e-5)
    assert float(caption_loss(pictures, captions, torch.zeros(2, 2, dtype=torch.bool), scale)) == 0.0


def test_gradients_are_finite_where_most_captions_are_left_out() -> None:
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    wrong = torch.tensor([[False, True, False, False]] * 4)
    texts, scale = torch.randn(4, 5, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: caption_loss(x, texts, wrong, scale), x)
