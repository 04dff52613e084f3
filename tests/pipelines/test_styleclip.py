"""styleclip as typed, on small untrained networks and a small untrained CLIP."""

import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.cli import cli
from stylegan_toon.cli.common import ENVIRONMENT, run
from stylegan_toon.features.emotion import EXPRESSIONS, load_emotion
from stylegan_toon.features.mobileface import load_mobileface
from stylegan_toon.metadata import read
from stylegan_toon.pipelines.codes import Family
from stylegan_toon.pipelines.generate import seed_z
from stylegan_toon.pipelines.models import find_edit, load_generator
from stylegan_toon.pipelines.styleclip import Order, Student, slug
from stylegan_toon.stylegan2.edits import Edit, apply_edit, load_edit, save_edit
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.latent_files import load_latents
from stylegan_toon.stylegan2.latents import truncate
from tests import tiny_clip

SIZE = 32
SAD = "a really sad face"
STEM = "a-really-sad-face"


@pytest.fixture
def toon(models, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(models))
    torch.manual_seed(6)
    tiny_clip.write(tmp_path / "clip.safetensors")

    def call(*args, command="styleclip"):
        out, err = io.StringIO(), io.StringIO()
        own = ("--clip", "clip.safetensors") if command == "styleclip" and "--text" in args else ()
        everything = [command, *map(str, args), *own, "--source", "plain", "--raw", "--device", "cpu"]
        with contextlib.chdir(tmp_path), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(cli, everything, "stylegan-toon", ENVIRONMENT)
        return code, out.getvalue().split("\n")[:-1], err.getvalue()

    return call


@pytest.fixture
def networks(models):
    folder = models / "models"
    return [load_generator(folder / f"{name}-32.generator.safetensors") for name in ("plain", "drawn")]


def codes(g, *seeds):
    return truncate(g.codes(seed_z(seeds, g.config.z_dim)), g.centre(), 0.7)


def pictures(g, w_plus):
    with torch.no_grad():
        return torch.cat([g.synthesis(one, "none")[-1] for one in w_plus.split(1)]).clamp(-1, 1)


def levels(pictures):
    return ((pictures + 1) * 127.5).permute(0, 2, 3, 1).numpy()


def cells(path):
    pixels = np.asarray(Image.open(path).convert("RGB"))
    rows, columns = (edge // SIZE for edge in pixels.shape[:2])
    return pixels.reshape(rows, SIZE, columns, SIZE, 3).swapaxes(1, 2)


def near(found, wanted, tolerance=0.51):
    return np.abs(found.astype(float) - wanted).max() < tolerance


@pytest.mark.parametrize("engine, suffix", [("mapper", ".mapper"), ("direction", ".edit")])
def test_a_text_becomes_an_edit_that_edit_applies_as_well(toon, tmp_path, networks, engine, suffix):
    args = (
        "--text",
        SAD,
        "--engine",
        engine,
        "--steps",
        "3",
        "--seeds",
        "1,2",
        "--style",
        "drawn",
        "--blend",
        "0",
    )
    code, out, err = toon(*args, "--groups", "coarse,6")
    file = f"out/{STEM}{suffix}.safetensors"
    assert (code, out) == (0, [file, f"out/{STEM}.png"]), err
    assert f"{engine}: 3 steps of 8 on cpu, identity by mobileface" in err
    assert "plain: text" in err and "drawn: text" in err and "judged sad" in err
    edit = load_edit(tmp_path / file)
    assert (edit.kind, edit.meta["text"], edit.meta["neutral"], edit.meta["layers"]) == (
        engine,
        SAD,
        ["a really happy face"],  # the one other expression that the small CLIP knows
        [0, 1, 2, 3, 6],
    )
    strips = cells(tmp_path / f"out/{STEM}.png")
    before = codes(networks[0], 1, 2)
    for k, g in enumerate(networks):
        edited, after = apply_edit(g, before, edit, edit.strength, [0, 1, 2, 3, 6])
        assert near(strips[:, 2 * k], levels(pictures(g, before)))
        assert near(strips[:, 2 * k + 1], levels(pictures(edited, after)), 3)  # the file is in float16
        assert np.abs(strips[:, 2 * k + 1].astype(float) - strips[:, 2 * k]).mean() > 0.03
    about = read(tmp_path / f"out/{STEM}.png")
    assert about["text"] == SAD and about["engine"] == engine and about["faces"] == ["seed0001", "seed0002"]
    code, out, err = toon(
        file, "--seeds", "1,2", "--groups", "coarse,6", "--style", "drawn", "--blend", "0", command="edit"
    )
    assert code == 0, err
    assert near(cells(tmp_path / "out/grid.png"), strips, 4)


def test_a_mapper_is_gone_on_with_to_the_bit_and_another_text_is_another_run(toon, tmp_path):
    args = ("--text", SAD, "--seeds", "1")
    assert toon(*args, "--steps", "2", "--out", "a")[0] == 0
    assert toon(*args, "--steps", "4", "--out", "a")[0] == 0
    assert toon(*args, "--steps", "4", "--out", "b")[0] == 0
    halves, whole = (load_edit(tmp_path / x / f"{STEM}.mapper.safetensors").mapper for x in "ab")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, halves.state_dict()[name])
    code, _, err = toon(*args, "--steps", "4", "--out", "a", "--step-weight", "3")
    assert code == 4 and "step_weight" in err and err.splitlines()[-1].startswith("Error: ")
    assert toon(*args, "--steps", "1", "--out", "a", "--step-weight", "3", "--resume", "never")[0] == 0
    assert toon("--text", "a happy face", "--seeds", "1", "--steps", "1", "--out", "a")[0] == 0
    assert sorted(path.name for path in (tmp_path / "a").glob("*.mapper.*")) == [
        "a-happy-face.mapper.safetensors", f"{STEM}.mapper.safetensors"]  # fmt: skip


def test_optimised_codes_are_saved_and_drawn_by_source_and_style(toon, tmp_path, networks):
    args = ("--text", SAD, "--engine", "optimize", "--steps", "4", "--seeds", "3,5", "--strength", "0.5")
    code, out, err = toon(*args, "--style", "drawn", "--blend", "0", "--neutral", "")
    assert (code, out) == (0, [f"out/{STEM}.latent.safetensors", f"out/{STEM}.png"]), err
    assert "optimize: 4 steps of 2 on cpu" in err
    after, meta = load_latents(tmp_path / out[0])
    assert (meta["names"], meta["text"]) == (["seed0003", "seed0005"], SAD)
    assert float((after - codes(networks[0], 3, 5)).abs().min(dim=2)[0].max()) > 0
    strips = cells(tmp_path / out[1])
    for k, g in enumerate(networks):
        assert near(strips[:, 2 * k + 1], levels(pictures(g, after)))


def test_pairs_have_the_same_names_and_the_scores_are_those_of_the_judges(toon, tmp_path):
    args = (
        "--text",
        SAD,
        "--engine",
        "direction",
        "--steps",
        "2",
        "--seeds",
        "0-17",
        "--save-pairs",
        "--json",
    )
    code, out, err = toon(*args, "--style", "drawn", "--blend", "0")
    assert code == 0, err
    found = json.loads(out[0])
    names = [f"seed{i:04d}" for i in range(18)]
    for side in ("before", "after", "before-drawn", "after-drawn"):
        assert sorted(path.stem for path in (tmp_path / "out" / side).glob("*.png")) == names
    assert found["names"] == names and len(found["paths"]) == 2 + 4 * 18
    assert cells(tmp_path / f"out/{STEM}.png").shape[:2] == (16, 4)

    def opened(side):
        arrays = [np.asarray(Image.open(tmp_path / "out" / side / f"{name}.png")) for name in names]
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1

    judge, face, place = load_emotion(), load_mobileface(), EXPRESSIONS.index("sad")
    for name, end in (("plain", ""), ("drawn", "-drawn")):
        before, after, scores = opened(f"before{end}"), opened(f"after{end}"), found["scores"][name]
        for side, x in (("before", before), ("after", after)):
            assert judge(x)[0][:, place].tolist() == pytest.approx(scores["sad"][side], abs=0.02)
        same = (face(before)[0] * face(after)[0]).sum(1).tolist()
        assert same == pytest.approx(scores["identity"]["after"], abs=0.02)


def test_a_ready_edit_is_used_by_name_and_only_then(toon, models, tmp_path, networks, monkeypatch):
    folder = models / "models" / "edits"
    made = Edit("sad", "direction", {"s.blocks.2.conv0": 5 * torch.ones(8)}, 2.0, {"text": SAD})
    save_edit(folder / "sad.edit.safetensors", made, generator_checkpoint(networks[0]))
    code, out, err = toon("--edit", "sad", "--seeds", "1")
    assert (code, out) == (0, ["out/sad.png"]) and "steps" not in err and "judged sad" in err, err
    strip = cells(tmp_path / "out/sad.png")
    edited, w_plus = apply_edit(networks[0], codes(networks[0], 1), made, 2)
    assert near(strip[0, 1], levels(pictures(edited, w_plus))[0])
    code, out, err = toon("--edit", "glad", "--seeds", "1")
    assert (code, out) == (4, []) and "no edit is called 'glad'; known: sad, angry, happy; or" in err
    assert toon("--edit", folder / "sad.edit.safetensors", "--seeds", "1")[0] == 0


@pytest.mark.parametrize("mood", ["sad", "angry", "happy"])
def test_the_edits_that_ship_are_small_and_of_the_faces_that_ship(mood):
    path = find_edit(mood)
    edit, source = load_edit(path), load_generator("faces")
    assert path.stat().st_size <= 20_000 and edit.meta["text"] == f"a really {mood} face"
    judge, place = load_emotion(), EXPRESSIONS.index(mood)
    w_plus = codes(source, 2000, 2001, 2002, 2003)  # none of those that it was tuned on
    edited, after = apply_edit(source, w_plus, edit, edit.strength)
    with torch.no_grad():
        before = judge(pictures(source, w_plus))[0][:, place]
        rise = judge(pictures(edited, after))[0][:, place] - before
    assert float(rise.median()) > 0.05


def test_a_learnt_edit_keeps_the_strength_that_it_was_given(toon, tmp_path):
    args = ("--text", SAD, "--engine", "direction", "--steps", "2", "--seeds", "1")
    assert toon(*args, "--strength", "1.5")[0] == 0
    file = tmp_path / f"out/{STEM}.edit.safetensors"
    assert load_edit(file).strength == 1.5
    learnt = cells(tmp_path / f"out/{STEM}.png")
    assert toon("--edit", file, "--seeds", "1", "--out", "again")[0] == 0
    assert near(cells(tmp_path / "again/a-really-sad-face.png"), learnt, 4)


def test_an_expression_leaves_fine_layers_alone_unless_told(toon, tmp_path):
    args = ("--engine", "direction", "--steps", "1", "--seeds", "1")
    for text, more, last in ((SAD, (), 7), (SAD, ("--groups", "all"), 7), ("a red face", (), 7)):
        code, _, err = toon("--text", text, *args, *more, "--resume", "never")
        layers = load_edit(tmp_path / f"out/{slug(text)}.edit.safetensors").meta["layers"]
        assert (code, layers[-1]) == (0, last), err
        assert ("in layers coarse,medium" in err) == (text == SAD and not more)


def test_a_strength_is_chosen_at_which_most_faces_stay_the_person():
    """The edit's strength against medians of other faces, drawn and embedded here."""
    family = Family("faces")
    student = Student(family, Order(SAD, "direction", steps=1))
    sad = load_edit(find_edit("sad"))
    far = replace(sad, tensors={name: 3 * step for name, step in sad.tensors.items()})
    edit = replace(far, strength=student.strength(far, None))
    assert 0.3 < edit.strength < 1
    face, w_plus = load_mobileface(), family.gather(["300-323"]).w_plus

    def median(strength):
        g, moved = apply_edit(family.source, w_plus, edit, strength)
        pair = [face(family.draw(*one))[0] for one in ((w_plus, family.source), (moved, g))]
        return float((pair[0] * pair[1]).sum(1).median())

    assert median(edit.strength) > 0.6 > median(edit.strength + 0.3)
    near = replace(sad, tensors={name: step / 10 for name, step in sad.tensors.items()})
    assert student.strength(near, None) == 2
    assert Student(family, Order("a face with red hair", "direction", steps=1)).strength(near, None) == 1


def test_it_learns_from_codes_that_are_given(toon, tmp_path):
    assert toon("--rows", "1-3", "--columns", "4", "--save", "known", command="mix")[0] == 0
    args = ("--text", SAD, "--engine", "direction", "--steps", "2", "--seeds", "1")
    for out, given in (("a", ()), ("b", ("--train", "known.latent.safetensors"))):
        code, _, err = toon(*args, *given, "--out", out)
        assert code == 0, err
    a, b = (load_edit(tmp_path / x / f"{STEM}.edit.safetensors").tensors for x in "ab")
    assert any(not torch.equal(a[name], b[name]) for name in a.keys() & b.keys())


@pytest.mark.parametrize(
    "code, args, words",
    [
        (2, (), "give --text"),
        (2, ("--text", SAD, "--edit", "sad"), "give --text"),
        (2, ("--text", "  "), "the text is empty"),
        (2, ("--text", "a cyberpunk face"), '"cyberpunk" is not a word this small model knows'),
        (2, ("--text", "a " * 40), "has 40 tokens, and CLIP reads 7; shorten it"),
        (2, ("--text", SAD, "--neutral", "a plain face"), '"plain" is not a word'),
        (2, ("--text", SAD, "--groups", "hair"), "'hair' are none of all"),
        (2, ("--text", SAD, "--strength", "nan"), "no finite number"),
        (2, ("--text", SAD, "--identity", "arcface"), "passes no gradients"),
        (2, ("--text", SAD, "--identity", "who"), "'who' is none of"),
        (2, ("--text", SAD, "--engine", "diffusion"), "'diffusion' is not one of"),
        (3, ("--text", SAD, "--photo", "nobody.jpg", "--engine", "direction"), "nobody.jpg does not exist"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line_and_writes_nothing(toon, tmp_path, code, args, words):
    found, out, err = toon(*args)
    lines = err.splitlines()
    assert (found, out) == (code, []) and words in lines[-1] and len(lines[-1]) <= 200, err
    assert not [line for line in lines[:-1] if line.startswith(("Error", "Traceback"))]
    assert [path.name for path in tmp_path.iterdir()] == ["clip.safetensors"]


def test_a_mapper_or_edit_of_another_generator_is_refused(toon, tmp_path, models):
    assert toon("--text", SAD, "--steps", "1", "--seeds", "1")[0] == 0
    made = f"out/{STEM}.mapper.safetensors"
    for command in ("styleclip", "edit"):
        args = ("--edit", made) if command == "styleclip" else (made,)
        everything = [command, *args, "--source", "faces-64", "--seeds", "1", "--device", "cpu"]
        err = io.StringIO()
        with contextlib.chdir(tmp_path), contextlib.redirect_stderr(err):
            code = run(cli, everything, "stylegan-toon", ENVIRONMENT)
        assert code == 4 and "is another; name it with --source" in err.getvalue(), err.getvalue()


def test_a_text_gives_a_file_name():
    assert slug("A Really sad face!") == STEM and slug("?") == "text"
