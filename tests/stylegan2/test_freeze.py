"""What is frozen, counted as Cartoon-StyleGAN counts it at 256 px; a generator with two mappings."""

import pytest
import torch

from stylegan_toon.checkpoint.format import load, save
from stylegan_toon.errors import ModelError
from stylegan_toon.stylegan2.blend import blend, same_mapping
from stylegan_toon.stylegan2.config import Config, channels_for
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.files import build_generator, generator_checkpoint, outline
from stylegan_toon.stylegan2.freeze import frozen_d, frozen_g, with_source_mapping
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import truncate

FULL = Config(256, channels_for(256))
NETWORK = Config(16, (8, 8, 8), 8, 8, 2)


def rest(network, frozen):
    frozen = list(frozen)
    assert len({id(p) for p in frozen}) == len(frozen)
    return sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in frozen)


# Trained numbers of Cartoon-StyleGAN's freezeG K, measured in its own code; mapping 2,101,248, const 8,192,
# 4x4 2,622,465 + 264,195.
FREEZE_G = {1: 705_669, 2: 3_001_738, 3: 8_510_863, 4: 14_019_988, 5: 19_529_113, 6: 25_038_238}
FREEZE_D = {1: 11_541_505, 2: 16_523_265, 3: 21_505_025, 4: 26_486_785, 5: 28_388_097}


@pytest.mark.parametrize("theirs", FREEZE_G)
def test_freezing_the_generator_leaves_what_the_original_trains(theirs):
    g = outline(Generator, FULL)
    assert rest(g, frozen_g(g, 7 - theirs, mapping=True)) == FREEZE_G[theirs]
    assert rest(g, frozen_g(g, 7 - theirs, mapping=False)) == FREEZE_G[theirs] + 2_101_248


@pytest.mark.parametrize("theirs", FREEZE_D)
def test_freezing_the_discriminator_leaves_what_the_original_trains(theirs):
    d = outline(Discriminator, FULL)
    assert rest(d, frozen_d(d, 6 - theirs)) == FREEZE_D[theirs]


def test_nothing_and_everything():
    g, d = outline(Generator, FULL), outline(Discriminator, FULL)
    assert rest(g, frozen_g(g, 0, False)) == 30_034_338 and rest(d, frozen_d(d, 0)) == 28_864_129
    assert rest(g, frozen_g(g, 7, True)) == 0
    assert rest(d, frozen_d(d, 6)) == 2_364_416 + 4_195_329  # the head
    for frozen in (frozen_g(g, 8, True), frozen_g(g, -1, True), frozen_d(d, 7)):
        with pytest.raises(ValueError, match="there are"):
            list(frozen)


@pytest.fixture
def child():
    """Two of three resolutions from the source's w, and a mapping that has moved away."""
    source = Generator(NETWORK)
    source.w_mean.normal_()
    made = with_source_mapping(source, 2)
    with torch.no_grad():
        for parameter in made.mapping.parameters():
            parameter.add_(torch.randn_like(parameter))
        made.w_mean.normal_()
    return source, made


def test_the_source_mapping_is_frozen_and_counts_for_nothing(child):
    source, made = child
    names = {name for name, _ in made.named_parameters()} - {name for name, _ in source.named_parameters()}
    assert all(name.startswith("source_mapping.") for name in names) and len(names) == 4
    assert rest(made, frozen_g(made, 0, False)) == rest(source, ())


def test_low_layers_are_drawn_and_truncated_by_the_sources_mapping(child):
    source, made = child
    z = torch.randn(3, 8)
    codes = made.codes(z)
    for layer in range(6):
        assert torch.equal(codes[:, layer], (source if layer < 4 else made).mapping(z))
    pulled = torch.stack(
        [truncate(codes[:, k : k + 1], (source if k < 4 else made).w_mean, 0.6)[:, 0] for k in range(6)], 1
    )
    with torch.no_grad():
        assert torch.equal(made(z, 0.6, "const"), made.synthesis(pulled, "const")[-1])
        assert not torch.equal(made(z, 0.6, "const"), source(z, 0.6, "const"))
    assert torch.equal(source.codes(z), source.broadcast(source.mapping(z)))


def test_its_file_brings_both_mappings_back_and_older_files_load_as_they_were(child, tmp_path):
    source, made = child
    save(tmp_path / "child.safetensors", generator_checkpoint(made))
    again = build_generator(load(tmp_path / "child.safetensors"))
    assert again.config.source_resolutions == 2
    z = torch.randn(2, 8)
    torch.testing.assert_close(again(z, 0.7, "const"), made(z, 0.7, "const"))
    old = generator_checkpoint(source)
    del old.config["source_resolutions"]
    assert build_generator(old).config == source.config


@pytest.mark.parametrize("value", [-1, 3, 2.0, "2", True])
def test_a_number_of_resolutions_that_no_network_has_is_refused(child, value):
    made = generator_checkpoint(child[1])
    made.config["source_resolutions"] = value
    with pytest.raises(ModelError, match="source_resolutions"):
        build_generator(made)


def test_a_blend_speaks_the_sources_codes_alone(child):
    source, made = child
    mixed = blend(source, made, 1)
    assert mixed.config == source.config and mixed.state_dict().keys() == source.state_dict().keys()
    z = torch.randn(2, 8)
    assert torch.equal(mixed.codes(z), source.codes(z)) and made.config.source_resolutions == 2
    assert build_generator(generator_checkpoint(mixed)).source_mapping is None
    with pytest.raises(ModelError, match="the source has two mappings"):
        blend(made, source, 1)


def test_mappings_are_told_apart_but_not_by_float16(child):
    source, made = child
    assert not same_mapping(source, made)
    twin = build_generator(generator_checkpoint(source, half=True))
    assert same_mapping(source, twin)
    twin.mapping.layers[0].weight[0, 0] += 1
    assert not same_mapping(source, twin)
