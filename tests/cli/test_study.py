"""study as a person types it: cells, going on, the report, and what it refuses."""

import json

import pytest
import torch

from stylegan_toon.stylegan2.config import Config
from tests.cli.test_finetune import CPU, write
from tests.cli.test_training import FACES, STORYBOOK, done, toon

RUN = ("--source", "small.safetensors", "--photos", FACES, "--target", f"drawn={STORYBOOK}", "--count", "6",
       "--steps", "20", "--batch", "2", "--samples", "10", "--arm", "naive", "--arm", "freezesg-structure",
       *CPU)  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    torch.manual_seed(2)
    write(folder / "small.safetensors", Config(32, (8, 8, 8, 8), 16, 16, 2))
    done("study", "out", *RUN, "--seeds", "1", cwd=folder)
    return folder


def test_every_cell_is_a_file_with_a_curve(ran):
    cells = {path.stem: json.loads(path.read_text()) for path in (ran / "out" / "cells").glob("*.json")}
    assert cells.keys() == {"drawn-6-naive-0", "drawn-6-freezesg-structure-0"}
    naive, ours = cells["drawn-6-naive-0"], cells["drawn-6-freezesg-structure-0"]
    assert [point["step"] for point in naive["curve"]] == [1, 2, 4, 8, 14, 20]
    assert naive["trained_parameters_g"] > ours["trained_parameters_g"] and naive["reference"] == 10
    assert naive["method"]["freeze_sg"] == 0 and not naive["method"]["freeze_mapping"]
    assert ours["method"]["freeze_sg"] == 2 and ours["method"]["structure_weight"] == 1
    last = naive["curve"][-1]
    assert last["kid"].keys() == {"mobileface", "emotion", "untrained"} == last["kid_interval"].keys()
    assert -1 <= last["edge_ssim"] < 1 and last["w_drift"] > 0
    control = json.loads((ran / "out" / "controls" / "drawn.json").read_text())
    assert control["source"]["edge_ssim"] == pytest.approx(1)
    assert control["source"]["layout"] == pytest.approx(1, abs=0.02)  # a cell that never varies counts as 0
    assert control["shuffled"]["edge_ssim"] < 1 and control["pool"] == 16
    assert not any((ran / "out" / "work").iterdir())
    assert (ran / "out" / "grids" / "drawn-6-naive-0.png").is_file()


def test_a_study_goes_on_where_it_was_and_keeps_its_results(ran):
    before = (ran / "out/cells/drawn-6-naive-0.json").read_bytes()
    code, _, said = toon("study", "out", *RUN, "--seeds", "1", cwd=ran)
    assert code == 2 and "--resume" in said
    (ran / "out/cells/drawn-6-freezesg-structure-0.json").unlink()
    code, _, said = toon("study", "out", *RUN, "--seeds", "1", "--resume", "--report", "r/study.md", cwd=ran)
    assert code == 0 and "drawn-6-freezesg-structure-0, 2 of 2" in said and "naive-0, 1 of 2" not in said
    assert (ran / "out/cells/drawn-6-naive-0.json").read_bytes() == before
    assert "| naive |" in (ran / "r/study.md").read_text() and (ran / "r/images/study-drawn-6.svg").is_file()


@pytest.mark.parametrize(
    "options, code, text",
    [
        ((), 2, "nothing to do"),
        (("--target", "a=b.zip"), 2, "--source"),
        (("--target", "a=b.zip", "--source", "small.safetensors", "--photos", FACES), 3, "b.zip"),
        (("--target", "a/b=c.zip", "--source", "s", "--photos", FACES), 2, "NAME=PICTURES"),
        (("--target", f"a={STORYBOOK}", "--source", "small.safetensors", "--photos", FACES), 3, "too few"),
        (("--target", f"a={STORYBOOK}", "--source", "small.safetensors", "--photos", FACES, "--arm", "x"), 2,
         "no way called 'x'"),
        (("--report", "x.md"), 3, "holds no results"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(ran, options, code, text):
    found, _, said = toon("study", "other", *options, *CPU, "--samples", "10", cwd=ran)
    assert found == code and text in said.splitlines()[-1] and len(said.splitlines()[-1]) <= 200
