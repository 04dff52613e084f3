import math

import numpy as np
import pytest
import torch

from stylegan_toon.metrics.structure import edge_ssim, edges, landmark_distance, layout_correlation, w_drift


def looped_edges(picture: np.ndarray) -> np.ndarray:
    """Sobel's magnitude of a picture [3, H, W], pixel by pixel, averaged over 4x4."""
    grey = np.tensordot([0.299, 0.587, 0.114], (picture + 1) / 2, 1)
    h, w = grey.shape
    out = np.zeros((h, w))
    for y in range(h):
        for x in range(w):
            at = lambda dy, dx: grey[min(max(y + dy, 0), h - 1), min(max(x + dx, 0), w - 1)]  # noqa: B023, E731
            across = sum(k * (at(d, 1) - at(d, -1)) for d, k in ((-1, 1), (0, 2), (1, 1)))
            down = sum(k * (at(1, d) - at(-1, d)) for d, k in ((-1, 1), (0, 2), (1, 1)))
            out[y, x] = math.hypot(across, down)
    return out.reshape(h // 4, 4, w // 4, 4).mean((1, 3))


def looped_ssim(a: np.ndarray, b: np.ndarray) -> float:
    values = []
    for y in range(a.shape[0] - 4):
        for x in range(a.shape[1] - 4):
            p, q = a[y : y + 5, x : x + 5].ravel(), b[y : y + 5, x : x + 5].ravel()
            cov = ((p - p.mean()) * (q - q.mean())).mean()
            values.append(
                (2 * p.mean() * q.mean() + 1e-4) * (2 * cov + 9e-4)
                / ((p.mean() ** 2 + q.mean() ** 2 + 1e-4) * (p.var() + q.var() + 9e-4))
            )  # fmt: skip
    return float(np.mean(values))


def test_edges_and_their_ssim_equal_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1, 1, (2, 2, 3, 24, 28))
    wanted = [[looped_edges(p) for p in side] for side in (a, b)]
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    np.testing.assert_allclose(edges(x)[:, 0], wanted[0], rtol=1e-12)
    np.testing.assert_allclose(
        edge_ssim(x, y), [looped_ssim(p, q) for p, q in zip(*wanted, strict=True)], rtol=1e-10
    )


def test_edge_ssim_is_one_for_equal_edges_whatever_their_colour():
    x = torch.rand(3, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(edge_ssim(x, x), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(edge_ssim(x, -x), torch.ones(3, dtype=torch.float64))  # the negative
    assert edge_ssim(x, x.flip(0))[:1].item() < 0.5


def test_layout_correlation_follows_what_varies_and_not_what_all_share():
    torch.manual_seed(0)
    shared = torch.rand(1, 3, 16, 16)
    own = torch.rand(200, 3, 1, 1).expand(-1, -1, 16, 16)
    a = shared + own
    assert layout_correlation(a, 3 * a - 1) == pytest.approx(1)
    assert layout_correlation(a, -a) == pytest.approx(-1)
    assert abs(layout_correlation(a, a.roll(1, 0))) < 0.1
    assert layout_correlation(a, shared.expand(200, -1, -1, -1)) == 0


def test_layout_correlation_equals_numpys():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 6, 3, 16, 24))
    cells = [v.reshape(6, 3, 8, 2, 8, 3).mean((3, 5)).reshape(6, -1) for v in (a, b)]
    wanted = np.mean([np.corrcoef(cells[0][:, i], cells[1][:, i])[0, 1] for i in range(3 * 64)])
    assert layout_correlation(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(wanted, rel=1e-10)


def test_landmark_distance_by_hand():
    a = torch.tensor([[[10, 10], [30, 10], [20, 20], [12, 30], [28, 30]]])
    b = a.clone()
    b[0, 2] += torch.tensor([3, 4])  # one of five points 5 px off, eyes 20 px apart
    torch.testing.assert_close(landmark_distance(a, b), torch.tensor([5 / 5 / 20], dtype=torch.float64))
    assert landmark_distance(a, a).item() == 0


def test_w_drift_by_hand():
    source = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    assert w_drift(source, source) == 0
    assert w_drift(source + torch.tensor([[0.0, 1.0], [2.0, 0.0]]), source) == pytest.approx((1 / 5 + 1) / 2)


@pytest.mark.parametrize("call", [edge_ssim, layout_correlation])
def test_unequal_or_odd_shapes_are_named(call):
    x = torch.zeros(3, 3, 32, 32)
    for a, b in ((x, x[:2]), (x[:, :1], x[:, :1]), (x[:0], x[:0]), (x[0], x[0])):
        with pytest.raises(ValueError, match="pictures"):
            call(a, b)
    with pytest.raises(ValueError, match="20 px"):
        edge_ssim(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match="points"):
        landmark_distance(torch.zeros(2, 5, 2), torch.zeros(2, 4, 2))
