"""Pixel figures by hand, by loops in NumPy, and against other libraries where they are installed."""

import math

import numpy as np
import pytest
import torch

from stylegan_toon.metrics.pixel import average_gradient, mse, psnr, ssim


def pair(h=20, w=24):
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (2, 3, h, w), dtype=np.uint8)
    b = np.clip(a + rng.normal(0, 30, a.shape), 0, 255).astype(np.uint8)
    return a, b


def looped_ssim(a, b):
    """One channel, place by place."""
    at = np.arange(11) - 5
    window = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p, q = (v[y : y + 11, x : x + 11].astype(float) for v in (a, b))
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return np.mean(values)


def test_ssim_equals_a_loop_over_places():
    a, b = pair()
    channels = [looped_ssim(p, q) for p, q in zip(a.reshape(6, 20, 24), b.reshape(6, 20, 24), strict=True)]
    wanted = np.mean(np.reshape(channels, (2, 3)), 1)
    np.testing.assert_allclose(ssim(torch.from_numpy(a), torch.from_numpy(b)), wanted, rtol=1e-10)


def test_equal_pictures_differ_in_nothing():
    a = torch.from_numpy(pair()[0])
    assert mse(a, a).tolist() == [0, 0] and psnr(a, a).tolist() == [math.inf] * 2
    torch.testing.assert_close(ssim(a, a), torch.ones(2, dtype=torch.float64))


def test_mse_and_psnr_of_a_shift_are_known():
    a = torch.full((1, 3, 4, 4), 100, dtype=torch.uint8)
    b = a + 5
    assert mse(a, b).tolist() == [25]
    assert psnr(b, a).tolist() == [pytest.approx(20 * math.log10(255 / 5))]
    black, white = torch.zeros_like(a), torch.full_like(a, 255)
    assert psnr(black, white).tolist() == [0]  # and no uint8 wraps around
    assert mse(black, white).tolist() == [255**2]


def test_the_average_gradient_of_a_ramp_is_its_slope_over_the_root_of_two():
    ramp = (7 * torch.arange(10)).to(torch.uint8).expand(1, 3, 8, 10)
    assert average_gradient(ramp).tolist() == [pytest.approx(7 / math.sqrt(2))]
    assert average_gradient(ramp.mT.contiguous()).tolist() == [pytest.approx(7 / math.sqrt(2))]
    both = ramp + (7 * torch.arange(8)).to(torch.uint8)[:, None]
    assert average_gradient(both).tolist() == [pytest.approx(7)]
    assert average_gradient(torch.full_like(both, 9)).tolist() == [0]


def test_the_average_gradient_equals_a_loop():
    a = pair(5, 6)[0][:1]
    grey = np.tensordot([0.299, 0.587, 0.114], a[0].astype(float), 1)
    steps = [
        math.sqrt(((grey[y, x + 1] - grey[y, x]) ** 2 + (grey[y + 1, x] - grey[y, x]) ** 2) / 2)
        for y in range(4)
        for x in range(5)
    ]
    assert average_gradient(torch.from_numpy(a)).tolist() == [pytest.approx(np.mean(steps))]


def test_floats_other_shapes_and_small_pictures_are_refused():
    a = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(ValueError, match="uint8"):
        mse(a, a.float())
    with pytest.raises(ValueError, match="twice"):
        psnr(a, a[..., 1:])
    with pytest.raises(ValueError, match="11 px"):
        ssim(a[..., :10], a[..., :10])
    with pytest.raises(ValueError, match="two rows"):
        average_gradient(a[:, :, :1])
    with pytest.raises(ValueError, match="twice"):
        mse(a[:0], a[:0])


def test_pixel_figures_equal_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    a, b = pair(40, 50)
    channels = {"channel_axis": 0, "data_range": 255}
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    wanted = [metrics.structural_similarity(p, q, **channels, **window) for p, q in zip(a, b, strict=True)]
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    np.testing.assert_allclose(ssim(x, y), wanted, rtol=1e-12)
    wanted = [metrics.peak_signal_noise_ratio(p, q) for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(psnr(x, y), wanted, rtol=1e-12)


def test_psnr_equals_torchmetrics():
    functional = pytest.importorskip("torchmetrics.functional", exc_type=(ImportError, RuntimeError))
    x, y = (torch.from_numpy(v[:1]) for v in pair())
    wanted = functional.peak_signal_noise_ratio(x.double(), y.double(), data_range=255.0)
    torch.testing.assert_close(psnr(x, y)[0], wanted, rtol=1e-6, atol=0, check_dtype=False)


def test_ssim_equals_piq():
    piq = pytest.importorskip("piq", exc_type=(ImportError, RuntimeError))
    x, y = (torch.from_numpy(v) for v in pair(40, 50))
    wanted = piq.ssim(x.double() / 255, y.double() / 255, downsample=False, reduction="none")
    torch.testing.assert_close(ssim(x, y), wanted, rtol=1e-9, atol=0)
