"""For every test: one thread, a fixed seed; tests marked gpu are left out where there is no CUDA device."""

import os
import random
import signal
from pathlib import Path

import numpy
import pytest
import torch

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["STYLEGAN_TOON_MODELS"] = str(Path(__file__).with_name("no-models"))  # not the user's own


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Of -n auto: a process takes some 700 MB."""
    return min(os.cpu_count() or 1, 8)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    without = [item for item in items if item.get_closest_marker("gpu") is None]
    config.hook.pytest_deselected(items=[item for item in items if item not in without])
    items[:] = without


@pytest.fixture(autouse=True)
def seed() -> None:
    random.seed(0)
    numpy.random.seed(0)  # noqa: NPY002 - for libraries that still use the global generator
    torch.manual_seed(0)
