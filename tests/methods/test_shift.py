"""The encoder's head for shifts of features: on generators' own pictures, whose shifts exist."""

import io

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from stylegan_toon.archives import pictures
from stylegan_toon.errors import ModelError, UsageError
from stylegan_toon.images import to_tensor
from stylegan_toon.losses.latent import part_mask
from stylegan_toon.methods.invert import feature_spread, gap, refine
from stylegan_toon.methods.shift import Config, ShiftTraining
from stylegan_toon.paths import sample_file
from stylegan_toon.pipelines.codes import portraits
from stylegan_toon.pipelines.models import check_encoder
from stylegan_toon.stylegan2 import encoder as encoder_net
from stylegan_toon.stylegan2.config import Config as Network
from stylegan_toon.stylegan2.encoder import draw_shifted, predict_shift, with_fine, with_shift, with_spread
from stylegan_toon.stylegan2.files import build_encoder, encoder_checkpoint
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import fold_shift, unfold_shift
from stylegan_toon.training import ranks
from stylegan_toon.training.loop import Run, train

NETWORK = Network(32, (8, 8, 8, 8), 8, 8, 2)
LOW = NETWORK.channels[0], 4, 4  # of the shift that the head gives


def ask(encoder, photos, drawn, features):
    return encoder.shift(photos, drawn, features[0])


def look(x):
    """A stand-in for a network: projections of the pixels."""
    filters = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(1)).to(x.dtype)
    maps = F.conv2d(x, filters, stride=2)
    return F.normalize(maps.mean([2, 3])), [maps]


def networks():
    torch.manual_seed(3)
    g = Generator(NETWORK).requires_grad_(False).eval()
    plain = encoder_net.Encoder(encoder_net.Config(32, (8, 8, 8, 8), NETWORK.n_layers, 8, rank=16))
    torch.nn.init.normal_(plain.offsets.weight, std=0.1)
    unit = feature_spread(g, torch.randn(64, 8))[0, : NETWORK.channels[0]]
    return g, plain, with_shift(plain, unit)


def with_both():
    """The generator, an encoder with a head for one resolution, and one also with a new head for two more."""
    g, _, encoder = networks()
    _, *above = unfold_shift(NETWORK, feature_spread(g, torch.randn(64, 8))).values()
    return g, encoder, with_fine(encoder, [unit[0] for unit in above])


def shifted(g, encoder, count, seed):
    """Pictures whose codes are those of the encoder, but for a shift that it does not know of."""
    draw = torch.Generator().manual_seed(seed)
    photos = torch.rand(count, 3, 32, 32, generator=draw) * 2 - 1
    with torch.no_grad():
        w_plus = encoder(photos)
        shift = torch.randn(count, *LOW, generator=draw) * encoder.shift.unit
        return photos, w_plus, draw_shifted(g, w_plus, shift)[0].clamp(-1, 1)


def test_a_new_head_shifts_nothing_and_leaves_the_codes_alone():
    g, plain, encoder = networks()
    photos = torch.rand(2, 3, 32, 32) * 2 - 1
    w_plus = encoder(photos)
    assert torch.equal(w_plus, plain(photos)) and predict_shift(plain, g, photos, w_plus) is None
    shift = predict_shift(encoder, g, photos, w_plus)
    assert shift.shape == (2, *LOW) and not shift.any()
    drawn, (features, *_) = draw_shifted(g, w_plus, shift)
    torch.testing.assert_close(drawn, g.synthesis(w_plus, "none")[-1])
    more = torch.full_like(shift, 0.5)
    torch.testing.assert_close(draw_shifted(g, w_plus, more)[1][0], features + more)


@pytest.mark.parametrize("k", range(NETWORK.n_resolutions))
def test_a_run_that_goes_on_from_known_features_is_the_whole_run(k):
    g, *_ = networks()
    w_plus, shift = torch.randn(2, NETWORK.n_layers, 8), torch.randn(2, *LOW)
    with torch.no_grad():
        steps = [*g.synthesis.run(w_plus, "const", shift=shift)]
        known = k, steps[k][0], steps[k - 1][1] if k else None
        again = [*g.synthesis.run(w_plus, "const", shift=shift, known=known)]
    assert len(again) == NETWORK.n_resolutions - k
    for (features, picture), (wanted, drawn) in zip(again, steps[k:], strict=True):
        assert torch.equal(features, wanted) and torch.equal(picture, drawn)


def test_every_pass_sees_what_the_one_before_drew():
    g, _, encoder = networks()
    torch.nn.init.normal_(encoder.shift.last.weight)
    photos = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        w_plus = encoder(photos)
        once = ask(encoder, photos, *draw_shifted(g, w_plus, None))
        twice = once + ask(encoder, photos, *draw_shifted(g, w_plus, once))
        torch.testing.assert_close(predict_shift(encoder, g, photos, w_plus), twice)


def test_a_fine_head_adds_to_the_resolutions_above_and_leaves_the_one_below():
    g, encoder, fine = with_both()
    photos = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        w_plus = fine(photos)
        low, folded = predict_shift(encoder, g, photos, w_plus), predict_shift(fine, g, photos, w_plus)
        assert torch.equal(low, predict_shift(fine, g, photos, w_plus, fine=False))
        parts = unfold_shift(NETWORK, folded)
        assert torch.equal(parts[0], low) and not parts[1].any() and not parts[2].any()
        for level in fine.fine.levels:
            torch.nn.init.normal_(level.last.weight)
        parts = unfold_shift(NETWORK, predict_shift(fine, g, photos, w_plus))
    assert torch.equal(parts[0], low) and parts[1].any()
    outside = part_mask(16)[0, 0] == 0
    assert parts[2].any() and not parts[2][..., outside].any()  # as refinement has it: eyes and mouth alone


def test_a_fine_head_sees_what_its_own_shift_drew():
    g, _, fine = with_both()
    for level in fine.fine.levels:
        torch.nn.init.normal_(level.last.weight)
    photos = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        w_plus = fine(photos)
        low = predict_shift(fine, g, photos, w_plus, fine=False)
        drawn, (_, *features) = draw_shifted(g, w_plus, low)
        once = fine.fine(photos, drawn, features)
        drawn, (_, *features) = draw_shifted(g, w_plus, fold_shift([low, *once]))
        twice = [a + b for a, b in zip(once, fine.fine(photos, drawn, features), strict=True)]
        torch.testing.assert_close(predict_shift(fine, g, photos, w_plus), fold_shift([low, *twice]))


def test_a_fine_head_learns_and_nothing_else_moves():
    g, _, fine = with_both()
    torch.nn.init.normal_(fine.shift.last.weight, std=0.1)
    before = {name: p.clone() for name, p in fine.named_parameters()}
    draw = torch.Generator().manual_seed(0)
    unit = feature_spread(g, torch.randn(64, 8))

    def photos(i):
        own = torch.rand(8, 3, 32, 32, generator=draw.manual_seed(i)) * 2 - 1
        shift = torch.randn(8, *NETWORK.shift_shape, generator=draw) * unit
        with torch.no_grad():
            return draw_shifted(g, fine(own), shift)[0].clamp(-1, 1)

    def off(encoder, finely):
        with torch.no_grad():
            w_plus = encoder(wanted)
            shift = predict_shift(encoder, g, wanted, w_plus, finely)
            return float(gap(draw_shifted(g, w_plus, shift)[0], wanted, None, None).mean())

    wanted = photos(1000)
    method = ShiftTraining(Config(batch=8, lr=0.01, ema=0.9), fine, g, look, fine=True)
    optimizers = method.optimizers()
    for i in range(40):
        method.step({"photo": photos(i)}, optimizers, i)
    trained = method.encoder
    assert off(trained, True) < 0.7 * off(trained, False)
    moved = {name for name, p in trained.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if name.startswith("fine.")}


def test_a_shift_tells_of_its_own_place_alone():
    config = encoder_net.Config(64, (8,) * 5, 10, 8, shift=8, shift_blocks=1, shift_width=16)
    torch.manual_seed(0)
    head = encoder_net.Encoder(config).shift
    torch.nn.init.normal_(head.last.weight)
    photo, drawn, features = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 64, 64), torch.randn(1, 8, 8, 8)
    other = photo.clone()
    other[..., :8, :8] = 0  # one place of the features, in a corner
    with torch.no_grad():
        change = (head(other, drawn, features) - head(photo, drawn, features)).abs().amax(1)[0]
    assert change.shape == (8, 8) and change[:4, :4].min() > 0  # three convolutions of 3x3 reach so far
    assert not change[4:].any() and not change[:, 4:].any()


def test_it_learns_shifts_that_it_never_saw_and_nothing_else_moves():
    g, _, encoder = networks()
    before = {name: p.clone() for name, p in encoder.named_parameters()}
    method = ShiftTraining(Config(batch=8, lr=0.01, ema=0.9), encoder, g, look)
    optimizers = method.optimizers()

    def off(shift):
        with torch.no_grad():
            return float(gap(draw_shifted(g, w_plus, shift)[0], wanted, None, None).mean())

    _, _, wanted = shifted(g, encoder, 8, 1000)
    w_plus = encoder(wanted).detach()
    first = off(None)
    for i in range(40):
        method.step({"photo": shifted(g, encoder, 8, i)[2]}, optimizers, i)
    trained = method.encoder
    with torch.no_grad():
        found = predict_shift(trained, g, wanted, w_plus)
    assert off(found) < 0.7 * first
    moved = {name for name, p in trained.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if name.startswith("shift.")}
    near = refine(g, wanted, w_plus, 5, None, "f/w+", shift=found)
    assert off(near.shift) <= off(found) + 1e-3 and torch.equal(
        refine(g, wanted, w_plus, 0, None, "f/w+", shift=found).shift, found
    )


def test_three_steps_and_three_more_equal_six_to_the_bit(tmp_path):
    def stream(i):
        return {"photo": torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(i)) * 2 - 1}

    digests = []
    for out, lengths in (("a", (6,)), ("b", (3, 6))):
        for steps in lengths:
            g, _, encoder = networks()
            method = ShiftTraining(Config(batch=4), encoder, g, look)
            train(method, stream, Run(tmp_path / out, steps, 3, 100, 1, seed=3, quiet=True), lambda i: {}, {})
        digests.append(method.state_dict())
    assert all(torch.equal(value, digests[1][name]) for name, value in digests[0].items())


def test_a_file_keeps_the_head_and_an_old_one_has_none():
    _, plain, encoder = networks()
    codes = torch.randn(40, NETWORK.n_layers, 8)
    read = build_encoder(encoder_checkpoint(with_spread(encoder, codes, 4)))
    assert read.config.shift == 8 and read.config.spread == 4
    assert torch.equal(read.shift.unit, encoder.shift.unit)
    _, _, fine = with_both()
    read = build_encoder(encoder_checkpoint(fine))
    assert read.config.fine == (8, 8) and read.fine.place1.amin() == 0 and read.fine.place0.amin() == 1
    known = encoder_checkpoint(plain)
    old = {k: v for k, v in known.config.items() if not k.startswith(("shift", "fine"))}
    assert build_encoder(type(known)(known.kind, old, {}, known.tensors)).shift is None


def test_an_encoder_of_other_features_is_refused():
    g, plain, encoder = networks()
    check_encoder(encoder, g)
    other = Generator(Network(32, (16, 8, 8, 8), 8, 8, 2))
    check_encoder(plain, other)
    with pytest.raises(ModelError, match="shifts 8 channels at 32 px, the generator has 16, 8, 8 at 32"):
        check_encoder(encoder, other)
    with pytest.raises(
        ModelError, match="shifts 8, 8, 8 channels at 32 px, the generator has 8, 16, 8 at 32"
    ):
        check_encoder(with_both()[2], Generator(Network(32, (8, 16, 8, 8), 8, 8, 2)))
    with pytest.raises(ValueError, match="with_fine"):
        ShiftTraining(Config(), encoder, g, look, fine=True)
    for wrong in ({"fine": (8, 8, 8), "shift": 8}, {"fine": (8,)}):
        with pytest.raises(ValueError, match="one or two resolutions above"):
            encoder_net.Config(32, (8, 8, 8, 8), 8, 8, **wrong)
    with pytest.raises(ValueError, match="no head"):
        ShiftTraining(Config(), plain, g, look)
    with pytest.raises(ValueError, match="shift_blocks"):
        encoder_net.Config(32, (8, 8, 8, 8), 8, 8, shift=8, shift_blocks=10**9)


def test_fewer_photos_than_processes_is_wrong_usage(monkeypatch):
    g, _, encoder = networks()
    monkeypatch.setattr(ranks, "world", lambda: 3)
    with pytest.raises(UsageError, match="use --batch 3 or more"):
        ShiftTraining(Config(batch=2), encoder, g, look)


def test_portraits_are_the_photos_that_ship_and_their_mirror_images():
    g, plain, encoder = networks()
    torch.nn.init.normal_(encoder.shift.last.weight)
    found = portraits(encoder, g)
    photos = torch.cat(
        [
            to_tensor(
                Image.open(io.BytesIO(data())).convert("RGB").resize((32, 32), Image.Resampling.LANCZOS)
            )
            for _, data in pictures(sample_file("portraits"))
        ]
    )
    with torch.no_grad():
        for rows, shown in ((slice(60), photos), (slice(60, None), photos.flip(3))):
            w_plus = encoder(shown)
            torch.testing.assert_close(found.w_plus[rows], w_plus, atol=0.05, rtol=0)
            shift = predict_shift(encoder, g, shown, w_plus)
            assert (found.shift[rows] - shift).abs().mean() < 0.05 * shift.abs().mean()
    assert found.drawings is None and portraits(plain, g) is None
    themselves = portraits(encoder, g, themselves=True)
    wanted = torch.cat([photos, photos.flip(3)])
    torch.testing.assert_close(themselves.drawings, wanted, atol=0.02, rtol=0)  # rounded
    assert themselves.paired.all() and torch.equal(themselves.w_plus, found.w_plus)
