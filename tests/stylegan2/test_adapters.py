"""Style files: what LoRA and offsets compute, that both fold exactly, and which files are refused."""

import copy
import json

import numpy as np
import pytest
import torch
from torch.optim import Adam

from stylegan_toon.checkpoint.format import Checkpoint, load, save
from stylegan_toon.errors import ModelError
from stylegan_toon.nn.equalized import EqualLinear
from stylegan_toon.pipelines.models import load_generator, open_model
from stylegan_toon.stylegan2.adapters import (
    LowRankLinear,
    add_lora,
    fold,
    merge,
    read_style,
    style_checkpoint,
    style_parameters,
    weights_digest,
)
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.files import build_generator, generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator

NETWORK = Config(16, (6, 5, 4), 8, 8, 2)


def made(rank=2, frozen=1, seed=0):
    """A parent, a child that a style of random numbers makes of it, and the style."""
    torch.manual_seed(seed)
    parent = generator_checkpoint(Generator(NETWORK))
    child = build_generator(parent, trainable=True)
    if rank:
        add_lora(child, rank, frozen)
    with torch.no_grad():
        for parameter in style_parameters(child, frozen).values():
            parameter.add_(torch.randn_like(parameter))
    return parent, child, style_checkpoint(child, parent, "parent", rank, frozen, {"blend": 1})


def test_a_low_rank_layer_worked_by_hand():
    linear = EqualLinear(4, 2, bias=0.5)
    linear.weight.data = torch.tensor([[2.0, 0, 0, 0], [0, 4, 0, 0]])
    layer = LowRankLinear(linear, rank=4)
    layer.lora_a.data = torch.zeros(4, 4)
    layer.lora_a.data[0] = torch.tensor([0.0, 2, 0, 0])
    layer.lora_a.data[3] = torch.tensor([0.0, 0, 0, 6])
    layer.lora_b.data = torch.tensor([[3.0, 0, 0, 1], [0, 0, 0, -1]])
    # B A = [[0, 6, 0, 6], [0, 0, 0, -6]], halved by sqrt(4); then 1 / sqrt(4) of equalised learning
    wanted = torch.tensor([[(2 + 3 * 10 + 3 * 1000) / 2 + 0.5, (4 * 10 - 3 * 1000) / 2 + 0.5]])
    assert torch.equal(layer(torch.tensor([[1.0, 10, 100, 1000]])), wanted)


def test_gradients_of_the_factors_are_right():
    layer = LowRankLinear(EqualLinear(3, 4, bias=1), rank=2).double()
    torch.nn.init.normal_(layer.lora_b)
    x = torch.randn(5, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda a, b, bias: torch.func.functional_call(layer, {"lora_a": a, "lora_b": b, "bias": bias}, (x,)),
        (layer.lora_a, layer.lora_b, layer.bias),
    )


@pytest.mark.parametrize("rank", [1, 4, 32])
def test_adams_first_step_moves_the_weight_as_far_as_one_of_its_own_whatever_the_rank(rank):
    layer = LowRankLinear(EqualLinear(64, 64), rank)
    before = fold(layer.state_dict())["weight"]
    opt = Adam([layer.lora_a, layer.lora_b], lr=0.002, betas=(0.0, 0.99))
    layer(torch.randn(16, 64)).square().sum().backward()
    opt.step()
    moved = fold(layer.state_dict())["weight"] - before
    assert float(moved.square().mean().sqrt()) == pytest.approx(0.002, rel=0.25)


@pytest.mark.parametrize("rank", [0, 3])
def test_a_style_begins_at_the_source_to_the_bit(rank):
    torch.manual_seed(1)
    source = Generator(NETWORK).requires_grad_(False)
    child = add_lora(copy.deepcopy(source), rank, 1) if rank else copy.deepcopy(source)
    w_plus = torch.randn(2, NETWORK.n_layers, 8)
    assert torch.equal(child.synthesis(w_plus, "none")[-1], source.synthesis(w_plus, "none")[-1])


@pytest.mark.parametrize("rank", [0, 2])
def test_the_merged_generator_draws_what_the_trained_one_drew(rank):
    parent, child, style = made(rank)
    merged = build_generator(merge(style, parent))
    w_plus = torch.randn(2, NETWORK.n_layers, 8, dtype=torch.float64)
    with torch.no_grad():
        source = build_generator(parent).synthesis(w_plus.float(), "none")[-1]
        trained = child.synthesis(w_plus.float(), "none")[-1]
        torch.testing.assert_close(merged.synthesis(w_plus.float(), "none")[-1], trained)
        assert (trained - source).abs().max() > 0.1
        exact = [copy.deepcopy(child).double(), Generator(NETWORK).double()]
        exact[1].load_state_dict(fold(exact[0].state_dict()))
        for network in exact:
            network.synthesis.compute_dtype = torch.float64
        pictures = [network.synthesis(w_plus, "none")[-1] for network in exact]
    torch.testing.assert_close(pictures[1], pictures[0], rtol=1e-12, atol=1e-12)


def test_folding_equals_numpy():
    _, child, _ = made(rank=3)
    state, folded = child.state_dict(), fold(child.state_dict())
    stem = "synthesis.blocks.2.conv0.conv.affine."
    a, b, weight = (state[stem + key].double().numpy() for key in ("lora_a", "lora_b", "weight"))
    wanted = weight + sum(np.outer(b[:, r], a[r]) for r in range(3)) / 3**0.5
    np.testing.assert_allclose(folded[stem + "weight"].numpy(), wanted, rtol=1e-5, atol=1e-6)
    assert folded.keys() == Generator(NETWORK).state_dict().keys()


def test_a_style_changes_biases_and_affine_layers_above_the_frozen_resolutions_alone():
    parent, _, style = made(rank=2, frozen=2)
    merged = merge(style, parent).tensors
    changed = {name for name in merged if not torch.equal(merged[name], parent.tensors[name])}
    block = "synthesis.blocks.2."
    layers = [f"{block}{layer}.conv.affine." for layer in ("conv0", "conv1", "to_rgb")]
    wanted = {layer + part for layer in layers for part in ("weight", "bias")}
    assert changed == wanted | {f"{block}{layer}.bias" for layer in ("conv0", "conv1", "to_rgb")}


def test_the_counts_worked_by_hand():
    # 8 px: affines of 5, 4 and 4 styles, biases of 4, 4 and 3; 16 px: of 4, 3 and 3, biases of 3 each
    g = Generator(Config(16, (5, 4, 3), 8, 7, 1))
    count = lambda frozen: sum(p.numel() for p in style_parameters(g, frozen).values())  # noqa: E731
    assert count(1) == (5 + 4 + 4 + 4 + 4 + 3) + (4 + 3 + 3 + 3 + 3 + 3)
    assert count(2) == 19
    add_lora(g, 2, 2)
    assert count(2) == 19 + 2 * ((7 + 4) + (7 + 3) + (7 + 3))


@pytest.mark.parametrize("rank, most", [(0, 25_000), (8, 150_000), (16, 350_000)])
def test_files_at_the_shipped_size_are_small(rank, most, tmp_path):
    parent = open_model("faces-128")
    child = build_generator(parent, trainable=True)
    if rank:
        add_lora(child, rank, 1)
    save(tmp_path / "style.safetensors", style_checkpoint(child, parent, "faces-128", rank, 1, {}))
    assert (tmp_path / "style.safetensors").stat().st_size < most
    loaded = load_generator(tmp_path / "style.safetensors")  # the parent is a known name
    for mine, theirs in zip(loaded.parameters(), load_generator("faces-128").parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_one_parent_in_float16_without_noise_and_with_another_header_is_the_same_parent(tmp_path):
    parent, child, style = made()
    strengths = [name for name in parent.tensors if name.endswith("noise_strength")]
    other = copy.deepcopy(parent)
    other.meta = {"blend": 3}
    for name in strengths:
        other.tensors[name] += 1
    other.tensors["w_mean"] += 1e-7
    save(tmp_path / "parent.safetensors", other, half=True)
    save(tmp_path / "style.safetensors", style)
    assert weights_digest(load(tmp_path / "parent.safetensors")) == weights_digest(parent)
    near = load_generator(tmp_path / "style.safetensors")
    w_plus = torch.randn(2, NETWORK.n_layers, 8)
    with torch.no_grad():
        gap = near.synthesis(w_plus, "none")[-1] - child.synthesis(w_plus, "none")[-1]
    assert 0 < float(gap.abs().max()) < 0.05
    other.tensors["synthesis.const"].view(-1)[0] += 0.01
    assert weights_digest(other) != weights_digest(parent)


def test_a_child_that_differs_in_more_than_a_style_holds_is_none(tmp_path):
    parent, child, _ = made()
    with torch.no_grad():
        child.synthesis.blocks[0].conv1.bias += 1
    with pytest.raises(ModelError, match=r"not what this run started from \(.*blocks\.0\.conv1\.bias"):
        style_checkpoint(child, parent, "parent", 2, 1, {})


def refused(style, folder, *words):
    save(folder / "style.safetensors", style)
    with pytest.raises(ModelError) as caught:
        load_generator(folder / "style.safetensors")
    line = str(caught.value)
    assert "\n" not in line and len(line) <= 200 and "style.safetensors" in line, line
    assert all(word in line for word in words), line


def test_a_missing_and_a_wrong_parent_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parent, _, style = made()
    refused(style, tmp_path, "its parent parent is not here; put parent.safetensors beside it")
    save(tmp_path / "parent.safetensors", made(seed=1)[0])
    refused(
        style, tmp_path, f"parent has weights {weights_digest(parent)[:8]}, but", "parent.safetensors has "
    )
    (tmp_path / "parent.safetensors").write_bytes(b"{}")
    refused(style, tmp_path, "parent.safetensors is broken")
    save(tmp_path / "elsewhere" / "x.safetensors", parent)
    for place in ("parent.safetensors", "parent.generator.safetensors", "runs/parent/last.safetensors"):
        (tmp_path / "parent.safetensors").unlink(missing_ok=True)
        save(tmp_path / place, parent)
        assert isinstance(load_generator(tmp_path / "style.safetensors"), Generator)
        (tmp_path / place).unlink()
    given = load_generator("style.safetensors", parents=[tmp_path / "elsewhere" / "x.safetensors"])
    assert given.config == NETWORK


LORA = "synthesis.blocks.1.conv0.conv.affine.lora_"
SHAPE = made()[2].config["generator"]


@pytest.mark.parametrize(
    "config",
    [
        {"rank": 1}, {"rank": 3}, {"rank": 0}, {"rank": -1}, {"rank": 10**9}, {"rank": 10**30}, {"rank": 2.0},
        {"rank": True}, {"frozen": 0}, {"frozen": 2}, {"frozen": 3}, {"frozen": -1}, {"frozen": "1"},
        {"generator": []}, {"generator": {}}, {"generator": {**SHAPE, "w_dim": 4}},
        {"generator": {**SHAPE, "channels": [1 << 31] * 3}}, {"generator": {**SHAPE, "resolution": 1 << 40}},
        {"generator": {**SHAPE, "mapping_lr_mul": 1.0}}, {"generator": {**SHAPE, "mapping_layers": 3}},
        {"parent": ""}, {"parent": "\x1b[2J" * 99}, {"parent": 7}, {"name": "../parent"}, {"name": ""},
        {"name": "/dev/zero"}, {"name": "x" * 5000}, {"name": "a\nb"}, {"name": "a\0b"}, {"name": ".."},
        {"name": "a/../../b"}, {"name": "C:a"}, {"name": "\\\\host\\share"}, {"name": "a//b"},
        {"name": "style"}, {"name": None}, {"surprise": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_style_of_another_configuration_than_its_tensors_is_refused(config, tmp_path):
    parent, _, style = made()
    save(tmp_path / "parent.safetensors", parent)
    style.config |= config
    refused(style, tmp_path)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({f"{LORA}a": None}, ("lacks 1", "lora_a")),
        ({f"{LORA}b": torch.zeros(4, 2)}, ("lora_b", "[4, 2]", "[6, 2]")),
        ({f"{LORA}b": torch.zeros(6, 2).int()}, ("lora_b",)),
        ({"synthesis.blocks.1.to_rgb.bias": torch.zeros(4)}, ("to_rgb.bias",)),
        ({"synthesis.const": torch.zeros(6, 4, 4)}, ("too many", "synthesis.const")),
        ({"x\x1b[2J": torch.zeros(1)}, ("too many",)),
        ({f"{LORA}a": torch.full((2, 8), 1e38), f"{LORA}b": torch.full((6, 2), 1e38)}, ("float32 range",)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_style_with_other_tensors_is_refused(changes, words, tmp_path):
    parent, _, style = made()
    save(tmp_path / "parent.safetensors", parent)
    style.tensors = {k: v for k, v in (style.tensors | changes).items() if v is not None}
    refused(style, tmp_path, *words)


def test_a_style_with_nan_or_a_changed_byte_is_refused(tmp_path):
    parent, _, style = made()
    save(tmp_path / "parent.safetensors", parent)
    file = tmp_path / "style.safetensors"
    save(file, style)
    good = file.read_bytes()
    size = int.from_bytes(good[:8], "little")
    about = json.loads(json.loads(good[8 : 8 + size])["__metadata__"]["stylegan_toon"])
    assert about["kind"] == "style" and about["config"]["parent"] == weights_digest(parent)
    nan = np.float32("nan").tobytes()
    for place, new in ((good.index(b'rank\\": 2') + 8, b"3"), (8 + size, nan), (len(good) - 1, b"\x01")):
        file.write_bytes(good[:place] + new + good[place + len(new) :])
        with pytest.raises(ModelError, match="was changed since it was written"):
            load_generator(file)


def test_a_parent_that_lies_about_itself_is_refused(tmp_path):
    """The digest is of the parent's tensors, so a style can be made to fit any file."""
    parent, _, style = made()
    for lie in (
        {k: v for k, v in parent.tensors.items() if k != "synthesis.blocks.1.conv0.conv.affine.bias"},
        {**parent.tensors, "more": torch.ones(1)},
        {**parent.tensors, "synthesis.const": torch.ones(2, 2)},
    ):
        liar = Checkpoint("generator", parent.config, {}, lie)
        save(tmp_path / "parent.safetensors", liar)
        style.config["parent"] = weights_digest(liar)
        refused(style, tmp_path, "generator")


def test_the_config_of_a_style_reads_back():
    _, _, style = made(rank=2, frozen=1)
    about = read_style(style)
    assert (about.name, about.rank, about.frozen) == ("parent", 2, 1)
