"""Styles with shapes of their own: squares that stand alone, drawn from codes, in the mood of the photo."""

import contextlib
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from stylegan_toon.checkpoint.format import load, save
from stylegan_toon.cli import cli
from stylegan_toon.cli.common import ENVIRONMENT, run
from stylegan_toon.pipelines.codes import Family
from stylegan_toon.pipelines.models import find_edit, find_model
from stylegan_toon.pipelines.toonifier import DETAIL, MOOD, Toonifier
from stylegan_toon.pipelines.toonify import toonify_files
from stylegan_toon.stylegan2.edits import apply_edit, load_edit
from tests.pipelines import test_toonify
from tests.pipelines.test_toonify import PORTRAIT

toon = test_toonify.toon  # the fixture


def test_a_style_with_shapes_of_its_own_is_saved_alone_and_large_and_put_back_where_asked(
    toon, models, tmp_path
):
    drawn = load(models / "models/drawn-32.generator.safetensors")
    save(tmp_path / "own.safetensors", replace(drawn, meta=drawn.meta | {"shapes": "style"}))
    own = ("--style", "own.safetensors", "--upscale", "none")
    made = {}
    for name, args in {
        "own": own, "small": (*own, "--size", "32"), "crop": ("--crop-only", "--upscale", "none"),
        "back": (*own, "--put-back"), "whole": ("--upscale", "none"),
    }.items():  # fmt: skip
        code, _, err = toon(PORTRAIT, *args, "--refine-steps", "0", "--out", name)
        assert code == 0, err
        made[name] = np.asarray(Image.open(tmp_path / name / "nasa_astronaut.png")).astype(int)
    assert made["own"].shape == (128, 128, 3)
    assert np.array_equal(made["back"], made["whole"])
    middle = Image.fromarray(made["crop"].astype(np.uint8)).crop((1, 1, 31, 31))  # all but the border
    assert np.array_equal(made["small"], np.asarray(middle.resize((32, 32), Image.Resampling.LANCZOS)))
    code, out, err = toon(*own, "--out", "pairs")
    assert code == 0 and Image.open(tmp_path / out.strip()).size == (8 * 32, 4 * 32), err
    assert toon(PORTRAIT, *own, "--put-back", "--size", "32")[0] == 2
    args = ("replay", "own/nasa_astronaut.png", "--photo", PORTRAIT, "--models", ".", "--out", "again")
    with contextlib.chdir(tmp_path):
        assert run(cli, [*map(str, args)], "stylegan-toon", ENVIRONMENT) == 0
    assert np.array_equal(made["own"], np.asarray(Image.open(tmp_path / "again/nasa_astronaut.png")))
    blended = ("blend", "plain", "own.safetensors", "--blend", "1", "--out", "both.safetensors")
    with contextlib.chdir(tmp_path):
        assert run(cli, [*blended], "stylegan-toon", ENVIRONMENT) == 0
    assert load(tmp_path / "both.safetensors").meta["shapes"] == "style"


def test_shapes_of_its_own_are_drawn_from_codes_without_the_photos_features(tmp_path):
    shipped = load(find_model("comic"), "style")
    save(tmp_path / "own.style.safetensors", replace(shipped, meta=shipped.meta | {"shapes": "style"}))
    photo = torch.rand(1, 3, 128, 128) * 2 - 1
    usual, own = Toonifier("comic"), Toonifier(str(tmp_path / "own.style.safetensors"))
    assert usual.fit(photo).shift is not None and own.fit(photo).shift is None
    assert torch.equal(usual.fit(photo).w_plus, own.fit(photo).w_plus)
    assert (usual.detail, own.detail) == (DETAIL, 0)
    assert Toonifier(str(tmp_path / "own.style.safetensors"), edit="happy").fit(photo).shift is None
    family = Family("faces", [str(tmp_path / "own.style.safetensors")])
    assert family.gather([str(PORTRAIT)], refine=0, space="f/w+").shift is None
    assert Family("faces", ["comic"]).gather([str(PORTRAIT)], refine=0, space="f/w+").shift is not None


def test_the_mood_of_a_photo_is_drawn_where_the_style_was_taught_it(tmp_path):
    shipped = load(find_model("comic"), "style")
    meta = shipped.meta | {"shapes": "style", "moods": ["sad", "angry", "happy", "no such"]}
    save(tmp_path / "moody.style.safetensors", replace(shipped, meta=meta))
    save(tmp_path / "calm.style.safetensors", replace(shipped, meta=shipped.meta | {"shapes": "style"}))
    moody, calm = (Toonifier(str(tmp_path / f"{name}.style.safetensors")) for name in ("moody", "calm"))
    assert list(moody.moods) == ["sad", "angry", "happy"] and not calm.moods
    assert sorted(name for name in moody.files if "mood" in name) == ["mood angry", "mood happy", "mood sad"]
    photo = moody.faces_of(PORTRAIT, "largest")  # who laughs
    dark = Image.new("RGB", (200, 200), "black"), photo[1]  # of which it is not sure
    crops = torch.cat([moody.crops(*photo), moody.crops(*dark)])
    shares = moody.mood(crops)
    assert shares[0].tolist() == [0, 0, 1] and 0 < shares[1].max() < 1
    found = moody.fit(crops, 0)
    drawn = torch.cat([one.cartoons for one in moody.drawings([photo, dark], crops, found)])
    plain, edited = calm.draw(found.w_plus), []
    for row, code in zip(shares.tolist(), found.w_plus.split(1), strict=True):
        g = calm.cartoon
        for share, name in zip(row, moody.moods, strict=True):
            edit = load_edit(find_edit(name))
            g = apply_edit(g, code, edit, MOOD * share * edit.strength)[0]
        edited.append(calm.draw(code, g))
    edited = torch.cat(edited)
    torch.testing.assert_close(drawn, edited, atol=1e-4, rtol=0)
    assert (edited - plain)[:1].abs().mean() > 1e-3
    made = toonify_files([PORTRAIT], str(tmp_path / "moody.style.safetensors"), out=tmp_path / "a", refine=0)
    assert [face["mood"] for face in next(iter(made)).faces] == [{"happy": 1.0}]
    asked = Toonifier(str(tmp_path / "moody.style.safetensors"), edit="sad", strength=0.0)
    assert not asked.moods
    first = replace(found, w_plus=found.w_plus[:1])
    torch.testing.assert_close(asked.drawings([photo], crops[:1], first)[0].cartoons, plain[:1])
