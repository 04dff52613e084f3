"""Training in too little memory, through the command line, in a process whose address space ends there."""

import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch

from stylegan_toon.checkpoint.format import load
from stylegan_toon.device import free_buffers
from stylegan_toon.training.state import newest_state

ROOT = Path(__file__).parents[2]
RUN = """
import json, resource, sys
from pathlib import Path
from stylegan_toon.cli import cli
from stylegan_toon.cli.common import run

limit, call = json.loads(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
if code := run(cli, call, "stylegan-toon", "STYLEGAN_TOON"):
    sys.exit(code)
status = Path("/proc/self/status").read_text().splitlines()
print(next(line for line in status if line.startswith("VmPeak")).split()[1], file=sys.stderr)
"""


def train(limit, out, batch):
    """Train a step in a process of at most limit bytes: the exit code, the lines of stderr."""
    shape = "--steps 1 --resolution 64 --channels 16,16,16,16,16 --w-dim 16 --mapping-layers 2 --device cpu"
    call = ["train", "tests/fixtures/faces16.zip", "--out", str(out), "--batch", str(batch), *shape.split()]
    # One arena: those of other threads would each reserve 64 MB of address space, or not, as it happens.
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "TOON_DTYPE": "float32"}
    command = [sys.executable, "-c", RUN, json.dumps([limit, call])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=900)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS and /proc")
def test_a_run_with_room_for_less_than_its_batch_ends_with_the_batch_in_parts(tmp_path):
    # In a process each: what one leaves behind would count in the other.
    peaks = []
    for name, batch in (("half", 32), ("whole", 64)):
        code, said = train(1 << 40, tmp_path / name, batch)
        assert code == 0, said
        peaks += [int(line) << 10 for line in said if line.isdigit()]
    half, whole = peaks
    assert whole - half > 50 << 20
    code, said = train((half + whole) // 2, tmp_path / "run", 64)
    assert code == 0, said
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [entry["parts"] for entry in log if "parts" in entry] and log[-1]["step"] == 1
    assert any("out of memory at step 0: batches are taken in" in line for line in said)
    state = load(newest_state(tmp_path / "run"))
    assert state.meta["parts"] in (2, 4) and state.config["batch"] == 64


class Noted(torch.autograd.Function):
    """The identity; its graph holds the object it is given."""

    @staticmethod
    def forward(ctx, x, held):
        ctx.held = held
        return x * 1

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class Fails(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, gradient):
        raise MemoryError


def test_the_graph_of_a_backward_pass_that_failed_is_let_go():
    x, held = torch.ones(3, requires_grad=True), torch.nn.Identity()
    there = weakref.ref(held)
    y = Noted.apply(x, held) + Fails.apply(x)  # the later one is first in the way back
    with pytest.raises(MemoryError):
        y.sum().backward()
    del y, held
    free_buffers()
    assert there() is None
