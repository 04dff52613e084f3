"""Precision and recall beside a loop in NumPy, and on sets whose answer is known."""

import numpy as np
import pytest
import torch

from stylegan_toon.metrics.kid import statistics
from stylegan_toon.metrics.precision import precision_recall


def by_hand(real, fake, k):
    """The definition of the paper, picture by picture."""

    def share(points, others):
        hits = 0
        for p in points:
            for i, q in enumerate(others):
                own = sorted(np.linalg.norm(q - r) for j, r in enumerate(others) if j != i)
                if np.linalg.norm(p - q) <= own[k - 1]:
                    hits += 1
                    break
        return hits / len(points)

    return share(fake, real), share(real, fake)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_it_is_the_papers_definition(k):
    draw = torch.Generator().manual_seed(k)
    real = torch.randn(40, 6, generator=draw)
    fake = torch.randn(30, 6, generator=draw) * 0.7 + 0.6
    mean, std = statistics(real)
    scaled = [((x.double() - mean) / std / 6**0.5).numpy() for x in (real, fake)]
    assert precision_recall(real, fake, mean, std, k) == pytest.approx(by_hand(*scaled, k))


def test_one_mode_of_two_is_precise_and_misses_half():
    draw = torch.Generator().manual_seed(0)
    a, b, c = (torch.randn(100, 4, generator=draw) for _ in range(3))
    real, fake = torch.cat([a, b + 50]), c.repeat(2, 1)[:150]
    found = precision_recall(real, fake, *statistics(real))
    assert found.precision > 0.9 and 0.4 < found.recall <= 0.5


def test_a_set_beside_itself_is_whole_and_beside_another_world_empty():
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    assert precision_recall(x, x, *statistics(x)) == (1, 1)
    assert precision_recall(x, x + 1e4, *statistics(x)) == (0, 0)


def test_many_pictures_are_taken_in_blocks():
    draw = torch.Generator().manual_seed(0)
    real, fake = torch.randn(700, 3, generator=draw), torch.randn(600, 3, generator=draw) + 1
    mean, std = statistics(real)
    whole = precision_recall(real, fake, mean, std)
    assert 0 < whole.precision < 1 and 0 < whole.recall < 1
    shuffled = precision_recall(real[torch.randperm(700, generator=draw)], fake.flip(0), mean, std)
    assert whole == pytest.approx(shuffled)


@pytest.mark.parametrize("n, m", [(5, 40), (40, 5)])
def test_too_few_pictures_are_refused(n, m):
    x = torch.randn(n, 4)
    with pytest.raises(ValueError, match="needs 6 pictures on each side"):
        precision_recall(x, torch.randn(m, 4), torch.zeros(4), torch.ones(4))
