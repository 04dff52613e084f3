"""StyleCLIP's mappers: what they answer here, and what is refused."""

import numpy as np
import pytest
import torch

from stylegan_toon.checkpoint.format import load
from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.errors import ModelError
from stylegan_toon.pipelines.convert import convert
from stylegan_toon.stylegan2.edits import apply_edit, load_edit
from stylegan_toon.stylegan2.files import build_generator
from tests.checkpoint.mapper_file import ROWS, WIDTH, answer, mapper_state, whole
from tests.checkpoint.refusal import refused


@pytest.mark.parametrize("names", [tuple(ROWS), ("course_mapping", "medium_mapping")])
def test_a_converted_mapper_steps_as_theirs_does(tmp_path, names):
    state = mapper_state(names)
    torch.save(whole(state), tmp_path / "sad.pt")
    generator, path = convert(tmp_path / "sad.pt", tmp_path / "sad.safetensors")
    assert path.name == "sad.mapper.safetensors"
    edit, g = load_edit(path), build_generator(load(generator))
    assert (edit.name, edit.strength, edit.meta["text"]) == ("sad", 1.0, "a sad face")
    w_plus = torch.randn(3, 10, WIDTH)
    moved = apply_edit(g, w_plus, edit, 1)[1]
    wanted = answer(state, w_plus.numpy())
    assert np.abs((moved - w_plus).numpy() - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_groups_that_the_options_switch_off_are_left_out(tmp_path):
    torch.save(whole(mapper_state(), no_fine_mapper=True), tmp_path / "a.pt")
    found = read_any(tmp_path / "a.pt")["mapper"]
    assert found.config["groups"] == ["coarse", "medium"]
    assert {name.split(".")[1] for name in found.tensors} == {"coarse", "medium"}
    off = {f"no_{name}_mapper": True for name in ("coarse", "medium", "fine")}
    torch.save(whole(mapper_state(), **off), tmp_path / "b.pt")
    refused(tmp_path / "b.pt", "all its mapper's groups switched off")


def test_what_is_no_such_mapper_is_refused_or_said(tmp_path):
    state = mapper_state()
    del state["medium_mapping.mapping.3.bias"]
    torch.save(whole(state), tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "mapper.medium_mapping.mapping.3.bias is missing", "StyleCLIP's layout")
    torch.save(whole(mapper_state(width=5)), tmp_path / "b.pt")
    refused(tmp_path / "b.pt", "is [5, 5], wanted [6, 6]")
    state = mapper_state() | {
        "fine_mapping.mapping.5.weight": torch.ones(6, 6),
        "fine_mapping.mapping.5.bias": torch.ones(6),
    }
    torch.save(whole(state), tmp_path / "c.pt")
    refused(tmp_path / "c.pt", "fine_mapping has 5 layers, another group 4")
    torch.save(whole({"mapping.mapping.1.weight": torch.ones(6, 6)}), tmp_path / "d.pt")  # one for all layers
    said = []
    convert(tmp_path / "d.pt", tmp_path / "d.safetensors", report=said.append)
    assert "its mapper is of a kind that is not used here" in said[0]
    alone = {"state_dict": {f"mapper.{key}": value for key, value in mapper_state().items()}}
    torch.save(alone, tmp_path / "e.pt")
    refused(tmp_path / "e.pt", "state_dict holds mapper")


def test_a_mapper_without_a_known_generator_is_no_edit(tmp_path):
    torch.save(whole(mapper_state()), tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"a\.pt") as caught:
        load_edit(tmp_path / "a.pt")
    assert len(str(caught.value)) <= 200
