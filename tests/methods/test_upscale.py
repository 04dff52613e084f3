"""Training the upscaler: its reductions against NumPy, and the three questions to every method."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylegan_toon.methods.upscale import TAPS, Config, UpscalerTraining, reduce_by, reductions
from stylegan_toon.nn.upscaler import Config as Network
from stylegan_toon.nn.upscaler import Upscaler
from stylegan_toon.training.loop import Run, train


def make(**changes):
    torch.manual_seed(5)
    return UpscalerTraining(Config(**{"batch": 4, "patch": 32} | changes), Upscaler(Network(8, 1)))


def stream(i):
    draw = torch.Generator().manual_seed(i)
    coarse = torch.rand(4, 3, 8, 8, generator=draw) * 2 - 1
    return {"cartoon": F.interpolate(coarse, scale_factor=4).contiguous()}  # squares: edges to find


def test_reducing_by_hand_is_a_weighted_mean_of_twelve_pixels_each_way():
    draw = np.random.default_rng(0)
    pictures, kernels = draw.random((2, 3, 10, 14)), draw.random((2, TAPS))
    made = reduce_by(torch.tensor(pictures), torch.tensor(kernels)).numpy()
    padded = np.pad(pictures, ((0, 0), (0, 0), (5, 5), (5, 5)), mode="reflect")
    for n in range(2):
        for i in range(5):
            for j in range(7):
                part = padded[n, :, 2 * i : 2 * i + TAPS, 2 * j : 2 * j + TAPS]
                wanted = np.einsum("chw,h,w->c", part, kernels[n], kernels[n])
                np.testing.assert_allclose(made[n, :, i, j], wanted, rtol=1e-12)


def test_reductions_keep_the_mean_and_the_place_and_are_of_many_kinds():
    torch.manual_seed(0)
    kernels = reductions(3000, 0.9)
    assert kernels.shape == (3000, TAPS)
    torch.testing.assert_close(kernels.sum(1), torch.ones(3000))
    torch.testing.assert_close(kernels, kernels.flip(1))  # a ramp stays where it is
    x = (torch.arange(TAPS) - 5.5) / 2  # in small pixels
    spread = (kernels * x.square()).sum(1)
    assert 0.75 < float(spread.max()) ** 0.5 < 0.91  # the softest has a deviation of 0.9
    lobes = (kernels.cumsum(1) < -0.02).any(1).float().mean()  # they draw halos
    assert 0.2 < float(lobes) < 0.4
    soft = torch.exp(-(x / 0.4).square() / 2)
    assert float((kernels - soft / soft.sum()).abs().amax(1).min()) < 0.01  # plain Gaussians are among them


def test_what_the_network_sees_has_256_levels_and_other_noise_for_every_picture():
    method = make(noise=0.1)
    large = torch.zeros(4, 3, 32, 32)
    torch.manual_seed(1)
    small = method.reduce(large, 4, slice(None))
    levels = small * 127.5
    assert small.shape == (4, 3, 16, 16) and torch.equal(levels.round(), levels.round(decimals=3))
    assert len({round(float(part.std()), 6) for part in small}) == 4
    torch.manual_seed(1)  # a process that takes a part of the batch sees the same
    assert torch.equal(method.reduce(large[1:3], 4, slice(1, 3)), small[1:3])


def test_the_whole_network_moves_and_its_average_follows():
    method = make()
    before = {name: p.clone() for name, p in method.named_parameters()}
    optimizers = method.optimizers()
    for i in range(2):  # the last convolution starts at zero, and hides the others from the first step
        figures = method.step(stream(i), optimizers, i)
    assert set(figures) == {"g", "g/pixel", "g/step"}
    assert not [name for name, p in method.named_parameters() if torch.equal(before[name], p)]


def test_the_loss_is_that_of_one_doubling_of_even_pictures_and_of_two_of_odd_ones():
    method, large = make(step_weight=0.0, lr=1e-9), stream(0)["cartoon"]
    torch.nn.init.normal_(method.network.tail.weight, std=0.1)
    even, odd = torch.tensor([0, 2]), torch.tensor([1, 3])
    torch.manual_seed(8)
    with torch.no_grad():
        one = method.network(method.reduce(large[even], 4, even)) - large[even]
        half = large[odd].unflatten(3, (16, 2)).unflatten(2, (16, 2)).mean((3, 5))
        made = method.network(method.reduce(half, 4, odd))
        gaps = [one, made - half, method.network(made.clamp(-1, 1)) - large[odd]]
    torch.manual_seed(8)
    figures = method.step({"cartoon": large}, method.optimizers(), 0)
    wanted = sum(float(gap.abs().mean()) / 2 for gap in gaps)
    assert float(figures["g/pixel"]) == pytest.approx(wanted, rel=1e-5)


def test_three_steps_and_three_more_equal_six_to_the_bit(tmp_path):
    whole, first, second = make(), make(), make()
    for method, out, steps in ((whole, "a", 6), (first, "b", 3), (second, "b", 6)):
        run = Run(tmp_path / out, steps, 3, 100, 1, seed=3, quiet=True)
        train(method, stream, run, lambda i: {}, {})
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_it_learns_edges_that_bicubic_enlargement_blurs():
    method = make(lr=0.01, noise=0.0, blur=0.4)
    optimizers = method.optimizers()
    for i in range(80):
        torch.manual_seed(i)
        method.step(stream(i % 4), optimizers, i)
    large = stream(99)["cartoon"]  # not seen before
    torch.manual_seed(0)
    small = method.reduce(large, 4, slice(None))
    plain = F.interpolate(small, scale_factor=2, mode="bicubic")
    with torch.no_grad():
        gaps = [float((made - large).abs().mean()) for made in (method.average(small), plain)]
    assert gaps[0] < 0.6 * gaps[1]


def test_a_batch_comes_whole():
    assert make().take_parts(1) and not make().take_parts(2)


@pytest.mark.parametrize("count", [1, 7])
def test_reductions_are_drawn_for_any_number(count):
    assert reductions(count, 0.25).shape == (count, TAPS)
