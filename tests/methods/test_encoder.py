"""Training the encoder: it moves, resumes to the bit, and learns codes it can know."""

import pytest
import torch

from stylegan_toon.methods.encoder import Config, EncoderTraining
from stylegan_toon.stylegan2 import encoder as encoder_net
from stylegan_toon.stylegan2.config import Config as Network
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.training.loop import Run, train

NETWORK = Network(16, (8, 8, 8), 8, 8, 2)


def make(**changes):
    torch.manual_seed(5)
    g, d = Generator(NETWORK), Discriminator(NETWORK)
    encoder = encoder_net.Encoder(encoder_net.Config(16, (8, 8, 8), NETWORK.n_layers, 8, rank=16))
    encoder.start_from(d)
    settings = {"batch": 8, "identity_weight": 0.0} | changes
    return EncoderTraining(Config(**settings), encoder, g, d)


def stream(i):
    return {"photo": torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(i)) * 2 - 1}


def test_it_starts_from_the_discriminators_trunk_and_the_mean_code():
    method = make()
    _, d, _ = method._fixed
    for mine, theirs in zip(method.encoder.blocks.parameters(), d.blocks.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    method.encoder.w_mean.normal_()
    w_plus = method.encoder(torch.randn(2, 3, 40, 40))  # any size is brought to the encoder's
    torch.testing.assert_close(w_plus, method.encoder.w_mean.expand(2, NETWORK.n_layers, 8))


def test_only_the_encoder_moves():
    method = make()
    g, d, _ = method._fixed
    before = [p.clone() for n in (g, d) for p in n.parameters()]
    mine = {name: p.clone() for name, p in method.encoder.named_parameters()}
    optimizers = method.optimizers()
    for i in range(2):  # the head starts at zero, and hides the trunk from the first step
        method.step(stream(i), optimizers, i)
    assert all(
        torch.equal(a, p) for a, p in zip(before, (p for n in (g, d) for p in n.parameters()), strict=True)
    )
    still = [name for name, p in method.encoder.named_parameters() if torch.equal(mine[name], p)]
    assert not still


@pytest.mark.parametrize("parts", [0.0, 5.0])
def test_a_gap_at_the_mouth_counts_more_than_one_in_a_corner(parts):
    method, losses = make(parts=parts, feature_weight=0.0), []
    for rows, columns in ((slice(10, 14), slice(6, 10)), (slice(4), slice(4))):
        made, wanted = torch.zeros(2, 1, 3, 16, 16)
        made[..., rows, columns] = 1
        losses.append(float(method.comparisons(made, wanted, 1.0)["pixel"]))
    assert losses[0] / losses[1] == pytest.approx(1) if not parts else losses[0] > 2 * losses[1]


def test_three_steps_and_three_more_equal_six_to_the_bit(tmp_path):
    whole, first, second = make(), make(), make()
    for method, out, steps in ((whole, "a", 6), (first, "b", 3), (second, "b", 6)):
        run = Run(tmp_path / out, steps, 3, 100, 1, seed=3, quiet=True)
        train(method, stream, run, lambda i: {}, {})
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_it_learns_the_codes_of_drawn_pictures():
    method = make(lr=0.01, degrade=0.0)
    g = method._fixed[0]
    with torch.no_grad():
        w = g.mapping(torch.randn(64, 8, generator=torch.Generator().manual_seed(9)))
        pictures = g.synthesis(g.broadcast(w), "none")[-1].clamp(-1, 1)

    def gap():
        with torch.no_grad():
            return float((method.average(pictures) - w[:, None]).square().mean() / w.var(0).mean())

    before, optimizers = gap(), method.optimizers()
    for i in range(150):
        method.step(stream(i), optimizers, i)
    assert gap() < 0.5 * before, (before, gap())


def test_the_identity_loss_reaches_the_encoder():
    torch.manual_seed(0)
    projection = torch.randn(3 * 16 * 16, 4)
    method = make(identity_weight=1.0)
    g, d, _ = method._fixed
    method._fixed = (g, d, lambda x: (torch.nn.functional.normalize(x.flatten(1) @ projection), []))
    losses = method.step(stream(0), method.optimizers(), 0)
    assert 0 < float(losses["e/identity"]) < 2


def test_without_a_discriminator_features_are_those_of_look():
    torch.manual_seed(0)
    g, filters = Generator(NETWORK), torch.randn(4, 3, 3, 3)
    encoder = encoder_net.Encoder(encoder_net.Config(16, (8, 8, 8), NETWORK.n_layers, 8, rank=16))

    def look(x):
        maps = torch.nn.functional.conv2d(x, filters)
        return torch.nn.functional.normalize(maps.mean([2, 3])), [maps]

    method = EncoderTraining(Config(batch=8, degrade=0.0, lr=0.01), encoder, g, None, look)
    optimizers = method.optimizers()
    losses = [method.step(stream(0), optimizers, i) for i in range(30)]
    assert float(losses[-1]["e/feature"]) < 0.9 * float(losses[0]["e/feature"]) and "e/identity" in losses[0]
    blind = EncoderTraining(Config(batch=8), encoder, g, None)
    assert {"e/feature", "e/identity"}.isdisjoint(blind.step(stream(0), blind.optimizers(), 0))
