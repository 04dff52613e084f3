"""Files of CartoonGAN, AnimeGANv2's port and UNIT: what their networks answer here, and what is refused."""

import re

import numpy as np
import pytest
import torch

import stylegan_toon
from stylegan_toon.checkpoint.importers.animeganv2 import from_animeganv2
from stylegan_toon.checkpoint.importers.cartoongan import from_cartoongan
from stylegan_toon.checkpoint.importers.unit import from_unit
from stylegan_toon.errors import ModelError
from tests.checkpoint import cartoon_files as files


def pair(**more):
    return {"a": files.unit_state(seed=1, **more), "b": files.unit_state(seed=2, **more)}


LAYOUTS = {
    "cartoongan": (files.cartoongan_state, from_cartoongan),
    "animeganv2": (files.animeganv2_state, from_animeganv2),
    "unit": (pair, from_unit),
}


def opened(tmp_path, name, state, **options):
    torch.save(state, tmp_path / "original.pth", **options)
    network = stylegan_toon.load_original(name, tmp_path / "original.pth")
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    return network


def photo(height=16, width=24):
    return torch.rand(2, 3, height, width) * 2 - 1


def near(found, wanted):
    assert found.shape == wanted.shape
    assert np.abs(found.numpy() - wanted).max() < 2e-5


@pytest.mark.parametrize("size", [(16, 24), (17, 22)], ids=str)
def test_cartoongan_answers_as_the_formulas_say(tmp_path, size):
    state = files.cartoongan_state()
    network, x = opened(tmp_path, "cartoongan", state), photo(*size)
    near(network(x), files.cartoongan(state, x.double().numpy()))  # sides of 4 more, as the original's


@pytest.mark.parametrize("size", [(16, 24), (17, 22)], ids=str)
def test_animeganv2_answers_as_the_formulas_say(tmp_path, size):
    state = files.animeganv2_state()
    network, x = opened(tmp_path, "animeganv2", state), photo(*size)
    near(network(x), files.animeganv2(state, x.double().numpy()))
    found = network(x, align_corners=False)
    near(found, files.animeganv2(state, x.double().numpy(), align_corners=False))
    assert found.shape[2:] == tuple(edge // 4 * 4 for edge in size)


@pytest.mark.parametrize("old", [False, True], ids=["torch 0.4 on", "torch 0.3"])
def test_unit_answers_as_the_formulas_say(tmp_path, old):
    state = pair(old=old)
    network = opened(tmp_path, "unit", state, _use_new_zipfile_serialization=not old)
    a, b = photo(), photo()
    ab, ba = network(a, b)
    codes = [files.unit_encode(state[key], x.double().numpy()) for key, x in (("a", a), ("b", b))]
    near(ab, files.unit_decode(state["b"], codes[0]))
    near(ba, files.unit_decode(state["a"], codes[1]))
    again, code = network.a(a)  # what one VAEGen answers
    near(again, files.unit_decode(state["a"], codes[0]))
    near(code, codes[0])


@pytest.mark.parametrize("name", LAYOUTS)
def test_of_the_originals_size_every_key_is_taken(tmp_path, name):
    sizes = {
        "cartoongan": (94, 11_129_667, files.cartoongan_state(64, 8)),
        "animeganv2": (77, 2_143_552, files.animeganv2_state(32, 4)),
        "unit": (48, 11_140_483, {key: files.unit_state(64, 2, 4) for key in "ab"}),
    }
    tensors, count, state = sizes[name]
    one = state["a"] if name == "unit" else state
    assert len(one) == tensors
    network = opened(tmp_path, name, state)
    network = network.a if name == "unit" else network
    assert sum(p.numel() for p in network.parameters()) == count == sum(t.numel() for t in one.values())


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_key_is_needed_in_its_shape_and_finite(name):
    make, read = LAYOUTS[name]
    state = make()
    wrong = [
        lambda x: torch.cat([x, x[:1]]), lambda x: x[None], torch.Tensor.double,
        lambda x: torch.full_like(x, float("nan")), lambda x: "text",
    ]  # fmt: skip

    def changed(key, value):
        part = dict(state["b"] if name == "unit" else state)
        part.pop(key)
        part |= {} if value is None else {key: value}
        return {"a": state["a"], "b": part} if name == "unit" else part

    keys = state["b"] if name == "unit" else state
    for i, key in enumerate(keys):
        with pytest.raises(ModelError, match=rf"{re.escape(key)} is missing|keys that no|different sizes"):
            read(changed(key, None))
        with pytest.raises(ModelError) as caught:
            read(changed(key, wrong[i % len(wrong)](keys[key])))
        assert len(str(caught.value)) < 150 and "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="surprise"):
        read({**state, "surprise": torch.ones(1)})


def test_a_file_with_one_generator_or_two_that_do_not_fit_is_refused():
    state = files.unit_state()
    for wrong, word in (
        ({"a": state}, "'b' is no state dict"),
        (state, "besides generators a and b"),
        ({"a": state, "b": files.unit_state(8)}, "different sizes"),
        ({"a": state, "b": files.cartoongan_state()}, "b.enc.model.0.conv.weight is missing"),
    ):
        with pytest.raises(ModelError, match=word):
            from_unit(wrong)
