"""UNIT, content invariance, CartoonGAN, both AnimeGANs and White-box: the questions every method is asked."""

import pytest
import torch
import torch.nn.functional as F

from stylegan_toon.methods.i2i import TRANSLATORS
from stylegan_toon.methods.i2i.unit import standard
from stylegan_toon.methods.i2i.whitebox import texture
from stylegan_toon.nn.guided import guided_filter
from tests.methods.i2i.questions import digests, learn, smooth, stream, unmoved

TINY = {"size": 32, "width": 4, "blocks": 1, "d_width": 4, "epoch": 4}
SCALES = {"d_layers": 2, "scales": 2}
METHODS = {
    "unit": SCALES,
    "content-invariant": {**SCALES, "mlp": 8, "batch": 2},
    "cartoongan": {"init_epochs": 0},
    "animegan": {"init_epochs": 0, "batch": 2},
    "animeganv2": {"init_epochs": 0, "batch": 2},
    "whitebox": {"init_iterations": 0, "batch": 2, "superpixels": 16},
}
PHASED = {"cartoongan": 4, "animegan": 2, "animeganv2": 2, "whitebox": 2}  # name -> steps of the first phase


def maps(x, names):
    """Fixed filters at half of the size, a map for each name."""
    weight = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(7)).to(x)
    return [F.conv2d(x, weight, stride=2, padding=1) for _ in names]


def settings(name, **changes):
    return TRANSLATORS[name][0](**{**TINY, **METHODS[name], **changes})


def make(config):
    torch.manual_seed(5)
    cls = next(cls for of, cls in TRANSLATORS.values() if of is type(config))
    return cls(config, maps) if "features" in config.wants else cls(config)


def phased(name, **changes):
    """Settings with a first phase of PHASED[name] steps."""
    first = {"init_iterations": 2} if name == "whitebox" else {"init_epochs": 1}
    return settings(name, **first, **changes)


@pytest.mark.parametrize("name", METHODS)
def test_all_networks_move_in_a_step(name):
    config = settings(name)
    method = make(config)
    assert unmoved(method, stream(config)(0)) == []
    assert all(p.requires_grad for p in method.parameters())


@pytest.mark.parametrize("name", METHODS)
def test_six_steps_are_three_and_three(name, tmp_path):
    config = phased(name) if name in PHASED else settings(name)  # both phases, and from one into the other
    assert len(digests(lambda: make(config), stream(config), tmp_path)) == 1


@pytest.mark.parametrize("name", PHASED)
def test_at_first_the_generator_learns_alone(name):
    config = phased(name)
    method = make(config)
    (g,) = method.translators().values()
    others = {id(p) for p in method.parameters()} - {id(p) for p in g.parameters()}
    still = unmoved(method, stream(config)(0), PHASED[name])
    assert still == [key for key, p in method.named_parameters() if id(p) in others]
    losses = learn(make(config), stream(config), PHASED[name] + 1)
    assert ["d" in step for step in losses] == [False] * PHASED[name] + [True]


# name -> steps, settings, what it draws near a photo when it has learned (by its reconstruction, or by the
# phase that keeps content), and the loss of that.
LEARNED = {
    "unit": (30, {"lr": 5e-3, "size": 16}, lambda m, x: m.g.a(x)[0], "g/recon"),
    "content-invariant": (60, {"lr": 3e-3}, lambda m, x: m.g.decode(
        m.g.content(m.translate(x)), m.g.style(x)), "g/recon"),
    "cartoongan": (45, {"lr": 5e-3, "init_epochs": 99}, lambda m, x: m.translate(x), "g/content"),
    "animegan": (30, {"init_lr": 5e-3, "init_epochs": 99}, lambda m, x: m.translate(x), "g/content"),
    "animeganv2": (50, {"init_lr": 2e-3, "init_epochs": 99}, lambda m, x: m.translate(x), "g/content"),
    "whitebox": (40, {"lr": 5e-3, "init_iterations": 99}, lambda m, x: m.translate(x), "g/photo"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEARNED)
def test_it_learns_four_pictures(name):
    steps, changes, draw, loss = LEARNED[name]
    config = settings(name, batch=4, width=8, **changes)
    method = make(config)
    losses = learn(method, stream(config), steps)
    assert losses[-1][loss] < 0.5 * losses[0][loss]
    photo = smooth(4, config.size, 1)
    with torch.inference_mode():
        off = (draw(method.eval(), photo) - photo).abs().mean()
    grey = (photo - photo.mean()).abs().mean()  # what a flat picture is off by
    assert float(off) < 0.65 * float(grey)


@pytest.mark.parametrize("name", ["unit", "content-invariant", "cartoongan"])
def test_bright_photos_come_out_as_dark_as_the_cartoons(name):
    more = {"content_weight": 0.0} if name == "cartoongan" else {"gan_weight": 3.0}
    more |= {"size": 16} if name == "unit" else {}
    config = settings(name, batch=2, lr=5e-3, **more)
    photo, cartoon = (smooth(2, config.size, k) * 0.3 + shift for k, shift in ((1, 0.6), (2, -0.6)))
    method = make(config)
    learn(method, lambda i: {"photo": photo, "cartoon": cartoon}, 30)
    with torch.inference_mode():
        assert float(method.eval().translate(photo).mean()) < -0.3


@pytest.mark.parametrize(
    "name, loss", [("animegan", "g/adv"), ("animeganv2", "g/adv"), ("whitebox", "g/texture")]
)
def test_a_discriminator_that_stands_still_is_fooled(name, loss):
    config = settings(name, lr=1e-3)
    method, batch = make(config), stream(config)(0)
    opt = method.optimizers()
    for group in opt["d"].param_groups:
        group["lr"] = 0.0
    losses = []
    for i in range(20):
        torch.manual_seed(0)  # the same weights of the texture
        losses.append(float(method.step(batch, opt, i)[loss]))
    assert losses[-1] < 0.85 * losses[0]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("size", [(37, 50), (1, 1)], ids=str)
def test_it_translates_any_size(name, size):
    method = make(settings(name)).eval()
    photo = torch.rand(1, 3, *size) * 2 - 1
    with torch.inference_mode():
        assert method.translate(photo).shape == photo.shape
        if hasattr(method, "back"):
            assert method.back(photo).shape == photo.shape


@pytest.mark.parametrize(
    "name, changes, says",
    [
        ("unit", {"size": 16, "d_layers": 4}, "size=16 is too small for scales=2 of d_layers=4"),
        ("content-invariant", {"size": 16}, "size=16 is too small"),
        ("content-invariant", {"batch": 1}, "wanted 2 or more"),
        ("cartoongan", {"loss": "hinge"}, "loss 'hinge' is none of lsgan, log"),
        ("whitebox", {"size": 36}, "must be a multiple of 8"),
        ("whitebox", {"superpixels": 0}, "superpixels=0: wanted 1 or more"),
        ("unit", {"scales": 0}, "scales=0: wanted 1 or more"),
        ("animeganv2", {"epochs": 0}, "epochs=0: wanted 1 or more"),
        ("cartoongan", {"lr": -1.0}, "lr=-1.0: wanted 0 or more"),
    ],
)
def test_settings_that_do_not_fit_are_refused(name, changes, says):
    with pytest.raises(ValueError, match=says):
        settings(name, **changes)


def test_unit_halves_its_learning_rate_and_draws_fresh_noise_in_training_alone():
    config = settings("unit", halve_every=2)
    method, seen = make(config), []
    opt, batch = method.optimizers(), stream(config)(0)
    for i in range(5):
        method.step(batch, opt, i)
        seen.append([opt[key].param_groups[0]["lr"] / config.lr for key in "gd"])
    assert seen == [[1, 1], [1, 1], [0.5, 0.5], [0.5, 0.5], [0.25, 0.25]]
    x = batch["photo"]
    assert not torch.equal(method.g.a(x)[0], method.g.a(x)[0])
    assert torch.equal(method.eval().g.a(x)[0], method.g.a(x)[0])


def test_units_perceptual_loss_compares_maps_less_their_mean_and_scale():
    x = torch.randn(2, 3, 5, 4)
    torch.testing.assert_close(standard(x), F.instance_norm(x))
    assert torch.equal(standard(x[..., :1, :1]), torch.zeros(2, 3, 1, 1))
    method = make(settings("unit"))
    photo = smooth(2, 32, 1)
    inner = maps(photo, ["relu5_3"])[0].reshape(2, 8, -1)
    other = maps(-photo, ["relu5_3"])[0].reshape(2, 8, -1)
    wanted = [(y - y.mean(2, keepdim=True)) / y.std(2, unbiased=False, keepdim=True) for y in (inner, other)]
    gap = float((wanted[0] - wanted[1]).square().mean())
    assert float(method.perceptual(photo, -photo)) == pytest.approx(gap, rel=1e-3)
    assert float(method.perceptual(photo, photo)) == 0


def test_content_invariance_is_one_direction_with_shared_encoders():
    config = settings("content-invariant")
    method = make(config)
    opt = method.optimizers()
    figures = method.step(stream(config)(0), opt, 0)
    assert set(figures) == {"d", "d/adv", "g", "g/recon", "g/adv"}
    for name, p in method.named_parameters():
        assert p.grad is not None, name
        # a bias is taken away again by an instance norm
        assert name.endswith(".bias") or float(p.grad.abs().max()) > 0, name
    assert {name for name, _ in method.g.named_children()} == {"content", "style", "decoder", "mlp"}
    assert {name for name, _ in method.named_children()} == {"g", "d"} and not hasattr(method, "back")
    full = make(TRANSLATORS["content-invariant"][0]())
    assert sum(p.numel() for p in full.g.parameters()) == 15_026_187


def test_content_invariance_reconstructs_with_the_style_of_another_photo():
    config = settings("content-invariant")
    batch = stream(config)(0)
    seen = []
    method = make(config)
    method.g.style.register_forward_pre_hook(lambda net, given: seen.append(given[0]))
    method.step(batch, method.optimizers(), 0)
    cartoons, others = seen
    assert torch.equal(cartoons, batch["cartoon"]) and torch.equal(others, batch["photo"].flip(0))


def test_a_translation_takes_the_mean_style_of_the_cartoons_seen():
    config = settings("content-invariant", lr=0.0)
    method = make(config)
    opt, batches = method.optimizers(), stream(config)
    for i in range(3):
        method.step(batches(i), opt, i)
    styles = [method.g.style(batches(i)["cartoon"]) for i in range(3)]
    torch.testing.assert_close(method.g.mean_style, torch.cat(styles).mean(0).detach())


def test_the_losses_of_cartoongans_discriminator_at_first():
    for loss, wanted in (("log", (0.6931, 0.6931, 0.6931)), ("lsgan", (1, 0, 0))):
        config = settings("cartoongan", loss=loss)
        method = make(config)
        with torch.no_grad():
            for p in method.d.convs[-1].parameters():
                p.zero_()  # so that every score is 0
        figures = method.step(stream(config)(0), method.optimizers(), 0)
        found = [float(figures[f"d/{key}"]) for key in ("real", "fake", "smooth")]
        assert found == pytest.approx(wanted, abs=1e-4)


def test_animegan_takes_texture_from_gray_cartoons_and_shows_them_as_fakes():
    config = settings("animegan")
    batch = stream(config)(0)
    weights = torch.tensor([0.299, 0.587, 0.114])
    turned = batch["cartoon"].clone() * 0.5
    same = turned.clone()
    same[:, 0] += 0.2 / weights[0] * 0.299  # moves luma by 0.2 * 0.299
    same[:, 1] -= 0.2 * 0.299 / weights[1]
    found = [make(config).step({**batch, "cartoon": x}, make(config).optimizers(), 0) for x in (turned, same)]
    for key, alike in (("g/style", True), ("d/gray", True), ("d/real", False)):
        gap = abs(float(found[0][key]) - float(found[1][key])) / abs(float(found[0][key]))
        assert (gap < 1e-4) == alike, (key, gap)


def test_the_weights_of_the_films():
    config, _ = TRANSLATORS["animeganv2"]
    names = ("content", "style", "color", "tv", "real", "fake", "gray", "smooth")
    wanted = {
        "hayao": (1.5, 2.5, 15, 1, 1.2, 1.2, 1.2, 0.8),
        "paprika": (2, 0.6, 50, 0.1, 1, 1, 1, 0.005),
        "shinkai": (1.2, 2, 10, 1, 1.7, 1.7, 1.7, 1),
    }
    for preset, weights in wanted.items():
        made = config(**config.presets[preset])
        assert tuple(getattr(made, f"{name}_weight") for name in names) == weights
    assert config() == config(**config.presets["hayao"])


def test_a_texture_is_a_weighted_mean_of_the_colours():
    x = torch.tensor([1.0, -1.0, 0.5]).reshape(1, 3, 1, 1)
    low, high = (
        (a - b + 0.5 * c) / (a + b + c) for a, b, c in ((0.199, 0.487, 0.014), (0.399, 0.687, 0.214))
    )
    for draw, wanted in ((0.0, low), (1.0, high)):
        assert float(texture(x, torch.full([3], draw))) == pytest.approx(wanted, rel=1e-6)


def test_white_boxs_translation_keeps_the_photos_edges():
    method = make(settings("whitebox", run_eps=1e-8)).eval()
    photo = smooth(2, 32, 3)
    with torch.inference_mode():
        torch.testing.assert_close(
            method.translate(photo), guided_filter(photo, method.g(photo), 1, 1e-8), rtol=0, atol=1e-6
        )
