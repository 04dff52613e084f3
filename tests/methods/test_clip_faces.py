"""Training the small text model: every weight moves, it overfits a batch, and it resumes to the bit."""

from pathlib import Path

import torch

from stylegan_toon.features.clip import CLIP
from stylegan_toon.features.clip import Config as Network
from stylegan_toon.methods.clip_faces import ClipTraining, Config
from stylegan_toon.training.loop import Run, train

NETWORK = Network(
    embed=16, size=16, patch=8, width=64, layers=1, text_width=64, text_layers=1, context=8, tokens=12
)


def make(**changes) -> ClipTraining:
    torch.manual_seed(5)
    settings = {"sizes": (3, 2), "weights": (1.0, 0.5), "batch": 6, "steps": 50, "warmup": 2} | changes
    return ClipTraining(Config(**settings), CLIP(NETWORK))


def batch(i: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(i)
    text = torch.randint(1, 11, (5 + 6, 6), generator=draw)
    text[:, 5] = 11
    return {
        "picture": torch.rand(6, 3, 16, 16, generator=draw) * 2 - 1,
        "label": torch.tensor([[0, 1], [1, -1], [2, 0], [-1, 0], [0, 0], [1, 1]]),
        "text": text,
        "wrong": ~torch.eye(6, dtype=torch.bool),
    }


def test_every_weight_moves_and_the_average_follows() -> None:
    method = make()
    before = {name: p.clone() for name, p in method.named_parameters()}
    optimizers = method.optimizers()
    for i in range(2):
        method.step(batch(i), optimizers, i)
    unread = {"net.positional_embedding", "average.positional_embedding"}  # its last places
    still = [
        name for name, p in method.named_parameters() if name not in unread and torch.equal(before[name], p)
    ]
    assert not still
    assert not torch.equal(method.net.positional_embedding[:6], before["net.positional_embedding"][:6])


def test_it_learns_one_batch_by_heart() -> None:
    method = make(lr=0.003, ema=0.5, decay=0.0)
    optimizers = method.optimizers()
    losses = [float(method.step(batch(0), optimizers, i)["loss"]) for i in range(50)]
    assert losses[-1] < 0.2 < 1.5 < losses[0]


def test_three_steps_and_three_more_equal_six_to_the_bit(tmp_path: Path) -> None:
    whole, first, second = make(), make(), make()
    for method, out, steps in ((whole, "a", 6), (first, "b", 3), (second, "b", 6)):
        train(method, batch, Run(tmp_path / out, steps, 3, 100, 1, seed=3, quiet=True), lambda i: {}, {})
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_the_rate_rises_and_falls() -> None:
    method = make(steps=100, warmup=10, lr=1.0)
    assert [round(method.rate(i), 3) for i in (0, 4, 50, 100, 200)] == [0.1, 0.498, 0.5, 0.0, 0.0]
