"""Soft blends through the command line: a saved one says how it was made, an impossible one is one line."""

import pytest
import torch

from stylegan_toon.checkpoint.format import load, save
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator


@pytest.fixture
def pair(tmp_path):
    for name in "ab":
        made = Generator(Config(16, (8, 8, 8), z_dim=8, w_dim=8, mapping_layers=2))
        save(tmp_path / f"{name}.safetensors", generator_checkpoint(made))
    return "a.safetensors", "b.safetensors"


def blended(here, tmp_path, pair, *args):
    done = here("blend", *pair, *args, "--out", "c.safetensors")
    assert done.returncode == 0, done.stderr
    return load(tmp_path / "c.safetensors")


def test_a_saved_blend_says_how_it_was_made(here, tmp_path, pair):
    meta = blended(here, tmp_path, pair, "--blend", "1", "--blend-width", "0.5", "--keep", "high").meta
    assert meta["recipe"] == {"k": 1, "width": 0.5, "keep": "high", "weights": []}
    assert (meta["source"], meta["child"], meta["blend"]) == (*pair, 0)
    assert [round(share, 3) for share in meta["shares"]] == [0.269, 0.731, 0.953]
    assert blended(here, tmp_path, pair, "--blend", "2").meta["blend"] == 2


def test_weights_mix_the_files(here, tmp_path, pair):
    made = blended(here, tmp_path, pair, "--weights", "1,.25,0")
    a, b = (load(tmp_path / name).tensors for name in pair)
    for block, share in enumerate((1, 0.25, 0)):
        name = f"synthesis.blocks.{block}.to_rgb.bias"
        torch.testing.assert_close(made.tensors[name], share * a[name] + (1 - share) * b[name])
    assert made.tensors["w_mean"].equal(a["w_mean"])


@pytest.mark.parametrize(
    "args, words",
    [
        ([], ["--blend K", "--weights"]),
        (["--blend", "4", "--blend-width", "1"], ["0..3"]),
        (["--blend", "1", "--blend-width", "-1"], ["-1", "from 0 up"]),
        (["--blend", "1", "--blend-width", "nan"], ["nan"]),
        (["--blend", "1", "--keep", "both"], ["low", "high"]),
        (["--weights", "1,0"], ["3 numbers in 0..1", "4 to 16 px"]),
        (["--weights", "1,x,0"], ["1,x,0"]),
        (["--weights", "1,0,0", "--blend", "1"], ["--weights"]),
        (["--blend-width", "1"], ["--blend K"]),
    ],
    ids=" ".join,
)
def test_a_blend_that_cannot_be_is_2_in_one_line(args, words, here, tmp_path, pair):
    done = here("blend", *pair, *args, "--out", "c.safetensors")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert all(word in done.stderr for word in words) and len(done.stderr) <= 201, done.stderr
    assert not (tmp_path / "c.safetensors").exists()
