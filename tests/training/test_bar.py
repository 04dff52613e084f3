"""What a person sees while a run trains: step, pictures, rate, time left, memory."""

import contextlib
import io
import mmap
import re

import torch

from stylegan_toon.device import memory_used
from stylegan_toon.methods.gan import GanConfig
from stylegan_toon.methods.scratch import Scratch
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.training.log import entries
from stylegan_toon.training.loop import Run, train


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_says_step_pictures_rate_time_left_and_memory(tmp_path, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    network = Config(8, (8, 8), 8, 8, 2)
    method = Scratch(GanConfig(batch=4), Generator(network), Discriminator(network))
    seen = Terminal()
    with contextlib.redirect_stderr(seen):
        train(
            method,
            lambda i: {"photo": torch.zeros(4, 3, 8, 8)},
            Run(tmp_path, 3, log_every=1),
            lambda i: {},
            {},
        )
    last = seen.getvalue().replace("\n", "\r").rstrip("\r").split("\r")[-1]
    pattern = r"3/3 \[\d\d:\d\d<00:00, .*(step/s|s/step), 12 pictures, \d+\.\d GB, d [\d.]+, g [\d.]+\]"
    assert re.search(pattern, last), last
    assert all(entry["memory_mb"] > 10 for entry in entries(tmp_path) if "rate" in entry)


def test_memory_grows_by_what_is_taken():
    before = memory_used()
    with mmap.mmap(-1, 20_000_000) as taken:  # pages that no allocator has kept
        taken.write(b"1" * 20_000_000)
        assert 15_000_000 < memory_used() - before < 200_000_000
