"""finetune --target as a person runs it: names, a stand-in, their own folder, and what is left at the end."""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan_toon.checkpoint.format import load
from stylegan_toon.pipelines import copies
from stylegan_toon.pipelines.models import find_model
from stylegan_toon.training.log import entries
from tests.cli.test_training import FACES, STORYBOOK, done, toon

PORTRAIT = Path(__file__).parents[2] / "samples" / "nasa_astronaut.png"
SHORT = ("--source", "faces", "--batch", 4, "--device", "cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a tiny photo generator, faces/, to work in."""
    folder = tmp_path_factory.mktemp("place")
    done("train", FACES, "--out", "faces", "--resolution", 32, "--channels", "8,8,8,8", "--w-dim", 16,
         "--steps", 1, "--mapping-layers", 2, "--batch", 4, "--device", "cpu", cwd=folder)  # fmt: skip
    return folder


@pytest.fixture
def few(monkeypatch):
    """The nearest training picture is looked for among 20, by 10 samples: the way there is tested."""
    monkeypatch.setattr(copies, "MOST", 20)
    monkeypatch.setattr(copies, "SAMPLES", 10)


def drawings(folder, count, first=0):
    folder.mkdir(exist_ok=True)
    for i in range(first, first + count):
        coarse = np.random.default_rng(i).integers(256, size=(8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((50, 40), Image.Resampling.BICUBIC).save(folder / f"{i:03d}.png")


def kept(pack):
    with zipfile.ZipFile(pack) as opened:
        return json.loads(opened.read("manifest.json"))


def test_webtoon_as_typed_says_what_stands_in_and_everything_bears_its_name(place, few):
    args = ("finetune", "--target", "webtoon", *SHORT, "--steps", 3, "--look-every", 2)
    code, out, err = toon(*args, "--json", cwd=place)
    assert code == 0, err
    run = place / "runs" / "toonhead"
    document = json.loads(out)
    assert document["run"] == "runs/toonhead" and document["report"] == "runs/toonhead/report.html"
    lines = [line for line in err.splitlines() if "toonhead" in line]
    assert lines[0].startswith("no pictures in data/webtoon/") and "toonhead, which ships" in lines[0]
    chosen = "--blend 2 --low-pass 2 --perceptual 0.5 --portraits 4 --finish cel --eyes 0.4"
    assert lines[1] == f"toonhead: 900 pictures; many: {chosen}"
    assert lines[2].startswith("toonhead: best at step ") and lines[2].endswith(
        "see runs/toonhead/report.html"
    )
    assert (
        load(run / "best.safetensors").meta["target"] == json.loads((run / "run.json").read_text())["target"]
    )
    assert load(run / "best.safetensors").meta["target"] == "toonhead"
    assert load(run / "best.safetensors").meta.items() >= {"finish": "cel", "eyes": 0.4}.items()
    looks = [entry for entry in entries(run) if "pictures" in entry]
    assert [entry["step"] for entry in looks] == [2, 3] and all(entry["structure"] > 0 for entry in looks)
    best = min(entry["kid"] for entry in looks)
    assert load(run / "best.safetensors").meta["judged"] == best
    assert {"nearest", "closer"} <= set(list(entries(run))[-1])
    page = (run / "report.html").read_text()
    assert "<h1>toonhead</h1>" in page and "--style toonhead" in page and (run / "nearest.png").is_file()
    drawn = done("generate", "toonhead", "--seeds", 0, "--out", "drawn", cwd=place).split()
    assert [Path(name).name for name in drawn] == ["seed0000.png", "grid.png"]

    before = load(run / "best.safetensors")  # once more: nothing is left to do, and the end is made again
    assert toon(*args, cwd=place)[0] == 0
    assert [e["step"] for e in entries(run) if "rate" in e] == [3] and before.meta["judged"] == best
    assert sum("nearest" in entry for entry in entries(run)) == 1


def test_a_folder_of_ones_own_is_looked_through_once_and_the_recipe_fits_the_count(place, few, tmp_path):
    mine = tmp_path / "my drawings"
    drawings(mine, 13)
    shutil.copy(mine / "004.png", mine / "copy.png")
    Image.new("RGB", (12, 9)).save(mine / "tiny.png")
    (mine / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    shutil.copy(PORTRAIT, mine / "person.png")
    Image.open(PORTRAIT).convert("RGB").resize((400, 400)).save(mine / "smaller.jpg", quality=80)
    args = ("finetune", "--target", mine, *SHORT, "--steps", 2)
    code, _, err = toon(*args, cwd=place)
    assert code == 0, err
    run = place / "runs" / "my drawings"
    said = (
        "my drawings: 14 pictures, 1 levelled by their face; left out: 1 broken, 1 exact, 1 near, 1 small; "
    )
    said += "few: --freeze-g 2 --ada-p 0.4 --ada-target 0.5 --blend 2 --low-pass 2 "
    said += "--perceptual 0.5 --portraits 4 --look-every 50 --save-every 50 --freeze-mapping"
    assert said in err.splitlines()
    assert "torn.jpg" in err
    settings = json.loads((run / "run.json").read_text())
    assert settings["method"]["freeze_g"] == 2 and settings["method"]["ada_target"] == 0.5
    assert settings["training_pictures"] == 14 and settings["steps"] == 2
    faces = {entry["member"]: "face" in entry for entry in kept(run / "pictures.zip")["pictures"]}
    assert faces["person.png"] and not faces["000.png"]

    pack = (run / "pictures.zip").read_bytes()
    drawings(mine, 1, first=50)
    args = ("finetune", "--target", mine, *SHORT, "--steps", 3, "--freeze-g", 1, "--ada-target", 0.7)
    code, _, err = toon(*args, "--resume", "auto", cwd=place)
    assert code == 4 and (run / "pictures.zip").read_bytes() == pack  # a state of other settings
    code, _, err = toon(*args, "--resume", "never", "--exclude", "00[0-4]*", cwd=place)
    assert code == 0 and "my drawings: 11 pictures" in err, err  # the copy of 004.png is none now
    assert "; few: --ada-p 0.4 --look-every 50 --save-every 50" in err
    settings = json.loads((run / "run.json").read_text())
    assert settings["method"]["freeze_g"] == 1 and settings["method"]["ada_target"] == 0.7
    assert "050.png" in {entry["member"] for entry in kept(run / "pictures.zip")["pictures"]}


@pytest.mark.parametrize(
    "given, weights",
    [((), (2, 0.5)), (("--perceptual", 1), (2, 1)), (("--blend", 1), (0, 0)), (("--freeze-g", 2), (0, 0))],
    ids=["none", "one", "blend", "freezing"],
)
def test_what_keeps_the_person_goes_with_the_recipes_blend(given, weights, place):
    document = done(
        "finetune", "--target", "toonhead", *SHORT, *given, "--dry-run", "--quiet", "--json", cwd=place
    )
    method = json.loads(document)["method"]
    assert (method["lowpass_weight"], method["perceptual_weight"]) == weights


def test_drawings_of_known_photos_say_themselves_what_is_kept(place):
    given = ("--pairs", 5, "--codes", "nowhere", "--dry-run")
    _, _, err = toon("finetune", "--target", "toonhead", *SHORT, *given, cwd=place)
    assert "many: --blend 2 --steps 250 --look-every 125 --finish cel --eyes 0.4" in err and "nowhere" in err


@pytest.mark.parametrize(
    "name, finish",
    [
        ("storybook", "comic"),
        ("avatar", "cel"),
        ("ink", "ink"),
        ("comic", "cel"),
        ("even", "cel"),
        ("few", ""),
    ],
)
def test_a_style_is_finished_as_its_pictures_are_drawn(name, finish, place, few):
    (place / "even").mkdir(exist_ok=True)
    for i in range(5):
        picture = Image.new("RGB", (80, 80), (240 - 9 * i, 200, 170))
        picture.paste((90, 60, 40 + i), (20, 10, 60, 40 + i))
        picture.save(place / f"even/{i}.png")
    _, _, said = toon("finetune", "--target", name, *SHORT, "--dry-run", cwd=place)
    line = next(line for line in said.splitlines() if "pictures" in line and ": " in line)
    assert (f"--finish {finish} --eyes 0.4" in line) if finish else "--finish" not in said
    assert ("--inverted 4 takes their shapes" in said) == (name in ("storybook", "comic", "even"))  # few
    given = ("--finish", "flat", "--eyes", "0.1", "--dry-run")
    assert "--finish" not in toon("finetune", "--target", name, *SHORT, *given, cwd=place)[2]


def test_the_papers_pictures_are_read_where_they_lie_as_they_are(place, few):
    drawings(place / "data" / "disney", 5) if (place / "data").mkdir() is None else None
    done("finetune", "--target", "disney", "--strict-target", *SHORT, "--steps", 1, "--seed", 4, cwd=place)
    run = place / "runs" / "disney"
    assert json.loads((run / "run.json").read_text())["pictures"] == "data/disney"
    assert not (run / "pictures.zip").exists() and (run / "best.safetensors").is_file()


def test_patience_ends_a_run_and_the_page_says_so(place, few):
    # At this rate the average hardly moves: KID is of nearly the same pictures, and soon stands still.
    args = ("finetune", "--target", STORYBOOK, *SHORT, "--out", "short", "--steps", 15, "--look-every", 1,
            "--patience", 1, "--lr", 1e-9, "--save-every", 100)  # fmt: skip
    code, _, err = toon(*args, cwd=place)
    assert code == 0, err
    steps = [entry["step"] for entry in entries(place / "short") if "kid" in entry]
    assert len(steps) < 15 and (place / "short" / "state" / f"{steps[-1]:08d}.safetensors").is_file()
    assert "had not fallen for 1 looks" in (place / "short" / "report.html").read_text()
    toon(*args, cwd=place)
    assert [entry["step"] for entry in entries(place / "short") if "kid" in entry] == steps


def test_a_style_is_looked_for_as_a_file_then_a_run_then_what_ships(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_model("storybook").name == "storybook-128.generator.safetensors"
    best = Path("runs/storybook/best.safetensors")
    best.parent.mkdir(parents=True)
    best.touch()
    assert find_model("storybook") == best
    Path("storybook").touch()
    assert find_model("storybook") == Path("storybook")


@pytest.mark.parametrize(
    "args, code, text",
    [
        (
            ["--target", "metfaces", "--strict-target"],
            4,
            "no pictures in data/metfaces/ or data/metfaces.zip; put",
        ),
        (["--target", "toonheads"], 3, "known: webtoon, metfaces, disney, romance101, truebeauty, storybook"),
        (["--target", "."], 2, "lies in --target"),
        (["--target", "empty"], 3, "empty"),
        (["--target", "text"], 3, "no picture is left"),
        (["--target", "avatar", "--source", "absent"], 4, "absent"),
        (["--target", "avatar", "--patience", "-1"], 2, "--patience"),
        ([], 2, "--target"),
    ],
    ids=str,
)
def test_what_goes_wrong_with_a_target_is_one_line_with_its_code(args, code, text, place, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    Image.new("RGB", (3, 3)).save(tmp_path / "text" / "small.png")
    if "--source" not in args:
        args = [*args, "--source", place / "faces"]
    got, _, errors = toon("finetune", *args, "--steps", 1, cwd=tmp_path)
    assert got == code, errors
    lines = [line for line in errors.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1 and text in lines[0] and len(lines[0]) <= 200
    assert not list((tmp_path / "runs").glob("*"))


def test_a_damaged_pack_of_an_earlier_run_says_how_to_make_it_again(place, tmp_path):
    drawings(tmp_path / "mine", 3)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "pictures.zip").write_bytes(b"PK")
    code, _, errors = toon("finetune", "--target", "mine", "--source", place / "faces", cwd=tmp_path)
    assert code == 3 and "pictures.zip is damaged; --resume never makes it again" in errors


def test_without_the_package_tensorboard_is_refused_before_the_run_begins(place, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("tensorboard", "torch.utils.tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    args = ("finetune", "--target", STORYBOOK, *SHORT, "--steps", 1, "--out", "board", "--tensorboard")
    code, _, errors = toon(*args, cwd=place)
    assert code == 5 and "pip install 'stylegan-toon[tensorboard]'" in errors
    assert not (place / "board").exists()


def test_tensorboard_reads_every_step_and_look_once_also_where_the_run_went_on(place, few):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    args = (
        "finetune",
        "--target",
        STORYBOOK,
        *SHORT,
        "--out",
        "watched",
        "--look-every",
        20,
        "--tensorboard",
    )
    for steps in (20, 30, 40):
        done(*args, "--steps", steps, cwd=place)
    seen = EventAccumulator(str(place / "watched" / "tensorboard"))
    seen.Reload()
    assert [event.step for event in seen.Scalars("d")] == [20, 30, 40]
    assert [event.step for event in seen.Scalars("kid")] == [
        20,
        40,
    ]  # as the log: a longer run has no look at 30
    log = {entry["step"]: entry["kid"] for entry in entries(place / "watched") if "kid" in entry}
    assert {e.step: e.value for e in seen.Scalars("kid")} == pytest.approx(log)
    assert [event.step for event in seen.Images("samples")] == [20, 40]
