"""Two processes and one: the same gradients, ADA and average; methods and loop, without the command line."""

import os

import pytest
import torch
from torch.nn.functional import normalize
from torch.optim import SGD

from stylegan_toon.checkpoint.format import digest
from stylegan_toon.errors import UsageError
from stylegan_toon.methods.encoder import Config as EncoderConfig
from stylegan_toon.methods.encoder import EncoderTraining
from stylegan_toon.methods.expression import Expressions
from stylegan_toon.methods.freezesg import Config as FreezeConfig
from stylegan_toon.methods.freezesg import FreezeSG
from stylegan_toon.methods.gan import Gan, GanConfig
from stylegan_toon.methods.scratch import Scratch
from stylegan_toon.stylegan2 import encoder as encoder_net
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.edits import Edit
from stylegan_toon.stylegan2.encoder import Encoder
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.training import ranks
from stylegan_toon.training.loop import Run, train
from tests import tiny_clip
from tests.processes import together

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
NETWORK = Config(16, (8, 8, 8), 8, 8, 2)
ALL = {"r1_every": 1, "path_every": 1, "ada_p": 0.5, "mixing": 1.0}
KINDS = {
    "scratch": {"ada_images": 1000},
    "freezesg": {"structure_layers": 2, "freeze_mapping": False, "freeze_sg": 1},
    "near": {"structure_of": "features", "structure_layers": 1, "cdc_weight": 3.0, "l2sp_weight": 0.01},
    "photos": {"photo_codes": 1.0, "identity_weight": 1.0, "blend": 1},
    "moods": {"expression_weight": 1.0, "blend": 1},
    "paired": {"loss": "relativistic", "freeze_d": 1, "blend": 1},
}


def build(kind, batch):
    torch.manual_seed(5)
    g, d = Generator(NETWORK), Discriminator(NETWORK)
    with torch.no_grad():
        for block in g.synthesis.blocks:
            block.conv1.noise_strength.fill_(0.3)
    encoder = Encoder(encoder_net.Config(16, (8, 8, 8), NETWORK.n_layers, 8, rank=16))
    projection = torch.randn(3 * 16 * 16, 4)

    def look(x):
        return normalize(x.flatten(1) @ projection), []

    if kind == "encoder":
        for parameter in encoder.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)  # the head starts at zero
        return EncoderTraining(EncoderConfig(batch=2 * batch), encoder, g, d, look)
    if kind == "scratch":
        return Scratch(GanConfig(batch=batch, **ALL | KINDS[kind]), g, d)
    known = encoder_net.with_spread(encoder, torch.randn(9, NETWORK.n_layers, 8), 5)
    edit = Edit("sad", "mean", {"w": torch.randn(8), "s.blocks.1.conv0": torch.randn(8)}, 0.5)
    moods = Expressions(tiny_clip.clip(tiny_clip.MOODS), [edit])
    method = FreezeSG(FreezeConfig(batch=batch, **ALL | KINDS[kind]), g, d, known, look, expressions=moods)
    with torch.no_grad():  # so that what compares with the source is not 0
        for parameter in method.gan.g.parameters():
            parameter.add_(0.05)
    return method


class Kept(SGD):
    """An optimiser that keeps the gradient of every step, and makes none."""

    def step(self, closure=None):
        params = [p for group in self.param_groups for p in group["params"]]
        self.seen.append([None if p.grad is None else p.grad.clone() for p in params])


def gradients(kind, batch):
    """Those of every optimiser step in one step of the method: D, its penalty, G, path length; or encoder."""
    method, seen = build(kind, batch), []
    optimizers = {}
    for key, adam in method.optimizers().items():
        optimizers[key] = Kept(adam.param_groups, 0.01)
        optimizers[key].seen = seen
    torch.manual_seed(1)
    pictures = (torch.rand(batch, 3, 16, 16) * 2 - 1).to(memory_format=torch.channels_last)
    losses = method.step({"photo": pictures, "cartoon": pictures}, optimizers, 0)
    assert len(seen) == (1 if kind == "encoder" else 4)
    assert ("g/expression" in losses) == (kind == "moods")
    return seen, losses


def worst(found, wanted):
    """The largest relative difference, in norm, of any step's whole gradient and of any tensor in it.

    Tensors of one number are left to the whole: those are sums in which almost everything cancels.
    """
    gaps = []
    for a, b in zip(found, wanted, strict=True):
        assert [x is None for x in a] == [x is None for x in b]
        pairs = [(x.flatten(), y.flatten()) for x, y in zip(a, b, strict=True) if y is not None]
        whole = tuple(torch.cat(side) for side in zip(*pairs, strict=True))
        pairs = [whole, *(pair for pair in pairs if len(pair[0]) > 1)]
        gaps += [float((x - y).norm() / y.norm().clamp_min(1e-12)) for x, y in pairs]
    return max(gaps)


def of_several(kind, batch, folder, count=2, spoil=False):
    """gradients and losses, of each of count processes."""

    def work(rank):
        if spoil:  # cut in one piece, as one would without minibatch-stddev
            Gan.mine = lambda self, n: ranks.part(n)
        with ranks.joined("cpu"):
            torch.save(gradients(kind, batch), f"{rank}.pt")

    assert [one.code for one in together(work, folder, count)] == [0] * count
    return [torch.load(folder / f"{rank}.pt") for rank in range(count)]


@pytest.mark.parametrize(
    "kind, batch, count", [*((k, 8, 2) for k in KINDS), ("scratch", 6, 2), ("near", 12, 3), ("encoder", 5, 2)]
)
def test_gradients_of_several_processes_are_those_of_one(kind, batch, count, tmp_path):
    """With random noise, mixing and ADA; 3 pictures of path length and 5 photos are shared unevenly."""
    wanted, losses = gradients(kind, batch)
    first, *others = of_several(kind, batch, tmp_path, count)
    assert worst(first[0], wanted) < 1e-5
    for name, value in losses.items():
        assert float(first[1][name]) == pytest.approx(float(value), rel=1e-5, abs=1e-7), name
    for other in others:
        assert worst(other[0], first[0]) == 0.0


def test_pictures_cut_through_their_groups_would_show(tmp_path):
    assert worst(of_several("scratch", 8, tmp_path, spoil=True)[0][0], gradients("scratch", 8)[0]) > 1e-3


def stream(i):
    x = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(i)) * 2 - 1
    return {"photo": x, "cartoon": x}


def test_ada_average_and_all_else_are_equal_on_all_ranks_and_only_the_first_looks(tmp_path):
    def run_in(name):
        return Run(tmp_path / name, 5, 4, 3, 1, seed=3, quiet=True)

    def work(rank):
        looked = []
        with ranks.joined("cpu"):
            method = build("scratch", 8)
            train(method, stream, run_in("two"), lambda i: looked.append(i) or {}, {})
        (tmp_path / f"digest{rank}").write_text(digest("", {}, {}, method.state_dict()))
        (tmp_path / f"p{rank}").write_text(str(float(method.gan.augment.p)))
        assert looked == ([] if rank else [3, 5])

    ended = together(work, tmp_path)
    assert [one.code for one in ended] == [0, 0], ended
    texts = [[(tmp_path / f"{name}{rank}").read_text() for name in ("digest", "p")] for rank in range(2)]
    assert texts[0] == texts[1]
    method = build("scratch", 8)
    train(method, stream, run_in("one"), lambda i: {}, {})
    assert float(texts[0][1]) == float(method.gan.augment.p) not in (0.0, 0.5)
    one, two = ({p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*")} for n in ("one", "two"))
    assert one == two and len(one) == 6  # the folder state, two states, log, settings, lock


def test_parts_of_the_batch_and_processes_go_together(tmp_path):
    def work(rank):
        with ranks.joined("cpu"):
            method = build("scratch", 16)
            assert method.take_parts(2) and not method.take_parts(4)
            places = [method.gan.mine(16)[part] for part in method.gan.places(8)]
            torch.save(torch.stack(places), f"{rank}.pt")

    assert [one.code for one in together(work, tmp_path)] == [0, 0]
    shares = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    assert sorted(torch.cat(shares).flatten().tolist()) == list(range(16))
    groups = {tuple(column) for column in torch.arange(16).reshape(4, 4).T.tolist()}
    assert {tuple(sorted(part.tolist())) for share in shares for part in share} == groups


@pytest.mark.parametrize(
    "batch, count, use", [(10, 2, 16), (4, 2, 8), (12, 2, 16), (8, 3, 12)], ids=lambda value: str(value)
)
def test_a_batch_that_processes_cannot_share_evenly_is_refused_and_a_fitting_one_named(
    batch, count, use, monkeypatch
):
    monkeypatch.setattr(ranks, "world", lambda: count)
    with pytest.raises(UsageError, match=f"{count} processes cannot share evenly; use --batch {use}$"):
        build("scratch", batch)
    build("scratch", use)
