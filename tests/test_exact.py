"""Float64 for the same bytes everywhere: random numbers, networks, and processes that differ."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan_toon.exact import double, normal
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.generator import Generator

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "shape", [(8,), (16,), (17,), (512,), (3, 5), (6, 5), (1, 1, 9, 9), (1024, 8)], ids=str
)
def test_exact_numbers_are_those_of_randn_and_leave_the_generator_where_it_leaves_it(shape):
    a, b = (torch.Generator().manual_seed(5) for _ in "ab")
    plain, exact = torch.randn(*shape, generator=a), normal(shape, b, exact=True)
    assert exact.dtype == torch.float64 and exact.shape == plain.shape
    torch.testing.assert_close(exact, plain.double(), rtol=0, atol=3e-6)
    assert torch.equal(torch.rand(4, generator=a), torch.rand(4, generator=b))
    assert torch.equal(normal(shape, torch.Generator().manual_seed(5)), plain)


def test_exact_numbers_are_box_muller_in_float64():
    u = torch.rand(32, generator=torch.Generator().manual_seed(9)).double().numpy().reshape(2, 2, 8)
    radius = np.sqrt(-2 * np.log(1 - u[:, 0]))
    wanted = np.stack([radius * np.cos(2 * np.pi * u[:, 1]), radius * np.sin(2 * np.pi * u[:, 1])], 1)
    found = normal([4, 8], torch.Generator().manual_seed(9), exact=True)
    np.testing.assert_allclose(found.numpy().ravel(), wanted.ravel(), rtol=1e-13)


def test_a_network_in_float64_computes_in_float64_throughout():
    g = Generator(Config(16, (6, 5, 4), z_dim=8, w_dim=8, mapping_layers=2)).eval()
    z = torch.randn(2, 8)
    with torch.no_grad():
        single = g(z, 0.7, "const")
        exact = double(g)(z.double(), 0.7, "const")
        torch.set_num_threads(1)
        alone = g(z[1:].double(), 0.7, "const")
    assert exact.dtype == torch.float64
    torch.testing.assert_close(exact.float(), single, rtol=1e-4, atol=1e-5)
    assert (exact - single).abs().max() > 0  # no float32 on the way
    assert (exact[1:] - alone).abs().max() < 1e-12


def test_pictures_have_the_same_bytes_on_the_oldest_processor_with_two_threads_and_another_batch(tmp_path):
    """The shipped models, in two processes, one of which is told to use the oldest instruction set."""
    command = [sys.executable, "benchmarks/exact.py", "samples/nasa_astronaut.png",
               "--mode", "exact", "--cases", "2", "--refine", "1", "--seeds", "0-2",
               "--out", str(tmp_path / "found.json")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 digest(s)" in done.stdout and (tmp_path / "found.json").is_file()
