"""invert as a person runs it, on small untrained networks: the files it writes, and what reads them."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.checkpoint.format import load, save
from stylegan_toon.cli import cli
from stylegan_toon.cli.common import ENVIRONMENT, run
from stylegan_toon.images import to_uint8
from stylegan_toon.metadata import read
from stylegan_toon.pipelines.models import load_generator, open_model
from stylegan_toon.stylegan2.adapters import weights_digest
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latent_files import belongs, load_latents, load_noise, load_shift

ROOT = Path(__file__).parents[2]
PORTRAIT = ROOT / "samples" / "nasa_astronaut.png"
SQUARE = ROOT / "tests" / "fixtures" / "portrait_A000055_crop256.jpg"
FACES = ROOT / "tests" / "fixtures" / "faces16.zip"


@pytest.fixture
def toon(models, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(models))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-hub"))

    def call(*args):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(tmp_path), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(cli, [str(arg) for arg in args], "stylegan-toon", ENVIRONMENT)
        return code, out.getvalue(), err.getvalue()

    return call


def columns(path, count):
    """The columns of a picture, uint8 [rows * R, R, 3] each."""
    with Image.open(path) as picture:
        return np.split(np.asarray(picture.convert("RGB")), count, 1)


def same(picture, drawn):
    """Whether a picture is what was drawn, to one grey level."""
    return np.abs(picture.astype(int) - to_uint8(drawn)[0].astype(int)).max() <= 1


def test_a_photo_becomes_a_code_a_style_and_a_picture(toon, models, tmp_path):
    args = ("--source", "plain", "--refine-steps", 12, "--pti", "--pti-steps", 12, "--seed", 3)
    code, out, err = toon("invert", PORTRAIT, *args)
    ends = ("png", "latent.safetensors", "style.safetensors")
    assert (code, out.split()) == (0, [f"out/nasa_astronaut.{end}" for end in ends]), err
    photo, inversion, tuned = columns(tmp_path / "out" / "nasa_astronaut.png", 3)
    w_plus, meta = load_latents(tmp_path / "out" / "nasa_astronaut.latent.safetensors")
    assert w_plus.shape == (1, 8, 8) and meta["names"] == ["nasa_astronaut"] and meta["refine_steps"] == 12
    g, home = load_generator(models / "models" / "plain-32.generator.safetensors"), models / "models"
    assert meta["parent"] == weights_digest(open_model(home / "plain-32.generator.safetensors"))
    assert belongs(meta, open_model(home / "drawn-32.generator.safetensors"))  # it shares the mapping
    shift = load_shift(tmp_path / "out" / "nasa_astronaut.latent.safetensors")
    assert shift.shape == (1, g.config.channels[0], 4, 4) and shift.abs().max() > 0
    with torch.no_grad():
        assert same(inversion, g.synthesis(w_plus, "none", shift=shift)[-1])
        assert not same(inversion, g.synthesis(w_plus, "none")[-1])
    style = tmp_path / "out" / "nasa_astronaut.style.safetensors"
    child = load_generator(style)  # the parent is found among the known models
    with torch.no_grad():
        assert same(tuned, child.synthesis(w_plus, "none", shift=shift)[-1])
    off = [np.square(made.astype(float) - photo).mean() for made in (inversion, tuned)]
    assert off[1] < off[0]
    about = read(tmp_path / "out" / "nasa_astronaut.png")
    assert about["command"] == "invert" and set(about["models"]) >= {"source", "encoder", "identity"}
    code, _, err = toon("blend", style, "drawn", "--blend", 4, "--out", "mixed.safetensors")
    assert code == 0, err
    assert all(
        map(torch.equal, load_generator(tmp_path / "mixed.safetensors").parameters(), child.parameters())
    )
    code, _, err = toon(
        "toonify", PORTRAIT, "--source", style, "--style", "drawn", "--blend", 4, "--crop-only", "--out", "x"
    )
    assert code == 0, err  # with the encoder of its parent
    again = toon("invert", PORTRAIT, *args, "--out", "again")
    assert again[0] == 0
    for end in ends:
        first, second = (tmp_path / name / f"nasa_astronaut.{end}" for name in ("out", "again"))
        assert first.read_bytes() == second.read_bytes(), end


def test_the_dial_goes_from_the_encoder_to_more_steps_and_w_is_one_code(toon, tmp_path):
    off = []
    for refine in ("0", "1"):
        assert (
            toon("invert", SQUARE, "--aligned", "--source", "plain", "--refine", refine, "--out", refine)[0]
            == 0
        )
        photo, made = columns(tmp_path / refine / f"{SQUARE.stem}.png", 2)
        off.append(np.square(made.astype(float) - photo).mean())
    assert off[1] < 0.9 * off[0]
    latent = f"{SQUARE.stem}.latent.safetensors"
    encoded, meta = load_latents(tmp_path / "0" / latent)
    assert meta["refine_steps"] == 0 and load_latents(tmp_path / "1" / latent)[1]["refine_steps"] == 30
    code, *_ = toon(
        "invert", SQUARE, "--aligned", "--source", "plain", "--refine", 0, "--space", "w", "--out", "w"
    )
    w = load_latents(tmp_path / "w" / latent)[0]
    assert code == 0 and torch.allclose(w, encoded.mean(1, keepdim=True).expand_as(w))


def test_folders_are_mirrored_failures_collected_and_no_input_is_overwritten(toon, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(PORTRAIT, tmp_path / "in" / "one.png")
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    Image.new("RGB", (99, 99), "teal").save(tmp_path / "in" / "empty.png")
    before = (tmp_path / "in" / "one.png").read_bytes()
    code, out, err = toon("invert", "in", "--source", "plain", "--refine", 0, "--out", "in", "--json")
    assert code == 3 and (tmp_path / "in" / "one.png").read_bytes() == before
    document = json.loads(out)
    assert len(document["errors"]) == 2 and len(document["results"]) == 3
    done = next(entry for entry in document["results"] if entry["paths"])
    assert done["paths"][0] == "in/one-inversion.png" and done["seconds"] > 0
    assert "no face found in in/empty.png" in err and "broken.png" in err
    assert all(len(line) <= 200 for line in err.splitlines())


def test_noise_is_optimised_where_the_generator_uses_it_and_kept_in_the_file(toon, models, tmp_path):
    noisy = load(models / "models" / "plain-32.generator.safetensors")
    for name, tensor in noisy.tensors.items():
        if name.endswith("noise_strength"):
            tensor.fill_(0.3)
    save(tmp_path / "noisy.safetensors", noisy)
    shutil.copy(models / "models" / "plain-32.encoder.safetensors", tmp_path / "noisy.encoder.safetensors")
    args = ("invert", SQUARE, "--aligned", "--source", "noisy.safetensors", "--refine-steps", 8)
    assert toon(*args)[0] == 0 and toon(*args, "--no-noise", "--out", "none")[0] == 0
    file = tmp_path / "out" / f"{SQUARE.stem}.latent.safetensors"
    noise, g = load_noise(file), load_generator(tmp_path / "noisy.safetensors")
    assert [m.shape[2] for m in noise] == [4, 8, 8, 16, 16, 32, 32]
    with torch.no_grad():
        drawn = g.synthesis(load_latents(file)[0], noise, shift=load_shift(file))[-1]
    assert same(columns(tmp_path / "out" / f"{SQUARE.stem}.png", 2)[1], drawn)
    assert load_noise(tmp_path / "none" / file.name) == []


def test_256_px_and_14_layers_without_encoder_or_discriminator_then_with_an_encoder(toon, tmp_path):
    """The shape of the published 256 px models, with few channels."""
    torch.manual_seed(0)
    g = Generator(Config(256, (8, 8, 8, 8, 4, 4, 4), 16, 16, 2))
    save(tmp_path / "big.safetensors", generator_checkpoint(g))
    args = ("invert", SQUARE, "--aligned", "--source", "big.safetensors", "--refine-steps")
    code, _, err = toon(*args, 0)
    assert code == 4 and "encoder" in err
    code, _, err = toon(*args, 1)
    assert code == 0 and "starts at the mean face" in err and "train-encoder" in err
    run = ("train-encoder", FACES, "--source", "big.safetensors", "--out", "enc", "--steps", 1, "--batch", 2)
    code, _, err = toon(*run)
    assert code == 0 and "big.safetensors has no discriminator" in err, err
    assert toon(*args, 0, "--encoder", "enc/last.encoder.safetensors")[0] == 0
    shutil.copy(tmp_path / "enc" / "last.encoder.safetensors", tmp_path / "big.encoder.safetensors")
    assert toon(*args, 0)[0] == 0
    w_plus, _ = load_latents(tmp_path / "out" / f"{SQUARE.stem}.latent.safetensors")
    assert w_plus.shape == (1, 14, 16)
    assert columns(tmp_path / "out" / f"{SQUARE.stem}.png", 2)[1].shape == (256, 256, 3)


@pytest.mark.parametrize(
    "args, code, text",
    [
        ([], 2, "PHOTOS"),
        ([PORTRAIT, "--refine", "4"], 2, "0<=x<=3"),
        ([PORTRAIT, "--space", "z"], 2, "w+"),
        ([PORTRAIT, "--pti-steps", "0"], 2, "--pti-steps"),
        (
            [ROOT / "tests" / "fixtures" / "portrait_A000055.jpg", "--aligned", "--source", "plain"],
            3,
            "no aligned square",
        ),
        (["absent.jpg", "--source", "plain"], 3, "absent.jpg"),
        ([PORTRAIT, "--source", "webtune"], 4, "drawn"),
        ([PORTRAIT, "--source", "plain", "--refine", "0", "--out", "/dev/null/x"], 9, "/dev/null/x"),
        ([PORTRAIT, "--source", "plain", "--faces", "none"], 2, "largest"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(toon, args, code, text):
    got, _, err = toon("invert", *args)
    assert got == code, err
    assert all(len(line) <= 200 for line in err.splitlines()) and text in err


def test_a_style_file_is_not_tuned_and_a_broken_encoder_is_said(toon, models, tmp_path):
    shape = ("--source", "plain", "--refine", "0", "--pti", "--pti-steps", "1")
    assert toon("invert", SQUARE, "--aligned", *shape)[0] == 0
    style = f"out/{SQUARE.stem}.style.safetensors"
    code, _, err = toon("invert", SQUARE, "--aligned", "--source", style, "--refine-steps", 1, "--pti")
    assert code == 2 and "is a style file, convert it first" in err
    shutil.copy(models / "models" / "plain-32.generator.safetensors", tmp_path / "own.safetensors")
    (tmp_path / "own.encoder.safetensors").write_bytes(b"{}")
    code, _, err = toon("invert", SQUARE, "--aligned", "--source", "own.safetensors", "--refine-steps", 1)
    assert code == 4 and "own.encoder.safetensors" in err
