"""Phases that are recorded and played: on a CPU by an emulation, which computes from the recorded places."""

import copy

import pytest
import torch

from stylegan_toon.methods.gan import GanConfig
from stylegan_toon.methods.scratch import Scratch
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.training.graphs import Player

NETWORK = Config(16, (8, 8, 8), 16, 16, 2)


class Emulation:
    """Nothing is computed while recording; a replay computes from the same tensors into the same figures."""

    def __init__(self):
        self.recorded = self.played = 0

    def __call__(self, call):
        self.recorded += 1
        figures = {}

        def replay():
            self.played += 1
            for name, value in call().items():
                figures.setdefault(name, value.clone()).copy_(value)

        return figures, replay


def stream(i, device="cpu"):
    draw = torch.Generator().manual_seed(100 + i)
    return {"photo": (torch.rand(4, 3, 16, 16, generator=draw) * 2 - 1).to(device)}


def pair(player, device="cpu", **settings):
    """Two trainings with the same beginning: one calls its steps, the other one has the player."""
    torch.manual_seed(3)
    networks = Generator(NETWORK), Discriminator(NETWORK)
    config = GanConfig(batch=4, r1_every=3, path_every=2, **settings)
    return [Scratch(config, *copy.deepcopy(networks), player=p).to(device) for p in (None, player)]


def run(method, steps, device="cpu"):
    optimizers, figures = method.optimizers(), []
    for i in range(steps):
        torch.manual_seed(i)
        losses = method.step(stream(i, device), optimizers, i)
        figures.append({name: float(value) for name, value in losses.items()})
    return figures


@pytest.mark.parametrize(
    "settings",
    [
        {"ada_p": 0.4},
        {"loss": "relativistic", "ada_p": 0.3, "ada_target": 0.0},
        {"noise_lr": 0.0, "mixing": 0.0},
    ],
    ids=["ada", "relativistic", "no noise"],
)
def test_played_steps_are_called_ones(settings):
    emulation = Emulation()
    called, played = pair(Player(emulation), **settings)
    assert run(called, 24) == run(played, 24)
    assert emulation.recorded >= 4 and emulation.played > 20  # D, D with R1, G, path
    theirs = called.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in played.state_dict().items())


def test_steps_that_differ_are_not_recorded():
    """While a block fades in, and where the batch is taken in parts."""
    emulation = Emulation()
    fading, _ = pair(None, fade_images=4 * 100)
    fading._player = Player(emulation)
    run(fading, 6)
    parted, _ = pair(None, mixing=0.0)
    parted._player = Player(emulation)
    parted.gan.parts = 2
    run(parted, 6)
    assert not emulation.recorded


def test_another_shape_is_another_record():
    emulation = Emulation()
    player = Player(emulation)

    def phase(x):
        return {"sum": sum(part.sum() for part in x)}

    for size in (2, 3, 2, 3, 2, 3, 2, 3, 2):
        x = [torch.full([size], 0.5), torch.ones(1)]
        assert float(player("p", phase, {"x": x}, ())["sum"]) == size / 2 + 1
    assert (emulation.recorded, emulation.played) == (2, 3)


@pytest.mark.gpu
def test_played_steps_on_a_gpu_are_near_called_ones():
    called, played = pair(Player(), "cuda", ada_p=0.4)
    for mine, theirs in zip(run(called, 24, "cuda"), run(played, 24, "cuda"), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-2, abs=1e-3)
    assert played._player._records
