"""Editing by text: the goal, training a mapper, optimising codes and finding a direction."""

import itertools

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from stylegan_toon.errors import UsageError
from stylegan_toon.exact import double
from stylegan_toon.methods.mapper import Config, MapperTraining, new_mapper
from stylegan_toon.methods.text_direction import find_direction, shifted, style_units
from stylegan_toon.methods.text_goal import Goal, Weights, cut_outs, spread
from stylegan_toon.methods.text_optimize import optimize
from stylegan_toon.stylegan2.config import Config as Network
from stylegan_toon.stylegan2.edits import Edit, apply_edit
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.training.loop import Run, train
from tests import tiny_clip

NETWORK = Network(32, (6, 6, 6, 6), 8, 8, 2)  # 8 layers: coarse and medium


def embed(x):
    return F.normalize(F.adaptive_avg_pool2d(x, 3).flatten(1))


def generator():
    return Generator(NETWORK).eval().requires_grad_(False)


def goal(**weights):
    settings = {"identity": 0.05, "step": 0.01, "views": 1} | weights
    return Goal(tiny_clip.clip(), "a really sad face", ["a face"], embed, Weights(**settings))


def codes(g, n, seed=1):
    return g.codes(torch.randn(n, 8, generator=torch.Generator().manual_seed(seed)))


def test_the_goal_is_the_sum_of_what_clip_identity_and_step_say():
    clip = tiny_clip.clip()
    made = Goal(clip, "a sad face", ["a face", "a red face"], embed, Weights(0.3, 0.7, 2))
    after, before, step = torch.rand(2, 3, 20, 20), torch.rand(2, 3, 20, 20), torch.randn(2, 4, 5)
    torch.manual_seed(4)
    losses = made(after, before, step)
    torch.manual_seed(4)
    seen = clip.image(cut_outs(after, 2)).double().numpy()
    sad, *neutral = clip.text(["a sad face", "a face", "a red face"]).double().numpy()
    way = sad - (neutral[0] + neutral[1]) / 2
    way = way / (way**2).sum() ** 0.5
    for n in range(2):
        text = 1 - (seen[n] @ way + seen[2 + n] @ way) / 2
        identity = 0.3 * (1 - float(embed(after)[n] @ embed(before)[n]))
        square = 0.7 * float((step[n] ** 2).mean())
        assert float(losses["text"][n]) == pytest.approx(text, abs=1e-5)
        assert float(losses["loss"][n]) == pytest.approx(text + identity + square, abs=1e-5)
    cosines = clip.image(after).double().numpy() @ sad
    assert made.similarity(after).tolist() == pytest.approx(cosines.tolist(), abs=1e-6)
    plain = Goal(clip, "a sad face", [], embed, Weights(0, 0, 1))
    torch.manual_seed(4)
    text = plain(after, before, step)["loss"]
    torch.manual_seed(4)
    assert_close(text, 1 - clip.image(cut_outs(after, 1)) @ clip.text(["a sad face"])[0])


def test_words_that_clip_never_saw_are_refused():
    with pytest.raises(UsageError, match='"cyberpunk" is not a word'):
        Goal(tiny_clip.clip(), "a cyberpunk face", ["a face"], embed)


def test_cut_outs_differ_keep_what_is_plain_and_pass_gradients_to_all_of_a_picture():
    x = torch.rand(1, 3, 24, 24) * 2 - 1
    views = cut_outs(x, 5)
    assert views.shape == (5, 3, 24, 24)
    for a, b in itertools.combinations(views, 2):
        assert float((a - b).abs().mean()) > 0.02
    flat = cut_outs(torch.full((1, 3, 24, 24), 0.2), 4)
    assert_close(flat, flat[:, :, :1, :1].expand_as(flat))  # light and colour alone
    torch.manual_seed(1)
    one = cut_outs(x, 2)
    torch.manual_seed(1)
    assert_close(cut_outs(x.double(), 2), one.double(), atol=1e-4, rtol=1e-4)
    x.requires_grad_()
    torch.stack([cut_outs(x, 8).square().mean() for _ in range(4)]).sum().backward()
    assert bool((x.grad[..., 4:-4, 4:-4] != 0).all())


def training(g=None, **changes):
    torch.manual_seed(5)
    g = g or generator()
    made = new_mapper(g, ("coarse", "medium"))
    weights = {"identity": 0.01, "step": 0.001}
    return MapperTraining(
        Config("a really sad face", ("a face",), 4, **changes), made, g, goal(**weights), [0, 1, 4, 5, 6]
    )


def stream(g):
    return lambda i: {"w_plus": codes(g, 4, 100 + i)}


def test_a_step_moves_the_mapper_and_nothing_else():
    method = training()
    g = method._fixed[0]
    frozen = {name: value.clone() for name, value in g.state_dict().items()}
    mine = {name: value.clone() for name, value in method.named_parameters()}
    optimizers = method.optimizers()
    for i in range(2):  # the last layers begin at zero, and hide those below from the first step
        method.step(stream(g)(i), optimizers, i)
    assert all(torch.equal(value, frozen[name]) for name, value in g.state_dict().items())
    assert not [name for name, value in method.named_parameters() if torch.equal(value, mine[name])]


def test_three_steps_and_three_more_equal_six_to_the_bit(tmp_path):
    whole, first, second = training(), training(), training()
    for method, out, steps in ((whole, "a", 6), (first, "b", 3), (second, "b", 6)):
        run = Run(tmp_path / out, steps, 3, 100, 1, seed=3, quiet=True)
        train(method, stream(method._fixed[0]), run, lambda i: {}, {})
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def says(made, g, w_plus):
    """The mean product of a few cut-outs of pictures with the goal's direction."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(77)
        return float(
            (made._clip.image(cut_outs(g.synthesis(w_plus, "none")[-1], 8)) @ made._direction).mean()
        )


def assert_nearer_than_by_chance(made, g, before, after):
    """Codes say more of the text, and that more than the best of eight random steps of their length."""
    length = (after - before).norm(dim=(1, 2), keepdim=True)
    chance = [
        says(made, g, before + length * F.normalize(torch.randn_like(before), dim=(1, 2))) for _ in range(8)
    ]
    start = says(made, g, before)
    assert says(made, g, after) - start > 1.5 * max(0.01, max(chance) - start)


def test_a_mapper_learns_its_text_and_leaves_locked_layers_to_others():
    method = training(lr=2.0)
    g, made = method._fixed
    optimizers = method.optimizers()
    for i in range(40):
        method.step(stream(g)(i), optimizers, i)
    new = codes(g, 16, 7)
    with torch.no_grad():
        moved = new + method.mapper(new) * method.lock
    assert_nearer_than_by_chance(made, g, new, moved)
    assert torch.equal(moved[:, [2, 3, 7]], new[:, [2, 3, 7]])
    assert "loss/text" in method.step(stream(g)(0), optimizers, 0)


def test_optimising_moves_codes_to_the_text_within_the_free_layers():
    torch.manual_seed(2)
    g, made = generator(), goal()
    w_plus = codes(g, 3)
    count = itertools.count()
    moved = optimize(g, w_plus, None, made, 25, [0, 1, 2, 4], tell=lambda: next(count))
    assert next(count) == 25 and torch.equal(moved[:, [3, 5, 6, 7]], w_plus[:, [3, 5, 6, 7]])
    assert_nearer_than_by_chance(made, g, w_plus, moved)
    near = optimize(g, w_plus, None, goal(step=100.0), 25)
    assert float((near - w_plus).norm()) < 0.2 * float((moved - w_plus).norm())
    assert torch.equal(optimize(g, w_plus, None, made, 0), w_plus)


@pytest.mark.parametrize("space", ["s", "w+"])
def test_a_direction_moves_other_faces_to_the_text(space):
    torch.manual_seed(2)
    g, made = generator(), goal()
    found = find_direction(
        g, [codes(g, 4, i) for i in range(20)], made, space, 0.1, [0, 1, 2, 4, 5, 6], lr=0.1
    )
    new = codes(g, 16, 99)
    edit, other = Edit("x", "direction", found), []
    for _ in range(8):
        signs = {name: part.abs() * torch.randn_like(part).sign() for name, part in found.items()}
        other.append(says(made, *apply_edit(g, new, Edit("x", "direction", signs), 1)))
    start = says(made, g, new)
    assert says(made, *apply_edit(g, new, edit, 1)) > max(start + 0.01, *other)
    if space == "w+":
        parts = [found["w_plus"] / spread(g)]
        assert not parts[0][[3, 7]].any()
    else:
        parts = [found[name] / style_units(g)[name] for name in found]
        assert not {name.rpartition(".")[2] for name in found} & {"to_rgb"}
        # w 3 is that of the first convolution of 16x16, w 7 of no convolution but a toRGB
        assert "s.blocks.2.conv0" not in found
    whole = torch.cat([part.flatten() for part in parts])
    kept = whole[whole != 0].abs()
    assert float(kept.min()) >= 0.099 * float(kept.max()) and len(kept) > 0
    with pytest.raises(ValueError, match="space must be one of"):
        find_direction(g, [], made, "z")


def test_shifted_pictures_are_those_of_the_edit_and_their_gradient_is_that_of_finite_differences():
    g = double(generator())
    w_plus = g.codes(torch.randn(2, 8).double())
    change = {"s.blocks.1.conv0": torch.randn(6).double(), "s.blocks.3.conv1": torch.randn(6).double()}
    plain = g.synthesis(w_plus, "none")[-1]
    edited, _ = apply_edit(g, w_plus, Edit("x", "hand", change), 1)
    assert_close(shifted(g, w_plus, change), edited.synthesis(w_plus, "none")[-1])
    assert_close(g.synthesis(w_plus, "none")[-1], plain)  # the generator is as it was
    offset = change["s.blocks.1.conv0"].requires_grad_()
    shifted(g, w_plus, change)[..., 5, 7].sum().backward()
    with torch.no_grad():
        for k in range(6):
            ends = []
            for sign in (1, -1):
                moved = offset + sign * 1e-5 * torch.eye(6)[k].double()
                ends.append(shifted(g, w_plus, {**change, "s.blocks.1.conv0": moved})[..., 5, 7].sum())
            assert float(offset.grad[k]) == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-8)


def test_units_are_the_spread_of_styles_over_faces():
    g = generator()
    z = torch.randn(2048, 8, generator=torch.Generator().manual_seed(0))
    affine = g.synthesis.blocks[2].conv1.conv.affine
    w = g.mapping(z).double().numpy()
    styles = w @ (affine.weight.double().numpy() / 8**0.5).T
    wanted = styles.std(0, ddof=1)
    assert style_units(g)["s.blocks.2.conv1"].tolist() == pytest.approx(wanted.tolist(), rel=1e-4)
