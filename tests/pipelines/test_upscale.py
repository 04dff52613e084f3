"""train-upscaler, and what toonify and replay do with its network, through the command line."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.checkpoint.format import load, save
from stylegan_toon.cli import cli
from stylegan_toon.cli.common import ENVIRONMENT, run
from stylegan_toon.metadata import read, sha256
from stylegan_toon.nn.upscaler import Config, Upscaler
from stylegan_toon.pipelines import doctor, invert
from stylegan_toon.stylegan2.files import upscaler_checkpoint

STORYBOOK = Path(__file__).parents[1] / "fixtures/storybook16.zip"
PORTRAIT = Path(__file__).parents[2] / "samples" / "nasa_astronaut.png"
TINY = ("--patch", 32, "--batch", 4, "--device", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """me.png, the head of the portrait; up.safetensors, an upscaler that changes what it enlarges."""
    folder = tmp_path_factory.mktemp("upscale")
    Image.open(PORTRAIT).convert("RGB").crop((110, 10, 320, 220)).save(folder / "me.png")
    torch.manual_seed(1)
    network = Upscaler(Config(8, 1))
    torch.nn.init.normal_(network.tail.weight, std=0.2)
    save(folder / "up.safetensors", upscaler_checkpoint(network))
    return folder


@pytest.fixture
def call(models, folder, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(models))

    def call(*args):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(cli, [*map(str, args)], "stylegan-toon", ENVIRONMENT)
        return code, out.getvalue(), err.getvalue()

    return call


@pytest.fixture
def draw(call, folder):
    """Toonify me.png: the document's entry for its face, the pixels, and what the picture says of itself."""

    def draw(*options):
        code, out, err = call(
            "toonify", "me.png", "--style", "drawn", "--source", "plain", "--refine", "0", "--json", *options
        )
        assert code == 0, err
        result = json.loads(out)["results"][0]
        path = folder / result["path"]
        return result["faces"][0], np.asarray(Image.open(path), int), read(path)

    return draw


def test_a_face_larger_than_the_model_is_enlarged_by_the_file_and_comes_again(call, draw, folder):
    face, made, about = draw("--upscale", "up.safetensors", "--strokes", "0", "--out", "a")
    assert face["upscaled"] == 4  # 32 px into a square of some 180
    assert about["models"]["upscaler"] == {"name": "up.safetensors", "file": "up.safetensors",
                                           "sha256": sha256(folder / "up.safetensors")}  # fmt: skip
    plain, before, told = draw("--upscale", "none", "--out", "b")
    assert plain["upscaled"] == 1 and "upscaler" not in told["models"]
    assert (made != before).mean() > 0.05
    outside = np.asarray(Image.open(folder / "me.png"), int)
    assert ((made == outside) | (before != outside)).mean() > 0.99  # the photo round the face stays
    for name in "ab":
        code, out, err = call("replay", f"{name}/me.png", "--out", "again", "--json")
        assert code == 0 and json.loads(out)["most"] == 0, err
        assert (folder / "again/me.png").read_bytes() == (folder / name / "me.png").read_bytes()


@pytest.mark.parametrize("size, factor", [(20, 1), (50, 2)])
def test_a_crop_is_enlarged_to_its_size_and_comes_again_exactly(call, draw, folder, size, factor):
    options = ("--crop-only", "--size", size, "--exact", "--upscale", "up.safetensors", "--out", f"c{size}")
    face, made, about = draw(*options)
    assert face["upscaled"] == factor and made.shape == (size, size, 3)
    assert ("upscaler" in about["models"]) == (factor > 1)
    code, out, err = call("replay", f"c{size}/me.png", "--out", "again", "--json")
    assert code == 0 and json.loads(out)["most"] == 0, err


def test_what_was_enlarged_is_painted_in_strokes_that_the_picture_tells_of(call, draw, folder):
    options = ("--crop-only", "--size", 50, "--upscale", "up.safetensors")
    plain, none = draw(*options, "--strokes", 0, "--out", "s0")[1:]
    painted, about = draw(*options, "--out", "s1")[1:]
    assert none["strokes"] == 0 and about["strokes"] == 1
    assert np.abs(painted - plain).mean() > 0.5

    def rough(x):  # a brush leaves less noise
        return np.abs(np.diff(x, 2, axis=0)).mean()

    assert rough(painted) < rough(plain)
    small, told = draw("--crop-only", "--upscale", "up.safetensors", "--out", "s2")[1:]
    assert "strokes" not in told  # nothing was enlarged
    assert np.array_equal(small, draw("--crop-only", "--strokes", 0, "--out", "s3")[1])
    for name in ("s0", "s1"):
        code, out, err = call("replay", f"{name}/me.png", "--out", "again", "--json")
        assert code == 0 and json.loads(out)["most"] == 0, err
    for value in ("-1", "9", "many"):
        code, _, err = call("toonify", "me.png", "--strokes", value)
        assert code == 2 and "--strokes" in err


def test_untrained_it_changes_a_crop_as_little_as_a_plain_resize(call, draw, folder):
    save(folder / "plain.safetensors", upscaler_checkpoint(Upscaler(Config(8, 1))))
    options = ("--crop-only", "--size", 64, "--strokes", 0)
    small = Image.fromarray(draw("--crop-only", "--upscale", "none", "--out", "d")[1].astype(np.uint8))
    made = draw(*options, "--upscale", "plain.safetensors", "--out", "e")[1]
    wanted = np.asarray(small.resize((64, 64), Image.Resampling.BICUBIC), int)
    assert np.abs(made - wanted).mean() < 2


def test_auto_takes_the_one_of_that_name_and_without_it_is_none_without_a_word(
    call, draw, folder, models, monkeypatch
):
    options = ("--crop-only", "--size", 64)
    wanted = draw(*options, "--upscale", "up.safetensors", "--out", "f")[1]
    own = models / "models" / "upscale-x4.safetensors"
    own.write_bytes((folder / "up.safetensors").read_bytes())
    try:
        _, made, about = draw(*options, "--out", "g")
        assert np.array_equal(made, wanted) and about["models"]["upscaler"]["name"] == "upscale-x4"
        code, _, err = call("replay", "g/me.png", "--out", "again")
        assert code == 0 and "every byte is the same" in err
        assert doctor.examine("cpu")["upscaler"] == str(own)
        own.write_bytes(own.read_bytes()[:-1])
        code, _, err = call("toonify", "me.png", "--style", "drawn", "--source", "plain", "--out", "no")
        assert code == 4 and "upscale-x4" in err and err.count("\n") == 1
    finally:
        own.unlink()
    for module in (invert, doctor):
        monkeypatch.setattr(module, "pretrained", lambda what: {})
    face, plain, _ = draw(*options, "--out", "h")
    assert face["upscaled"] == 1 and np.array_equal(plain, draw(*options, "--upscale", "none")[1])
    report = doctor.examine("cpu")
    assert report["upscaler"] is None
    assert any(line.startswith("upscaler      upscale-x4 is not here") for line in doctor.as_text(report))


@pytest.mark.parametrize(
    "given, words",
    [("absent", "no upscaler is called 'absent'"), ("absent.safetensors", "check the path"),
     ("me.png", "me.png"), ("plain", "no upscaler is called 'plain'")],
    ids=str,
)  # fmt: skip
def test_what_is_no_upscaler_is_4_in_one_line(call, given, words):
    code, out, err = call("toonify", "me.png", "--style", "drawn", "--source", "plain", "--upscale", given)
    assert (code, out) == (4, "") and words in err and err.count("\n") == 1 and len(err) <= 201


def test_a_file_of_another_shape_than_it_says_is_4(call, folder):
    held = load(folder / "up.safetensors")
    for name, config in (("a", {"width": 9, "blocks": 1}), ("b", {"width": 10**9, "blocks": 1}), ("c", {})):
        held.config = config
        save(folder / "odd.safetensors", held)
        code, _, err = call("toonify", "me.png", "--style", "drawn", "--source", "plain", "--upscale",
                            "odd.safetensors")  # fmt: skip
        assert code == 4 and "upscaler" in err and err.count("\n") == 1 and len(err) <= 201, name


def test_it_is_trained_goes_on_and_is_used(call, draw, folder):
    args = ("train-upscaler", STORYBOOK, "--exclude", "*9.jpg", *TINY)
    code, out, err = call(*args, "--out", "run", "--steps", 2, "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document == {"run": "run", "models": ["run/last.upscaler.safetensors"]}
    made = load(folder / "run/last.upscaler.safetensors")
    assert (
        made.kind == "upscaler" and made.meta["pictures"] == 8 and made.config == {"width": 48, "blocks": 6}
    )
    assert json.loads((folder / "run/run.json").read_text())["training_pictures"] == 15
    with Image.open(folder / "run/samples/0000002.png") as samples:
        assert samples.size == (8 * 32, 9 * 32)
    code, _, err = call(*args, "--out", "more", "--steps", 1, "--lr", 1e-9, "--start", "run")
    assert code == 0, err
    then = load(folder / "more/last.upscaler.safetensors").tensors
    assert all((then[name] - made.tensors[name]).abs().max() < 1e-6 for name in then)
    assert any(made.tensors[name].abs().max() > 0 for name in ("tail.weight", "tail.bias"))
    face, *_ = draw("--upscale", "run", "--out", "i")
    assert face["upscaled"] == 4
    code, _, err = call("convert", "run/last.upscaler.safetensors", "half.safetensors", "--half")
    assert code == 0 and load(folder / "half.safetensors").tensors["tail.weight"].dtype == torch.float16


@pytest.mark.parametrize(
    "options, code, words",
    [
        (("--patch", 34), 2, "--patch 34 cannot be halved twice"),
        (("--patch", 128), 3, "64x64, smaller than the cuts of 128 px"),
        (("--start", "me.png"), 4, "me.png"),
        (("--start", "plain"), 4, "no upscaler is called 'plain'"),
        (("--exclude", "*"), 3, "no pictures"),
    ],
)
def test_what_cannot_be_trained_on_ends_in_one_line(call, options, code, words):
    found, out, err = call("train-upscaler", STORYBOOK, *TINY, "--steps", 1, "--out", "no", *options)
    assert (found, out) == (code, "") and words in err and err.count("\n") == 1 and len(err) <= 201
