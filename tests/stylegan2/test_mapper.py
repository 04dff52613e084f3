"""The mapper against float64 NumPy, its file, and applying it as an edit."""

import numpy as np
import pytest
import torch

from stylegan_toon.checkpoint.format import load, save
from stylegan_toon.errors import ModelError
from stylegan_toon.stylegan2 import config as network
from stylegan_toon.stylegan2.edits import Edit, affines, apply_edit, load_edit, save_edit
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import keep_colours
from stylegan_toon.stylegan2.mapper import Config, Mapper, start_small
from tests.stylegan2.reference import linear, lrelu

SHAPE = network.Config(64, (4, 4, 4, 4, 4), 8, 8, 2)  # 10 layers
ROWS = {"coarse": slice(0, 4), "medium": slice(4, 8), "fine": slice(8, 10)}


@pytest.fixture
def g():
    return Generator(SHAPE).eval().requires_grad_(False)


def mapper(**changes):
    made = Mapper(Config(**({"layers": 10, "w_dim": 8} | changes))).requires_grad_(False)
    for parameter in made.parameters():  # biases begin at 0, which would hide mistakes
        parameter.data += torch.randn_like(parameter)
    return made


def by_formulas(made, w_plus, groups, norm, step):
    s = {name: tensor.double().numpy() for name, tensor in made.state_dict().items()}
    w_plus = w_plus.double().numpy()
    out = np.zeros_like(w_plus)
    for group in groups:
        for n in range(len(w_plus)):
            part = w_plus[n, ROWS[group]]
            x = part / np.sqrt((part**2).mean(1 if norm == "features" else 0, keepdims=True) + 1e-8)
            for i in range(made.config.depth):
                x = lrelu(linear(x, s[f"networks.{group}.{i}.weight"], s[f"networks.{group}.{i}.bias"], 0.01))
            out[n, ROWS[group]] = step * x
    return out


@pytest.mark.parametrize("norm", ["features", "layers"])
@pytest.mark.parametrize("groups", [("coarse", "medium", "fine"), ("medium",)])
def test_its_step_is_that_of_the_formulas(norm, groups):
    made = mapper(groups=groups, norm=norm, step=0.3, depth=3)
    w_plus = torch.randn(3, 10, 8)
    wanted = by_formulas(made, w_plus, groups, norm, 0.3)
    assert np.abs(made(w_plus).numpy() - wanted).max() < 1e-5 * np.abs(wanted).max()
    with pytest.raises(ValueError, match=r"expected w_plus \[N, 10, 8\], got \[1, 8, 8\]"):
        made(torch.zeros(1, 8, 8))


def test_it_can_begin_with_no_step_and_then_learns():
    made = mapper().requires_grad_()
    for network_ in made.networks.values():
        network_[-1].bias.data.zero_()
    start_small(made)
    w_plus = torch.randn(2, 10, 8)
    assert not made(w_plus).any()
    (made(w_plus) - 1).square().mean().backward()
    assert all(network_[-1].weight.grad.any() for network_ in made.networks.values())


def test_its_file_is_an_edit_with_strength_and_locks(g, tmp_path):
    made, parent = mapper(), generator_checkpoint(g)
    path = tmp_path / "sad.mapper.safetensors"
    save_edit(path, Edit("sad", "mapper", {}, 1.5, {"text": "a sad face"}, made), parent)
    edit = load_edit(path)
    assert (edit.name, edit.kind, edit.strength, edit.meta["text"]) == ("sad", "mapper", 1.5, "a sad face")
    assert load(path).kind == "mapper" and edit.moves_codes
    w_plus = torch.randn(2, 10, 8)
    wanted = by_formulas(made, w_plus, ROWS, "features", 0.1)
    same, moved = apply_edit(g, w_plus, edit, -2, [0, 5, 9])
    assert same is g
    for layer in range(10):
        step = -2 * wanted[:, layer] * (layer in (0, 5, 9))
        near = np.abs((moved - w_plus)[:, layer].numpy() - step).max()
        assert near < 3e-3 * np.abs(wanted).max(), layer  # the file is in float16
    assert torch.equal(apply_edit(g, w_plus, edit, 0)[1], w_plus)


def test_colours_that_stay_are_those_of_the_convolutions_edited_alone(g, tmp_path):
    """Against the same step as an edit of the convolutions' styles, which changes biases and no codes."""
    made, parent = mapper(colours=False, step=1.0), generator_checkpoint(g)
    save_edit(tmp_path / "sad.mapper.safetensors", Edit("sad", "mapper", {}, 1.0, {}, made), parent)
    edit = load_edit(tmp_path / "sad.mapper.safetensors")
    assert not edit.mapper.config.colours and not edit.moves_codes
    w_plus = torch.randn(1, 10, 8)
    step = edit.mapper(w_plus)
    offsets = {
        f"s.{name}": (affine(step[:, layer]) - affine(torch.zeros(1, 8)))[0]
        for name, (layer, affine) in affines(g).items()
        if not name.endswith("to_rgb")
    }
    same, moved = apply_edit(g, w_plus, edit, 0.8, range(7))
    by_styles, codes = apply_edit(g, w_plus, Edit("sad", "hand", offsets), 0.8, range(7))
    wanted = by_styles.synthesis(codes, "none")[-1]
    assert same is g and moved.shape == (1, 15, 8)
    torch.testing.assert_close(g.synthesis(moved, "none")[-1], wanted, atol=1e-5, rtol=1e-5)
    with_colours = g.synthesis(moved[:, :10], "none")[-1]
    assert float((with_colours - wanted).abs().max()) > 0.01


def test_codes_of_their_own_for_colours_may_be_the_same(g):
    w_plus = torch.randn(2, 10, 8)
    for a, b in zip(
        g.synthesis(w_plus, "none"), g.synthesis(keep_colours(w_plus, w_plus), "none"), strict=True
    ):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match=r"expected w_plus \[N, 10, 8\], got \[2, 14, 8\]"):
        g.synthesis(torch.zeros(2, 14, 8), "none")


def test_one_for_another_layer_count_is_refused_in_a_line(tmp_path):
    big = Generator(network.Config(128, (4,) * 6, 8, 8, 2))
    edit = Edit("sad", "mapper", {}, mapper=mapper())
    with pytest.raises(ModelError, match="is for 10 layers of 8, but codes here are 12 of 8; name the gen"):
        apply_edit(big, torch.zeros(1, 12, 8), edit, 1)


@pytest.mark.parametrize(
    "wrong",
    [{"layers": 10**9}, {"layers": 0}, {"w_dim": 10**9}, {"w_dim": 7}, {"depth": 99}, {"depth": 3},
     {"groups": []}, {"groups": ["hair"]}, {"norm": "x" * 99}, {"colours": "no"}, {"surprise": 1},
     {"layers": "10"}],
)  # fmt: skip
def test_a_file_with_a_configuration_that_lies_is_refused(g, tmp_path, wrong):
    path = tmp_path / "x.mapper.safetensors"
    save_edit(path, Edit("x", "mapper", {}, mapper=mapper()), generator_checkpoint(g))
    checkpoint = load(path)
    checkpoint.config |= wrong
    save(path, checkpoint)
    with pytest.raises(ModelError) as caught:
        load_edit(path)
    line = str(caught.value)
    assert "x.mapper.safetensors" in line and "\n" not in line and len(line) <= 200
