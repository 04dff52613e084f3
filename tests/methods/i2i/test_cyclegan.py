"""CycleGAN: its sizes, its schedule, and the questions every method is asked."""

import pytest
import torch

from stylegan_toon.methods.i2i.cyclegan import Config, CycleGAN
from stylegan_toon.nn.patchgan import PatchGAN
from stylegan_toon.nn.resnet import ResnetGenerator
from tests.methods.i2i.questions import digests, learn, smooth, stream, unmoved

TINY = Config(size=32, width=4, d_width=4, blocks=1, pool_size=3, lr=2e-3)


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("blocks, numbers", [(9, 11_378_179), (6, 7_837_699)])
def test_a_generator_has_as_many_numbers_as_the_original(blocks, numbers):
    with torch.device("meta"):
        assert count(ResnetGenerator(64, blocks)) == numbers
        assert count(ResnetGenerator(64, 9, "batch")) == 11_383_427


def test_the_discriminator_has_as_many_numbers_and_scores_patches():
    with torch.device("meta"):
        d = PatchGAN()
        assert count(d) == 2_764_737 and d(torch.empty(1, 3, 256, 256)).shape == (1, 1, 30, 30)


def test_a_score_depends_on_a_patch_of_70_pixels():
    d = PatchGAN(2)
    d.model = torch.nn.Sequential(*(m for m in d.model if not isinstance(m, torch.nn.InstanceNorm2d)))
    x = torch.randn(1, 3, 128, 128, requires_grad=True)
    d(x)[0, 0, 7, 7].backward()
    seen = x.grad.abs().sum([0, 1]).nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [70, 70]


@pytest.mark.parametrize("loss", ["lsgan", "log"])
def test_all_networks_move_in_a_step(loss):
    config = Config(size=32, width=4, d_width=4, blocks=1, loss=loss)
    still = unmoved(CycleGAN(config), stream(config)(0))
    assert still == []


def test_it_learns_four_pictures():
    config = Config(size=32, width=8, d_width=4, blocks=1, batch=4, lr=2e-3)
    method = CycleGAN(config)
    losses = learn(method, stream(config), 60)
    assert losses[-1]["g/cycle"] < 0.45 * losses[0]["g/cycle"]
    photo = smooth(4, 32, 1)
    with torch.inference_mode():
        back = method.eval().back(method.translate(photo))
    grey = (photo - photo.mean()).abs().mean()  # what a flat picture is off by
    assert float((back - photo).abs().mean()) < 0.5 * float(grey)


def test_six_steps_are_three_and_three(tmp_path):
    assert len(digests(lambda: CycleGAN(TINY), stream(TINY), tmp_path)) == 1


def test_the_learning_rate_is_flat_and_then_falls():
    config = Config(size=32, width=4, d_width=4, blocks=1, epoch=2, epochs=2, decay_epochs=3)
    method, batches = CycleGAN(config), stream(config)
    opt, seen = method.optimizers(), []
    for i in range(config.steps + 2):
        method.step(batches(i), opt, i)
        seen.append(opt["g"].param_groups[0]["lr"] / config.lr)
        assert opt["d"].param_groups[0]["lr"] == opt["g"].param_groups[0]["lr"]
    assert seen == pytest.approx([1, 1, 1, 1, 0.75, 0.75, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25])


@pytest.mark.parametrize("size", [(37, 50), (4, 9), (32, 32), (1, 1)])
def test_it_translates_any_size(size):
    method = CycleGAN(TINY).eval()
    photo = torch.rand(1, 3, *size) * 2 - 1
    with torch.inference_mode():
        assert method.translate(photo).shape == photo.shape == method.back(photo).shape


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="multiple of 4"):
        Config(size=34)
    with pytest.raises(ValueError, match="32 px and more"):
        Config(size=16)
    with pytest.raises(ValueError, match="loss 'x' is none of lsgan, log"):
        Config(loss="x")
