"""Replay: the same bytes from the note in the picture, and one line where that cannot be."""

import contextlib
import io
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.checkpoint.format import load, save
from stylegan_toon.cli import cli
from stylegan_toon.cli.common import ENVIRONMENT, run
from stylegan_toon.images import save_png
from stylegan_toon.metadata import KEY, read
from stylegan_toon.pipelines.convert import convert
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.edits import Edit, save_edit
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator
from tests.checkpoint import irse_file

PORTRAIT = Path(__file__).parents[2] / "samples" / "nasa_astronaut.png"
STYLE = ("--style", "drawn", "--source", "plain")


def face(path, turned=0):
    """The head of the portrait: small, so that the detector has little to do."""
    Image.open(PORTRAIT).convert("RGB").crop((110, 10, 320, 220)).rotate(turned).save(path)


@pytest.fixture
def call(models, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(models))
    face(tmp_path / "me.png")

    def call(*args):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(tmp_path), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(cli, [*map(str, args)], "stylegan-toon", ENVIRONMENT)
        return code, out.getvalue(), err.getvalue()

    return call


def same(call, tmp_path, *made):
    """Make it, replay its last picture, and compare the files."""
    code, out, err = call(*made)
    assert code == 0, err
    old = tmp_path / out.splitlines()[-1]
    code, out, err = call("replay", old, "--out", "again", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert (document["differing"], document["most"]) == (0, 0) and "every byte is the same" in err
    assert (tmp_path / document["path"]).read_bytes() == old.read_bytes()
    return read(old)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--exact", "--blend", "2", "--blend-width", "0.5", "--keep", "high", "--refine", "0"),
        ("--crop-only", "--size", "40", "--refine-steps", "2", "--weights", "1,.5,.25,0"),
        ("--faces", "1", "--exact", "--refine-steps", "2"),
    ],
    ids=" ".join,
)
def test_a_toonified_photo_comes_again_to_the_byte(call, tmp_path, options):
    about = same(call, tmp_path, "toonify", "me.png", *STYLE, *options)
    assert about["models"]["style"]["name"] == "drawn" and about["photo"]["name"] == "me.png"
    assert ("identity" in about["models"]) == ("--refine" not in options)
    assert about["exact"] == ("--exact" in options)


def test_an_edited_photo_comes_again_and_a_missing_edit_is_said(call, models, tmp_path):
    edit = Edit("x", "hand", {"w_plus": torch.ones(8, 8)}, 2.0)
    save_edit(tmp_path / "x.edit.safetensors", edit, load(models / "models/plain-32.generator.safetensors"))
    edited = ("--edit", "x.edit.safetensors", "--strength", "-1", "--exact", "--detail", "0.5")
    about = same(call, tmp_path, "toonify", "me.png", *STYLE, *edited)
    assert about["strength"] == -1 and about["models"]["edit"]["file"] == "x.edit.safetensors"
    (tmp_path / "there").mkdir()
    (tmp_path / "x.edit.safetensors").rename(tmp_path / "there/x.edit.safetensors")
    code, _, err = call("replay", "out/me.png", "--out", "b")
    assert (code, err.count("\n")) == (4, 1) and "the edit of out/me.png" in err
    assert call("replay", "out/me.png", "--out", "b", "--models", "there")[0] == 0


@pytest.mark.parametrize(
    "options",
    [("--seeds", "7"), ("--seeds", "3,1-2", "--psi", "0.5", "--noise", "random", "--exact"),
     ("--latents", "codes.npz", "--cutoff", "1", "--psi", "0.2")],
    ids=" ".join,
)  # fmt: skip
def test_a_drawn_picture_and_the_grid_come_again_to_the_byte(call, tmp_path, options):
    np.savez(tmp_path / "codes.npz", z=np.random.default_rng(0).normal(size=(3, 8)))
    about = same(call, tmp_path, "generate", "drawn", *options)  # the last is the grid
    assert about["grid"] and about["models"]["generator"]["file"] == "drawn-32.generator.safetensors"
    one = next(tmp_path.glob("out/[ls]*.png"))
    code, out, err = call("replay", one, "--out", "b")
    assert code == 0, err
    assert np.array_equal(np.asarray(Image.open(tmp_path / out.strip())), np.asarray(Image.open(one)))


def test_the_grid_of_pairs_comes_again_from_its_seed(call, tmp_path):
    about = same(call, tmp_path, "toonify", *STYLE, "--seed", "5", "--exact")
    assert about["seed"] == 5 and "photo" not in about


def test_a_picture_by_an_encoder_of_e4e_comes_again(call, tmp_path):
    theirs = irse_file.whole(irse_file.encoder_state(w_dim=8), w_dim=8)
    torch.save(theirs, tmp_path / "e4e.pt")
    convert(tmp_path / "e4e.pt", tmp_path / "ours.safetensors")
    made = []
    for name in ("e4e.pt", "ours.safetensors", "ours.encoder.safetensors"):
        options = ("--crop-only", "--encoder", name, *(["--exact"] if name == "e4e.pt" else []))
        about = same(call, tmp_path, "toonify", "me.png", *STYLE, *options)
        assert about["models"]["encoder"]["name"] == name
        made.append(np.asarray(Image.open(tmp_path / "out/me.png")))
    assert call("toonify", "me.png", *STYLE, "--crop-only", "--out", "plain")[0] == 0
    assert np.array_equal(made[1], made[2]) and np.abs(made[0].astype(int) - made[1]).mean() < 0.1
    assert not np.array_equal(made[0], np.asarray(Image.open(tmp_path / "plain/me.png")))
    code, out, err = call("toonify", "me.png", "--style", "e4e.pt", "--source", "e4e.pt", "--out", "whole")
    assert code == 0 and read(tmp_path / out.strip())["models"]["encoder"]["name"] == "e4e.pt", err


def test_photos_together_are_the_photos_alone(call, tmp_path):
    (tmp_path / "in").mkdir()
    for turn in range(3):
        face(tmp_path / "in" / f"{turn}.png", turn * 5)
    (tmp_path / "in" / "1b.png").write_bytes(b"no picture")
    assert call("toonify", "in", *STYLE, "--exact", "--refine-steps", "12", "--out", "one")[0] == 3
    assert (
        call("toonify", "in", *STYLE, "--exact", "--refine-steps", "12", "--out", "all", "--batch", "3")[0]
        == 3
    )
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["0.png", "1.png", "2.png"]
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "all" / n).read_bytes() for n in names)


def test_no_picture_tells_where_it_was_made_and_no_metadata_leaves_nothing(call, tmp_path):
    assert call("toonify", tmp_path / "me.png", *STYLE)[0] == 0
    with Image.open(tmp_path / "out" / "me.png") as made:
        assert str(tmp_path) not in str(made.info) and "/" not in str(made.info)
    assert call("toonify", "me.png", *STYLE, "--no-metadata")[0] == 0
    assert call("generate", "drawn", "--seeds", "1", "--no-metadata")[0] == 0
    for name in ("me.png", "seed0001.png", "grid.png"):
        with Image.open(tmp_path / "out" / name) as made:
            assert not made.info, name
    code, _, err = call("replay", "out/me.png")
    assert code == 3 and "does not say how it was made" in err


def test_a_photo_that_moved_is_named_and_another_is_refused(call, tmp_path):
    assert call("toonify", "me.png", *STYLE, "--out", "a")[0] == 0
    (tmp_path / "me.png").rename(tmp_path / "moved.png")
    code, _, err = call("replay", "a/me.png")
    assert code == 3 and "me.png" in err and "--photo" in err and err.count("\n") == 1
    assert call("replay", "a/me.png", "--photo", "moved.png", "--out", "b")[0] == 0
    (tmp_path / "a" / "sub").mkdir()
    Image.new("RGB", (50, 50)).save(tmp_path / "other.png")
    code, _, err = call("replay", "a/me.png", "--photo", "other.png")
    assert code == 3 and "SHA-256 differs" in err and err.count("\n") == 1 and len(err) <= 201
    before = (tmp_path / "a" / "me.png").read_bytes()
    code, out, _ = call("replay", "a/me.png", "--photo", "moved.png", "--out", "a")
    assert (code, out.strip()) == (0, "a/me-replay.png")
    assert (tmp_path / "a" / "me.png").read_bytes() == before


def test_another_model_of_the_name_is_4_and_the_right_one_is_found_in_the_folder_named(
    call, models, tmp_path, monkeypatch
):
    assert call("toonify", "me.png", *STYLE, "--out", "a")[0] == 0
    home = tmp_path / "home"
    shutil.copytree(models, home)
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(home))
    torch.manual_seed(99)
    save(home / "models" / "drawn-32.generator.safetensors",
         generator_checkpoint(Generator(Config(32, (8, 8, 8, 8), 8, 8, 2))))  # fmt: skip
    code, _, err = call("replay", "a/me.png")
    assert (
        code == 4 and "SHA-256" in err and "--models" in err and err.count("\n") == 1 and len(err) <= 201
    ), err
    code, _, err = call("replay", "a/me.png", "--models", models / "models", "--out", "b")
    assert code == 0 and "every byte is the same" in err, err
    for file in (home / "models").glob("drawn*"):
        file.unlink()
    code, _, err = call("replay", "a/me.png")
    assert code == 4 and "style" in err and err.count("\n") == 1, err


def test_a_changed_note_is_refused_in_one_line_whatever_was_changed(call, tmp_path):
    assert call("toonify", "me.png", *STYLE, "--crop-only", "--size", "32", "--refine-steps", "2")[0] == 0
    assert call("generate", "drawn", "--seeds", "4", "--out", "drawn")[0] == 0
    pick = random.Random(0)
    odd = [
        None,
        -1,
        1e308,
        10**30,
        "x",
        "../../etc/passwd",
        [],
        {},
        [None],
        True,
        float("nan"),
        "\0",
        [-1],
        5,
    ]
    for source, count in (("out/me.png", 60), ("drawn/seed0004.png", 60)):
        about = read(tmp_path / source)
        with Image.open(tmp_path / source) as opened:
            pixels = np.asarray(opened.convert("RGB"))
        for _ in range(count):
            changed = json.loads(json.dumps(about))
            inner = pick.choice(
                [changed, changed, *[v for v in changed.values() if isinstance(v, dict) and v]]
            )
            inner[pick.choice(sorted(inner))] = value = pick.choice(odd)
            save_png(tmp_path / "odd.png", pixels, {KEY: json.dumps(changed)})
            code, _, err = call("replay", "odd.png", "--out", "again", "--quiet")
            assert code in (0, 2, 3, 4), (changed, value, err)
            assert code == 0 or (err.count("\n") == 1 and len(err) <= 201), err


def test_pictures_of_other_commands_are_named(call, tmp_path):
    for command in ("train", 7):
        save_png(
            tmp_path / "t.png",
            np.zeros((4, 4, 3), np.uint8),
            {KEY: json.dumps({"version": "9", "command": command})},
        )
        code, _, err = call("replay", "t.png", "--quiet")
        assert code == 3 and err.count("\n") == 1
