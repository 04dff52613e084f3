"""Two processes and one: translators step alike, and both processes remember the same."""

import os
from dataclasses import replace

import pytest
import torch
from torch.optim import SGD

from stylegan_toon.errors import UsageError
from stylegan_toon.methods.i2i import camgan, cyclegan, pix2pix, scgan
from stylegan_toon.pipelines.baseline import plan_baseline
from stylegan_toon.pipelines.domains import Sources
from stylegan_toon.training import ranks
from stylegan_toon.training.loop import Run
from tests.methods.i2i.questions import smooth, stream
from tests.processes import together

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
SMALL = {"size": 32, "batch": 3, "width": 4, "d_width": 4, "lr": 0.02}
PLAIN = {"norm": "instance", "dropout": False}  # what does not depend on who has which picture


def build(kind, **changes):
    torch.manual_seed(5)
    if kind == "pix2pix":
        return pix2pix.Pix2Pix(pix2pix.Config(**SMALL | changes))
    if kind == "scgan":
        return scgan.ScGAN(scgan.Config(**SMALL, pool_size=4), lambda x, names: [x * x])
    module, cls = {"cyclegan": (cyclegan, cyclegan.CycleGAN), "camgan": (camgan, camgan.Camgan)}[kind]
    config = module.Config(**SMALL, pool_size=4)
    return cls(replace(config, blocks=1) if kind == "cyclegan" else config)


def steps(kind, **changes):
    """State and losses after three steps of gradient descent, in which the pools fill; in float64, since
    instance norms of few places make much of the rounding of sums."""
    method = build(kind, **changes).double()
    batches = stream(method.config, regions=smooth(4, 32, 7).sign())
    opt = {key: SGD(adam.param_groups, 0.1) for key, adam in method.optimizers().items()}
    losses = {}
    for i in range(3):
        torch.manual_seed(i)
        losses = method.step({key: value.double() for key, value in batches(i).items()}, opt, i)
    return {"state": method.state_dict(), "losses": {key: float(value) for key, value in losses.items()}}


def of_two(folder, kind, **changes):
    def work(rank):
        with ranks.joined("cpu"):
            torch.save(steps(kind, **changes), f"{rank}.pt")

    assert [one.code for one in together(work, folder)] == [0, 0]
    a, b = (torch.load(folder / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(a["state"][key], b["state"][key]) for key in a["state"])
    assert a["losses"] == b["losses"]
    return a


@pytest.mark.parametrize("kind", ["cyclegan", "camgan", "scgan", "pix2pix"])
def test_two_processes_step_as_one(kind, tmp_path):
    changes = PLAIN if kind == "pix2pix" else {}
    one, two = steps(kind, **changes), of_two(tmp_path, kind, **changes)
    torch.testing.assert_close(two["losses"], one["losses"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(two["state"], one["state"], rtol=1e-4, atol=1e-5)


def test_running_statistics_are_the_mean_of_both(tmp_path):
    state = of_two(tmp_path, "pix2pix", dropout=False)["state"]
    assert any(key.endswith("running_var") and bool((value != 1).all()) for key, value in state.items())


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "world", lambda: 2)
    with pytest.raises(UsageError, match="a batch of 1 cannot be shared by 2 processes; use --batch 2"):
        plan_baseline("cyclegan", cyclegan.Config(), Sources(), Run(tmp_path, 1))
