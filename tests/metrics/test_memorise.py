import numpy as np
import pytest
import torch

from stylegan_toon.metrics.memorise import nearest, nearest_among, nearest_training


def test_nearest_finds_the_row_and_its_distance():
    train = torch.tensor([[0.0, 0], [3, 4], [10, 0]])
    distance, index = nearest(torch.tensor([[0.0, 1], [6, 8], [10, 0]]), train, block=2)
    torch.testing.assert_close(distance, torch.tensor([1.0, 5, 0]))
    assert index.tolist() == [0, 1, 2]
    assert nearest(torch.zeros(0, 2), train)[0].shape == (0,)


def test_known_medians_are_divided_in_standardised_units():
    train, zero = torch.zeros(1, 4), torch.zeros(4)
    held_out, generated = torch.full((3, 4), 2.0), torch.full((5, 4), 1.0)
    found = nearest_training(generated, held_out, train, zero, torch.full((4,), 2.0))
    assert found.generated == pytest.approx(0.5) and found.held_out == pytest.approx(1)
    assert found.ratio == pytest.approx(0.5) and found.closer == 1


def test_copies_are_told_from_new_samples():
    train, held_out, new = torch.randn(400, 16), torch.randn(300, 16), torch.randn(300, 16)
    zero, one = torch.zeros(16), torch.ones(16)
    honest = nearest_training(new, held_out, train, zero, one)
    copies = nearest_training(train[:300] + 0.01 * torch.randn(300, 16), held_out, train, zero, one)
    assert 0.9 < honest.ratio < 1.1 and honest.closer < 0.05
    assert copies.ratio < 0.05 and copies.closer == 1


def test_wrong_shapes_are_named():
    x, zero = torch.zeros(2, 3), torch.zeros(3)
    with pytest.raises(ValueError, match="M > 0"):
        nearest(x, torch.zeros(0, 3))
    with pytest.raises(ValueError, match="at least one"):
        nearest_training(x[:0], x, x, zero, zero + 1)


def test_among_training_pictures_alone_equals_a_loop_in_numpy():
    rng = np.random.default_rng(4)
    train, mirrored, made = (rng.normal(size=(n, 5)) for n in (9, 9, 6))
    made[0] = mirrored[3]  # a copy of a mirror image
    mean, std = rng.normal(size=5), rng.uniform(0.5, 2, 5)
    t, m, g = ((x - mean) / std / 5**0.5 for x in (train, mirrored, made))
    others = [
        min(np.linalg.norm(t[i] - x) for x in [*np.delete(t, i, 0), *np.delete(m, i, 0)]) for i in range(9)
    ]
    of_made = [min(np.linalg.norm(x - y) for y in [*t, *m]) for x in g]
    found = nearest_among(*(torch.from_numpy(x) for x in (made, train, mirrored, mean, std)))
    line = np.quantile(others, 0.01)
    np.testing.assert_allclose(found.held_out, np.sort(others)[4], rtol=1e-5)
    np.testing.assert_allclose(
        found.generated, np.sort(of_made)[2], rtol=1e-5
    )  # torch's median of an even number
    np.testing.assert_allclose(found.ratio, found.generated / found.held_out, rtol=1e-6)
    assert found.closer == pytest.approx(np.mean(np.array(of_made) < line)) and found.closer > 0.16


def test_among_one_picture_nothing_can_be_said():
    one = torch.zeros(1, 5)
    with pytest.raises(ValueError, match="M > 1"):
        nearest_among(torch.zeros(3, 5), one, one, torch.zeros(5), torch.ones(5))
