"""Two processes and one: UNIT, content invariance, CartoonGAN, both AnimeGANs and White-box step alike."""

import os

import pytest
import torch
from torch.optim import SGD

from stylegan_toon.training import ranks
from tests.methods.i2i.questions import stream
from tests.methods.i2i.test_cartoon_methods import METHODS, PHASED, make, phased, settings
from tests.processes import together

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def steps(name):
    """State and losses after three steps of gradient descent, the first of them of content alone where there
    is such a phase; in float64, since norms of few places make much of the rounding of sums.
    """
    more = {"batch": 3, "epoch": 3}  # which two processes share unevenly
    more |= {} if name in PHASED else {"lr": 0.02}  # these set it in every step
    more |= {"size": 16} if name == "unit" else {}
    config = (phased if name in PHASED else settings)(name, **more)
    method = make(config).double()
    batches, losses = stream(config), {}
    # AnimeGAN's losses weigh 300
    opt = {key: SGD(adam.param_groups, 0.0) for key, adam in method.optimizers().items()}
    for optimizer in opt.values():
        for group in optimizer.param_groups:
            group["lr"] = 1e-4 if name.startswith("anime") else 0.02
    for i in range(3):
        torch.manual_seed(i)
        batch = {key: value.double() for key, value in batches(i).items()}
        losses = method.step(batch, opt, i)
    return {"state": method.state_dict(), "losses": {key: float(value) for key, value in losses.items()}}


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_step_as_one(name, tmp_path):
    def work(rank):
        with ranks.joined("cpu"):
            torch.save(steps(name), f"{rank}.pt")

    one = steps(name)
    assert [ended.code for ended in together(work, tmp_path)] == [0, 0]
    a, b = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(a["state"][key], b["state"][key]) for key in a["state"])
    assert a["losses"] == b["losses"]
    torch.testing.assert_close(a["losses"], one["losses"], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(a["state"], one["state"], rtol=1e-4, atol=1e-5)
