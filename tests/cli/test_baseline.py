"""`baseline train` and `baseline run` as a person runs them: small, on the CPU, good input and bad."""

import csv
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.checkpoint.format import load
from stylegan_toon.cli.baseline import NAMES
from stylegan_toon.images import load_image
from stylegan_toon.methods.i2i import TRANSLATORS
from stylegan_toon.training.state import open_newest, state_digest
from tests.checkpoint import original_files
from tests.cli.test_ranks import two

FIXTURES = Path(__file__).parents[1] / "fixtures"
DATA = ["--photos", str(FIXTURES / "faces16.zip"), "--cartoons", str(FIXTURES / "storybook16.zip")]
TINY = ["--size", "32", "--set", "width=4", "--set", "d_width=4", "--set", "blocks=1", "--set", "pool_size=2"]
TRAIN = ["baseline", "train", "cyclegan", *DATA, *TINY, "--device", "cpu"]


def digest(folder):
    return state_digest(open_newest(folder)[1])


def test_the_names_are_those_of_the_methods():
    assert sorted(TRANSLATORS) == NAMES


def test_every_preset_makes_a_configuration_and_a_schedule():
    for name, (config, _) in TRANSLATORS.items():
        assert {"paper", "small"} <= set(config.presets), name
        for changes in config.presets.values():
            assert config(**changes | {"epoch": 100}).steps > 0


def test_a_run_writes_what_the_manual_says_and_goes_on_exactly(here, tmp_path):
    done = here(*TRAIN, "--steps", "6", "--save-every", "3", "--look-every", "3", "--out", "calm", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["models"] == ["calm/last.safetensors"]
    for steps in ("3", "6"):
        assert here(*TRAIN, "--steps", steps, "--look-every", "3", "--out", "torn").returncode == 0
    assert digest(tmp_path / "calm") == digest(tmp_path / "torn")
    made = load(tmp_path / "calm" / "last.safetensors", "translator")
    assert made.meta["method"] == "cyclegan" and made.meta["step"] == 6
    assert {key.split(".")[0] for key in made.tensors} == {"g_ab", "g_ba"}
    grid = load_image(tmp_path / "calm" / "samples" / "0000006.png")
    assert grid.size == (8 * 32, 4 * 32)  # photo, cartoon, cartoon, photo
    assert json.loads((tmp_path / "calm" / "run.json").read_text())["method"]["epoch"] == 200


def test_photos_of_any_size_come_out_as_large_as_they_were(here, tmp_path):
    assert here(*TRAIN, "--steps", "1", "--out", "a").returncode == 0
    rng = np.random.default_rng(0)
    sizes = [(37, 50), (64, 64), (5, 90)]
    (tmp_path / "in").mkdir()
    for i, size in enumerate(sizes):
        Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(tmp_path / f"in/{i}.png")
    (tmp_path / "in/x.png").write_bytes(b"no picture")
    done = here("baseline", "run", "cyclegan", "in", "--weights", "a", "--out", "o", "--max-size", "64")
    assert done.returncode == 3 and done.stderr.count("Error: ") == 2
    assert "90 px, translated at 64 and enlarged" in done.stderr
    assert [load_image(tmp_path / f"o/{i}.png").size for i in range(3)] == sizes
    assert done.stdout.split() == [f"o/{i}.png" for i in range(3)]


def test_a_file_of_the_original_translates(here, tmp_path):
    torch.save(original_files.cyclegan(1, 4), tmp_path / "latest_net_G_A.pth")
    photo = str(FIXTURES / "portrait_A000055_crop256.jpg")
    done = here("baseline", "run", "cyclegan", photo, "--weights", "latest_net_G_A.pth", "--max-size", "64")
    assert done.returncode == 0, done.stderr
    assert load_image(tmp_path / "out/portrait_A000055_crop256.png").size == (256, 256)


def test_a_sweep_is_a_run_for_every_case_and_a_table(here, tmp_path):
    args = (*TRAIN, "--steps", "1", "--sweep", "lr=2e-4,1.6e-3", "--sweep", "loss=lsgan,log", "--out", "s")
    done = here(*args, "--json")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "s/sweep.csv").open()))
    assert [(row["lr"], row["loss"]) for row in rows] == [
        ("2e-4", "lsgan"),
        ("2e-4", "log"),
        ("1.6e-3", "lsgan"),
        ("1.6e-3", "log"),
    ]
    assert all(float(row["g/cycle"]) > 0 and row["step"] == "1" for row in rows)
    settings = json.loads((tmp_path / "s/lr=1.6e-3,loss=log/run.json").read_text())["method"]
    assert (settings["lr"], settings["loss"]) == (1.6e-3, "log")
    assert len(json.loads(done.stdout)["runs"]) == 4


def test_a_dry_run_tells_and_writes_nothing(here, tmp_path):
    done = here(*TRAIN, "--dry-run", "--json", "--preset", "paper")
    plan = json.loads(done.stdout)
    assert plan["photos"] == 16 and plan["steps"] == 200 * 16 and plan["method"]["epoch"] == 16
    assert plan["translators"]["parameters_g_ab"] > 0 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "more, code, says",
    [
        (["--set", "foo=1"], 2, "no setting 'foo'; known: size load_size batch"),
        (["--set", "lr=fast"], 2, "--set lr=fast is not of type float"),
        (["--set", "lr"], 2, "is not KEY=VALUE"),
        (["--set", "size=32"], 2, "--size and --set size=... say the same twice"),
        (["--set", "norm=group"], 2, "norm 'group' is none of instance, batch"),
        (["--set", "pool_size=-1"], 2, "pool_size=-1: wanted 0 or more"),
        (["--set", "d_width=0"], 2, "d_width=0: wanted 1 or more"),
        (["--set", "lr=-1"], 2, "lr=-1.0: wanted 0 or more"),
        (["--set", "epochs=0", "--set", "decay_epochs=0"], 2, "leave nothing to train"),
        (["--set", "loss=hinge"], 2, "loss 'hinge' is none of lsgan, log"),
        (["--preset", "huge"], 2, "cyclegan has no preset 'huge'; known: paper"),
        (["--pairs", "x.zip"], 2, "this method learns from two sets"),
        (["--vgg", "x.pth"], 2, "cyclegan has no feature loss"),
        (["--photos", "absent.zip"], 3, "no folder or file"),
        (["--sweep", "lr=1e-4", "--sweep", "lr=1e-3"], 2, "a --sweep names a setting once"),
        (["--sweep", "width=4,8"], 2, "width is given by --sweep and once more"),
        (["--sweep", "lr=1e-4,x"], 2, "--set lr=x is not of type float"),
        (["--set", "lr=1e30", "--steps", "5", "--quiet"], 8, "is not finite"),
    ],
)
def test_bad_input_ends_in_one_line(more, code, says, here):
    done = here(*TRAIN, "--out", "bad", *more)
    assert done.returncode == code and says in done.stderr
    line = done.stderr.rstrip("\n").split("\n")[-1]
    assert line.startswith("Error: ") and len(line) <= 200


def test_weights_of_another_kind_are_refused(here, tmp_path):
    photo = str(FIXTURES / "portrait_A000055_crop256.jpg")
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    for weights, says in (
        ("x.safetensors", "damaged or not a safetensors file"),
        ("absent", "absent is not there"),
        (str(Path(__file__).parents[2] / "pretrained/mobileface.safetensors"), "not a translator"),
    ):
        done = here("baseline", "run", "cyclegan", photo, "--weights", weights)
        assert done.returncode == 4 and says in done.stderr, done.stderr
    assert here("baseline", "run", "cycle", photo, "--weights", "x").returncode == 2


def test_pictures_that_are_all_alike_are_refused(here, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as pack:
        Image.new("RGB", (32, 32), (9, 9, 9)).save(tmp_path / "x.png")
        for i in range(3):
            pack.write(tmp_path / "x.png", f"{i}.png")
    done = here(*TRAIN, "--cartoons", "a.zip", "--out", "b")
    assert done.returncode == 3 and "all 3 pictures are alike" in done.stderr


def test_pix2pix_learns_from_pairs_and_from_nothing_else(here, tmp_path):
    rng = np.random.default_rng(1)
    with zipfile.ZipFile(tmp_path / "pairs.zip", "w") as pack:
        for side in ("photo", "toon"):
            for i in range(4):
                Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "x.png")
                pack.write(tmp_path / "x.png", f"{side}/{i}.png")
    train = ["baseline", "train", "pix2pix", "--size", "32", "--set", "width=4", "--set", "d_width=4"]
    done = here(*train, "--pairs", "pairs.zip", "--steps", "2")
    assert done.returncode == 0, done.stderr
    assert load_image(tmp_path / "runs/pix2pix/samples/0000002.png").size == (4 * 32, 2 * 32)  # no way back
    assert here("baseline", "run", "pix2pix", "x.png", "--weights", "runs/pix2pix").returncode == 0
    assert load_image(tmp_path / "out/x.png").size == (40, 40)
    done = here(*train, *DATA)
    assert done.returncode == 2 and "this method learns from pairs" in done.stderr


def test_scgans_tables_are_one_command(here, tmp_path):
    faces = {"--photos": str(FIXTURES / "faces16.zip"), "--cartoons": str(FIXTURES / "storybook16.zip")}
    small = ["--size", "32", "--set", "width=4", "--set", "d_width=4", "--set", "pool_size=2", "--steps", "1"]
    sweeps = ["--sweep", "preset=A,B,C", "--sweep", "tv_weight=0,2"]
    done = here(
        "baseline", "train", "scgan", *(part for pair in faces.items() for part in pair), *small, *sweeps
    )
    assert done.returncode == 0, done.stderr
    assert "MobileFace (it ships) stands in for VGG19" in done.stderr
    rows = list(csv.DictReader((tmp_path / "runs/scgan/sweep.csv").open()))
    assert [(row["preset"], row["tv_weight"]) for row in rows] == [(p, w) for p in "ABC" for w in "02"]
    assert all(float(row["average_gradient"]) > 0 for row in rows)
    assert [bool(row["g/perceptual"]) for row in rows] == [False] * 4 + [True] * 2
    assert [bool(row["g/tv"]) for row in rows] == [False, True] * 3
    run = json.loads((tmp_path / "runs/scgan/preset=C,tv_weight=2/run.json").read_text())
    assert "stands in for VGG19" in run["features"]
    weights = load(tmp_path / "runs/scgan/preset=C,tv_weight=2/last.safetensors")
    assert weights.meta["features"] == run["features"]


def test_a_file_that_is_no_vgg_and_photos_without_faces_are_refused(here, tmp_path):
    small = ["--size", "32", "--set", "width=4", "--set", "d_width=4", "--out", "s"]
    train = ["baseline", "train", "scgan", *small, "--cartoons", str(FIXTURES / "storybook16.zip")]
    torch.save({"features.0.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "vgg.pth")
    done = here(*train, "--photos", str(FIXTURES / "faces16.zip"), "--vgg", "vgg.pth")
    assert done.returncode == 4 and "has 1 convolutions; VGG16 has 13 and VGG19 16" in done.stderr
    (tmp_path / "grey").mkdir()
    for i in range(2):
        Image.new("RGB", (40, 40), (120 + i, 120, 120)).save(tmp_path / f"grey/{i}.png")
    done = here(*train, "--photos", "grey")
    assert done.returncode == 3 and "none of 2 photos shows a face" in done.stderr
    assert not list((tmp_path / "s").glob("state/*"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_processes_share_a_batch_and_one_of_them_writes(tmp_path):
    args = [*TRAIN, "--batch", "2", "--steps", "2", "--look-every", "1", "--out", "two"]
    ended = two(*args, cwd=tmp_path)
    assert [one.code for one in ended] == [0, 0], ended
    assert ended[0].out == "two/last.safetensors\n" and ended[1].out == ""
    (ended, other) = two(*args[:-1], "refused", "--batch", "1", cwd=tmp_path)
    assert (ended.code, other.code) == (2, 2)
    assert "a batch of 1 cannot be shared by 2 processes" in ended.err + other.err
    assert sorted(path.name for path in (tmp_path / "two/samples").iterdir()) == [
        "0000001.png",
        "0000002.png",
    ]
