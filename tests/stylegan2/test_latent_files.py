"""Latent files: what comes back, whose codes they are, and which files are refused."""

import copy

import pytest
import torch

from stylegan_toon.checkpoint.format import load, save
from stylegan_toon.errors import ModelError
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latent_files import belongs, load_latents, load_noise, load_shift, save_latents

NETWORK = Config(16, (6, 5, 4), 8, 8, 2)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "me.latent.safetensors"
    noise = [torch.randn(2, 1, r, r) for r in (4, 8, 8, 16, 16)]
    save_latents(path, torch.randn(2, 6, 8), generator_checkpoint(Generator(NETWORK)), ["a", "b"], noise)
    return path


def test_codes_come_back_to_the_bit(tmp_path):
    g = generator_checkpoint(Generator(NETWORK))
    w_plus, noise = torch.randn(2, 6, 8), [torch.randn(2, 1, r, r) for r in (4, 8, 8, 16, 16)]
    save_latents(tmp_path / "x", w_plus, g, ["a", "b"], noise, {"steps": 3})
    found, meta = load_latents(tmp_path / "x")
    assert torch.equal(found, w_plus) and meta["names"] == ["a", "b"] and meta["steps"] == 3
    maps = load_noise(tmp_path / "x")
    assert len(maps) == 5 and all(map(torch.equal, maps, noise))
    assert load_shift(tmp_path / "x") is None
    save_latents(tmp_path / "y", w_plus, g, ["a", "b"])
    assert load_noise(tmp_path / "y") == []
    shift = torch.randn(2, 6, 4, 4)
    save_latents(tmp_path / "z", w_plus, g, ["a", "b"], noise, shift=shift)
    assert torch.equal(load_shift(tmp_path / "z"), shift) and len(load_noise(tmp_path / "z")) == 5
    with pytest.raises(ValueError, match="N rows"):
        save_latents(tmp_path / "z", w_plus, g, ["a", "b"], shift=shift[:1])


def test_codes_belong_to_the_generator_its_float16_copy_and_children_with_its_mapping(file):
    torch.manual_seed(3)
    parent = generator_checkpoint(Generator(NETWORK))
    save_latents(file, torch.zeros(1, 6, 8), parent, ["a"])
    meta = load_latents(file)[1]
    child = copy.deepcopy(parent)
    child.tensors["synthesis.const"] += 1
    assert belongs(meta, parent) and belongs(meta, child)
    half = copy.deepcopy(parent)
    half.tensors = {name: tensor.half() for name, tensor in half.tensors.items()}
    assert belongs(meta, half)
    child.tensors["mapping.layers.0.weight"] += 1
    assert not belongs(meta, child) and not belongs(meta, generator_checkpoint(Generator(NETWORK)))


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda c: c.tensors.pop("w_plus"), "w_plus"),
        (lambda c: c.tensors.pop("noise.1"), "noise.0, noise.1"),
        (lambda c: c.tensors.update(more=torch.zeros(1)), "noise.0, noise.1"),
        (lambda c: c.tensors.update(w_plus=torch.zeros(2, 6, 8).long()), "w_plus"),
        (lambda c: c.tensors.update(w_plus=torch.zeros(6, 8)), "[6, 8], wanted [N, L, D]"),
        (lambda c: c.tensors.update(w_plus=torch.zeros(0, 6, 8)), "[0, 6, 8], wanted [N, L, D]"),
        (lambda c: c.tensors.update({"noise.0": torch.zeros(1, 1, 4, 4)}), "2 maps"),
        (lambda c: c.tensors.update(shift=torch.zeros(1, 6, 4, 4)), "[1, 6, 4, 4], wanted [2, C, r, r]"),
        (lambda c: c.tensors.update(shift=torch.zeros(2, 6, 4)), "[2, 6, 4], wanted [2, C, r, r]"),
        (lambda c: c.meta.update(names=["a"]), "2 texts"),
        (lambda c: c.meta.update(names=["a", 7]), "2 texts"),
        (lambda c: c.meta.pop("parent"), "no generator"),
        (lambda c: c.meta.update(mapping=None), "no generator"),
        (lambda c: setattr(c, "kind", "generator"), "holds a generator, not a latent"),
    ],
)
def test_what_is_no_latent_file_is_one_line(file, change, words):
    checkpoint = load(file)
    change(checkpoint)
    save(file, checkpoint)
    for read in (load_latents, load_noise, load_shift):
        with pytest.raises(ModelError) as caught:
            read(file)
        line = str(caught.value)
        assert words in line and "\n" not in line and len(line) <= 200 and file.name in line, line


def test_rows_must_agree(tmp_path):
    g = generator_checkpoint(Generator(NETWORK))
    for w_plus, names in ((torch.zeros(2, 6, 8), ["a"]), (torch.zeros(6, 8), ["a"] * 6)):
        with pytest.raises(ValueError, match="N rows"):
            save_latents(tmp_path / "x", w_plus, g, names)
    assert not (tmp_path / "x").exists()
