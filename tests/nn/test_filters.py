"""The guided filter against a float64 loop over windows; superpixels on cases worked by hand."""

import numpy as np
import torch

from stylegan_toon.data import load_pictures
from stylegan_toon.nn.guided import along_photo, box_mean, changed_photo, guided_filter
from stylegan_toon.nn.superpixel import lab, means, superpixels


def slow_guided(guide, x, radius, eps):
    """One channel: a least-squares line in every window, averaged over the windows of a pixel."""
    height, width = x.shape

    def window(i, j):
        return slice(max(i - radius, 0), i + radius + 1), slice(max(j - radius, 0), j + radius + 1)

    lines = np.zeros((2, height, width))
    for i in range(height):
        for j in range(width):
            g, p = guide[window(i, j)].ravel(), x[window(i, j)].ravel()
            a = ((g - g.mean()) * (p - p.mean())).mean() / (g.var() + eps)
            lines[:, i, j] = a, p.mean() - a * g.mean()
    out = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            a, b = lines[(slice(None), *window(i, j))].mean((1, 2))
            out[i, j] = a * guide[i, j] + b
    return out


def test_the_guided_filter_fits_a_line_in_every_window():
    guide, x = torch.rand(2, 2, 2, 7, 9, dtype=torch.float64).unbind(0)
    found = guided_filter(guide, x, 2, 0.01).numpy()
    for n in range(2):
        for c in range(2):
            wanted = slow_guided(guide[n, c].numpy(), x[n, c].numpy(), 2, 0.01)
            assert np.abs(found[n, c] - wanted).max() < 1e-12


def test_a_picture_along_itself_stays_without_eps_and_is_a_mean_with_much():
    x = torch.rand(1, 3, 12, 12, dtype=torch.float64)
    assert (guided_filter(x, x, 1, 0.0) - x).abs().max() < 1e-9
    assert (guided_filter(x, x, 1, 1e9) - box_mean(box_mean(x, 1), 1)).abs().max() < 1e-6


def test_a_change_that_goes_with_the_picture_is_drawn_along_a_larger_one():
    photo = torch.rand(1, 3, 24, 24, dtype=torch.float64)
    guide = torch.nn.functional.avg_pool2d(photo, 3)
    found = along_photo(photo, guide, 0.3 * guide - 0.1, 1, 0.0)
    # though the change knew eight pixels a side alone
    assert (found - (1.3 * photo - 0.1)).abs().max() < 1e-9
    change = torch.rand(1, 3, 24, 24, dtype=torch.float64)
    wanted = photo + guided_filter(photo, change, 1, 0.1)
    assert (along_photo(photo, photo, change, 1, 0.1) - wanted).abs().max() < 1e-12


def test_a_speck_that_the_picture_does_not_have_is_spread_and_edges_stay():
    photo = torch.zeros(1, 1, 24, 24, dtype=torch.float64)
    photo[..., 12:] = 1.0
    guide, change = photo[..., ::2, ::2], torch.zeros(1, 1, 12, 12, dtype=torch.float64)
    change[..., 5, 2] = 1.0  # a speck in the flat half
    change[..., 6:] = 0.5  # the whole of the other half
    found = along_photo(photo, guide, change, 1, 0.01)
    assert found[..., :8].max() < 0.2
    assert (found[..., 16:] - 1.5).abs().max() < 1e-2
    assert found[0, 0, 20, 12] - found[0, 0, 20, 11] > 1.3  # between two pixels, as in the photo


def test_a_photo_keeps_its_detail_through_a_change_of_light_and_loses_it_where_a_shape_has_moved():
    photo, before, large = torch.rand(3, 1, 3, 48, 48, dtype=torch.float64).unbind(0)
    guide, small = (torch.nn.functional.avg_pool2d(x, 2) for x in (photo, before))
    unchanged, at = changed_photo(photo, guide, small, small, large, 1, 0.01, 0.1)
    assert (unchanged - photo).abs().max() < 1e-12 and (at - guide).abs().max() < 1e-12
    darker = small + 0.3 * guide - 0.2  # a line of the photo: all of it, pixel by pixel
    found, at = changed_photo(photo, guide, small, darker, large, 1, 0.0, 0.1)
    assert (found - (1.3 * photo - 0.2)).abs().max() < 1e-9 and (at - (1.3 * guide - 0.2)).abs().max() < 1e-9
    moved = small.clone()
    moved[..., 8:16, 8:16] += 20 * torch.rand(1, 3, 8, 8, dtype=torch.float64)  # no line of anything
    found, at = changed_photo(photo, guide, small, moved, large, 1, 0.01, 0.1)
    assert (found - large)[..., 22:26, 22:26].abs().max() < 1e-4
    assert (at - moved)[..., 11:13, 11:13].abs().max() < 1e-4
    assert (found - photo)[..., :2, :].abs().max() < 1e-12  # far away the photo is as it was


def test_the_filter_has_the_gradient_of_its_formula():
    guide, x = torch.rand(2, 1, 1, 4, 5, dtype=torch.float64).requires_grad_(True).unbind(0)
    assert torch.autograd.gradcheck(lambda g, y: guided_filter(g, y, 1, 0.1), (guide, x))


def test_lab_of_the_primaries():
    # CIE L*a*b* of sRGB white, red, green, blue, black, as tables give them
    colours = torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]).T[None, :, :, None]
    wanted = [[100, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86], [0, 0, 0]]
    assert (lab(colours)[0, :, :, 0].T - torch.tensor(wanted)).abs().max() < 0.02


def test_means_are_those_of_a_loop():
    values, label = torch.rand(2, 3, 10), torch.randint(4, (2, 10))
    found = means(values, label, 5)
    for n in range(2):
        for k in range(5):
            inside = values[n][:, label[n] == k]
            wanted = inside.mean(1) if inside.numel() else torch.zeros(3)
            assert torch.allclose(found[n, :, k], wanted)


def test_flat_regions_off_the_grid_keep_their_colours():
    x = torch.full((1, 3, 32, 32), -0.8)
    x[:, 0, 5:27, 9:21] = 0.9  # borders where no border of the grid is
    x[:, 2, :, 25:] = 0.7
    assert (superpixels(x, 64) - x).abs().max() < 1e-6


def test_superpixels_are_few_colours_near_the_picture_and_keep_its_mean():
    x = load_pictures(["tests/fixtures/faces16.zip"], 48)[:2].float() / 127.5 - 1
    flat = superpixels(x, 64)
    for found, wanted in zip(flat, x, strict=True):
        colours = len(found.flatten(1).T.unique(dim=0))
        assert 40 < colours <= 64
        assert (found.mean((1, 2)) - wanted.mean((1, 2))).abs().max() < 1e-5
        squares = wanted.reshape(3, 8, 6, 8, 6).mean((2, 4))  # 64 of them
        grid = squares.repeat_interleave(6, 1).repeat_interleave(6, 2)
        assert (found - wanted).square().mean() < 0.7 * (grid - wanted).square().mean()
    fewer = superpixels(x, 25)
    assert (fewer - x).square().mean() > (flat - x).square().mean()
    assert torch.equal(superpixels(x[:1], 64), flat[:1])  # a picture does not depend on its batch
