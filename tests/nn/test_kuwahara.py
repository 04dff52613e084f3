"""The generalised Kuwahara filter beside its definition in NumPy, and what it does to edges and flats."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.nn import kuwahara as module
from stylegan_toon.nn.kuwahara import LEAST, SECTORS, WIDEST, kuwahara, paint, sectors


def by_hand(picture, radius):
    """Pixel by pixel and sector by sector, in float64; picture [3, H, W]."""
    reach = math.ceil(radius)
    padded = np.pad(picture, ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    out = np.zeros_like(picture)
    for row in range(picture.shape[1]):
        for column in range(picture.shape[2]):
            top, bottom = np.zeros(3), 0.0
            for k in range(SECTORS):
                total, mean, square = 0.0, np.zeros(3), 0.0
                for dy in range(-reach, reach + 1):
                    for dx in range(-reach, reach + 1):
                        if dx * dx + dy * dy > (radius + 0.5) ** 2:
                            continue
                        away = (math.atan2(dy, dx) - k * math.pi / 4 + math.pi) % (2 * math.pi) - math.pi
                        share = math.cos(away * 2) ** 2 if abs(away) < math.pi / 4 else 0.0
                        if dx == dy == 0:
                            share = 1 / 8
                        weight = share * math.exp(-(dx * dx + dy * dy) * 2 / radius**2)
                        colour = padded[:, row + reach + dy, column + reach + dx]
                        total, mean, square = (
                            total + weight,
                            mean + weight * colour,
                            square + weight * colour @ colour,
                        )
                mean /= total
                variance = max(square / total - mean @ mean, 0.0)
                calm = (variance + LEAST) ** -4.0
                top, bottom = top + calm * mean, bottom + calm
            out[:, row, column] = top / bottom
    return out


@pytest.mark.parametrize("radius", [1.0, 2.3, 4.0])
def test_it_is_its_definition(radius):
    picture = torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    made = kuwahara(picture, radius)
    for one, wanted in zip(made, picture, strict=True):
        np.testing.assert_allclose(one.numpy(), by_hand(wanted.numpy(), radius), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("radius", [0.2, 1.0, 3.5, 7.0])
def test_sectors_are_turned_copies_of_one_another(radius):
    kernels = sectors(radius)
    assert kernels.shape == (8, 2 * math.ceil(radius) + 1, 2 * math.ceil(radius) + 1)
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(8, dtype=torch.float64))
    for k in range(8):  # a quarter turn is two sectors on
        torch.testing.assert_close(torch.rot90(kernels[k], -1), kernels[(k + 2) % 8], atol=1e-12, rtol=0)


def test_a_blurred_edge_becomes_sharp_and_flats_stay():
    x = torch.linspace(-1, 1, 64)
    ramp = torch.sigmoid(x * 12)[None, None, None].expand(1, 3, 32, 64) * 1.6 - 0.8
    made = kuwahara(ramp, 6.0)
    assert (made - ramp)[..., :10].abs().max() < 0.01 and (made - ramp)[..., -10:].abs().max() < 0.01
    steepest = [float((p[0, 0, 16, 1:] - p[0, 0, 16, :-1]).abs().max()) for p in (ramp, made)]
    assert steepest[1] > 2 * steepest[0]
    assert made.min() >= ramp.min() and made.max() <= ramp.max()


def test_one_colour_stays_and_noise_goes():
    flat = torch.full((1, 3, 20, 20), 0.3)
    torch.testing.assert_close(kuwahara(flat, 3.0), flat)
    noisy = flat + torch.randn(1, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * 0.05
    assert (kuwahara(noisy, 3.0) - flat).std() < 0.5 * (noisy - flat).std()


def test_gradients_pass():
    x = torch.rand(
        1, 3, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    ).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: kuwahara(p, 1.5), (x,))


def levels(height, width):
    return np.random.default_rng(4).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("band", [1, 37 * 4, 10**6])
def test_a_picture_painted_in_bands_is_painted_whole(monkeypatch, band):
    monkeypatch.setattr(module, "BAND", band)
    picture = levels(23, 37)
    wanted = (by_hand(picture.transpose(2, 0, 1) / 127.5 - 1, 2.0) + 1) * 127.5
    made = np.asarray(paint(Image.fromarray(picture), 2.0, torch.float64))
    assert np.array_equal(made, np.rint(wanted).transpose(1, 2, 0))


def test_wide_strokes_are_those_of_a_smaller_picture(monkeypatch):
    picture = Image.fromarray(levels(120, 200))
    small = picture.resize((50, 30), Image.Resampling.LANCZOS)
    wanted = paint(small, WIDEST).resize((200, 120), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(paint(picture, 4 * WIDEST)), np.asarray(wanted))


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (5, 4)])
@pytest.mark.parametrize("radius", [0.1, 2.5, 40.0])
def test_every_size_is_painted_and_kept(size, radius):
    picture = Image.new("RGB", size, (10, 200, 30))
    made = paint(picture, radius)
    assert made.size == size and np.array_equal(np.asarray(made), np.asarray(picture))  # flat stays flat
