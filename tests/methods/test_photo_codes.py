"""Fine-tuning on codes as photos have them: their spread, the share of draws, and the identity kept."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from stylegan_toon.losses.latent import part_weights
from stylegan_toon.losses.perceptual import unit_maps
from stylegan_toon.methods.freezesg import Config as FreezeConfig
from stylegan_toon.methods.freezesg import FreezeSG, Known, drawn
from stylegan_toon.methods.invert import PARTS, SQUARE
from stylegan_toon.stylegan2 import encoder as encoder_net
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.edits import Edit
from stylegan_toon.stylegan2.files import build_encoder, encoder_checkpoint
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.training.loop import Run, train

NETWORK = Config(16, (8, 8, 8), 8, 8, 2)


def encoder(spread=6):
    torch.manual_seed(7)
    plain = encoder_net.Encoder(encoder_net.Config(16, (8, 8, 8), NETWORK.n_layers, 8, rank=4))
    codes = torch.randn(40, NETWORK.n_layers, 8) + 3
    return encoder_net.with_spread(plain, codes, spread), codes


def look(x):
    """Who a picture shows, as a stand-in that has a gradient: its mean colours, of length 1."""
    y = x.mean((2, 3)) + torch.tensor([1.0, 0.5, 0.25])
    return y / y.norm(dim=1, keepdim=True), [0 * x]


def freezesg(known=None, codes=None, look=look, **settings):
    torch.manual_seed(5)
    made = FreezeConfig(batch=4, r1_every=2, path_weight=0.0, mixing=0.0, ada_p=0.3, **settings)
    return FreezeSG(made, Generator(NETWORK), Discriminator(NETWORK), known, look, known=codes)


def stream(i):
    return {"cartoon": torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(i)) * 2 - 1}


def test_drawn_codes_have_the_mean_and_the_main_covariance_of_those_given():
    known, codes = encoder(spread=39)  # as many directions as 40 codes can have
    torch.manual_seed(0)
    drawn = known.draw(60_000).flatten(1).double().numpy()
    wanted = codes.flatten(1).double().numpy()
    np.testing.assert_allclose(drawn.mean(0), wanted.mean(0), atol=0.03)
    gap = np.cov(drawn.T) - np.cov(wanted.T)
    assert np.abs(gap).max() < 0.04, "of a variance of about 1"


def test_few_directions_keep_the_longest():
    known, codes = encoder(spread=2)
    values, axes = np.linalg.eigh(np.cov(codes.flatten(1).double().numpy().T))
    kept = known.codes_spread.flatten(1).double().numpy()
    for i, direction in enumerate(kept):
        np.testing.assert_allclose(np.square(direction).sum(), values[-1 - i], rtol=1e-5)
        assert abs(direction @ axes[:, -1 - i]) / np.linalg.norm(direction) == pytest.approx(1, abs=1e-5)


def test_a_file_keeps_the_spread_and_the_encoder_gives_the_codes_it_gave():
    known, _ = encoder()
    again = build_encoder(encoder_checkpoint(known))
    assert torch.equal(again.codes_spread, known.codes_spread) and again.config == known.config
    plain = encoder_net.Encoder(encoder_net.Config(16, (8, 8, 8), NETWORK.n_layers, 8, rank=4))
    plain.load_state_dict({name: known.state_dict()[name] for name in plain.state_dict()})
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(plain(x), known(x))


def test_too_few_codes_and_too_many_directions_are_refused():
    plain, codes = encoder()
    with pytest.raises(ValueError, match="6 codes cannot tell 6 directions"):
        encoder_net.with_spread(plain, codes[:6], 6)
    with pytest.raises(ValueError, match="cannot spread in 49 directions"):
        encoder_net.Config(16, (8, 8, 8), NETWORK.n_layers, 8, spread=49)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_so_many_draws_take_codes_of_photos(share):
    method = freezesg(encoder()[0], photo_codes=share)
    torch.manual_seed(1)
    draws = [method.draw_codes(4, slice(4))[0] for _ in range(400)]
    # w of the mapping is the same at every layer, codes of photos are not
    found = np.mean([float((w[:, 0] - w[:, 1]).detach().abs().max()) > 1e-6 for w in draws])
    assert abs(found - share) < 0.08
    assert all(w.shape == (4, NETWORK.n_layers, 8) for w in draws)


def photos(n=6, drawn_too=False):
    """Codes and shifts of so many photos, each with numbers of its own; drawings of all but the last."""
    torch.manual_seed(9)
    codes = torch.randn(n, NETWORK.n_layers, 8), torch.randn(n, NETWORK.channels[0], 4, 4)
    return (
        Known(*codes, torch.rand(n, 3, 16, 16) * 2 - 1, torch.arange(n) < n - 1)
        if drawn_too
        else Known(*codes)
    )


def test_known_codes_are_drawn_with_the_shifts_that_are_theirs():
    w_plus, shift, *_ = photos()
    method = freezesg(None, Known(w_plus, shift), photo_codes=0.5)
    torch.manual_seed(1)
    draws = [method.draw_codes(4, slice(4)) for _ in range(200)]
    of_photos = [draw for draw in draws if draw[1] is not None]
    assert 70 < len(of_photos) < 130
    seen = set()
    for codes, shifts, *_ in of_photos:
        rows = [next(i for i in range(6) if torch.equal(w_plus[i], one)) for one in codes]
        assert torch.equal(shifts, shift[rows])
        seen |= {*rows}
    assert seen == {*range(6)}


def test_a_step_on_known_codes_draws_child_and_source_with_the_shifts(monkeypatch):
    method = freezesg(None, photos(), photo_codes=1.0, identity_weight=1.0)
    with torch.no_grad():
        method.source.synthesis.blocks[-1].to_rgb.bias += 1.0
    draws = []

    def spy(synthesis, w_plus, noise, change, shift=None, upto=None):
        draws.append((synthesis is method.source.synthesis, w_plus.detach().clone(), shift))
        return drawn(synthesis, w_plus, noise, change, shift, upto)

    monkeypatch.setattr("stylegan_toon.methods.freezesg.drawn", spy)
    method.step(stream(0), method.optimizers(), 1)
    assert [of_source for of_source, *_ in draws] == [
        False,
        False,
        True,
    ]  # for D; for G, and what G is compared with
    assert all(shift is not None for *_, shift in draws)
    assert torch.equal(draws[1][1], draws[2][1]) and torch.equal(draws[1][2], draws[2][2])


def test_a_step_draws_child_and_source_in_the_moods_of_the_faces(monkeypatch):
    moods = torch.tensor([[0.0, 1.0], [0.5, 0.0]]).repeat(3, 1)
    made = [Edit(name, "mean", {"s.blocks.1.conv1": torch.randn(8)}, 2.0) for name in "ab"]
    known = photos(drawn_too=True)._replace(moods=moods)
    config = FreezeConfig(batch=4, path_weight=0.0, photo_codes=1.0, identity_weight=1.0, pairs_weight=2.0)
    source, d = Generator(NETWORK), Discriminator(NETWORK)
    method = FreezeSG(config, source, d, None, look, known=known, moods=made)
    changes = []

    def spy(synthesis, w_plus, noise, change, shift=None, upto=None):
        rows = [next(i for i in range(6) if torch.equal(known.w_plus[i], one)) for one in w_plus]
        changes.append((change.styles["blocks.1.conv1"], moods[rows]))
        return drawn(synthesis, w_plus, noise, change, shift, upto)

    monkeypatch.setattr("stylegan_toon.methods.freezesg.drawn", spy)
    losses = method.step(stream(0), method.optimizers(), 1)
    assert len(changes) == 3 and losses["g/pairs"] > 0
    steps = torch.stack([edit.tensors["s.blocks.1.conv1"] for edit in made])
    for styles, shares in changes:
        torch.testing.assert_close(styles, 2 * shares @ steps)
    with pytest.raises(ValueError, match="either faces have moods"):
        FreezeSG(replace(config, expression_weight=1.0), source, d, None, look, known=known, moods=made)


@pytest.mark.parametrize("pairs", [0.0, 2.0])
def test_parts_of_a_batch_of_known_codes_make_the_step_of_the_whole(pairs):
    found, twos = [], replace(NETWORK, group=2)
    config = FreezeConfig(
        batch=4, path_weight=0.0, ada_p=0.3, photo_codes=1.0, identity_weight=1.0, pairs_weight=pairs
    )
    torch.manual_seed(5)
    whole = FreezeSG(
        config, Generator(NETWORK), Discriminator(twos), None, look, known=photos(drawn_too=bool(pairs))
    )
    parts = copy.deepcopy(whole)
    assert parts.take_parts(2)
    for method in (whole, parts):
        torch.manual_seed(2)
        found.append(method.step(stream(0), method.optimizers(), 1))
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-4, atol=1e-5)


def test_drawings_come_with_their_codes_and_those_that_are_none_do_not_count():
    known = photos(drawn_too=True)
    method = freezesg(None, known, photo_codes=1.0, pairs_weight=1.0, look=None)
    torch.manual_seed(1)
    for _ in range(20):
        faces = method.draw_codes(4, slice(4))
        rows = [next(i for i in range(6) if torch.equal(known.w_plus[i], one)) for one in faces.w_plus]
        assert torch.equal(faces.drawings, known.drawings[rows])
        assert faces.paired.tolist() == [row < 5 for row in rows]
    drawings, paired = known.drawings[2:], known.paired[2:]
    assert method.pairs(drawings.clone(), drawings, paired) == 0
    made = drawings.clone()
    made[3] += 0.5  # the one that has no drawing
    assert method.pairs(made, drawings, paired) == 0
    made[0] += 0.5  # all places and sizes by as much, so whatever counts more is of no weight but by its mean
    plain = part_weights(16, PARTS).mean().float() * 0.5 + SQUARE * 0.25
    torch.testing.assert_close(method.pairs(made, drawings, paired), plain / 4, atol=1e-6, rtol=1e-5)


def test_a_child_learns_the_drawings_of_known_codes():
    def gap_after(weight):
        known = photos(drawn_too=True)._replace(drawings=torch.full([6, 3, 16, 16], 0.7))
        settings = {"photo_codes": 1.0, "pairs_weight": weight, "structure_layers": 0}
        method = freezesg(None, known, **settings)
        opt = method.optimizers()
        torch.manual_seed(4)
        for i in range(60):
            method.step(stream(i), opt, i)
        with torch.no_grad():
            made = method.gan.g.synthesis(known.w_plus[:5], "none", shift=known.shift[:5])[-1]
        return float((made - known.drawings[:5]).abs().mean())

    assert gap_after(10.0) < 0.75 * gap_after(0.0)


def test_without_an_adversarial_loss_pairs_alone_teach_and_the_discriminator_rests():
    def after(**settings):
        method = freezesg(
            None, photos(drawn_too=True), photo_codes=1.0, pairs_weight=1.0, blend=1, **settings
        )
        d = copy.deepcopy(method.gan.d.state_dict())
        opt = method.optimizers()
        torch.manual_seed(4)
        figures = [method.step(stream(i), opt, i) for i in range(8)]
        return figures, all(torch.equal(value, d[name]) for name, value in method.gan.d.state_dict().items())

    figures, rested = after(adversarial_weight=0.0)
    assert rested and all(set(one) <= {"g/pairs", "g/structure"} and "g/pairs" in one for one in figures)
    figures, rested = after(adversarial_weight=0.5)
    assert not rested and all({"d", "g", "g/pairs"} <= set(one) for one in figures)
    for settings in ({"pairs_weight": 0.0, "photo_codes": 1.0}, {"pairs_weight": 1.0, "photo_codes": 0.5}):
        with pytest.raises(ValueError, match="without an adversarial loss"):
            freezesg(None, photos(drawn_too=True), adversarial_weight=0.0, **settings)


def test_the_adversarial_weight_multiplies_what_the_discriminator_says():
    moved = []
    for weight in (1.0, 0.25):
        method = freezesg(None, None, adversarial_weight=weight, structure_layers=0)
        g, opt = method.gan.g, method.optimizers()
        for group in opt["g"].param_groups:
            group["lr"] = 0.0
        torch.manual_seed(4)
        figures = method.step(stream(0), opt, 1)
        moved.append((figures["g"], [p.grad.clone() for p in g.parameters() if p.grad is not None]))
    (said, whole), (again, quarter) = moved
    torch.testing.assert_close(said, again)
    for a, b in zip(whole, quarter, strict=True):
        torch.testing.assert_close(b, a / 4)


def test_pairs_without_drawings_or_a_share_of_codes_are_refused():
    for known, share in ((photos(), 1.0), (photos(drawn_too=True), 0.0), (None, 0.0)):
        with pytest.raises(ValueError, match="pairs need codes"):
            freezesg(encoder()[0], known, photo_codes=share, pairs_weight=1.0)


def test_without_a_share_the_draws_are_what_they_were():
    plain, given = freezesg(), freezesg(encoder()[0])
    for method in (plain, given):
        torch.manual_seed(2)
        method.step(stream(0), method.optimizers(), 0)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, given.state_dict()[name]), name


def both(method, codes):
    """All that child and source draw from codes."""
    pair = (drawn(g.synthesis, codes, "none", None) for g in (method.gan.g, method.source))
    return tuple(pair)


def test_identity_of_an_untouched_child_is_kept_and_counts_in_blended_draws_too():
    method = freezesg(encoder()[0], photo_codes=1.0, identity_weight=2.0, structure_layers=0, blend=1)
    torch.manual_seed(3)
    codes, g = method.draw_codes(4, slice(4))[0], method.gan.g
    weight, loss = method.likeness(*both(method, codes), blended=True)["identity"]
    assert weight == 2.0 and abs(loss.item()) < 1e-6
    with torch.no_grad():
        g.synthesis.blocks[-1].to_rgb.bias += torch.tensor([0.5, 0.0, -0.5]).reshape(
            g.synthesis.blocks[-1].to_rgb.bias.shape
        )
    made, wanted = both(method, codes)
    loss = method.likeness(made, wanted, blended=True)["identity"][1]
    there, here = (look(x)[0].double() for x in (method.source.synthesis(codes, "none")[-1], made[1][-1]))
    assert loss.item() == pytest.approx(1 - (there * here).sum(1).mean().item(), rel=1e-4)
    assert loss.item() > 0.001
    loss.backward()
    assert g.synthesis.blocks[-1].to_rgb.bias.grad.abs().max() > 0


def test_three_steps_and_three_more_equal_six_to_the_bit(tmp_path):
    settings = {"photo_codes": 0.5, "identity_weight": 1.0, "blend": 1}
    whole, first, second = (freezesg(encoder()[0], **settings) for _ in range(3))
    for method, out, steps in ((whole, "a", 6), (first, "b", 3), (second, "b", 6)):
        run = Run(tmp_path / out, steps, 2, 100, 1, seed=3, quiet=True)
        train(method, stream, run, lambda i: {}, {})
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize("settings", [{"photo_codes": 0.5}, {"identity_weight": 1.0}])
def test_what_is_missing_is_refused(settings):
    torch.manual_seed(5)
    with pytest.raises(ValueError, match="need"):
        FreezeSG(FreezeConfig(batch=4, **settings), Generator(NETWORK), Discriminator(NETWORK))


def test_a_trained_mapping_draws_its_own_codes():
    with pytest.raises(ValueError, match="frozen mapping"):
        freezesg(encoder()[0], photo_codes=0.5, freeze_mapping=False)


def test_a_child_begins_as_another_and_is_compared_with_the_source():
    torch.manual_seed(5)
    source, d = Generator(NETWORK), Discriminator(NETWORK)
    other = copy.deepcopy(source)
    with torch.no_grad():
        other.synthesis.blocks[-1].to_rgb.bias += 1
    settings = {"batch": 4, "path_weight": 0.0, "blend": 2}
    method = FreezeSG(FreezeConfig(**settings), source, d, start=other)
    for name, value in method.gan.g.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    for name, value in method.source.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name
    with pytest.raises(ValueError, match="needs a frozen mapping"):
        FreezeSG(FreezeConfig(**settings, freeze_mapping=False), source, d, start=other)
    with pytest.raises(ValueError, match="begins as the source"):
        FreezeSG(FreezeConfig(**settings, train="lora"), source, d, start=other)


def test_light_and_colours_are_compared_in_blended_draws_or_in_all_where_nothing_is_blended():
    torch.manual_seed(5)
    source, d = Generator(NETWORK), Discriminator(NETWORK)
    for blend in (0, 1):
        method = FreezeSG(FreezeConfig(batch=4, lowpass_weight=3.0, blend=blend), source, d)
        torch.manual_seed(3)
        codes, g = method.draw_codes(4, slice(4))[0], method.gan.g
        with torch.no_grad():
            g.synthesis.blocks[-1].to_rgb.bias += 0.5
        pair = both(method, codes)
        for blended in (False, True):
            terms = method.likeness(*pair, blended)
            assert ("lowpass" in terms) == (blended == bool(blend))
        weight, loss = method.likeness(*pair, bool(blend))["lowpass"]
        assert weight == 3.0 and loss.item() == pytest.approx(0.25, rel=1e-4)
        loss.backward()
        assert g.synthesis.blocks[-1].to_rgb.bias.grad.min() > 0


def test_features_are_compared_in_blended_draws():
    torch.manual_seed(5)
    source, d = Generator(NETWORK), Discriminator(NETWORK)

    def maps(x):
        return look(x)[0], [unit_maps(x), x[:, :1, ::4, ::4]]

    method = FreezeSG(FreezeConfig(batch=4, perceptual_weight=3.0, blend=1), source, d, look=maps)
    torch.manual_seed(3)
    codes, g = method.draw_codes(4, slice(4))[0], method.gan.g
    with torch.no_grad():
        g.synthesis.blocks[-1].to_rgb.bias[0] += 0.5
    drew = both(method, codes)
    terms = [method.likeness(*drew, blended) for blended in (False, True)]
    assert ["perceptual" in one for one in terms] == [False, True] and "identity" not in terms[1]
    weight, loss = terms[1]["perceptual"]
    pair = [x.detach().double().numpy() for x in (drew[0][1][-1], source.synthesis(codes, "none")[-1])]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in pair]
    wanted = np.square(unit[0] - unit[1]).sum(1).mean() + 0.25
    assert weight == 3.0 and loss.item() == pytest.approx(wanted, rel=1e-4)
    with pytest.raises(ValueError, match="perceptual losses need a network"):
        FreezeSG(FreezeConfig(batch=4, perceptual_weight=1.0), source, d)
