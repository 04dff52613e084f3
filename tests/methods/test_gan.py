"""Scratch and FreezeSG: all that should move moves, what is frozen stays, a resumed run is the same."""

import itertools

import pytest
import torch

from stylegan_toon.errors import ModelError
from stylegan_toon.methods.freezesg import Config as FreezeConfig
from stylegan_toon.methods.freezesg import FreezeSG
from stylegan_toon.methods.gan import GanConfig, mean_w
from stylegan_toon.methods.scratch import Scratch
from stylegan_toon.stylegan2.adapters import style_parameters
from stylegan_toon.stylegan2.blend import blend
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.training.loop import Run, newest_state, train

NETWORK = Config(16, (8, 8, 8), 8, 8, 2)


def networks():
    torch.manual_seed(5)
    return Generator(NETWORK), Discriminator(NETWORK)


def scratch(**changes):
    settings = {"batch": 4, "r1_every": 2, "path_every": 2, "ada_p": 0.3, "ada_images": 100} | changes
    return Scratch(GanConfig(**settings), *networks())


def freezesg(**changes):
    settings = {"batch": 4, "r1_every": 2, "path_weight": 0.0, "ada_p": 0.3} | changes
    return FreezeSG(FreezeConfig(**settings), *networks())


def stream(i):
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(i)) * 2 - 1
    return {"photo": x, "cartoon": x}


def run(method, out, steps, **settings):
    return train(method, stream, Run(out, steps, 2, 100, 1, seed=3, quiet=True, **settings), lambda i: {}, {})


def state(method):
    return {name: value.clone() for name, value in method.state_dict().items()}


def blended(**changes):
    return freezesg(blend=1, **changes)


def styled(**changes):
    return freezesg(train="lora", rank=2, path_weight=2.0, **changes)


@pytest.mark.parametrize("make", [scratch, freezesg, blended, styled])
def test_three_steps_and_three_more_equal_six_to_the_bit(make, tmp_path):
    whole, first, second = make(), make(), make()
    run(whole, tmp_path / "whole", 6)
    run(first, tmp_path / "halves", 3)
    assert run(second, tmp_path / "halves", 6) == 6
    for name, value in state(whole).items():
        assert torch.equal(value, state(second)[name]), name
    a, b = (newest_state(tmp_path / name).read_bytes() for name in ("whole", "halves"))
    assert a == b  # optimisers included


def test_every_network_of_scratch_moves_in_one_step(tmp_path):
    method = scratch()
    before = state(method)
    method.step(stream(0), method.optimizers(), 0)
    for name, parameter in method.gan.named_parameters():
        if not name.startswith("g_ema"):
            assert not torch.equal(before[f"gan.{name}"], parameter), name
    assert not torch.equal(before["gan.g_ema.synthesis.const"], method.gan.g_ema.synthesis.const)
    assert method.gan.path_mean > 0


def test_noise_strengths_stay_at_zero_when_their_rate_is_zero():
    method = scratch(noise_lr=0.0)
    for i in range(2):
        method.step(stream(i), method.optimizers(), i)
    strengths = [p for name, p in method.gan.g.named_parameters() if name.endswith("noise_strength")]
    assert len(strengths) == 5 and all(float(p) == 0 for p in strengths)


def test_freezesg_keeps_mapping_and_4x4_and_moves_all_else():
    method = freezesg()
    before, optimizers = state(method), method.optimizers()
    for i in range(3):
        method.step(stream(i), optimizers, i)
    frozen = ("mapping.", "synthesis.const", "synthesis.blocks.0.")
    for name, parameter in method.gan.g.named_parameters():
        same = torch.equal(before[f"gan.g.{name}"], parameter)
        assert same == name.startswith(frozen), name
        if name.startswith(frozen):
            assert torch.equal(parameter, dict(method.gan.g_ema.named_parameters())[name]), name


@pytest.mark.parametrize("train", ["offsets", "lora"])
def test_a_style_moves_its_own_parameters_and_nothing_else_of_g(train):
    method = freezesg(train=train, rank=2)
    before, optimizers = state(method), method.optimizers()
    for i in range(3):
        method.step(stream(i), optimizers, i)
    trained = style_parameters(method.gan.g, 1)
    assert any("lora_b" in name for name in trained) == (train == "lora")
    for name, parameter in method.gan.g.named_parameters():
        assert torch.equal(before[f"gan.g.{name}"], parameter) == (name not in trained), name
        average = dict(method.gan.g_ema.named_parameters())[name]
        assert torch.equal(before[f"gan.g_ema.{name}"], average) == (name not in trained), name
    for name, parameter in method.gan.d.named_parameters():
        assert not torch.equal(before[f"gan.d.{name}"], parameter), name


def test_a_style_that_would_hold_more_or_less_than_it_can_is_refused():
    for wrong in ({"freeze_mapping": False}, {"freeze_g": 3}):
        with pytest.raises(ValueError, match="train=offsets needs a frozen mapping and a resolution"):
            freezesg(train="offsets", **wrong)
    with pytest.raises(ValueError, match="all, offsets or lora, not 'some'"):
        freezesg(train="some")


def test_structure_loss_of_an_untouched_child_is_exactly_zero():
    method = freezesg(noise_lr=0.0)
    losses = method.step(stream(0), method.optimizers(), 0)
    assert float(losses["g/structure"]) == 0.0
    later = method.step(stream(1), method.optimizers(), 1)
    assert float(later["g/structure"]) > 0.0


def test_the_source_is_the_one_given_and_never_moves():
    g, d = networks()
    method = FreezeSG(FreezeConfig(batch=4, path_weight=0.0), g, d)
    optimizers = method.optimizers()
    for i in range(2):
        method.step(stream(i), optimizers, i)
    for mine, given in zip(method.source.parameters(), g.parameters(), strict=True):
        assert torch.equal(mine, given)


def test_with_blend_every_second_draw_is_the_blend_of_source_and_child():
    method = freezesg(blend=2, noise_lr=0.0)
    optimizers = method.optimizers()
    for i in range(3):
        method.step(stream(i), optimizers, i)
    wanted = blend(method.source, method.gan.g, 2).synthesis
    assert not torch.equal(
        wanted.blocks[1].conv0.conv.weight, method.gan.g.synthesis.blocks[1].conv0.conv.weight
    )
    torch.manual_seed(0)
    drawn = [method.drawing() for _ in range(200)]
    child = sum(one is method.gan.g.synthesis for one in drawn)
    assert 70 < child < 130
    other = next(one for one in drawn if one is not method.gan.g.synthesis)
    w_plus = torch.randn(2, NETWORK.n_layers, NETWORK.w_dim)
    with torch.no_grad():
        assert torch.equal(other(w_plus, "none")[-1], wanted(w_plus, "none")[-1])


def test_the_gradient_of_a_blended_draw_reaches_only_what_is_the_childs():
    method = freezesg(blend=2, noise_lr=0.0)
    method.optimizers()
    torch.manual_seed(0)
    other = next(one for one in iter(method.drawing, None) if one is not method.gan.g.synthesis)
    other(torch.randn(2, NETWORK.n_layers, NETWORK.w_dim), "none")[-1].sum().backward()
    blocks = method.gan.g.synthesis.blocks
    assert all(p.grad is None for p in [*blocks[:2].parameters(), *method.source.parameters()])
    assert all(p.grad is not None for n, p in blocks[2].named_parameters() if "noise" not in n)


def test_a_blend_that_leaves_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="blend=3 leaves nothing of 3 resolutions"):
        freezesg(blend=3)


def test_a_run_of_other_settings_is_refused_with_the_setting_named(tmp_path):
    run(scratch(), tmp_path, 2)
    with pytest.raises(ModelError, match=r"made with lr 0\.002, now 0\.1"):
        run(scratch(lr=0.1), tmp_path, 4)


def test_a_third_state_that_a_kill_has_left_goes_when_the_run_goes_on(tmp_path):
    run(scratch(), tmp_path, 4)
    oldest = min((tmp_path / "state").iterdir())
    (tmp_path / "state" / "00000001.safetensors").write_bytes(oldest.read_bytes())
    run(scratch(), tmp_path, 4)
    assert sorted(path.stem for path in (tmp_path / "state").iterdir()) == ["00000002", "00000004"]


def test_starting_anew_or_from_an_earlier_state_leaves_no_later_state_behind(tmp_path):
    run(scratch(), tmp_path, 4)
    run(scratch(), tmp_path, 3, resume=str(tmp_path / "state" / "00000002.safetensors"))
    assert newest_state(tmp_path).name == "00000003.safetensors"
    (tmp_path / "best.safetensors").touch()
    run(scratch(), tmp_path, 1, resume="never")
    assert newest_state(tmp_path).name == "00000001.safetensors"
    assert not (tmp_path / "best.safetensors").exists()


def test_a_run_with_nothing_left_to_do_is_looked_at(tmp_path):
    looked = []
    for _ in range(2):
        train(
            scratch(),
            stream,
            Run(tmp_path, 2, 1, 100, 1, seed=3, quiet=True),
            lambda i: looked.append(i) or {},
            {},
        )
    assert looked == [2, 2]


def test_scratch_learns_one_colour():
    """All pictures alike: after some steps the samples are near them, which they were not before."""
    torch.manual_seed(0)
    method = scratch(lr=0.01, path_weight=0.0, ada_p=0.0, ada_target=0.0, noise_lr=0.0, r1_weight=1.0)
    colour = torch.tensor([0.8, -0.6, 0.2])[:, None, None]
    batch = {"photo": colour.expand(4, 3, 16, 16).contiguous()}

    def gap():
        with torch.no_grad():
            return float(
                (
                    method.gan.g(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)), noise="none")
                    - colour
                )
                .abs()
                .mean()
            )

    before, optimizers = gap(), method.optimizers()
    for i in range(150):
        method.step(batch, optimizers, i)
    assert gap() < 0.35 * before, (before, gap())


def test_mean_w_is_the_mean_over_a_fixed_seed():
    g, _ = networks()
    z = torch.randn(10_000, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mean_w(g), g.mapping(z).mean(0))


def test_style_mixing_draws_two_codes_with_one_crossover():
    method = scratch(mixing=1.0)
    w_plus = method.gan.draw_w(4)
    changes = [not torch.equal(a, b) for a, b in itertools.pairwise(w_plus[0])]
    assert sum(changes) == 1
