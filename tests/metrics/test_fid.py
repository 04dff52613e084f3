"""FID by hand, in NumPy with eigenvalues of a matrix that is not symmetric, against other libraries."""

import os

import numpy as np
import pytest
import torch

from stylegan_toon.metrics.fid import Moments, fid, frechet, merged, moments
from stylegan_toon.training import ranks
from tests.processes import together


def in_numpy(x, y):
    """The definition, the root's trace from the eigenvalues of the plain product."""
    sx, sy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(sx @ sy).astype(complex)).sum().real
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(sx) + np.trace(sy) - 2 * root


def sets(n, m, f, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, f)) @ rng.normal(size=(f, f)), rng.normal(size=(m, f)) * 1.5 + 0.3


@pytest.mark.parametrize("n, m, f", [(300, 200, 16), (30, 20, 64)])  # the second: covariances of low rank
def test_fid_equals_its_definition_in_numpy(n, m, f):
    x, y = sets(n, m, f)
    assert fid(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(in_numpy(x, y), rel=1e-6)


def test_fid_of_equal_covariances_is_the_squared_distance_of_means():
    x = torch.randn(50, 8)
    assert fid(x, x) == pytest.approx(0, abs=1e-9)
    assert fid(x, x.double() + torch.arange(8.0)) == pytest.approx(sum(i * i for i in range(8)), rel=1e-9)


def test_fid_of_commuting_covariances_is_the_distance_of_their_roots():
    # Covariance of +-a on each axis, 4 pictures, n - 1 = 3: diag(2 a^2 / 3)
    square = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    wide = square * torch.tensor([3.0, 1.0])
    assert fid(square, wide) == pytest.approx((2 / 3) * (3 - 1) ** 2, rel=1e-12)
    assert fid(square, torch.zeros(4, 2)) == pytest.approx(4 / 3, rel=1e-12)  # a root of a singular product


def test_moments_of_parts_add_to_those_of_the_whole_and_stay_exact_far_from_zero():
    x = torch.randn(100, 6, dtype=torch.float64) + 1000
    joined = moments(x[:17]) + moments(x[17:18]) + moments(x[18:])
    assert joined.n == 100
    torch.testing.assert_close(joined.covariance, x.T.cov(), rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(joined.mean, x.mean(0))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_processes_get_the_moments_of_all_pictures(tmp_path):
    x = torch.randn(9, 5)
    whole = moments(x)

    def work(rank):
        with ranks.joined("cpu"):
            found = merged(moments(x[:4] if rank == 0 else x[4:]))
        assert found.n == 9
        torch.testing.assert_close(found.outer, whole.outer)
        torch.testing.assert_close(found.total, whole.total)

    assert [one.code for one in together(work, tmp_path)] == [0, 0]
    assert merged(whole) is whole  # alone


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="two pictures, got 1"):
        fid(torch.randn(1, 3), torch.randn(5, 3))
    with pytest.raises(ValueError, match="one network"):
        frechet(moments(torch.randn(4, 3)), moments(torch.randn(4, 2)))
    with pytest.raises(ValueError, match="one network"):
        moments(torch.randn(4, 3)) + moments(torch.randn(4, 2))
    with pytest.raises(ValueError, match=r"\[N, F\]"):
        moments(torch.randn(4))
    assert isinstance(moments(torch.randn(1, 3)), Moments)  # one picture may be a part


def test_fid_equals_pytorch_fid():
    theirs = pytest.importorskip("pytorch_fid.fid_score", exc_type=(ImportError, RuntimeError))
    x, y = sets(200, 150, 32)
    wanted = theirs.calculate_frechet_distance(
        x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False)
    )
    assert fid(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(float(wanted), rel=1e-7)


def test_fid_equals_a_root_of_the_matrix_itself():
    linalg = pytest.importorskip("scipy.linalg")
    x, y = sets(200, 150, 32)
    sx, sy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(sx @ sy)
    wanted = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(sx + sy - 2 * root).real
    assert fid(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(wanted, rel=1e-7)
