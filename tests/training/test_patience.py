"""A run ends when its figure falls no more: at the same step, however often it was stopped."""

import json

import pytest
import torch

from stylegan_toon.methods.gan import GanConfig
from stylegan_toon.methods.scratch import Scratch
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.training import log
from stylegan_toon.training.loop import Run, train
from stylegan_toon.training.state import newest_state, open_newest, state_digest, states

NETWORK = Config(8, (8, 8), 8, 8, 2)
FIGURES = {2: 5.0, 4: 3.0, 6: 3.5, 8: 3.0, 10: 1.0, 12: 0.5}  # by step


def run(out, steps=12, patience=2, save_every=5, figures=FIGURES):
    torch.manual_seed(5)
    method = Scratch(GanConfig(batch=4), Generator(NETWORK), Discriminator(NETWORK))

    def stream(i):
        return {"photo": torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(i)) * 2 - 1}

    looked = []

    def look(done):
        looked.append(done)
        return {"kid": figures[done]} if done in figures else {}

    settings = Run(out, steps, save_every, 2, log_every=1, seed=3, quiet=True, patience=patience)
    return train(method, stream, settings, look, {}), looked


def test_two_looks_that_are_not_lower_end_the_run_with_its_state_saved(tmp_path):
    assert run(tmp_path) == (8, [2, 4, 6, 8])
    assert newest_state(tmp_path).stem == "00000008"
    assert [entry["step"] for entry in log.entries(tmp_path) if "rate" in entry] == list(range(1, 9))


def test_an_ended_run_stays_ended_and_more_patience_goes_on(tmp_path):
    run(tmp_path)
    assert run(tmp_path) == (8, [8])
    assert run(tmp_path, patience=3) == (12, [8, 10, 12])
    assert run(tmp_path, patience=0)[0] == 12


@pytest.mark.parametrize("first", range(1, 8))
def test_a_run_in_two_parts_ends_where_one_ends(first, tmp_path):
    run(tmp_path / "whole")
    run(tmp_path / "parts", steps=first, figures={k: v for k, v in FIGURES.items() if k <= first})
    if first == 7:
        states(tmp_path / "parts")[0].unlink()  # killed after a look and before the next state
    assert run(tmp_path / "parts")[0] == 8
    a, b = (state_digest(open_newest(tmp_path / name)[1]) for name in ("whole", "parts"))
    assert a == b


def test_a_method_without_the_figure_never_ends_early(tmp_path):
    assert run(tmp_path, figures={})[0] == 12


@pytest.mark.parametrize(
    "values, looks, ends",
    [([3, 2, 1], 1, False), ([3, 3], 1, True), ([3, 2, 2.5, 2], 2, True), ([3, 2, 2.5], 2, False),
     ([], 1, False), ([1, 2, 3, 0.5], 3, False)],
)  # fmt: skip
def test_stuck_by_hand(values, looks, ends, tmp_path):
    for i, value in enumerate(values):
        log.log(tmp_path, {"step": i + 1, "rate": 1.0})
        log.log(tmp_path, {"step": i + 1, "kid": value})
    assert log.stuck(tmp_path, "kid", looks) is ends


def test_the_log_leaves_out_what_is_torn_and_is_cut_back_before_the_look_that_will_be_made_again(tmp_path):
    for step in (1, 2):
        log.log(tmp_path, {"step": step, "rate": 1.0})
        log.log(tmp_path, {"step": step, "kid": 1.0})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('[1]\n"step"\n{"step": "x"}\n{"kid": 3}\n{"step": 3, "ki')
    assert [entry["step"] for entry in log.entries(tmp_path)] == [1, 1, 2, 2]
    log.rewind(tmp_path, 2)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], "kid" in line) for line in lines] == [(1, False), (1, True), (2, False)]
