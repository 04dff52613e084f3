"""Blending takes the lowest resolutions from the source and the mapping always."""

import numpy as np
import pytest
import torch

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.errors import ModelError, UsageError
from stylegan_toon.stylegan2.blend import KEEP, Recipe, blend, parse_weights, shared_resolutions
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.files import (
    build_discriminator,
    build_generator,
    discriminator_checkpoint,
    generator_checkpoint,
)
from stylegan_toon.stylegan2.generator import Generator

CONFIG = Config(32, (6, 6, 5, 4), z_dim=8, w_dim=8, mapping_layers=2)


def generator(seed, config=CONFIG):
    torch.manual_seed(seed)
    g = Generator(config).eval()
    with torch.no_grad():
        g.w_mean.normal_()
        for block in g.synthesis.blocks:
            block.conv1.noise_strength.normal_()
    return g


def picture(g, psi=0.7):
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return g(z, psi, "const")


def test_all_from_the_source_is_the_source_to_the_bit():
    a, b = generator(1), generator(2)
    mixed = blend(a, b, 4)
    assert torch.equal(picture(mixed), picture(a))
    for name, tensor in a.state_dict().items():
        assert torch.equal(mixed.state_dict()[name], tensor), name


def test_nothing_from_the_source_is_the_child_under_the_sources_mapping():
    a, b = generator(1), generator(2)
    found = picture(blend(a, b, 0))
    b.mapping, b.w_mean = a.mapping, a.w_mean
    assert torch.equal(found, picture(b))


@pytest.mark.parametrize("k", range(5))
def test_the_k_lowest_resolutions_come_from_the_source(k):
    a, b = generator(1), generator(2)
    before = [{n: t.clone() for n, t in g.state_dict().items()} for g in (a, b)]
    mixed = blend(a, b, k).state_dict()
    for name, tensor in mixed.items():
        if name.startswith("synthesis.blocks."):
            origin = a if int(name.split(".")[2]) < k else b
        else:
            origin = b if name == "synthesis.const" and k == 0 else a
        assert torch.equal(tensor, origin.state_dict()[name]), name
        assert tensor.data_ptr() not in (a.state_dict()[name].data_ptr(), b.state_dict()[name].data_ptr())
    for g, was in zip((a, b), before, strict=True):
        assert all(torch.equal(t, was[n]) for n, t in g.state_dict().items())


@pytest.mark.parametrize("k", [-1, 5, 99])
def test_outside_the_range_the_error_names_it(k):
    with pytest.raises(UsageError, match=r"0\.\.4"):
        blend(generator(1), generator(2), k)


def test_generators_of_two_shapes_do_not_blend():
    other = Config(32, (6, 6, 5, 3), z_dim=8, w_dim=8, mapping_layers=2)
    with pytest.raises(ModelError) as caught:
        blend(generator(1), generator(2, other), 2)
    assert len(str(caught.value)) <= 200


def test_shared_resolutions_are_found():
    a, b = generator(1), generator(2)
    assert shared_resolutions(a, b) == [False] * 4
    assert shared_resolutions(a, a) == [True] * 4
    child = blend(a, b, 2)
    assert shared_resolutions(a, child) == [True, True, False, False]
    with torch.no_grad():
        child.synthesis.const.add_(1)
    assert shared_resolutions(a, child) == [False, True, False, False]


def test_networks_survive_their_checkpoints():
    g, d = generator(1), Discriminator(CONFIG)
    random = torch.get_rng_state()
    again = build_generator(generator_checkpoint(g, {"note": 1}))
    judge = build_discriminator(discriminator_checkpoint(d))
    assert torch.equal(torch.get_rng_state(), random)  # loading moves no one's seed
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    assert torch.allclose(picture(again), picture(g), rtol=1e-4, atol=1e-5)
    x = picture(g)
    with torch.no_grad():
        assert torch.allclose(judge(x), d(x), rtol=1e-4, atol=1e-4)
    half = build_generator(generator_checkpoint(g, half=True))
    assert all(p.dtype == torch.float32 for p in half.parameters())
    assert torch.equal(half.synthesis.const, g.synthesis.const.half().float())
    trained = build_generator(generator_checkpoint(g), trainable=True)
    assert trained.training and all(p.requires_grad for p in trained.parameters())


def test_a_checkpoint_that_is_not_the_networks_is_refused():
    good = generator_checkpoint(generator(1))

    def refused(word, kind="generator", config=None, **tensors):
        changed = {k: v for k, v in {**good.tensors, **tensors}.items() if v is not None}
        with pytest.raises(ModelError, match=word) as caught:
            build_generator(Checkpoint(kind, config or good.config, {}, changed))
        assert len(str(caught.value)) <= 200

    refused("not a generator", kind="encoder")
    refused("w_mean", w_mean=None)
    refused("extra", extra=torch.zeros(1))
    refused("w_mean", w_mean=torch.zeros(9))
    refused("w_mean", w_mean=torch.zeros(8, dtype=torch.int64))
    refused("nonsense", config={**good.config, "nonsense": 1})
    refused("power of two", config={**good.config, "resolution": 24})
    refused("configuration", config={**good.config, "channels": [6, 6, 5, "x"]})
    refused("configuration", config={**good.config, "channels": [6, 6, 5, 1 << 40]})
    refused("counts from 1 up", config={**good.config, "mapping_layers": -1})


RECIPES = [Recipe(2, 0.5), Recipe(1, 2.0), Recipe(3, 1.0, "high"), Recipe(weights=(1, 0.25, 0.7, 0))]


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_a_soft_blend_is_the_weighted_mean_of_every_tensor(recipe):
    a, b = generator(1), generator(2)
    logistic = [1 / (1 + np.exp((j - recipe.k + 0.5) / (recipe.width or 1))) for j in range(4)]
    wanted = [1 - share for share in logistic] if recipe.keep == "high" else logistic
    wanted = recipe.weights or wanted
    first, second = a.state_dict(), b.state_dict()
    for name, tensor in blend(a, b, recipe).state_dict().items():
        share = (
            1.0 if "synthesis" not in name else wanted[0 if name[-5:] == "const" else int(name.split(".")[2])]
        )
        if name.endswith("noise_const"):
            share = wanted[int(name.split(".")[2])]
        mean = share * first[name].double().numpy() + (1 - share) * second[name].double().numpy()
        np.testing.assert_allclose(tensor.numpy(), mean, rtol=2e-6, atol=2e-7, err_msg=name)


def same(a, b):
    return all(torch.equal(tensor, b.state_dict()[name]) for name, tensor in a.state_dict().items())


@pytest.mark.parametrize("keep", KEEP)
def test_a_width_of_nearly_nothing_is_the_hard_swap_to_the_bit_and_the_ends_always_are(keep):
    a, b = generator(1), generator(2)
    for k in range(5):
        assert same(blend(a, b, Recipe(k, 1e-3, keep)), blend(a, b, Recipe(k, 0.0, keep)))
    for width in (0.5, 1e6):
        low, high = (0, 4) if keep == "low" else (4, 0)
        assert same(blend(a, b, Recipe(low, width, keep)), blend(a, b, 0))
        assert same(blend(a, b, Recipe(high, width, keep)), blend(a, b, 4))
        assert not same(blend(a, b, Recipe(2, width, keep)), blend(a, b, Recipe(2, 0.0, keep)))


def test_keeping_high_takes_the_lowest_from_the_child():
    a, b = generator(1), generator(2)
    assert same(blend(a, b, Recipe(1, keep="high")), blend(a, b, Recipe(weights=(0, 1, 1, 1))))
    assert same(blend(a, b, Recipe(1)), blend(a, b, Recipe(weights=(1, 0, 0, 0))))
    low, high = Recipe(3, 0.7).shares(6), Recipe(3, 0.7, "high").shares(6)
    np.testing.assert_allclose(np.add(low, high), 1)
    assert low == sorted(low, reverse=True) and low[2] > 0.5 > low[3]
    np.testing.assert_allclose(low[0] + low[5], 1)  # even about the switch


def test_what_both_share_stays_as_it_is_to_the_bit():
    a = generator(1)
    assert same(blend(a, a, Recipe(weights=(0.1, 0.3, 1 / 3, 0.9))), a)


@pytest.mark.parametrize(
    "recipe, text",
    [
        (Recipe(5, 1.0), r"0\.\.4"),
        (Recipe(1, -0.5), "from 0 up"),
        (Recipe(1, float("nan")), "from 0 up"),
        (Recipe(1, float("inf")), "from 0 up"),
        (Recipe(1, keep="middle"), "low or high"),
        (Recipe(weights=(1, 0)), "4 numbers in 0..1, one each from 4 to 32 px"),
        (Recipe(weights=(1, 0, 0, 1.5)), "0..1"),
        (Recipe(weights=(1, 0, 0, float("nan"))), "0..1"),
    ],
    ids=str,
)
def test_a_recipe_outside_its_range_is_one_line_that_names_it(recipe, text):
    with pytest.raises(UsageError, match=text) as caught:
        blend(generator(1), generator(2), recipe)
    assert len(str(caught.value)) <= 200 and "\n" not in str(caught.value)


def test_weights_are_read_from_text():
    assert parse_weights("1,.5, 0") == (1, 0.5, 0)
    for text in ("", "a", "1,,0", "-1", "2", "nan", "1;0", "1," * 5000):
        with pytest.raises(UsageError) as caught:
            parse_weights(text)
        assert len(str(caught.value)) <= 200
