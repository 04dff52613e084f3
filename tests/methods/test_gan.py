"""Scratch and FreezeSG: all that should move moves, what is frozen stays, a resumed run is the same."""

import copy
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
from stylegan_toon.stylegan2.freeze import trained_parameters
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


VARIANTS = {
    "blend": {"blend": 1},
    "g0": {"freeze_g": 0, "freeze_mapping": False, "path_weight": 2.0, "path_every": 2},
    "g2": {"freeze_g": 2, "freeze_mapping": False},
    "sg2": {"freeze_g": 2, "freeze_sg": 2, "freeze_mapping": False, "mixing": 1.0},
    "sg1 of g2": {
        "freeze_g": 2,
        "freeze_sg": 1,
        "freeze_mapping": False,
        "path_weight": 2.0,
        "path_every": 2,
    },
    "sg2 mapping": {"freeze_g": 2, "freeze_sg": 2},
    "d1": {"freeze_d": 1},
    "d2": {"freeze_d": 2, "loss": "relativistic"},
    "features": {"structure_of": "features", "structure_layers": 2},
    "l2sp": {"l2sp_weight": 0.01},
    "cdc": {"cdc_weight": 10.0},
    "relativistic": {"loss": "relativistic"},
    "quiet": {"noise_lr": 0.0, "cdc_weight": 1.0},
}


TOGETHER = {  # every option once
    "sg": {"freeze_g": 2, "freeze_sg": 1, "freeze_mapping": False, "mixing": 1.0, "path_weight": 2.0},
    "near": {"structure_of": "features", "structure_layers": 2, "l2sp_weight": 0.01, "cdc_weight": 10.0},
    "paired": {"loss": "relativistic", "freeze_d": 1, "freeze_g": 0, "freeze_mapping": False},
    "blend": {"blend": 1},
    "lora": {"train": "lora", "rank": 2, "path_weight": 2.0, "l2sp_weight": 0.01, "freeze_d": 1},
}


def together(name):
    def make():
        return freezesg(**TOGETHER[name])

    make.__name__ = name
    return make


@pytest.mark.parametrize("make", [scratch, *map(together, TOGETHER)], ids=lambda make: make.__name__)
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
        with pytest.raises(ValueError, match=r"needs a frozen mapping|leaves nothing"):
            freezesg(train="offsets", **wrong)
    with pytest.raises(ValueError, match="all, offsets, lora, not 'some'"):
        freezesg(train="some")


def moves(name, config):
    """Whether a parameter is trained, by its name and the options' own definition."""
    player, rest = name.split(".", 1)
    if player == "d":
        if config.loss == "relativistic" and rest == "out.bias":
            return False  # it cancels in every difference
        if config.freeze_d and rest.startswith("from_rgb."):
            return False
        return not rest.startswith("blocks.") or int(rest.split(".")[1]) >= config.freeze_d
    if rest.startswith("source_mapping.") or (config.noise_lr == 0 and rest.endswith("noise_strength")):
        return False
    if rest.startswith("mapping."):
        return not config.freeze_mapping
    block = 0 if rest == "synthesis.const" else int(rest.split(".")[2])
    return block >= config.freeze_g


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_frozen_keeps_its_bits_and_all_else_moves(name):
    method = freezesg(**VARIANTS[name])
    before, optimizers = state(method), method.optimizers()
    for i in range(4):
        method.step(stream(i), optimizers, i)
    counts = {"g": 0, "d": 0}
    average = dict(method.gan.g_ema.named_parameters())
    for key, parameter in method.gan.named_parameters():
        if key.startswith("g_ema."):
            continue
        moved = not torch.equal(before[f"gan.{key}"], parameter)
        assert moved == moves(key, method.config), key
        counts[key[0]] += parameter.numel() * moved
        if key.startswith("g.") and not moved:
            assert torch.equal(average[key[2:]], parameter), key
    assert counts == {key: trained_parameters(optimizer) for key, optimizer in optimizers.items()}
    frozen_d_grads = [p.grad for key, p in method.gan.named_parameters() if not moves_d(key, method.config)]
    assert all(grad is None for grad in frozen_d_grads)


def moves_d(key, config):
    return not key.startswith("d.") or moves(key, config)


UNTOUCHED = [
    {},
    {"noise_lr": 0.0},
    {"structure_of": "features", "structure_layers": 2},
    {"freeze_mapping": False, "freeze_sg": 1, "cdc_weight": 1.0, "l2sp_weight": 1.0, "mixing": 1.0},
]


@pytest.mark.parametrize("options", UNTOUCHED, ids=lambda options: " ".join(options) or "recipe")
def test_losses_that_compare_an_untouched_child_are_exactly_zero(options):
    """Random noise, mixing and all: both sides see the same."""
    method = freezesg(**options)
    for parameter in (p for n, p in method.gan.g.named_parameters() if n.endswith("noise_strength")):
        parameter.data.fill_(0.3)
    for ours, theirs in zip(
        method.gan.g.synthesis.parameters(), method.source.synthesis.parameters(), strict=True
    ):
        theirs.data.copy_(ours)
    names = ["structure"] + [n for n in ("cdc", "l2sp") if options.get(f"{n}_weight")]
    losses = method.step(stream(0), method.optimizers(), 0)
    assert [float(losses[f"g/{name}"]) for name in names] == [0.0] * len(names)
    later = method.step(stream(1), method.optimizers(), 1)
    assert all(float(later[f"g/{name}"]) > 0.0 for name in names)


def test_the_structure_loss_is_that_of_pictures_or_features_of_the_same_code(monkeypatch):
    """Against the two networks run once more by hand, from the first draws that the step makes."""
    for of, least in (("rgb", 0), ("features", 1)):
        method = freezesg(noise_lr=0.0, structure_of=of, structure_layers=2, freeze_mapping=False)
        with torch.no_grad():
            for parameter in method.gan.g.parameters():
                parameter.add_(0.1)
        seen = []
        draw = method.gan.draw_w
        monkeypatch.setattr(
            method.gan, "draw_w", lambda n, at, draw=draw, seen=seen: seen.append(draw(n, at)) or seen[-1]
        )
        child = copy.deepcopy(method.gan.g.synthesis)
        losses = method.step(stream(0), method.optimizers(), 0)
        with torch.no_grad():
            sides = [list(net.run(seen[1], "none")) for net in (child, method.source.synthesis)]
        which = int(of == "rgb")
        wanted = sum(
            ((a[which] - b[which]).double() ** 2).mean()
            for a, b in list(zip(*sides, strict=True))[least : least + 2]
        )
        assert float(losses["g/structure"]) == pytest.approx(float(wanted), rel=1e-5)


def test_the_source_is_run_only_up_to_the_highest_compared_block():
    for options, highest in (
        ({"structure_layers": 1}, 0),
        ({"structure_layers": 2}, 1),
        ({"structure_layers": 1, "structure_of": "features"}, 1),
        ({"cdc_weight": 1.0}, 2),
        ({"structure_layers": 0}, -1),
    ):
        method, run_blocks = freezesg(**options), []
        for k, block in enumerate(method.source.synthesis.blocks):
            block.register_forward_hook(lambda *_, k=k, run_blocks=run_blocks: run_blocks.append(k))
        method.step(stream(0), method.optimizers(), 0)
        assert run_blocks == list(range(highest + 1)), options


def test_freeze_sg_gives_low_layers_the_sources_w_and_the_others_the_childs_own_mixed():
    method = freezesg(freeze_g=2, freeze_sg=2, freeze_mapping=False, mixing=1.0)
    gan = method.gan
    with torch.no_grad():
        for parameter in gan.g.mapping.parameters():
            parameter.add_(torch.randn_like(parameter))
    for seed in range(8):
        torch.manual_seed(seed)
        w_plus = gan.draw_w(4)
        torch.manual_seed(seed)
        z = torch.randn(4, 8)
        assert float(torch.rand([])) < 1
        crossover = int(torch.randint(1, 6, []))
        zs = z, torch.randn(4, 8)
        for layer in range(6):
            mapping = (method.source if layer < 4 else gan.g).mapping
            assert torch.equal(w_plus[:, layer], mapping(zs[layer >= crossover])), (seed, layer)


def test_with_the_mapping_frozen_sg_and_g_are_one(tmp_path):
    ends = []
    for freeze_sg in (0, 2):
        method = freezesg(freeze_g=2, freeze_sg=freeze_sg)
        optimizers = method.optimizers()
        for i in range(3):
            method.step(stream(i), optimizers, i)
        ends.append(state(method))
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_r2_of_the_relativistic_loss_is_r1_at_the_childs_pictures():
    method = freezesg(loss="relativistic", r1_every=1, ada_p=0.0, ada_target=0.0)
    assert method.gan.d is not None
    d, optimizers = copy.deepcopy(method.gan.d), method.optimizers()
    for group in optimizers["d"].param_groups:
        group["lr"] = 0.0  # so that the penalty is of the D that was there
    real, fake = stream(0)["cartoon"], stream(1)["cartoon"]
    losses = method.gan.step_d(real, fake, optimizers["d"], 0)
    for name, pictures in (("d/r1", real), ("d/r2", fake)):
        x = pictures.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(d(x).sum(), x)
        assert float(losses[name]) == pytest.approx(float(gradient.square().sum() / 4 / 2), rel=1e-4)
    difference = (d(real) - d(fake)).detach()
    assert float(losses["d/sign"]) == pytest.approx(float(difference.sign().mean()))


@pytest.mark.parametrize(
    "options, said",
    [
        ({"freeze_g": 4, "freeze_mapping": False}, "freezing 4 resolutions"),
        ({"freeze_g": 3}, "leaves nothing of the generator"),
        ({"freeze_g": 3, "freeze_sg": 3, "freeze_mapping": False}, "leaves nothing of the generator"),
        ({"freeze_g": 1, "freeze_sg": 2}, "freeze_sg=2 is not within freeze_g=1"),
        ({"freeze_d": 3}, "there are 2 blocks"),
        ({"structure_layers": 4}, "of 3 resolutions there are 3 rgb"),
        ({"structure_layers": 3, "structure_of": "features"}, "there are 2 features"),
        ({"structure_of": "edges"}, "one of rgb, features"),
        ({"cdc_weight": 1.0, "batch": 5}, "a batch of 5 has none"),
        ({"loss": "hinge"}, "one of nonsaturating, saturating, relativistic"),
    ],
)
def test_settings_that_no_network_can_have_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        freezesg(**options)


def test_freezing_all_resolutions_with_a_trained_mapping_trains_the_mapping_alone():
    method = freezesg(freeze_g=3, freeze_mapping=False)
    assert trained_parameters(method.optimizers()["g"]) == 2 * (8 * 8 + 8)


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
