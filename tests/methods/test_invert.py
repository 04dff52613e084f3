"""Optimising codes, noise and, round them, the generator: on generators' own pictures, whose codes exist."""

import copy
from itertools import pairwise, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylegan_toon.checkpoint.format import save
from stylegan_toon.exact import double
from stylegan_toon.losses.latent import part_mask
from stylegan_toon.methods.invert import (
    GRID,
    Inversion,
    feature_spread,
    gap,
    near_rate,
    rate,
    refine,
    tune,
    unusual,
)
from stylegan_toon.pipelines.models import load_generator
from stylegan_toon.stylegan2.adapters import style_checkpoint
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import unfold_shift

NETWORK = Config(16, (8, 8, 8), 8, 8, 2)


def made(strength=0.0):
    """A generator, pictures that it draws, and codes to start from."""
    torch.manual_seed(0)
    g = Generator(NETWORK).requires_grad_(False).eval()
    for name, parameter in g.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(strength)
    with torch.no_grad():
        wanted = g.synthesis(g.codes(torch.randn(2, 8)), "random")[-1].clamp(-1, 1)
        start = g.codes(torch.randn(2, 8)).clone()
    return g, wanted, start


def off(inversion, g, wanted):
    with torch.no_grad():
        return (inversion.draw(g) - wanted).square().mean([1, 2, 3])


def look(x):
    """A stand-in for a network: two projections of the pixels."""
    filters = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(1)).to(x.dtype)
    maps = F.conv2d(x, filters, stride=2)
    return F.normalize(maps.mean([2, 3])), [maps]


def test_the_rate_rises_and_falls():
    found = [rate(done) for done in (0.0, 0.025, 0.05, 0.5, 0.75, 0.875, 1.0)]
    assert found == pytest.approx([0, 0.5, 1, 1, 1, 0.5, 0])


def test_the_gap_by_hand_and_each_sample_alone():
    a, b = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    b[1] = 0.5
    none, pixels = gap(a, b, None, None).tolist()
    assert none == 0 and pixels == pytest.approx(0.5 + 0.5 * 0.25)  # L1 at three sizes, half the square
    c, d = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    both = gap(c, d, look, look(d))
    torch.testing.assert_close(both[1:], gap(c[1:], d[1:], look, look(d[1:])))
    assert (both > gap(c, d, None, None)).all()
    assert gap(d, d, look, look(d)).abs().max() < 1e-6


def test_a_gap_at_the_mouth_counts_more_than_one_in_a_corner():
    a, b = torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 32, 32)
    b[0, :, 22:26, 14:18], b[1, :, :4, :4] = 1, 1
    mouth, corner = (gap(a, b, None, None) - 0.5 * 16 / 32**2).tolist()  # without the squares
    assert mouth > 6 * corner


@pytest.mark.parametrize("space", ["w+", "w"])
def test_it_comes_nearer_and_w_is_one_code(space):
    g, wanted, start = made()
    found = refine(g, wanted, start, 40, look, space)
    begin = refine(g, wanted, start, 0, look, space)
    assert (off(found, g, wanted) < 0.7 * off(begin, g, wanted)).all()
    spread = (found.w_plus - found.w_plus[:, :1]).abs().max()
    assert (spread == 0) == (space == "w") and found.noise == []
    assert torch.equal(begin.w_plus, start if space == "w+" else start.mean(1, keepdim=True).expand_as(start))


def test_the_best_of_all_steps_is_kept_so_that_no_step_can_do_harm():
    g, wanted, start = made()
    wild = refine(g, wanted, start, 12, lr=1000.0)
    assert (
        gap(wild.draw(g), wanted, None, None) <= gap(Inversion(start, []).draw(g), wanted, None, None)
    ).all()


def test_more_steps_are_not_worse():
    g, wanted, start = made()
    losses = [gap(refine(g, wanted, start, n).draw(g), wanted, None, None) for n in (0, 10, 40)]
    assert all((b <= a).all() for a, b in pairwise(losses))


def test_noise_is_optimised_stays_white_and_is_left_out_where_it_changes_nothing():
    g, wanted, start = made(strength=0.5)
    with_noise, without = (refine(g, wanted, start, 40, noise=on) for on in (True, False))
    assert (off(with_noise, g, wanted) < off(without, g, wanted)).all()
    assert [m.shape for m in with_noise.noise] == [(2, 1, r, r) for r in (4, 8, 8, 16, 16)]
    for maps in with_noise.noise:
        assert maps.mean([2, 3]).abs().max() < 1e-5
        assert (maps.square().mean([2, 3]) - 1).abs().max() < 1e-4
    alone = refine(g, wanted[1:], start[1:], 40, noise=True)
    torch.testing.assert_close(alone.w_plus, with_noise.w_plus[1:], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(alone.noise[4], with_noise.noise[4][1:], atol=1e-2, rtol=1e-2)
    quiet, wanted, start = made()
    assert refine(quiet, wanted, start, 3, noise=True).noise == []


def test_in_float64_codes_stay_on_a_grid():
    g, wanted, start = made()
    found = refine(double(g), wanted.double(), start.double(), 5, space="f3/w+")
    assert found.w_plus.dtype == found.shift.dtype == torch.float64
    assert torch.equal(found.w_plus * GRID, (found.w_plus * GRID).round())
    steps = found.shift * GRID**2  # a place on the grid times a deviation on the grid
    assert torch.equal(steps, steps.round())


def test_features_shift_where_codes_do_not_reach():
    g, wanted, start = made()
    wanted = wanted.flip(3)  # no picture of this generator
    codes, both = (refine(g, wanted, start, 40, look, space) for space in ("w+", "f3/w+"))
    assert codes.shift is None and both.shift.shape == (2, *g.config.shift_shape) == (
        2,
        8 + 4 * 8 + 16 * 8,
        4,
        4,
    )
    assert (off(both, g, wanted) < 0.8 * off(codes, g, wanted)).all()
    alone = refine(g, wanted[1:], start[1:], 40, look, "f3/w+")
    torch.testing.assert_close(alone.shift, both.shift[1:], atol=1e-3, rtol=1e-3)
    one = refine(g, wanted, start, 40, look, "f/w+")
    assert one.shift.shape == (2, 8, 4, 4) and (off(both, g, wanted) < off(one, g, wanted)).all()
    assert refine(g, wanted, start, 0, look, "f3/w+").shift is None


def test_a_shift_is_added_to_the_features_of_its_resolution():
    g, _, start = made()
    for k, block in enumerate(g.synthesis.blocks):
        shift = torch.randn(2, 8, 4 << k, 4 << k)
        hook = block.conv1.register_forward_hook(lambda module, given, x, shift=shift: x + shift)
        with torch.no_grad():
            wanted = g.synthesis(start, "none")
        hook.remove()
        found = g.synthesis(start, "none", shift=shift)
        assert all(map(torch.equal, found, wanted))
        assert not torch.allclose(g.synthesis(start, "none")[-1], found[-1])
    with pytest.raises(ValueError, match="no resolution has features"):
        g.synthesis(start, "none", shift=torch.zeros(2, 7, 4, 4))


def test_a_shift_of_three_resolutions_is_added_to_the_features_of_each():
    g, _, start = made()
    parts, folded = [torch.randn(2, 8, 4 << k, 4 << k) for k in range(3)], []
    for k, part in enumerate(parts):
        times = 2**k
        flat = torch.zeros(2, 8 * times**2, 4, 4)
        for channel, y, x in product(range(8), range(4 * times), range(4 * times)):
            place = channel * times**2 + y % times * times + x % times
            flat[:, place, y // times, x // times] = part[:, channel, y, x]
        folded.append(flat)
    for count in (2, 3):
        hooks = [
            block.conv1.register_forward_hook(lambda module, given, x, part=part: x + part)
            for block, part in zip(g.synthesis.blocks, parts[:count], strict=False)
        ]
        with torch.no_grad():
            wanted = g.synthesis(start, "none")
        for hook in hooks:
            hook.remove()
        found = g.synthesis(start, "none", shift=torch.cat(folded[:count], 1))
        assert all(map(torch.equal, found, wanted))
    with pytest.raises(ValueError, match="no resolution has features"):  # there is none above the last
        g.synthesis(start, "none", shift=torch.zeros(2, 8 + 32, 16, 16))


def test_a_shift_of_the_lower_resolution_is_where_that_of_both_starts():
    g, wanted, start = made()
    low = torch.randn(2, 8, 4, 4)
    begun = refine(g, wanted, start, 1, look, "f3/w+", lr=0.0, shift=low)
    torch.testing.assert_close(begun.shift[:, :8], low)
    assert not begun.shift[:, 8:].any()


def test_a_shift_is_measured_in_the_deviations_of_channels_and_ends_where_the_face_does():
    g, _, _ = made()
    z = torch.randn(32, g.config.z_dim)
    unit = unfold_shift(g.config, feature_spread(g, z))
    with torch.no_grad():
        features = [features for features, _ in g.synthesis.run(g.codes(z), "none")]
    inside = part_mask(16)[0, 0].numpy()
    assert inside[7, 5] > 0.5 < inside[11, 7] and not inside[:5].any() and not inside[:, :3].any()
    for k, mask in enumerate((1.0, 1.0, inside)):
        deviation = features[k].double().numpy().std((0, 2, 3), ddof=1)[:, None, None] * mask
        wanted = np.broadcast_to(deviation, unit[k].shape[1:])
        np.testing.assert_allclose(unit[k][0].numpy(), wanted, rtol=1e-4, atol=1e-9)


def test_another_space_is_refused():
    g, wanted, start = made()
    with pytest.raises(ValueError, match=r"f3/w\+, f/w\+, w\+, w, not 'z'"):
        refine(g, wanted, start, 1, space="z")


@pytest.mark.parametrize("rank", [0, 2])
def test_tuning_comes_nearer_than_the_pivot_and_is_a_style_of_the_generator(rank, tmp_path):
    g, wanted, start = made()
    wanted = wanted.flip(3)  # no picture of this generator
    pivot = refine(g, wanted, start, 30)
    before = copy.deepcopy(g.state_dict())
    child = tune(g, wanted, pivot, 40, look, rank)
    assert (off(pivot, child, wanted) < 0.95 * off(pivot, g, wanted)).all()
    assert all(torch.equal(value, before[name]) for name, value in g.state_dict().items())
    parent = generator_checkpoint(g)
    save(tmp_path / "parent.safetensors", parent)
    save(tmp_path / "me.style.safetensors", style_checkpoint(child, parent, "parent", rank, 0, {}))
    loaded = load_generator(tmp_path / "me.style.safetensors")
    torch.testing.assert_close(pivot.draw(loaded), pivot.draw(child), atol=1e-4, rtol=1e-4)


def test_unusual_moves_are_those_of_the_inverse_covariance():
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.normal(size=(24, 24)))
    deviations = np.array([2.0, 1.0, 0.01])  # the last is below the least
    spread = torch.from_numpy((axes[:, :3] * deviations).T.reshape(3, 4, 6).copy())
    full = np.full(24, 0.1)
    full[:3] = np.maximum(deviations, 0.1)
    inverse = axes @ np.diag(full**-2) @ axes.T
    moves = rng.normal(size=(5, 4, 6))
    flat = moves.reshape(5, 24)
    wanted = np.einsum("ni,ij,nj->n", flat, inverse, flat) / 3
    np.testing.assert_allclose(unusual(torch.from_numpy(moves), spread, 0.1).numpy(), wanted, rtol=1e-9)
    nothing = unusual(torch.from_numpy(moves), torch.zeros(3, 4, 6, dtype=torch.float64), 0.1)
    np.testing.assert_allclose(nothing.numpy(), np.square(flat).sum(1) / 0.01 / 3, rtol=1e-9)


def test_with_the_usual_directions_codes_move_there():
    g, photos, start = made()
    direction = torch.zeros(1, *start.shape[1:])
    direction[0, 0, 0] = 1.0
    free = refine(g, photos, start, 30).w_plus - start
    held = refine(g, photos, start, 30, usual=direction).w_plus - start
    share = [float(m[:, 0, 0].square().sum() / m.square().sum()) for m in (free, held)]
    assert share[1] > 0.7 > 0.3 > share[0]


def test_steps_from_a_shift_of_all_resolutions_are_short_and_shorter_the_fewer_they_are():
    assert near_rate(400, False) == near_rate(1, False) == 0.05
    assert near_rate(400, True) == near_rate(24, True) == 0.012
    assert near_rate(8, True) == pytest.approx(0.004)
