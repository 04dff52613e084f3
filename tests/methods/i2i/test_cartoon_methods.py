"""UNIT, content invariance, CartoonGAN, both AnimeGANs and White-box: every network moves, a run resumes to the
bit, four pictures are learned by heart; and what is particular to each."""

import pytest
import torch
import torch.nn.functional as F

from stylegan_toon.data import load_pictures
from stylegan_toon.methods import TRANSLATORS
from stylegan_toon.training.loop import Run, train

TINY = {
    "unit": {"width": 4, "blocks": 1, "d_width": 4, "d_layers": 2, "scales": 2},
    "content-invariant": {"width": 4, "blocks": 1, "d_width": 4, "d_layers": 2, "scales": 2, "mlp": 8},
    "cartoongan": {"width": 4, "blocks": 1, "d_width": 4},
    "animegan": {"width": 4, "blocks": 1, "d_width": 4},
    "animeganv2": {"width": 4, "blocks": 1, "d_width": 4},
    "whitebox": {"width": 4, "blocks": 1, "d_width": 4, "superpixels": 16},
}
STARTS = {"cartoongan": "init_epochs", "animegan": "init_epochs", "animeganv2": "init_epochs",
          "whitebox": "init_iterations"}  # fmt: skip


def features(x, names):
    """Fixed filters at half of the size, a map for each name."""
    draw = torch.Generator().manual_seed(7)
    weight = torch.randn(8, 3, 3, 3, generator=draw)
    return [F.conv2d(x, weight, stride=2, padding=1) for _ in names]


def make(name, start=0, **changes):
    """start: steps of the first phase."""
    torch.manual_seed(5)
    config, cls = TRANSLATORS[name]
    settings = {"size": 32, "batch": 2, "epoch": 2, **TINY[name], **changes}
    if name in STARTS:
        settings[STARTS[name]] = start
    config = config(**settings)
    return cls(config, features) if "features" in config.wants else cls(config)


def pictures(n=4):
    found = [load_pictures([f"tests/fixtures/{z}16.zip"], 32)[:n] for z in ("faces", "storybook")]
    return dict(zip(("photo", "cartoon"), (x.float() / 127.5 - 1 for x in found), strict=True))


def stream(i):
    whole = pictures()
    return {key: x[torch.arange(2 * i, 2 * i + 2) % 4] for key, x in whole.items()}


@pytest.mark.parametrize("name", TINY)
def test_every_parameter_of_every_network_moves_in_a_step(name):
    method = make(name)
    before = {key: p.clone() for key, p in method.named_parameters()}
    losses = method.step(stream(0), method.optimizers(), 0)
    assert all(torch.isfinite(value) for value in losses.values()) and {"g", "d"} <= set(losses)
    still = [key for key, p in method.named_parameters() if torch.equal(before[key], p)]
    assert not still
    assert all(p.requires_grad for p in method.parameters())


@pytest.mark.parametrize("name", STARTS)
def test_at_first_the_generator_learns_alone_from_the_photo(name):
    method = make(name, start=1)
    before = {key: p.clone() for key, p in method.named_parameters()}
    optimizers = method.optimizers()
    first, second = (method.step(stream(i), optimizers, i) for i in range(2))
    assert set(first) == {"g", "g/photo" if name == "whitebox" else "g/content"} and "d" in second
    method = make(name, start=1)
    method.step(stream(0), method.optimizers(), 0)
    moved = {key.rpartition("anime.")[2][0] for key, p in method.named_parameters() if not p.equal(before[key])}
    assert moved == {"g"}


@pytest.mark.parametrize("name", TINY)
def test_three_steps_and_three_more_equal_six_to_the_bit(name, tmp_path):
    whole, first, second = (make(name, start=2) for _ in range(3))  # both phases, and from one into the other
    for method, out, steps in ((whole, "a", 6), (first, "b", 3), (second, "b", 6)):
        run = Run(tmp_path / out, steps, 3, 100, 1, seed=3, quiet=True)
        train(method, stream, run, lambda i: {}, {})
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


# How each is kept near the photo: the losses that must fall, and what it makes of a photo when they have.
LEARNED = {
    "unit": ({"lr": 5e-3, "width": 8}, ("g/recon", "g/cycle"), lambda m, x: m.g.a(x)[0]),
    "content-invariant": ({"lr": 5e-3, "width": 8}, ("g/recon",), lambda m, x: m.back(x)),
    "cartoongan": ({"lr": 5e-3, "width": 8}, ("g/content",), lambda m, x: m.translate(x)),
    "animegan": ({"init_lr": 5e-3, "width": 8}, ("g/content",), lambda m, x: m.translate(x)),
    "animeganv2": ({"init_lr": 5e-3, "width": 8}, ("g/content",), lambda m, x: m.translate(x)),
    "whitebox": ({"lr": 3e-3, "width": 8}, ("g/photo",), lambda m, x: m.translate(x)),
}
