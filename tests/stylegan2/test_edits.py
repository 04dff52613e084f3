"""Edits: what they do to codes and styles, what is in their files, whose they are, and which are refused."""

import pytest
import torch

from stylegan_toon.checkpoint.format import load, save
from stylegan_toon.errors import ModelError
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.edits import Edit, affines, apply_edit, is_child, load_edit, save_edit
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.freeze import with_source_mapping
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latent_files import mapping_digest

NETWORK = Config(16, (6, 5, 4), 8, 8, 2)  # 6 layers


@pytest.fixture
def g():
    return Generator(NETWORK).eval().requires_grad_(False)


def drawn(g, w_plus):
    return g.synthesis(w_plus, "none")[-1]


def test_a_direction_is_added_to_the_layers_that_are_free(g):
    w_plus, direction = torch.randn(3, 6, 8), torch.randn(6, 8)
    edit = Edit("x", "hand", {"w_plus": direction})
    same, moved = apply_edit(g, w_plus, edit, -1.5)
    assert same is g
    torch.testing.assert_close(moved, w_plus - 1.5 * direction)
    moved = apply_edit(g, w_plus, edit, 2, [1, 4])[1]
    for layer in range(6):
        wanted = w_plus[:, layer] + 2 * direction[layer] * (layer in (1, 4))
        torch.testing.assert_close(moved[:, layer], wanted)
    assert torch.equal(apply_edit(g, w_plus, edit, 0)[1], w_plus)
    one = Edit("x", "hand", {"w": direction[0]})
    torch.testing.assert_close(apply_edit(g, w_plus, one, 1)[1], w_plus + direction[0])


def test_styles_move_by_the_offset_and_the_generator_stays_as_it_was(g):
    w_plus, offset = torch.randn(2, 6, 8), torch.randn(5)
    before = drawn(g, w_plus)
    edit = Edit("x", "hand", {"s.blocks.1.conv1": offset})
    edited, same = apply_edit(g, w_plus, edit, 0.5)
    assert same is w_plus and torch.equal(drawn(g, w_plus), before)
    wanted = Generator(NETWORK)  # the same change made in the weights
    state = {name: tensor.clone() for name, tensor in g.state_dict().items()}
    state["synthesis.blocks.1.conv1.conv.affine.bias"] += 0.5 * offset
    wanted.load_state_dict(state)
    torch.testing.assert_close(drawn(edited, w_plus), drawn(wanted, w_plus))
    assert not torch.allclose(drawn(edited, w_plus), before, atol=1e-3)
    ours, theirs = dict(g.named_parameters()), dict(edited.named_parameters())
    other = {name for name in ours if ours[name].data_ptr() != theirs[name].data_ptr()}
    assert other == {"synthesis.blocks.1.conv1.conv.affine.bias"}


def test_styles_are_locked_with_the_layer_they_are_made_of(g):
    """A hook tells which rows of w_plus a convolution reads, without the table that is under test."""
    read = {}
    for k, block in enumerate(g.synthesis.blocks):
        for name in ("conv0", "conv1", "to_rgb"):
            if hasattr(block, name):
                getattr(block, name).conv.affine.register_forward_hook(
                    lambda module, inputs, output, key=f"blocks.{k}.{name}": read.update(
                        {key: int(inputs[0][0, 0])}
                    )
                )
    drawn(g, torch.arange(6.0).reshape(1, 6, 1).expand(1, 6, 8))
    assert {name: layer for name, (layer, _) in affines(g).items()} == read
    edit = Edit("x", "hand", {f"s.{name}": torch.ones(a.bias.shape) for name, (_, a) in affines(g).items()})
    edited, _ = apply_edit(g, torch.zeros(1, 6, 8), edit, 1, [3])
    moved = {
        name for name, (_, a) in affines(edited).items() if not torch.equal(a.bias, affines(g)[name][1].bias)
    }
    assert (
        moved == {name for name, layer in read.items() if layer == 3} == {"blocks.1.to_rgb", "blocks.2.conv0"}
    )


@pytest.mark.parametrize(
    "tensors",
    [
        {"w_plus": torch.zeros(7, 8)},
        {"w": torch.zeros(9)},
        {"s.blocks.0.conv0": torch.zeros(6)},
        {"s.blocks.9.conv1": torch.zeros(6)},
        {"s.blocks.0.conv1": torch.zeros(7)},
    ],
)
def test_an_edit_of_another_shape_is_one_line(g, tensors):
    with pytest.raises(ModelError) as caught:
        apply_edit(g, torch.zeros(1, 6, 8), Edit("a smile", "hand", tensors), 1)
    assert "a smile" in str(caught.value) and len(str(caught.value)) < 200


def test_a_file_gives_the_edit_back_to_float16_and_a_direction_takes_at_most_20_kb(g, tmp_path):
    direction = torch.randn(18, 512)
    made = Edit("smile", "svm", {"w_plus": direction}, 2.5, {"layers": [0, 1], "about": "x" * 500})
    save_edit(tmp_path / "a", made, generator_checkpoint(g))
    found = load_edit(tmp_path / "a")
    assert (found.name, found.kind, found.strength) == ("smile", "svm", 2.5) and found.meta["layers"] == [
        0,
        1,
    ]
    assert torch.equal(found.tensors["w_plus"], direction.half().float())
    widths = [512] * 10 + [256] * 3 + [128] * 3 + [512] * 4  # 256 px
    styles = {f"s.blocks.{i}.conv1": torch.randn(width) for i, width in enumerate(widths)}
    save_edit(tmp_path / "b", Edit("sad", "text", styles), generator_checkpoint(g))
    assert max((tmp_path / name).stat().st_size for name in "ab") <= 20_000


def test_an_edit_is_of_all_children_that_draw_these_codes(g, tmp_path):
    save_edit(tmp_path / "x", Edit("x", "hand", {"w": torch.ones(8)}), generator_checkpoint(g))
    meta = load_edit(tmp_path / "x").meta
    child = Generator(NETWORK)
    assert not is_child(generator_checkpoint(child), meta)
    told = {"source_mapping": mapping_digest(generator_checkpoint(g))}
    assert is_child(generator_checkpoint(child, told), meta)  # its mapping was trained, and its header tells
    child.mapping.load_state_dict(g.mapping.state_dict())
    assert is_child(generator_checkpoint(child), meta) and is_child(
        generator_checkpoint(child, half=True), meta
    )
    two = with_source_mapping(g, 2)
    two.mapping.layers[0].weight.add_(1)
    assert is_child(generator_checkpoint(two), meta)
    two.source_mapping.layers[0].weight.add_(1)
    assert not is_child(generator_checkpoint(two), meta)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda c: c.tensors.clear(), "w_plus, or s.NAME"),
        (lambda c: c.tensors.update({"s.blocks.0.conv1": torch.zeros(6)}), "w_plus, or s.NAME"),
        (lambda c: c.tensors.update(w_plus=torch.zeros(6, 8).long()), "int64"),
        (lambda c: c.tensors.update(w_plus=torch.zeros(8)), "[8]"),
        (lambda c: c.tensors.update(w_plus=torch.zeros(0, 8)), "[0, 8]"),
        (lambda c: c.meta.pop("name"), "no name"),
        (lambda c: c.meta.update(kind=""), "no name or kind"),
        (lambda c: c.meta.update(strength=True), "strength"),
        (lambda c: c.meta.update(strength="1"), "strength"),
        (lambda c: c.meta.update(parent="e3"), "no generator"),
        (lambda c: setattr(c, "kind", "latent"), "holds a latent"),
    ],
)
def test_what_is_no_edit_file_is_one_line(g, tmp_path, change, words):
    file = tmp_path / "x.edit.safetensors"
    save_edit(file, Edit("x", "hand", {"w_plus": torch.ones(6, 8)}), generator_checkpoint(g))
    checkpoint = load(file)
    change(checkpoint)
    save(file, checkpoint)
    with pytest.raises(ModelError) as caught:
        load_edit(file)
    line = str(caught.value)
    assert words in line and "\n" not in line and len(line) <= 200 and file.name in line, line


def test_what_could_not_be_read_is_not_written(g, tmp_path):
    for bad in (Edit("", "hand", {"w": torch.ones(8)}), Edit("x", "hand", {"z": torch.ones(8)})):
        with pytest.raises(ValueError, match=r"name|tensors"):
            save_edit(tmp_path / "x", bad, generator_checkpoint(g))
    assert not (tmp_path / "x").exists()
