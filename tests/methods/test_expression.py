"""Fine-tuning that keeps expressions: edits in draws, what the text model sees of them, and the loss."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from stylegan_toon.losses.expression import LEAST, expression_loss
from stylegan_toon.methods.expression import Change, Expressions, changed
from stylegan_toon.methods.freezesg import Config as FreezeConfig
from stylegan_toon.methods.freezesg import FreezeSG, Known, drawn
from stylegan_toon.methods.text_goal import cut, draw_cuts
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.edits import Edit, apply_edit
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.mapper import Config as MapperConfig
from stylegan_toon.stylegan2.mapper import Mapper
from stylegan_toon.training.loop import Run, train
from tests import tiny_clip

NETWORK = Config(16, (8, 8, 8), 8, 8, 2)
LAYERS = NETWORK.n_layers


def edits():
    torch.manual_seed(3)
    styles = {"s.blocks.1.conv0": torch.randn(8), "s.blocks.2.conv1": torch.randn(8)}
    return [
        Edit("sad", "direction", styles, 0.8),
        Edit("happy", "mean", {"w": torch.randn(8)}, 2.0),
        Edit("angry", "text", {"w_plus": torch.randn(LAYERS, 8)}, -0.5),
    ]


def expressions():
    torch.manual_seed(2)
    return Expressions(tiny_clip.clip(tiny_clip.MOODS), edits())


def freezesg(**settings):
    known = expressions()
    torch.manual_seed(5)
    made = FreezeConfig(
        batch=4, r1_every=2, path_weight=0.0, mixing=0.0, ada_p=0.3, expression_weight=2.0, **settings
    )
    return FreezeSG(made, Generator(NETWORK), Discriminator(NETWORK), expressions=known)


def stream(i):
    return {"cartoon": torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(i)) * 2 - 1}


def test_the_loss_by_hand_and_its_gradient():
    rng = np.random.default_rng(0)
    child, source = rng.normal(size=(2, 5, 4))
    wanted = np.mean(
        [((c - s) ** 2).sum() / ((s**2).sum() + LEAST) for c, s in zip(child, source, strict=True)]
    )
    mine, theirs = torch.tensor(child, requires_grad=True), torch.tensor(source, requires_grad=True)
    loss = expression_loss(mine, theirs)
    assert loss.item() == pytest.approx(wanted, rel=1e-12)
    loss.backward()
    assert theirs.grad is None and mine.grad.abs().min() > 0
    assert torch.autograd.gradcheck(lambda x: expression_loss(x, theirs.detach()), mine)
    assert expression_loss(theirs, theirs).item() == 0
    still = expression_loss(torch.zeros(1, 4), torch.tensor([[0.3, 0.0, -0.1, 0.0]]))
    assert still.item() == pytest.approx(0.1 / (0.1 + LEAST))


@pytest.mark.parametrize("which", range(3), ids=["styles", "w", "w_plus"])
def test_a_change_draws_what_the_edit_draws(which):
    edit = edits()[which]
    torch.manual_seed(0)
    g, known = Generator(NETWORK).requires_grad_(False), Expressions(tiny_clip.clip(tiny_clip.MOODS), [edit])
    w_plus = torch.randn(3, LAYERS, 8)
    change = known.draw(3, w_plus)
    _, found = drawn(g.synthesis, w_plus, "none", change)
    plain = g.synthesis(w_plus, "none")[-1]
    # how strong each was, from the draw itself: it is a multiple of the edit
    name, step = next(iter(edit.tensors.items()))
    mine = change.w_plus if name.startswith("w") else change.styles[name[2:]]
    strengths = [(mine[i] / step).flatten() for i in range(3)]
    for i, strength in enumerate(strengths):
        assert_close(strength, strength.mean().expand_as(strength))
        assert 0.5 <= float(strength.mean() / edit.strength) <= 1.5
        edited, codes = apply_edit(g, w_plus[i : i + 1], edit, float(strength.mean()))
        assert_close(found[-1][i : i + 1], edited.synthesis(codes, "none")[-1], atol=1e-5, rtol=1e-4)
    assert float((found[-1] - plain).abs().max()) > 0.01
    assert torch.equal(g.synthesis(w_plus, "none")[-1], plain), "the change is over"


def test_every_edit_is_drawn_and_a_part_of_a_draw_is_that_part():
    known = expressions()
    torch.manual_seed(0)
    change = known.draw(300, torch.zeros(1, LAYERS, 8))
    of_styles = change.styles["blocks.1.conv0"].abs().sum(1) > 0
    of_codes = change.w_plus.abs().sum((1, 2)) > 0
    assert not (of_styles & of_codes).any() and (of_styles | of_codes).all()
    assert 60 < int(of_styles.sum()) < 140
    at = torch.tensor([7, 2, 100])
    part = change[at]
    assert torch.equal(part.w_plus, change.w_plus[at])
    assert torch.equal(part.styles["blocks.2.conv1"], change.styles["blocks.2.conv1"][at])
    assert all(torch.equal(x, y[at]) for x, y in zip(part.cuts, change.cuts, strict=True))


def test_faces_with_moods_are_drawn_as_the_edits_draw_them():
    """changed() beside apply_edit(), which moves biases for all faces alike."""
    torch.manual_seed(7)
    g = Generator(NETWORK)
    made = [
        Edit("a", "mean", {"s.blocks.1.conv0": torch.randn(8), "s.blocks.2.to_rgb": torch.randn(8)}, 0.6),
        Edit("b", "mean", {"w_plus": torch.randn(LAYERS, 8)}, -1.5),
    ]
    codes, shares = torch.randn(3, LAYERS, 8), torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.5, 0.25]])
    with torch.no_grad():
        mine = drawn(g.synthesis, codes, "none", changed(made, shares, codes))[1][-1]
        for i, row in enumerate(shares):
            other, code = g, codes[i : i + 1]
            for edit, share in zip(made, row.tolist(), strict=True):
                other, code = apply_edit(other, code, edit, share * edit.strength)
            wanted = other.synthesis(code, "none")[-1]
            torch.testing.assert_close(mine[i : i + 1], wanted, atol=1e-5, rtol=1e-4)


def test_all_four_pictures_of_a_face_are_seen_alike():
    """The loss against a computation that cuts, embeds and compares one picture after the other."""
    known = expressions()
    torch.manual_seed(4)
    before, after, was, became = torch.rand(4, 3, 3, 16, 16) * 2 - 1
    change = Change(torch.zeros(3, LAYERS, 8), {}, draw_cuts(3))
    clip = known._clip
    texts = clip.text([f"a really {mood} face" for mood in ("sad", "angry", "happy", "surprised")]).double()
    texts = (texts - texts.mean(0)).numpy()
    terms = []
    for i in range(3):
        cuts = tuple(part[i : i + 1] for part in change.cuts)
        a, b, c, d = (
            clip.image(cut(x[i : i + 1], cuts))[0].double().numpy() @ texts.T
            for x in (before, after, was, became)
        )
        terms.append(np.square((b - a) - (d - c)).sum() / (np.square(d - c).sum() + LEAST))
    assert known.loss((before, after), (was, became), change).item() == pytest.approx(
        np.mean(terms), rel=1e-3
    )


@pytest.mark.parametrize("blended", [False, True])
def test_an_untouched_child_changes_as_its_source_and_another_learns_to(blended):
    method = freezesg(blend=1)
    torch.manual_seed(1)
    drawing = method.gan.g.synthesis
    while blended and drawing is method.gan.g.synthesis:
        drawing = method.drawing()
    codes = method.draw_codes(4, slice(4))[0].detach()
    change = method._expressions[0].draw(4, codes)

    def loss():
        after = (drawn(one, codes, "none", change)[1][-1] for one in (drawing, method.source.synthesis))
        return method.expression(codes, "none", drawing, tuple(after), change)

    weight, value = loss()
    assert weight == 2.0 and abs(value.item()) < 1e-6
    with torch.no_grad():
        for parameter in method.gan.g.synthesis.blocks[-1].parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    optimizer = torch.optim.Adam(method.gan.g.synthesis.blocks[-1].parameters(), 0.02)
    first = loss()[1].item()
    for _ in range(30):
        optimizer.zero_grad()
        value = loss()[1]
        value.backward()
        optimizer.step()
    assert first > 0.01 and value.item() < first / 2
    assert all(p.grad is None for p in method.source.parameters())


def test_half_of_the_steps_draw_edited_faces():
    method = freezesg(structure_layers=0)
    torch.manual_seed(0)
    codes = method.draw_codes(4, slice(4))[0]
    drawn_so = [method.draw_change(Known(codes), 4, slice(4)) is not None for _ in range(400)]
    assert 0.4 < np.mean(drawn_so) < 0.6
    optimizers, seen = method.optimizers(), []
    for i in range(12):
        seen.append("g/expression" in method.step(stream(i), optimizers, i))
    assert True in seen and False in seen


def test_three_steps_and_three_more_equal_six_to_the_bit(tmp_path):
    whole, first, second = (freezesg(blend=1) for _ in range(3))
    for method, out, steps in ((whole, "a", 6), (first, "b", 3), (second, "b", 6)):
        run = Run(tmp_path / out, steps, 2, 100, 1, seed=3, quiet=True)
        train(method, stream, run, lambda i: {}, {})
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_what_is_missing_is_refused():
    torch.manual_seed(5)
    networks = Generator(NETWORK), Discriminator(NETWORK)
    for settings, known in (({}, None), ({"freeze_mapping": False}, expressions())):
        made = FreezeConfig(batch=4, expression_weight=1.0, **settings)
        with pytest.raises(ValueError, match="needs a frozen mapping and edits"):
            FreezeSG(made, *networks, expressions=known)
    mapper = Edit("sad", "mapper", {}, mapper=Mapper(MapperConfig(LAYERS, 8)))
    with pytest.raises(ValueError, match="not mappers"):
        Expressions(tiny_clip.clip(tiny_clip.MOODS), [mapper])
