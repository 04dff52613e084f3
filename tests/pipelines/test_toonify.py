"""The whole path on small untrained networks: what is written where, and what is said when it fails."""

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
from stylegan_toon.faces.align import align, side
from stylegan_toon.faces.detect import find_faces
from stylegan_toon.methods.invert import refine
from stylegan_toon.nn.finish import FINISHES, finished
from stylegan_toon.nn.kuwahara import paint
from stylegan_toon.nn.lens import swell
from stylegan_toon.pipelines.toonifier import DETAIL, Toonifier
from stylegan_toon.stylegan2.blend import Recipe, blend
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.edits import Edit, load_edit, save_edit
from stylegan_toon.stylegan2.generator import Generator

PORTRAIT = Path(__file__).parents[2] / "samples" / "nasa_astronaut.png"
NETWORK = Config(32, (8, 8, 8, 8), 8, 8, 2)


@pytest.fixture
def toon(models, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(models))

    def call(*args):
        out, err = io.StringIO(), io.StringIO()
        everything = ["toonify", "--style", "drawn", "--source", "plain", *map(str, args)]
        with contextlib.chdir(tmp_path), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(cli, everything, "stylegan-toon", ENVIRONMENT)
        return code, out.getvalue(), err.getvalue()

    return call


def test_a_photo_comes_back_whole_with_a_changed_face(toon, tmp_path):
    code, out, err = toon(PORTRAIT, "--around", "0")
    assert (code, out.strip()) == (0, "out/nasa_astronaut.png"), err
    photo = np.asarray(Image.open(PORTRAIT).convert("RGB")).astype(int)
    with Image.open(tmp_path / out.strip()) as made:
        changed = np.abs(np.asarray(made).astype(int) - photo).max(2)
    assert changed.shape == photo.shape[:2]
    assert changed[60:170, 180:270].mean() > 10  # the face
    assert changed[300:].max() == 0 and changed[:, :80].max() == 0  # suit and background, to the bit


def test_the_photo_around_a_face_is_painted_in_strokes_as_large_as_its_own(toon, tmp_path):
    photo = Image.open(PORTRAIT).convert("RGB")
    assert toon(PORTRAIT, "--around", "0.5", "--out", "a")[0] == 0
    made = Image.open(tmp_path / "a/nasa_astronaut.png")
    (face,) = find_faces(photo)
    wanted = paint(photo, 0.5 * side(face.points) / 32)  # the model's edge
    assert np.array_equal(np.asarray(made)[300:], np.asarray(wanted)[300:])
    assert not np.array_equal(np.asarray(made)[300:], np.asarray(photo)[300:])
    assert toon(PORTRAIT, "--out", "b")[0] == 0
    assert json.loads(made.info["stylegan-toon"])["around"] == 0.5
    assert json.loads(Image.open(tmp_path / "b/nasa_astronaut.png").info["stylegan-toon"])["around"] == 1.8
    assert toon(PORTRAIT, "--crop-only", "--out", "c")[0] == 0
    assert "around" not in json.loads(Image.open(tmp_path / "c/nasa_astronaut.png").info["stylegan-toon"])
    for value in ("-1", "9", "wide"):
        code, _, err = toon(PORTRAIT, "--around", value)
        assert code == 2 and "--around" in err


@pytest.mark.parametrize("named, taken", [("ink", "ink"), ("no such", "paint"), (3, "paint")])
def test_the_file_of_a_style_names_the_finish(toon, models, tmp_path, named, taken):
    drawn = load(models / "models/drawn-32.generator.safetensors")
    save(tmp_path / "own.safetensors", replace(drawn, meta=drawn.meta | {"finish": named}))
    code, _, err = toon(PORTRAIT, "--style", "own.safetensors", "--out", "a")
    assert code == 0, err
    photo = Image.open(PORTRAIT).convert("RGB")
    edge = side(find_faces(photo)[0].points)
    wanted = np.asarray(finished(FINISHES[taken], paint(photo, 1.8 * edge / 32), edge / 256))
    with Image.open(tmp_path / "a/nasa_astronaut.png") as made:
        assert np.array_equal(np.asarray(made)[300:], wanted[300:])
        assert json.loads(made.info["stylegan-toon"])["finish"] == taken
    if taken == "ink":
        assert np.isin(wanted[300:], (0, 255)).mean() > 0.8
    args = ("replay", "a/nasa_astronaut.png", "--photo", PORTRAIT, "--models", ".", "--out", "again")
    with contextlib.chdir(tmp_path):
        assert run(cli, [*map(str, args)], "stylegan-toon", ENVIRONMENT) == 0
    first, again = (np.asarray(Image.open(tmp_path / name / "nasa_astronaut.png")) for name in ("a", "again"))
    assert np.array_equal(first, again)
    blended = ("blend", "plain", "own.safetensors", "--blend", "1", "--out", "both.safetensors")
    with contextlib.chdir(tmp_path):
        assert run(cli, [*blended], "stylegan-toon", ENVIRONMENT) == 0
    assert load(tmp_path / "both.safetensors").meta["finish"] == named


def test_a_finish_is_drawn_over_the_whole_picture_or_the_face_alone(toon, tmp_path):
    photo = np.asarray(Image.open(PORTRAIT).convert("RGB"))
    pictures = {}
    for name, args in {
        "paint": (), "all": ("--finish", "ink"), "face": ("--finish", "ink", "--around", "0"),
        "crop": ("--finish", "ink", "--crop-only", "--size", "64"),
    }.items():  # fmt: skip
        code, _, err = toon(PORTRAIT, *args, "--out", name)
        assert code == 0, err
        with Image.open(tmp_path / name / "nasa_astronaut.png") as made:
            pictures[name] = np.asarray(made)
    edge = side(find_faces(Image.fromarray(photo))[0].points)
    wanted = np.asarray(finished(FINISHES["ink"], Image.fromarray(pictures["paint"]), edge / 256))
    assert np.array_equal(pictures["all"], wanted)
    assert np.array_equal(pictures["face"][300:], photo[300:])
    grey = np.ptp(pictures["face"][90:130, 200:240].astype(int), axis=2).max()
    assert grey == 0 < np.ptp(pictures["paint"][90:130, 200:240].astype(int), axis=2).max()
    assert np.isin(pictures["crop"], (0, 255)).mean() > 0.5
    code, _, err = toon(PORTRAIT, "--finish", "oil")
    assert code == 2 and "cel" in err
    option = next(o for o in cli.get_command(None, "toonify").params if o.name == "finish")
    assert [*option.type.choices] == [*FINISHES]


def test_eyes_grow_as_the_option_or_the_file_of_the_style_says(toon, models, tmp_path):
    drawn = load(models / "models/drawn-32.generator.safetensors")
    save(tmp_path / "own.safetensors", replace(drawn, meta=drawn.meta | {"eyes": 0.4}))
    found = {}
    for name, args in {
        "none": (), "own": ("--style", "own.safetensors"), "told": ("--eyes", "0.4"),
        "no": ("--style", "own.safetensors", "--eyes", "0"),
    }.items():  # fmt: skip
        code, _, err = toon(PORTRAIT, *args, "--crop-only", "--out", name)
        assert code == 0, err
        with Image.open(tmp_path / name / "nasa_astronaut.png") as made:
            found[name] = np.asarray(made)
            assert json.loads(made.info["stylegan-toon"])["eyes"] == (0.4 if name in ("own", "told") else 0)
    assert np.array_equal(found["none"], found["no"]) and np.array_equal(found["own"], found["told"])
    plain = torch.from_numpy(found["none"].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    gap = (swell(plain, 0.4)[0].permute(1, 2, 0).numpy() + 1) * 127.5 - found["own"]
    assert np.abs(gap).mean() < 1 < np.abs(found["own"].astype(float) - found["none"]).max()
    args = ("replay", "own/nasa_astronaut.png", "--photo", PORTRAIT, "--models", ".", "--out", "again")
    with contextlib.chdir(tmp_path):
        assert run(cli, [*map(str, args)], "stylegan-toon", ENVIRONMENT) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "again/nasa_astronaut.png")), found["own"])
    for value in ("-0.1", "1.1", "big"):
        code, _, err = toon(PORTRAIT, "--eyes", value)
        assert code == 2 and "--eyes" in err


def test_what_is_shown_has_the_eyes_and_the_finish_at_its_own_size(models, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(models))
    cartoons = torch.rand(2, 3, 32, 32) * 2 - 1
    assert Toonifier("drawn", "plain").shown(cartoons) is cartoons
    cartoons = torch.full((1, 3, 32, 32), 0.5)
    cartoons[:, :, 8:24, 8:24] = -0.9
    shown = Toonifier("drawn", "plain", finish="ink", eyes=0.3).shown(cartoons)
    assert shown.shape == cartoons.shape
    assert (shown[:, :, :6] > 0.99).all() and (shown[:, :, 11:21, 11:21] < -0.99).all()


def test_the_photos_detail_comes_back_as_the_option_or_the_file_of_the_style_says(toon, models, tmp_path):
    """All from the source there is no change of style, and with detail 1 the cartoon is the photo itself."""
    drawn = load(models / "models/drawn-32.generator.safetensors")
    save(tmp_path / "own.safetensors", replace(drawn, meta=drawn.meta | {"detail": 1}))
    found = {}
    for name, args in {
        "none": (), "own": ("--style", "own.safetensors"), "told": ("--detail", "1"),
        "half": ("--detail", "0.5"), "no": ("--style", "own.safetensors", "--detail", "0"),
    }.items():  # fmt: skip
        code, _, err = toon(PORTRAIT, *args, "--blend", "4", "--crop-only", "--out", name)
        assert code == 0, err
        with Image.open(tmp_path / name / "nasa_astronaut.png") as made:
            found[name] = np.asarray(made).astype(int)
            said = json.loads(made.info["stylegan-toon"])["detail"]
            assert said == {"own": 1, "told": 1, "half": 0.5}.get(name, 0)
    photo = Image.open(PORTRAIT).convert("RGB")
    wanted = np.asarray(align(photo, find_faces(photo)[0].points, 32)).astype(int)
    assert np.abs(found["own"] - wanted).max() <= 1 and np.array_equal(found["own"], found["told"])
    assert np.array_equal(found["none"], found["no"]) and np.abs(found["none"] - wanted).mean() > 10
    assert np.abs(found["half"] - (found["none"] + wanted) / 2).max() <= 1
    code, _, err = toon(PORTRAIT, "--detail", "0.5", "--out", "whole")
    assert code == 0, err
    args = ("replay", "whole/nasa_astronaut.png", "--photo", PORTRAIT, "--models", ".", "--out", "again")
    with contextlib.chdir(tmp_path):
        assert run(cli, [*map(str, args)], "stylegan-toon", ENVIRONMENT) == 0
    first, again = (Image.open(tmp_path / name / "nasa_astronaut.png") for name in ("whole", "again"))
    assert np.array_equal(np.asarray(first), np.asarray(again))
    for value in ("-0.1", "1.1", "fine"):
        code, _, err = toon(PORTRAIT, "--detail", value)
        assert code == 2 and "--detail" in err


def test_faces_are_edited_before_they_are_drawn(toon, models, tmp_path):
    """As the codes say with --detail 0; with 1, a source as style, and none of the edit, it is the photo."""
    source = models / "models/plain-32.generator.safetensors"
    made = Edit("x", "hand", {"w_plus": 3 * torch.randn(8, 8)}, 2.0)
    save_edit(tmp_path / "x.edit.safetensors", made, load(source))
    direction = load_edit(tmp_path / "x.edit.safetensors").tensors["w_plus"]
    edit = ("--edit", "x.edit.safetensors", "--crop-only", "--refine-steps", "0", "--eyes", "0")
    photo = Image.open(PORTRAIT).convert("RGB")
    (face,) = find_faces(photo)
    toonifier = Toonifier("drawn", "plain", 0)
    toonifier.space = "f/w+"
    found = toonifier.fit(toonifier.crops(photo, [face]), 0)
    for name, strength in (("own", ()), ("back", ("--strength", "-1.5"))):
        code, _, err = toon(PORTRAIT, *edit, *strength, "--blend", "0", "--detail", "0", "--out", name)
        assert code == 0, err
        with Image.open(tmp_path / name / "nasa_astronaut.png") as picture:
            pixels, about = np.asarray(picture), json.loads(picture.info["stylegan-toon"])
        how_much = 2.0 if name == "own" else -1.5
        wanted = toonifier.draw(found.w_plus + how_much * direction, shift=found.shift)
        assert np.abs(pixels - (wanted[0].permute(1, 2, 0).double().numpy() + 1) * 127.5).max() < 0.51
        assert about["strength"] == how_much and about["models"]["edit"]["name"] == "x.edit.safetensors"
    same = ("--blend", "4", "--detail", "1")
    for name, strength in (("none", "0"), ("much", "4")):
        assert toon(PORTRAIT, *edit, *same, "--strength", strength, "--out", name)[0] == 0
    none, much = (
        np.asarray(Image.open(tmp_path / f"{name}/nasa_astronaut.png")).astype(int)
        for name in ("none", "much")
    )
    assert np.abs(none - np.asarray(align(photo, face.points, 32))).max() <= 1
    drawn = toonifier.draw(found.w_plus + 4 * direction, toonifier.source, found.shift)
    wanted = (drawn[0].permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(much - wanted).mean() < 0.2 * np.abs(none - wanted).mean()  # shapes have moved: it is drawn
    for args, code, words in (
        (("--strength", "1", PORTRAIT), 2, "--edit"),
        (("--edit", "x.edit.safetensors"), 2, "needs a photo"),
        (("--edit", "x.edit.safetensors", "--strength", "nan", PORTRAIT), 2, "finite"),
        (("--edit", "none", PORTRAIT), 4, "no edit is called"),
    ):
        found_code, _, err = toon(*args)
        assert (found_code, err.count("\n")) == (code, 1) and words in err, err


def test_detail_is_on_by_itself_only_where_the_encoder_shows_the_person(models, monkeypatch):
    shipped = Toonifier()
    assert shipped.detail == DETAIL
    photos = torch.rand(1, 3, 128, 128) * 2 - 1
    plain, cartoons = torch.rand(2, 1, 3, 128, 128).mul(2).sub(1).unbind(0)
    shown = shipped.shown(cartoons, photos, plain)
    assert torch.equal(shown, shipped.shown(shipped.detailed(cartoons, photos, photos, cartoons - plain)))
    assert not torch.equal(shown, shipped.shown(cartoons))
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(models))
    assert Toonifier("drawn", "plain").detail == 0 == Toonifier("plain", "drawn").detail


def test_crop_only_writes_the_square_at_the_size_asked_for(toon, tmp_path):
    assert toon(PORTRAIT, "--crop-only", "--out", "a")[0] == 0
    assert toon(PORTRAIT, "--crop-only", "--size", "50", "--out", "b")[0] == 0
    sizes = [Image.open(tmp_path / name / "nasa_astronaut.png").size for name in "ab"]
    assert sizes == [(32, 32), (50, 50)]


def test_a_folder_is_mirrored_and_failures_are_collected(toon, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    shutil.copy(PORTRAIT, tmp_path / "in" / "deep" / "one.png")
    Image.new("RGB", (200, 200), "teal").save(tmp_path / "in" / "empty.png")
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    code, out, err = toon("in", "--json")
    assert code == 3
    document = json.loads(out)
    assert document["paths"] == ["out/deep/one.png"] and len(document["errors"]) == 2
    written = next(entry for entry in document["results"] if entry["path"])
    assert written["faces"][0]["score"] > 0.8 and 0 < written["seconds"] < 60
    assert "no face found in in/empty.png (200x200)" in err and "broken.png" in err
    assert err.strip().splitlines()[-1] == "Error: 2 of 3 inputs failed; the others are written"


def test_the_photo_itself_is_never_overwritten(toon, tmp_path):
    shutil.copy(PORTRAIT, tmp_path / "me.png")
    before = (tmp_path / "me.png").read_bytes()
    code, out, _ = toon("me.png", "--out", ".")
    assert (code, out.strip()) == (0, "me-toon.png")
    assert (tmp_path / "me.png").read_bytes() == before


def test_without_photos_a_grid_of_pairs_is_drawn_from_the_seed(toon, tmp_path):
    # all from the source: both of a pair are the same
    assert toon("--blend", "4", "--upscale", "none", "--out", "a")[0] == 0
    pairs = np.asarray(Image.open(tmp_path / "a" / "drawn-pairs.png"))
    assert pairs.shape == (4 * 32, 8 * 32, 3)
    assert np.array_equal(pairs[:, 0:32], pairs[:, 32:64])
    toon("--blend", "0", "--out", "b")
    toon("--blend", "0", "--out", "c")
    toon("--blend", "0", "--out", "d", "--seed", "1")
    b, c, d = ((tmp_path / name / "drawn-pairs.png").read_bytes() for name in "bcd")
    assert b == c != d
    other = np.asarray(Image.open(tmp_path / "b" / "drawn-pairs.png"))
    assert other.shape == (4 * 64, 8 * 64, 3)  # the upscaler that ships doubles them
    assert not np.array_equal(other[:, 0:64], other[:, 64:128])


def test_pairs_are_drawn_as_photos_are_and_replayed(toon, tmp_path):
    """The shipped models: codes as photos have them, and cartoons with detail, eyes and finish."""
    code, _, err = toon("--style", "ink", "--source", "faces", "--out", "a")
    assert code == 0, err
    made = Image.open(tmp_path / "a/ink-pairs.png")
    pairs, said = np.asarray(made), json.loads(made.info["stylegan-toon"])
    assert pairs.shape == (4 * 256, 8 * 256, 3) and (said["finish"], said["detail"]) == ("ink", DETAIL)
    assert {"source", "style", "encoder", "upscaler"} <= said["models"].keys()
    cartoons = (
        pairs.reshape(4, 256, 4, 2, 256, 3)[:, :, :, 1].transpose(0, 2, 1, 3, 4).reshape(16, 256, 256, 3)
    )
    assert np.isin(cartoons, (0, 255)).mean() > 0.8
    for i, face in enumerate(cartoons):  # drawn where the photo's eyes are: some black in both
        for x in (95, 159):
            assert (face[105:135, x - 20 : x + 20] < 50).mean() > 0.02, i
    args = ("replay", "a/ink-pairs.png", "--out", "again")
    with contextlib.chdir(tmp_path):
        assert run(cli, [*args], "stylegan-toon", ENVIRONMENT) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "again/ink-pairs.png")), pairs)


def test_a_blend_that_changes_nothing_is_said(toon):
    code, _, err = toon("--blend", "1")
    assert code == 0 and "--blend 1 is the same as --blend 0" in err


@pytest.mark.parametrize(
    "args, code, text",
    [
        (["--blend", "5"], 2, "0..4"),
        (["--style", "webtune"], 4, "drawn"),
        (["--source", "drawn", PORTRAIT, "--refine", "0"], 4, "encoder"),
        (["--source", "drawn", PORTRAIT], 0, "drawn has no encoder, so optimisation starts at the mean face"),
        (["absent.jpg"], 3, "absent.jpg"),
        ([PORTRAIT, "--out", "/dev/null/x"], 9, "/dev/null/x"),
        ([PORTRAIT, "--size", "64"], 2, "--crop-only"),
        ([PORTRAIT, "--faces", "none"], 2, "largest"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(toon, args, code, text):
    got, _, err = toon(*args)
    assert got == code, err
    assert all(len(line) <= 200 for line in err.splitlines()) and text in err


def test_toonifier_draws_the_encoders_code_with_the_blended_generator(models, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(models))
    toonifier = Toonifier("drawn", "plain")
    photos = torch.rand(2, 3, 32, 32) * 2 - 1
    w_plus = toonifier.invert(photos)
    assert toonifier.recipe == Recipe(2) and w_plus.shape == (2, 8, 8)
    child = Toonifier("drawn", "plain", blend=0).cartoon
    wanted = blend(toonifier.source, child, 2).synthesis(w_plus, "none")[-1].clamp(-1, 1)
    torch.testing.assert_close(toonifier.draw(w_plus), wanted)


def test_steps_follow_by_themselves_only_where_the_encoder_does_not_show_the_person(models, monkeypatch):
    assert Toonifier().steps(None) == 0  # it ships with an encoder of all shifts
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(models))
    known, unknown = Toonifier("drawn", "plain"), Toonifier("plain", "drawn")
    assert [known.steps(n) for n in (None, 0, 1, 2)] == [30, 0, 30, 100]
    assert unknown.steps(None) == 30  # without an encoder from the mean face


def test_refining_comes_nearer_and_each_photo_alone(models):
    """A picture of the generator itself: the code moves towards it, whatever else is in the batch."""
    torch.manual_seed(0)
    g = Generator(NETWORK).requires_grad_(False)
    with torch.no_grad():
        w = g.broadcast(g.mapping(torch.randn(2, 8)))
        wanted = g.synthesis(w, "none")[-1].clamp(-1, 1)
        start = g.broadcast(g.mapping(torch.randn(2, 8))).clone()

    def gap(code):
        with torch.no_grad():
            return (g.synthesis(code, "none")[-1] - wanted[: len(code)]).abs().mean([1, 2, 3])

    both, alone = refine(g, wanted, start, 30).w_plus, refine(g, wanted[:1], start[:1], 30).w_plus
    assert (gap(both) < 0.9 * gap(start)).all()
    torch.testing.assert_close(both[:1], alone, atol=1e-4, rtol=1e-3)
    assert refine(g, wanted, start, 0).w_plus is start
