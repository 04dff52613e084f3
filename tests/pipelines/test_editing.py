"""mix, interpolate, factorize, directions and edit, as typed, on small untrained networks."""

import contextlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.checkpoint.format import load, save
from stylegan_toon.cli import cli
from stylegan_toon.cli.common import ENVIRONMENT, run
from stylegan_toon.metadata import read
from stylegan_toon.pipelines.codes import Family
from stylegan_toon.pipelines.generate import seed_z
from stylegan_toon.pipelines.models import load_generator
from stylegan_toon.stylegan2.adapters import style_checkpoint
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.edits import Edit, load_edit, save_edit
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latent_files import load_latents, load_shift, save_latents
from stylegan_toon.stylegan2.latents import mix, truncate

PORTRAIT = Path(__file__).parents[2] / "samples" / "nasa_astronaut.png"
SIZE = 32


@pytest.fixture
def toon(models, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(models))

    def call(command, *args, source="plain", raw=True):
        out, err = io.StringIO(), io.StringIO()
        family = ("--source", source) if source else ()
        if raw and command in ("mix", "interpolate", "factorize", "directions", "edit"):
            family += ("--raw",)
        everything = [command, *map(str, args), *family, "--device", "cpu"]
        with contextlib.chdir(tmp_path), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(cli, everything, "stylegan-toon", ENVIRONMENT)
        return code, out.getvalue().split("\n")[:-1], err.getvalue()

    return call


@pytest.fixture
def networks(models):
    folder = models / "models"
    return [load_generator(folder / f"{name}-32.generator.safetensors") for name in ("plain", "drawn")]


@pytest.fixture
def edit(tmp_path, networks):
    """A strong edit of plain's codes, x.edit.safetensors."""
    made = Edit("x", "hand", {"w_plus": 3 * torch.randn(8, 8)}, 2.0)
    save_edit(tmp_path / "x.edit.safetensors", made, generator_checkpoint(networks[0]))
    return load_edit(tmp_path / "x.edit.safetensors")


def cells(path):
    """[rows, columns, SIZE, SIZE, 3] of a grid."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    rows, columns = (edge // SIZE for edge in pixels.shape[:2])
    return pixels.reshape(rows, SIZE, columns, SIZE, 3).swapaxes(1, 2)


def codes(g, *seeds):
    return truncate(g.codes(seed_z(seeds, 8)), g.centre(), 0.7)


def pixels(g, w_plus):
    floats = g.synthesis(w_plus, "none")[-1].detach().clamp(-1, 1).permute(0, 2, 3, 1).double().numpy()
    return (floats + 1) * 127.5


def near(found, wanted):
    return np.abs(found.astype(float) - wanted).max() < 0.51


def test_a_mixed_face_with_all_layers_of_one_is_that_one_to_the_bit(toon, tmp_path):
    for layers in ("all", "0-7"):
        assert toon("mix", "--rows", "1-2", "--columns", "5,6,7", "--layers", layers) == (0, ["mix.png"], "")
        grid = cells(tmp_path / "mix.png")
        assert grid.shape[:2] == (3, 4) and (grid[0, 0] == 255).all()
        for row in (1, 2):
            assert (grid[row, 1:] == grid[row, 0]).all()
    assert toon("mix", "--rows", "1-2", "--columns", "1-2")[0] == 0
    grid = cells(tmp_path / "mix.png")
    assert (grid[1, 1] == grid[1, 0]).all() and (grid[2, 2] == grid[0, 2]).all()  # mixed with itself
    assert not near(grid[1, 2], grid[1, 0]) and not near(grid[1, 2], grid[0, 2])


def test_mixing_across_source_and_child_draws_the_child_with_both_codes(toon, tmp_path, networks):
    source, child = networks
    args = ("--rows", "1", "--columns", "5", "--layers", "0-2", "--style", "drawn", "--blend", "0")
    code, out, _ = toon("mix", *args, "--save", "m")
    assert (code, out) == (0, ["mix.png", "m.latent.safetensors"])
    a, b = codes(source, 1), codes(source, 5)
    grid = cells(tmp_path / "mix.png")
    assert near(grid[1, 0], pixels(source, a)[0]) and near(grid[0, 1], pixels(child, b)[0])
    assert near(grid[1, 1], pixels(child, mix(a, b, 3))[0])
    w_plus, meta = load_latents(tmp_path / "m.latent.safetensors")
    torch.testing.assert_close(w_plus, mix(a, b, 3))
    assert meta["names"] == ["seed0001 x seed0005"] and meta["layers"] == [0, 1, 2]
    about = read(tmp_path / "mix.png")
    assert about["command"] == "mix" and set(about["models"]) == {"source", "style"}
    code, _, err = toon("mix", "--rows", "m.latent.safetensors", "--columns", "5", "--layers", "all")
    assert code == 0, err
    assert near(cells(tmp_path / "mix.png")[1, 1], pixels(source, w_plus)[0])  # a latent file is a face, too


def test_generate_draws_a_latent_file_with_every_child_and_with_no_other(toon, tmp_path, networks):
    source, child = networks
    w_plus = codes(source, 1, 5)
    save_latents(tmp_path / "m.safetensors", w_plus, generator_checkpoint(source), ["a", "b"])
    code, out, err = toon("generate", "drawn", "--latents", "m.safetensors", "--noise", "none", source=None)
    assert (code, out[0]) == (0, "out/latent0000.png"), err
    assert near(cells(tmp_path / "out/grid.png")[0], pixels(child, w_plus))
    save(tmp_path / "other.safetensors", generator_checkpoint(Generator(Config(32, (8, 8, 8, 8), 8, 8, 2))))
    code, out, err = toon("generate", "other.safetensors", "--latents", "m.safetensors", source=None)
    assert (code, out, err.count("\n")) == (4, [], 1) and "this one learnt others" in err


def test_a_long_list_is_one_of_seeds_and_a_file_of_digits_is_a_file(toon, tmp_path):
    shutil.copy(PORTRAIT, tmp_path / "7")
    long = ",".join(["5"] * 200)
    code, _, err = toon("mix", "--rows", "7", "--rows", long, "--columns", "5", "--save", "m")
    assert code == 0, err
    names = load_latents(tmp_path / "m.latent.safetensors")[1]["names"]
    assert names[:3] == ["7 x seed0005", "seed0005 x seed0005", "seed0005_2 x seed0005"] and len(names) == 201


def test_photos_are_faces_and_one_without_a_face_is_said(toon, tmp_path):
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "wall.png")
    code, out, err = toon("mix", "--rows", PORTRAIT, "--columns", "1", "--save", "m")
    assert (code, len(out)) == (0, 2), err
    assert load_latents(tmp_path / "m.latent.safetensors")[1]["names"] == ["nasa_astronaut x seed0001"]
    code, _, err = toon("mix", "--rows", "wall.png", "--columns", "1")
    assert (code, err.count("\n")) == (3, 1) and "no face found in wall.png" in err
    (tmp_path / "in").mkdir()
    shutil.copy(tmp_path / "wall.png", tmp_path / "in")
    assert toon("mix", "--rows", "in", "--columns", "1")[0] == 3
    shutil.copy(PORTRAIT, tmp_path / "in")
    code, _, err = toon("mix", "--rows", "in", "--columns", "1")
    assert code == 0 and "left out: no face found in in/wall.png" in err


def test_a_walk_goes_straight_in_w_and_round_in_z_and_comes_back(toon, tmp_path, networks):
    code, out, err = toon("interpolate", "1", "5", "--frames", "4", "--save", "w", "--fps", "20")
    assert (code, out) == (0, ["walk.gif", "w.latent.safetensors"]), err
    a, b = codes(networks[0], 1), codes(networks[0], 5)
    found, meta = load_latents(tmp_path / "w.latent.safetensors")
    torch.testing.assert_close(found, torch.cat([a + t / 4 * (b - a) for t in range(5)]))
    assert meta["names"][-1] == "frame0004" and meta["faces"] == ["seed0001", "seed0005"]
    with Image.open(tmp_path / "walk.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"]) == (5, (32, 32), 50) and "loop" not in gif.info
    args = ("--frames", "2", "--space", "z", "--loop", "--save", "z", "--psi", "1", "--out", "z.webp")
    assert toon("interpolate", "1,5", *args)[0] == 0
    found, _ = load_latents(tmp_path / "z.latent.safetensors")
    z = seed_z([1, 5], 8).double().numpy()
    angle = np.arccos(z[0] @ z[1] / np.linalg.norm(z[0]) / np.linalg.norm(z[1]))
    half = np.sin(angle / 2) / np.sin(angle) * (z[0] + z[1])
    wanted = networks[0].codes(torch.tensor(np.stack([z[0], half, z[1], half])).float())
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    with Image.open(tmp_path / "z.webp") as webp:
        assert webp.n_frames == 4 and webp.info["loop"] == 0


def test_several_styles_walk_side_by_side(toon, tmp_path, networks):
    styles = ("--style", "plain", "--style", "drawn", "--blend", "0")
    for name in ("a.png", "a.gif", "a.webp"):
        code, _, err = toon("interpolate", "1,5", "--frames", "2", "--loop", *styles, "--out", name)
        assert code == 0, err
        with Image.open(tmp_path / name) as moving:
            assert (moving.n_frames, moving.size) == (4, (64, 32))
            moving.seek(2)
            second = np.asarray(moving.convert("RGB")).astype(float)
        wanted = np.concatenate([pixels(g, codes(networks[0], 5))[0] for g in networks], 1)
        assert np.abs(second - wanted).mean() < (0.51 if name == "a.png" else 12), name


def test_an_mp4_has_every_frame(toon, tmp_path):
    av = pytest.importorskip("av")
    assert toon("interpolate", "1,5", "--frames", "5", "--fps", "30", "--out", "a.mp4")[0] == 0
    with av.open(str(tmp_path / "a.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (32, 32, 30)
        assert len(list(video.decode(video=0))) == 6


def test_an_mp4_without_pyav_is_one_line(toon, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    code, _, err = toon("interpolate", "1,5", "--out", "a.mp4")
    assert (code, err.count("\n")) == (5, 1) and "stylegan-toon[video]" in err
    assert not (tmp_path / "a.mp4").exists()


def test_sefa_writes_edits_and_sliders_that_an_edit_repeats(toon, tmp_path, networks):
    args = ("--layers", "coarse,6", "--count", "2", "--seeds", "3-4", "--style", "drawn", "--blend", "0")
    code, out, err = toon("factorize", *args)
    stems = ["sefa/coarse+6-1", "sefa/coarse+6-2"]
    assert code == 0 and out == [f"{s}{end}" for s in stems for end in (".edit.safetensors", ".png")] + [
        "sefa/coarse+6.png"
    ], err
    edit = load_edit(tmp_path / f"{stems[1]}.edit.safetensors")
    direction = edit.tensors["w_plus"]
    assert (edit.kind, edit.name, edit.meta["layers"]) == ("sefa", "coarse+6-2", [0, 1, 2, 3, 6])
    assert not direction[[4, 5, 7]].any() and torch.equal(direction[0], direction[6])
    slider = cells(tmp_path / f"{stems[1]}.png")
    assert slider.shape[:2] == (2, 5)
    w_plus = codes(networks[0], 3, 4)
    for column, strength in enumerate((-2, -1, 0, 1, 2)):
        wanted = pixels(networks[1], w_plus + strength * direction)
        assert np.abs(slider[:, column] - wanted).max() < 3  # the file is in float16
    assert (cells(tmp_path / "sefa/coarse+6.png")[1] == slider[0]).all()
    assert np.abs(slider[0, 0].astype(float) - slider[0, 4]).mean() > 2


def test_shifted_features_of_a_photo_stay_with_it_through_edits_walks_and_generate(
    toon, tmp_path, networks, edit
):
    torch.manual_seed(4)
    g, w_plus, shift = networks[0], codes(networks[0], 1, 2), torch.randn(2, *networks[0].config.shift_shape)
    save_latents(tmp_path / "p.latent.safetensors", w_plus, generator_checkpoint(g), ["a", "b"], shift=shift)

    def wanted(network, w_plus, shift):
        floats = network.synthesis(w_plus, "none", shift=shift)[-1].detach().clamp(-1, 1)
        return (floats.permute(0, 2, 3, 1).double().numpy() + 1) * 127.5

    faces = ("--photo", "p.latent.safetensors", "--seeds", "5", "--style", "drawn", "--blend", "0")
    code, _, err = toon("edit", "x.edit.safetensors", *faces, "--save", "after")
    assert code == 0, err
    strips = cells(tmp_path / "out/grid.png")
    moved = w_plus + 2 * edit.tensors["w_plus"]
    for k, network in enumerate(networks):
        assert near(strips[1:, 2 * k], wanted(network, w_plus, shift))
        assert near(strips[1:, 2 * k + 1], wanted(network, moved, shift))
    assert near(strips[:1, 0], pixels(g, codes(g, 5)))  # a seed beside them has none
    kept = load_shift(tmp_path / "after.latent.safetensors")
    assert torch.equal(kept, torch.cat([torch.zeros_like(shift[:1]), shift]))
    assert toon("interpolate", "p.latent.safetensors", "--frames", "2", "--save", "w")[0] == 0
    torch.testing.assert_close(
        load_shift(tmp_path / "w.latent.safetensors"), torch.stack([shift[0], shift.mean(0), shift[1]])
    )
    code, _, err = toon(
        "generate", "plain", "--latents", "p.latent.safetensors", "--noise", "none", source=None
    )
    assert code == 0, err
    for i in range(2):
        made = np.asarray(Image.open(tmp_path / f"out/latent{i:04d}.png").convert("RGB"))
        assert near(made, wanted(g, w_plus, shift)[i])
    code, _, err = toon("replay", "out/latent0001.png", "--out", "again.png", source=None)
    assert code == 0, err
    save_latents(
        tmp_path / "p.latent.safetensors", w_plus, generator_checkpoint(g), ["a", "b"], shift=shift[:, :1]
    )
    for command in (
        ("edit", "x.edit.safetensors", "--photo", "p.latent.safetensors"),
        ("interpolate", "p.latent.safetensors"),
    ):
        code, _, err = toon(*command)
        assert code == 4 and "its shift is of" in err and err.count("\n") == 1, err


@pytest.mark.parametrize("how", ["mean", "svm"])
def test_a_direction_leads_from_one_latent_file_to_the_other(toon, tmp_path, networks, how):
    parent = generator_checkpoint(networks[0])
    shift = torch.zeros(8, 8)
    shift[2] = torch.randn(8)
    for name, move in (("a", shift), ("b", -shift)):
        w_plus = 0.01 * torch.randn(20, 8, 8) + move
        save_latents(tmp_path / f"{name}.latent.safetensors", w_plus, parent, [f"{i}" for i in range(20)])
    faces = ("a.latent.safetensors", "b.latent.safetensors", "--how", how, "--seeds", "1")
    code, out, err = toon("directions", *faces, "--out", "move.edit.safetensors", "--strength", "0")
    assert (code, out) == (0, ["move.edit.safetensors", "move.png"]) and "100%" in err, err
    edit = load_edit(tmp_path / "move.edit.safetensors")
    assert (edit.name, edit.kind, edit.meta["faces"]) == ("move", how, [20, 20])
    assert float((edit.tensors["w_plus"] - 2 * shift).abs().max()) < 0.05
    assert toon("directions", *faces, "--layers", "medium", "--out", "m")[0] == 0
    assert not load_edit(tmp_path / "m.edit.safetensors").tensors["w_plus"][:4].any()


def test_an_edit_shows_before_and_after_on_source_and_child(toon, tmp_path, networks, edit):
    args = ("x.edit.safetensors", "--seeds", "1,2", "--style", "drawn", "--blend", "0")
    code, out, err = toon("edit", *args, "--groups", "medium", "--save", "after")
    wanted = ["out/seed0001-edit.png", "out/seed0002-edit.png", "out/grid.png", "after.latent.safetensors"]
    assert (code, out) == (0, wanted), err
    strips = cells(tmp_path / "out/grid.png")
    assert (strips[1] == cells(tmp_path / "out/seed0002-edit.png")[0]).all()
    before = codes(networks[0], 1, 2)
    after = before.clone()
    after[:, 4:] += 2 * edit.tensors["w_plus"][4:]
    for k, g in enumerate(networks):
        assert near(strips[:, 2 * k], pixels(g, before)) and near(strips[:, 2 * k + 1], pixels(g, after))
    torch.testing.assert_close(load_latents(tmp_path / "after.latent.safetensors")[0], after)
    code, out, _ = toon("edit", *args, "--strength", "0", "--strength", "-0.5", "--json")
    strips = cells(tmp_path / "out/grid.png")
    assert strips.shape[:2] == (2, 6) and (strips[:, 1] == strips[:, 0]).all()
    assert near(strips[:, 2], pixels(networks[0], before - 0.5 * edit.tensors["w_plus"]))
    assert json.loads(out[0])["paths"][-1] == "out/grid.png"


def test_edits_are_shown_enlarged_and_cartoons_as_toonify_makes_them(toon, tmp_path, models, edit):
    """Without --raw; the style's finish, of a file that names one, shows in the style's columns alone."""
    drawn = load(models / "models" / "drawn-32.generator.safetensors")
    save(tmp_path / "inked.safetensors", replace(drawn, meta=drawn.meta | {"finish": "ink"}))
    faces = ("--seeds", "1,2", "--style", "inked.safetensors", "--blend", "0")
    commands = {
        "out/grid.png": ("edit", "x.edit.safetensors", *faces),
        "mix.png": ("mix", "--rows", "1", "--columns", "2", *faces[2:]),
        "sefa/all-1.png": ("factorize", "--count", "1", *faces),
        "walk.png": ("interpolate", "1,2", "--frames", "1", "--style", "plain", *faces[2:]),
    }
    commands["walk.png"] += ("--out", "walk.png")
    for path, command in commands.items():
        assert toon(*command)[0] == 0
        small = Image.open(tmp_path / path).convert("RGB")
        code, _, err = toon(*command, raw=False)
        assert code == 0, err
        large = Image.open(tmp_path / path).convert("RGB")
        assert large.size == (2 * small.width, 2 * small.height), path
        if path in ("out/grid.png", "walk.png"):  # the source's columns first
            half = np.asarray(large.resize(small.size, Image.Resampling.BOX)).astype(float)
            gap = np.abs(half - np.asarray(small)).mean((0, 2))
            ours, style = np.split(gap, 2)
            assert ours.mean() < 6 and style.mean() > 2 * ours.mean(), (path, ours.mean(), style.mean())
    assert {"source", "style", "upscaler"} <= set(read(tmp_path / "mix.png")["models"])


def test_a_photo_is_shown_itself_and_drawn_on_where_the_edit_changes_it():
    """The shipped models: before is the photo, to the rounding of its pixels; with no edit so is after."""
    family = Family("faces", ["comic"], device="cpu")
    codes = family.gather([str(PORTRAIT), "3"], refine=0, space="f/w+")
    (large, small), none = codes.photos
    assert none is None and large.shape[2:] == (256, 256) and small.shape[2:] == (128, 128)
    before = family.draw(codes.w_plus, family.source, codes.shift)
    shown = family.shown(before, photos=codes.photos, before=before)
    assert (shown[:1] - large).abs().max() < 1e-5
    assert shown.shape == (2, 3, 256, 256) and torch.equal(shown[1:], family.shown(before[1:]))
    after = before.clone()
    after[:, :, 80:100, 40:88] = before[:, :, 80:100, 40:88].flip(3)  # a mouth that is another
    shown = family.shown(after, photos=codes.photos, before=before)
    gap = (shown[0] - large[0]).abs().mean(0)
    assert gap[170:190, 90:166].mean() > 0.02 and gap[:136].max() < 1e-5 and gap[226:].max() < 1e-5
    cartoon = family.draw(codes.w_plus, family.styles["comic"], codes.shift)
    along = family.shown(before, cartoon, "comic", codes.photos, before)
    plain = family.shown(before, cartoon, "comic")
    fine = [x[0].mean(0).diff(dim=1).abs().mean() for x in (along, plain)]
    assert fine[0] > 1.1 * fine[1]  # the photo's own detail is in its cartoon
    raw = Family("faces", device="cpu", raw=True)
    assert raw.gather([str(PORTRAIT)], refine=0).photos == () and raw.shown(before) is before


def test_an_edit_works_on_a_style_file_and_on_a_saved_blend(toon, tmp_path, networks, edit):
    source = networks[0]
    styled = Generator(source.config)
    styled.load_state_dict(source.state_dict())
    styled.synthesis.blocks[3].to_rgb.bias.data += 0.5
    made = style_checkpoint(styled, generator_checkpoint(source), "plain-32", 0, 0, {})
    save(tmp_path / "s.safetensors", made)
    assert toon("blend", "plain", "drawn", "--blend", "1", "--out", "b.safetensors", source=None)[0] == 0
    mixed = load_generator(tmp_path / "b.safetensors")
    args = ("--seeds", "1", "--style", "s.safetensors", "--style", "b.safetensors", "--blend", "0")
    code, _, err = toon("edit", "x.edit.safetensors", *args)
    assert code == 0, err
    strip = cells(tmp_path / "out/seed0001-edit.png")[0]
    before = codes(source, 1)
    for k, g in enumerate((source, styled, mixed)):
        assert near(strip[2 * k], pixels(g, before)[0])
        assert near(strip[2 * k + 1], pixels(g, before + 2 * edit.tensors["w_plus"])[0])


def test_an_edit_of_styles_works_on_the_blended_child(toon, tmp_path, networks):
    source, child = networks
    made = Edit("s", "hand", {"s.blocks.2.conv0": 5 * torch.ones(8)})
    save_edit(tmp_path / "s.edit.safetensors", made, generator_checkpoint(source))
    args = ("s.edit.safetensors", "--seeds", "1", "--style", "drawn", "--blend", "0")
    code, _, err = toon("edit", *args)
    assert code == 0, err
    strip = cells(tmp_path / "out/seed0001-edit.png")[0]
    child.synthesis.blocks[2].conv0.conv.affine.bias.data += 5
    assert near(strip[3], pixels(child, codes(source, 1))[0]) and not near(strip[2], strip[3])
    code, _, err = toon("edit", *args, "--save", "x")
    assert (code, err.count("\n")) == (2, 1) and "latent file cannot hold" in err


def test_edits_and_codes_of_another_generator_are_refused(toon, tmp_path, networks, edit):
    other = Generator(Config(32, (8, 8, 8, 8), 8, 8, 2))
    save(tmp_path / "other.safetensors", generator_checkpoint(other))
    save_latents(tmp_path / "o.latent.safetensors", torch.zeros(1, 8, 8), generator_checkpoint(other), ["a"])
    for args, source, words in (
        (("edit", "x.edit.safetensors"), "other.safetensors", "another; name it with --source"),
        (("edit", "x.edit.safetensors", "--style", "other.safetensors"), "plain", "no child of it"),
        (("mix", "--rows", "o.latent.safetensors", "--columns", "1"), "plain", "another; name it"),
        (("edit", "o.latent.safetensors"), "plain", "holds a latent"),
        (("mix", "--rows", "x.edit.safetensors", "--columns", "1"), "plain", "holds an edit"),
        (("edit", "nothing"), "plain", "nothing is not there"),
    ):
        code, out, err = toon(*args, source=source)
        last = err.split("\n")[-2]
        assert (code, out) == (4, []) and words in last and len(last) <= 200 and "Error: " in last, err
    checkpoint = load(tmp_path / "x.edit.safetensors")
    checkpoint.tensors["w_plus"] = torch.zeros(9, 8)
    save(tmp_path / "y.edit.safetensors", checkpoint)
    code, _, err = toon("edit", "y.edit.safetensors")
    assert code == 4 and "[9, 8], but codes here are [8, 8]" in err


@pytest.mark.parametrize(
    "code, args, words",
    [
        (2, ("mix", "--rows", "1", "--columns", "2", "--layers", "corse"), "'corse' are none of all"),
        (2, ("mix", "--rows", "1", "--columns", "2", "--layers", "fine"), "there are 8, 0..7"),
        (2, ("mix", "--rows", "0-99", "--columns", "0-99"), "more than 1024 faces"),
        (2, ("mix", "--rows", "3-1", "--columns", "2"), "no range upwards"),
        (3, ("mix", "--rows", "1x", "--columns", "2"), "1x does not exist"),
        (2, ("interpolate", "1"), "two faces or more, not 1"),
        (2, ("interpolate", "1,2", "--out", "a.avi"), "a.avi ends in none of"),
        (2, ("interpolate", "1-99", "--frames", "99"), "more than 3000"),
        (2, ("interpolate", "1", PORTRAIT, "--space", "z"), "have no z"),
        (2, ("factorize", "--count", "9"), "there are 1..8"),
        (2, ("directions", "1", "2-3"), "1 is one face"),
        (2, ("edit", "x.edit.safetensors", "--strength", "nan"), "no finite number"),
        (2, ("edit", "x.edit.safetensors", "--blend", "9"), "outside 0..4"),
        (2, ("edit", "x.edit.safetensors", "--save", "a", "--strength", "1", "--strength", "2"), "several"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_writes_nothing(toon, tmp_path, edit, code, args, words):
    style = ("--style", "drawn") if "--blend" in args else ()
    found, out, err = toon(*args, *style)
    assert (found, out) == (code, []) and words in err and err.count("\n") == 1 and len(err) <= 201, err
    assert [path.name for path in tmp_path.iterdir()] == ["x.edit.safetensors"]
