"""UNIT, content invariance, CartoonGAN, both AnimeGANs and White-box as commands: good input, and bad."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.checkpoint.format import load
from stylegan_toon.images import load_image
from tests.checkpoint import cartoon_files

FIXTURES = Path(__file__).parents[1] / "fixtures"
DATA = ["--photos", str(FIXTURES / "faces16.zip"), "--cartoons", str(FIXTURES / "storybook16.zip")]
TINY = ["--size", "32", "--batch", "2", "--set", "width=4", "--set", "blocks=1", "--set", "d_width=4"]
UNIT = ["--set", "d_layers=2", "--set", "scales=2"]
MORE = {
    "unit": UNIT,
    "content-invariant": [*UNIT, "--set", "mlp=8"],
    "cartoongan": ["--set", "init_epochs=0"],
    "animegan": ["--set", "init_epochs=0"],
    "animeganv2": ["--set", "init_epochs=0"],
    "whitebox": ["--set", "init_iterations=0"],
}
STAND_IN = {"unit", "cartoongan", "animegan", "animeganv2", "whitebox"}


def train(here, name, *more):
    return here("baseline", "train", name, *DATA, *TINY, *MORE[name], "--device", "cpu", "--out", "r", *more)


@pytest.mark.parametrize("name", MORE)
def test_a_run_writes_weights_that_translate(name, here, tmp_path):
    done = train(here, name, "--steps", "2")
    assert done.returncode == 0, done.stderr
    assert ("MobileFace (it ships) stands in for VGG19" in done.stderr) == (name in STAND_IN)
    made = load(tmp_path / "r/last.safetensors", "translator")
    assert made.meta["method"] == name and {key.split(".")[0] for key in made.tensors} == {"g"}
    lines = [json.loads(line) for line in (tmp_path / "r/log.jsonl").read_text().splitlines()]
    assert all("d" in line and "g" in line for line in lines if "rate" in line)
    rows = 4 if name == "unit" else 2  # photo, cartoon; and back
    assert load_image(tmp_path / "r/samples/0000002.png").size == (8 * 32, rows * 32)

    Image.new("RGB", (41, 30), (200, 90, 10)).save(tmp_path / "photo.png")
    done = here("baseline", "run", name, "photo.png", "--weights", "r", "--out", "o")
    assert done.returncode == 0, done.stderr
    assert load_image(tmp_path / "o/photo.png").size == (41, 30)


@pytest.mark.parametrize("name", ["cartoongan", "animeganv2", "unit"])
def test_a_file_of_the_original_translates_rgb(name, here, tmp_path):
    state = {
        "cartoongan": cartoon_files.cartoongan_state,
        "animeganv2": cartoon_files.animeganv2_state,
        "unit": lambda: {key: cartoon_files.unit_state(seed=i) for i, key in enumerate("ab")},
    }[name]()
    torch.save(state, tmp_path / "g.pth")
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    done = here("baseline", "run", name, "photo.png", "--weights", "g.pth", "--out", "o")
    assert done.returncode == 0, done.stderr
    x = pixels.transpose(2, 0, 1)[None] / 127.5 - 1
    if name == "cartoongan":  # which takes and gives BGR
        wanted = cartoon_files.cartoongan(state, x[:, ::-1])[:, ::-1]
    elif name == "animeganv2":
        wanted = cartoon_files.animeganv2(state, x)
    else:
        wanted = cartoon_files.unit_decode(state["b"], cartoon_files.unit_encode(state["a"], x))
    found = np.asarray(load_image(tmp_path / "o/photo.png")).transpose(2, 0, 1)
    assert np.abs(found - (wanted[0] + 1) * 127.5).max() < 0.51


@pytest.mark.parametrize(
    "name, more, code, says",
    [
        ("cartoongan", ["--set", "loss=hinge"], 2, "loss 'hinge' is none of lsgan, log"),
        ("content-invariant", ["--set", "batch=1"], 2, "--batch and --set batch=... say the same twice"),
        ("content-invariant", ["--batch", "1"], 2, "wanted 2 or more"),
        ("content-invariant", ["--vgg", "x.pth"], 2, "content-invariant has no feature loss"),
        ("unit", ["--set", "d_layers=6"], 2, "is too small for scales=2 of d_layers=6"),
        ("unit", ["--vgg", "absent.pth"], 4, "absent.pth is not there"),
        ("whitebox", ["--size", "36"], 2, "must be a multiple of 8"),
        ("animeganv2", ["--preset", "ponyo"], 2, "animeganv2 has no preset 'ponyo'; known: paper, hayao"),
        ("animegan", ["--set", "init_lr=1e30", "--set", "init_epochs=9", "--steps", "5"], 8, "not finite"),
    ],
)
def test_bad_input_ends_in_one_line(name, more, code, says, here):
    done = train(here, name, "--quiet", *more)
    assert done.returncode == code and says in done.stderr, done.stderr
    line = done.stderr.rstrip("\n").split("\n")[-1]
    assert line.startswith("Error: ") and len(line) <= 200


def test_the_original_of_another_method_is_refused(here, tmp_path):
    torch.save(cartoon_files.cartoongan_state(), tmp_path / "g.pth")
    photo = str(FIXTURES / "portrait_A000055_crop256.jpg")
    for name, says in (
        ("unit", "besides generators a and b"),
        ("animeganv2", "block_a.0.1.weight is missing"),
        ("whitebox", "no original of 'whitebox' is read"),
    ):
        done = here("baseline", "run", name, photo, "--weights", "g.pth")
        assert done.returncode in (2, 4) and says in done.stderr and len(done.stderr.strip()) <= 207
