"""Losses against numbers worked by hand and float64 NumPy."""

import math

import numpy as np
import pytest
import torch

from stylegan_toon.losses.adversarial import logistic_d, logistic_g, relativistic_d, relativistic_g
from stylegan_toon.losses.correspondence import correspondence_loss
from stylegan_toon.losses.identity import identity_loss
from stylegan_toon.losses.latent import feature_l1, offset_loss, part_weights, pyramid_l1, step_l1
from stylegan_toon.losses.perceptual import map_distance, unit_maps
from stylegan_toon.losses.regularize import l2_sp, noise_penalty, path_length_penalty, r1_penalty
from stylegan_toon.losses.structure import lowpass_loss, structure_loss


def test_logistic_losses_by_hand():
    zero = torch.zeros(3)
    assert float(logistic_d(zero, zero)) == pytest.approx(2 * math.log(2), rel=1e-6)
    scores = torch.tensor([1.0, -2.0])
    wanted = np.mean([np.log1p(np.exp(-1.0)), np.log1p(np.exp(2.0))])
    assert float(logistic_g(scores)) == pytest.approx(wanted, rel=1e-6)
    saturating = np.mean([np.log(1 - 1 / (1 + np.exp(-s))) for s in (1.0, -2.0)])
    assert float(logistic_g(scores, saturating=True)) == pytest.approx(saturating, rel=1e-6)


def test_relativistic_losses_by_hand_look_at_differences_of_pairs_alone():
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.0])
    wanted_d = (math.log1p(math.exp(-1.5)) + math.log1p(math.exp(2.0))) / 2
    wanted_g = (math.log1p(math.exp(1.5)) + math.log1p(math.exp(-2.0))) / 2
    for shift in (0.0, 7.0):
        assert float(relativistic_d(real + shift, fake + shift)) == pytest.approx(wanted_d, rel=1e-6)
        assert float(relativistic_g(real + shift, fake + shift)) == pytest.approx(wanted_g, rel=1e-6)
    assert float(relativistic_d(real.flip(0), fake)) != pytest.approx(wanted_d)
    fake.requires_grad_()
    relativistic_g(real, fake).backward()  # -sigmoid(D(x) - D(G(z))) / 2
    assert fake.grad.tolist() == pytest.approx([-0.5 / (1 + math.exp(-1.5)), -0.5 / (1 + math.exp(2.0))])


def test_l2_sp_by_hand():
    weights = [torch.tensor([1.0, 2.0], requires_grad=True), torch.full((2, 2), 3.0, requires_grad=True)]
    starts = [torch.tensor([0.0, 4.0], requires_grad=True), torch.full((2, 2), 3.0)]
    loss = l2_sp(iter(weights), iter(starts))
    assert loss.item() == 2.5
    loss.backward()
    assert weights[0].grad.tolist() == [1.0, -2.0] and starts[0].grad is None
    assert (weights[1].grad == 0).all()


def numpy_correspondence(child, source, group):
    """Picture by picture, from the formulas; group members stand N / group apart."""
    terms = []
    for layer_c, layer_s in zip(child, source, strict=True):
        flat = [x.reshape(len(x), -1).astype(np.float64) for x in (layer_c, layer_s)]
        unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in flat]
        n = len(unit[0])
        apart = n // group
        for i in range(n):
            others = [i % apart + k * apart for k in range(group) if i % apart + k * apart != i]
            e_p, e_q = (np.exp([x[i] @ x[j] for j in others]) for x in unit)
            p, q = e_p / e_p.sum(), e_q / e_q.sum()
            terms.append((p * np.log(p / q)).sum())
    return np.mean(terms)


@pytest.mark.parametrize("n, group", [(4, 4), (8, 4), (9, 3)])
def test_correspondence_is_the_kl_of_softmaxed_cosines(n, group):
    child = [torch.randn(n, 3, 4, 4, requires_grad=True), torch.randn(n, 2, 8, 8)]
    source = [torch.randn(n, 3, 4, 4, requires_grad=True), torch.randn(n, 2, 8, 8)]
    loss = correspondence_loss(child, source, group)
    arrays = ([x.detach().numpy() for x in side] for side in (child, source))
    assert loss.item() == pytest.approx(numpy_correspondence(*arrays, group), rel=1e-4)
    assert loss.item() > 0
    loss.backward()
    assert child[0].grad.abs().sum() > 0 and source[0].grad is None
    same = [x.detach() for x in child]
    assert correspondence_loss(child, same, group).item() == 0


@pytest.mark.parametrize("n, group", [(4, 2), (8, 3)])
def test_correspondence_without_whole_groups_of_three_is_refused(n, group):
    with pytest.raises(ValueError, match="groups of 3 or more"):
        correspondence_loss([torch.randn(n, 2)], [torch.randn(n, 2)], group)


def test_r1_of_a_quadratic_is_known():
    x = torch.randn(5, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty((x.square().sum([1, 2, 3]) * 3), x)  # gradient 6x, half its square is 18 x^2
    wanted = 18 * (x.detach().numpy() ** 2).sum((1, 2, 3)).mean()
    assert penalty.item() == pytest.approx(wanted, rel=1e-6)


def test_path_length_of_a_scaled_copy_is_its_scale():
    """Pictures that are c * w: the length of J^T y is c |y| per layer; y has unit mean square per pixel."""
    torch.manual_seed(0)
    w = torch.randn(4, 1, 3 * 64 * 64, requires_grad=True)
    penalty, mean = path_length_penalty((2.5 * w).reshape(4, 3, 64, 64), w, torch.tensor(0.0), decay=1.0)
    assert float(mean) == pytest.approx(2.5 * math.sqrt(3), rel=0.02)
    assert penalty.item() < 0.01


def test_path_mean_moves_by_its_decay():
    w = torch.randn(2, 1, 3 * 8 * 8, requires_grad=True)
    torch.manual_seed(1)
    _, full = path_length_penalty(w.reshape(2, 3, 8, 8), w, torch.tensor(0.0), decay=1.0)
    torch.manual_seed(1)
    _, part = path_length_penalty(w.reshape(2, 3, 8, 8), w, torch.tensor(3.0), decay=0.25)
    assert float(part) == pytest.approx(3 + 0.25 * (float(full) - 3), rel=1e-6)


def test_structure_loss_by_hand_and_without_gradient_to_the_source():
    target = [torch.full((2, 3, 4, 4), 1.0, requires_grad=True), torch.full((2, 3, 8, 8), 5.0)]
    source = [torch.full((2, 3, 4, 4), 3.0, requires_grad=True), torch.full((2, 3, 8, 8), 2.0)]
    assert structure_loss(target, source, 1).item() == 4.0
    loss = structure_loss(target, source, 2)
    assert loss.item() == 13.0
    loss.backward()
    assert target[0].grad is not None and source[0].grad is None
    with pytest.raises(ValueError, match="n_layers=3"):
        structure_loss(target, source, 3)


def test_what_passes_low_is_compared_at_a_quarter_of_the_size():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 2, 3, 16, 16))
    small = [x.reshape(2, 3, 4, 4, 4, 4).mean((3, 5)) for x in (a, b)]
    mine, theirs = (torch.tensor(x, requires_grad=True) for x in (a, b))
    loss = lowpass_loss(mine, theirs)
    assert loss.item() == pytest.approx(np.square(small[0] - small[1]).mean(), rel=1e-6)
    loss.backward()
    assert theirs.grad is None and mine.grad.abs().min() > 0
    checks = torch.ones(1, 3, 16, 16)
    checks[..., ::2] = -1
    assert lowpass_loss(checks, torch.zeros_like(checks)).item() == 0, "finer than a quarter"
    assert lowpass_loss(checks, torch.zeros_like(checks), 1).item() == 1
    with pytest.raises(ValueError, match="16 px cannot be compared at 1/3"):
        lowpass_loss(mine, theirs, 3)


def test_code_and_picture_losses_by_hand():
    assert float(offset_loss(torch.randn(3, 1, 8).expand(3, 5, 8))) == pytest.approx(0, abs=1e-12)
    assert float(offset_loss(torch.tensor([[[1.0], [3.0]]]))) == 1.0
    a, b = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    b[..., ::2] = -1  # averages to zero at half size: 1 at full size, 0 below
    assert float(pyramid_l1(a, b)) == pytest.approx(1 / 3)
    assert float(feature_l1([torch.full((1, 2), 3.0)], [torch.full((1, 2), 2.0)])) == pytest.approx(0.5)
    unit = torch.eye(3)
    assert float(identity_loss(unit, unit)) == 0 and float(identity_loss(unit, unit.roll(1, 0))) == 1


def test_eyes_and_mouth_count_more_and_all_places_as_much_as_one_on_average():
    """The places against those that align() puts YuNet's points at, as its docstring has them."""
    weights = part_weights(64, 3.0)[0, 0]
    assert float(weights.mean()) == pytest.approx(1, abs=1e-12) and float(weights.min()) > 0
    least = float(weights.min())
    for x, y in ((0.375, 0.472), (0.625, 0.472), (0.5, 0.73)):
        assert float(weights[round(y * 64), round(x * 64)]) > 3.5 * least
    for x, y in ((0.5, 0.2), (0.5, 0.6), (0.1, 0.5), (0.5, 0.9)):  # hair, nose, background, chin
        assert float(weights[round(y * 64), round(x * 64)]) == least
    assert torch.equal(part_weights(64, 0.0), torch.ones(1, 1, 64, 64).double())


def test_a_weighted_pyramid_by_a_loop_in_numpy():
    rng = np.random.default_rng(0)
    a, b, weights = (rng.uniform(-1, 1, (1, c, 8, 8)) for c in (3, 3, 1))

    def halved(x):
        return x.reshape(1, x.shape[1], x.shape[2] // 2, 2, x.shape[3] // 2, 2).mean((3, 5))

    wanted, x, y, w = [], a, b, np.abs(weights)
    for _ in range(3):
        wanted.append((np.abs(x - y) * w).mean())
        x, y, w = halved(x), halved(y), halved(w)
    given = (torch.from_numpy(v) for v in (a, b))
    found = pyramid_l1(*given, weights=torch.from_numpy(np.abs(weights)))
    assert float(found) == pytest.approx(np.mean(wanted), rel=1e-12)


def test_the_perceptual_distance_by_hand_and_its_gradient_where_there_are_no_features():
    a = unit_maps(torch.tensor([[3.0, 0.0], [4.0, 0.0]])[None, :, None])  # (0.6, 0.8) and nothing
    assert a.flatten().tolist() == pytest.approx([0.6, 0, 0.8, 0])
    b = unit_maps(torch.tensor([[0.0, 5.0], [1.0, 0.0]])[None, :, None])
    wanted = ((0.6**2 + 0.2**2) + 1) / 2
    assert map_distance([a], [b]).tolist() == pytest.approx([wanted])
    assert map_distance([a, 2 * a], [b, 2 * b]).tolist() == pytest.approx([5 * wanted])
    x = torch.zeros(1, 2, 3, 3, requires_grad=True)
    map_distance([unit_maps(x)], [torch.ones(1, 2, 3, 3)]).sum().backward()
    assert torch.isfinite(x.grad).all()
    x = torch.randn(1, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    y = torch.randn(1, 2, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: map_distance([unit_maps(x)], [y]), (x,))


def test_the_noise_penalty_equals_numpy_and_is_small_for_white_noise():
    maps = [torch.randn(2, 1, r, r, dtype=torch.float64) for r in (4, 8, 32)]

    def in_numpy(x):
        terms = [(x * np.roll(x, 1, axis)).mean() ** 2 for axis in (0, 1)]
        n = len(x)
        return sum(terms) + (in_numpy(x.reshape(n // 2, 2, n // 2, 2).mean((1, 3)) * 2) if n > 8 else 0)

    wanted = [sum(in_numpy(m[i, 0].numpy()) for m in maps) for i in range(2)]
    assert noise_penalty(maps).tolist() == pytest.approx(wanted, rel=1e-12)
    waves = torch.ones(1, 1, 32, 32)
    assert float(noise_penalty([waves])) > 1 > 0.2 > float(noise_penalty([torch.randn(1, 1, 32, 32)]))
    assert torch.autograd.gradcheck(lambda x: noise_penalty([x]), (maps[1].requires_grad_(),))


def test_the_loss_of_steps_sees_edges_and_no_constant():
    edge = torch.zeros(1, 1, 2, 3)
    edge[..., 2] = 1  # two steps of 1 among four across, none among three down
    assert float(step_l1(edge, torch.zeros_like(edge))) == pytest.approx((2 / 4 + 0) / 2)
    a, b = np.random.default_rng(0).normal(size=(2, 2, 3, 5, 6))
    wanted = (np.abs(np.diff(a - b, axis=3)).mean() + np.abs(np.diff(a - b, axis=2)).mean()) / 2
    for shift in (0.0, 3.0):
        assert float(step_l1(torch.tensor(a) + shift, torch.tensor(b))) == pytest.approx(wanted, rel=1e-12)
