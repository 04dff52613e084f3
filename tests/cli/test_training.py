"""train, finetune and train-encoder as a person runs them: small, on the CPU, through the command line."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan_toon.checkpoint.format import load, save
from stylegan_toon.cli import cli
from stylegan_toon.cli.common import ENVIRONMENT, run
from stylegan_toon.metadata import read, sha256
from stylegan_toon.pipelines.models import load_encoder, load_generator
from stylegan_toon.training.lock import hold

FIXTURES = Path(__file__).parents[1] / "fixtures"
FACES, STORYBOOK = str(FIXTURES / "faces16.zip"), str(FIXTURES / "storybook16.zip")
TINY = ["--resolution", "16", "--channels", "8,8,8", "--batch", "4", "--device", "cpu"]
SMALL = ["--w-dim", "16", "--mapping-layers", "2", "--batch", "4", "--device", "cpu"]


def toon(*args, cwd):
    """Run the command line in this process, in the folder cwd; returns exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(cli, [str(arg) for arg in args], "stylegan-toon", ENVIRONMENT)
    return code, out.getvalue(), err.getvalue()


def done(*args, cwd):
    code, out, err = toon(*args, cwd=cwd)
    assert code == 0, err
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Faces at 16 px, grown to 32 px, a storybook child and an encoder of them."""
    folder = tmp_path_factory.mktemp("runs")
    done(
        "train",
        FACES,
        "--out",
        "a",
        "--resolution",
        16,
        "--channels",
        "16,16,16",
        "--steps",
        4,
        *SMALL,
        cwd=folder,
    )
    done("train", FACES, "--grow", "a", "--out", "faces", "--resolution", 32, "--channels", 8, "--steps", 4,
         "--fade", 8, *SMALL, cwd=folder)  # fmt: skip
    done("finetune", "--target", STORYBOOK, "--source", "faces", "--out", "runs/story", "--steps", 4,
         "--batch", 4, cwd=folder)  # fmt: skip
    done("train-encoder", FACES, "--source", "faces", "--out", "enc", "--steps", 3, "--batch", 4, cwd=folder)
    return folder


def test_a_run_folder_holds_what_the_manual_says(runs):
    folder = runs / "faces"
    there = {path.name for path in folder.iterdir()}
    wanted = {
        "state",
        "last.safetensors",
        "last.discriminator.safetensors",
        "log.jsonl",
        "samples",
        "run.json",
    }
    assert wanted <= there
    assert json.loads((folder / "run.json").read_text())["grown_from"] == "a"
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 4 and lines[-1]["pictures"] == 32  # 16 before growing, 16 since


def test_grown_and_fine_tuned_generators_load_and_keep_the_family(runs):
    source, child = load_generator(runs / "faces"), load_generator(runs / "runs" / "story")
    assert source.config == child.config and source.config.channels == (16, 16, 16, 8)
    assert (source.w_mean == child.w_mean).all()
    for mine, theirs in zip(child.mapping.parameters(), source.mapping.parameters(), strict=True):
        assert (mine == theirs).all()


def test_the_style_is_found_by_the_name_of_its_run_and_the_encoder_fits(runs):
    made = done("generate", "story", "--seeds", "0-1", "--out", "drawn", cwd=runs).split()
    assert [Path(line).name for line in made] == ["seed0000.png", "seed0001.png", "grid.png"]
    encoder = load_encoder(runs / "enc" / "last.encoder.safetensors")
    assert (encoder.config.n_layers, encoder.config.w_dim) == (8, 16)


def test_a_run_starts_from_the_networks_of_another(runs):
    done("train", FACES, "--start", "faces", "--out", "more", "--steps", 1, "--batch", 4, cwd=runs)
    first, then = (load(runs / name / "last.safetensors") for name in ("faces", "more"))
    assert then.config == first.config and then.meta["pictures"] == first.meta["pictures"] + 4
    assert (then.tensors["synthesis.const"] != first.tensors["synthesis.const"]).any()
    code, _, said = toon("train", FACES, "--start", "faces", "--grow", "a", "--out", "no", cwd=runs)
    assert code == 2 and "give one" in said


def style(folder, out, steps=2, source="faces", code=0):
    made = (
        "finetune",
        "--target",
        STORYBOOK,
        "--source",
        source,
        "--out",
        out,
        "--batch",
        4,
        "--steps",
        steps,
    )
    got, printed, err = toon(
        *made, "--train", "lora", "--rank", 2, "--blend", 2, "--structure", 0, cwd=folder
    )
    assert got == code, err
    return err if code else printed


@pytest.fixture(scope="module")
def tiny(runs):
    """The file of a style."""
    made = style(runs, "runs/tiny").split()
    assert made == ["runs/tiny/best.safetensors", "runs/tiny/last.safetensors"]
    return made[0]


def test_a_style_file_opens_wherever_a_generator_does(runs, tiny):
    held = load(runs / tiny)
    assert held.kind == "style" and held.meta["blend"] == 2 and (runs / tiny).stat().st_size < 30_000
    done("convert", tiny, "whole.safetensors", cwd=runs)
    done("convert", tiny, "small.safetensors", "--to", "style", "--half", "--meta", "blend=1", cwd=runs)
    small = load(runs / "small.safetensors")
    assert (small.kind, small.meta["blend"], small.config) == ("style", 1, held.config)
    done("convert", tiny, "whole.pt", "--to", "rosinality", cwd=runs)
    with contextlib.chdir(runs):
        whole, child = load_generator("whole.safetensors"), load_generator("tiny")
        near, back = load_generator("small.safetensors"), load_generator("whole.pt")
        parent = load_generator("faces/last.safetensors")
    for name, tensor in child.state_dict().items():
        assert torch.equal(whole.state_dict()[name], tensor), name
        assert torch.equal(back.state_dict()[name], tensor), name
        torch.testing.assert_close(near.state_dict()[name], tensor, rtol=1e-3, atol=1e-3)
    assert not torch.equal(child.synthesis.blocks[3].to_rgb.bias, parent.synthesis.blocks[3].to_rgb.bias)
    for at, model in enumerate(("tiny", "whole.safetensors")):
        done("generate", model, "--seeds", 1, "--out", "d", "--npz", f"{at}.npz", cwd=runs)
    with np.load(runs / "0.npz") as a, np.load(runs / "1.npz") as b:
        assert (a["images"] == b["images"]).all()
    done("blend", "faces/last.safetensors", "tiny", "--blend", 2, "--out", "mixed.safetensors", cwd=runs)
    code, _, said = toon("convert", "faces/last.safetensors", "x.safetensors", "--to", "style", cwd=runs)
    assert code == 2 and "no style file" in said


def test_a_picture_of_a_style_tells_of_its_parent_and_is_replayed_with_that_one_alone(runs, tiny):
    picture = done("generate", "tiny", "--seeds", 1, "--out", "told", cwd=runs).split()[0]
    entry = read(runs / picture)["models"]["generator"]
    source = runs / "faces" / "last.safetensors"
    assert entry["parent"] == {
        "name": "faces/last.safetensors",
        "file": source.name,
        "sha256": sha256(source),
    }
    assert entry["sha256"] == sha256(runs / tiny)
    pairs = done("toonify", "--style", "tiny", "--source", "faces", "--out", "told", cwd=runs).strip()
    assert read(runs / pairs)["models"]["style"]["parent"]["sha256"] == sha256(source)
    for file in (picture, pairs):
        again = done("replay", file, cwd=runs).strip()
        assert (runs / again).read_bytes() == (runs / file).read_bytes()
    done("convert", "faces/last.safetensors", "runs/tiny/faces.safetensors", "--half", cwd=runs)
    code, _, said = toon("replay", picture, cwd=runs)  # a parent, but not the file it was drawn with
    (runs / "runs/tiny/faces.safetensors").unlink()
    assert code == 4 and "faces.safetensors is another" in said


def test_a_style_run_goes_on_to_the_same_end_and_from_the_same_source_alone(runs, tiny):
    style(runs, "runs/two", steps=1)
    style(runs, "runs/two")
    assert done("digest", "runs/two", cwd=runs) == done("digest", "runs/tiny", cwd=runs)
    for name, tensor in load(runs / tiny).tensors.items():
        assert torch.equal(load(runs / "runs/two/last.safetensors").tensors[name], tensor), name
    done("convert", "faces/last.safetensors", "half.safetensors", "--half", cwd=runs)
    done("convert", "faces/last.discriminator.safetensors", "half.discriminator.safetensors", cwd=runs)
    said = style(runs, "runs/two", steps=3, source="half.safetensors", code=4)
    assert "half is not what this run started from" in said
    said = style(runs, "runs/three", source="runs/tiny", code=4)
    assert "holds a style; a style starts from a whole generator" in said
    done("finetune", "--target", STORYBOOK, "--source", "runs/tiny", "--out", "runs/all", "--steps", 1,
         "--batch", 4, cwd=runs)  # fmt: skip
    assert load(runs / "runs/all/last.safetensors").kind == "generator"


def test_a_style_with_a_mapping_of_its_own_is_wrong_usage(runs):
    made = ("finetune", "--target", STORYBOOK, "--source", "faces", "--out", "no", "--train", "offsets")
    code, _, said = toon(*made, "--train-mapping", cwd=runs)
    assert code == 2 and "needs a frozen mapping" in said


@pytest.mark.parametrize("command", [("generate",), ("toonify", "--style"), ("convert",)])
def test_a_style_without_its_parent_or_with_another_is_4_in_one_line(command, runs, tiny, tmp_path):
    held = load(runs / tiny)
    held.config["name"] = "plain"
    save(tmp_path / "lost.safetensors", held)
    more = ["out.safetensors"] if command == ("convert",) else ["--out", "out"]
    blamed = "faces-128.generator.safetensors has" if "toonify" in command else "is not here; put plain."
    for words in (blamed, "plain.safetensors has "):
        code, out, said = toon(*command, "lost.safetensors", *more, cwd=tmp_path)
        assert (code, out) == (4, "") and said.count("\n") == 1 and len(said) <= 201
        assert words in said and "lost.safetensors: its parent plain " in said
        (tmp_path / "plain.safetensors").write_bytes((runs / "runs/story/last.safetensors").read_bytes())
        more += ["--source", "plain.safetensors"] if "toonify" in command else []
    assert not list(tmp_path.glob("out*"))


def test_noise_inputs_are_learnt_from_scratch_and_where_the_source_has_them(runs):
    def strengths(file):
        tensors = load(file).tensors
        return [float(t.abs()) for name, t in tensors.items() if name.endswith("noise_strength")]

    assert all(strengths(runs / "a" / "last.safetensors"))
    assert all(strengths(runs / "runs" / "story" / "last.safetensors")[1:])
    args = ("train", FACES, "--resolution", 16, "--channels", "16,16,16", "--no-noise", *SMALL)
    done(*args, "--steps", 1, "--out", "quiet", cwd=runs)
    done("finetune", "--target", STORYBOOK, "--source", "quiet", "--out", "child", "--steps", 1, "--batch", 4,
         cwd=runs)  # fmt: skip
    for name in ("quiet", "child"):
        assert not any(strengths(runs / name / "last.safetensors"))


def test_an_encoder_goes_on_from_another(runs):
    start = ("--start", "enc/last.encoder.safetensors")
    args = ("train-encoder", FACES, "--source", "faces", "--steps", 1, "--batch", 4)
    done(*args, *start, "--lr", 1e-9, "--out", "enc2", cwd=runs)
    first, then = (load(runs / name / "last.encoder.safetensors").tensors for name in ("enc", "enc2"))
    assert all((first[name] - then[name]).abs().max() < 1e-5 for name in first)
    code, _, said = toon("train-encoder", FACES, "--source", "a", *start, "--out", "no", cwd=runs)
    assert code == 4 and "another shape" in said


def test_an_encoder_learns_shifts_and_keeps_its_codes(runs):
    args = ("train-encoder", FACES, "--source", "faces", "--shift", "--steps", 2, "--batch", 4)
    done(*args, "--start", "enc/last.encoder.safetensors", "--out", "enc3", cwd=runs)
    first, then = (load(runs / name / "last.encoder.safetensors").tensors for name in ("enc", "enc3"))
    assert all((first[name] == then[name]).all() for name in first) and then["shift.last.weight"].any()
    done(*args, "--start", "enc3/last.encoder.safetensors", "--out", "enc4", cwd=runs)  # it goes on
    more = load(runs / "enc4" / "last.encoder.safetensors").tensors
    assert (more["shift.unit"] == then["shift.unit"]).all()
    assert not (more["shift.last.weight"] == then["shift.last.weight"]).all()
    square = FIXTURES / "portrait_A000055_crop256.jpg"
    for name, at_hand in (("enc", False), ("enc3", True)):
        given = (
            "--encoder",
            f"{name}/last.encoder.safetensors",
            "--refine",
            0,
            "--aligned",
            "--out",
            f"of-{name}",
        )
        done("invert", square, "--source", "faces/last.safetensors", *given, cwd=runs)
        tensors = load(runs / f"of-{name}" / f"{square.stem}.latent.safetensors").tensors
        assert ("shift" in tensors) == at_hand
    code, _, said = toon(*args, "--out", "no", cwd=runs)
    assert code == 4 and "encoder" in said and len(said.splitlines()) == 1
    finely = tuple("--fine-shift" if arg == "--shift" else arg for arg in args)
    code, _, said = toon(*finely, "--start", "enc/last.encoder.safetensors", "--out", "no", cwd=runs)
    assert code == 4 and "--shift comes first" in said and len(said.splitlines()) == 1
    code, _, said = toon(*finely, "--shift", "--out", "no", cwd=runs)
    assert code == 2 and "one after the other" in said
    done(*finely, "--start", "enc4/last.encoder.safetensors", "--out", "enc5", cwd=runs)
    both = load(runs / "enc5" / "last.encoder.safetensors").tensors
    assert all((more[name] == both[name]).all() for name in more) and both["fine.levels.0.last.weight"].any()
    given = ("--encoder", "enc5/last.encoder.safetensors", "--refine", 0, "--aligned", "--space", "f3/w+")
    done("invert", square, "--source", "faces/last.safetensors", *given, "--out", "of-enc5", cwd=runs)
    whole = load(runs / "of-enc5" / f"{square.stem}.latent.safetensors").tensors["shift"]
    assert whole.shape[1] > len(both["shift.unit"]) and whole[:, len(both["shift.unit"]) :].any()


def test_more_resolutions_than_there_are_is_wrong_usage(runs):
    for option, value in (("--freeze-g", 5), ("--blend", 4)):
        said = toon(
            "finetune", "--target", STORYBOOK, "--source", "faces", "--out", "no", option, value, cwd=runs
        )
        assert said[0] == 2 and "4 resolutions" in said[2]


def test_going_on_ends_where_one_go_ends(runs, tmp_path):
    args = ["train", FACES, "--resolution", 16, "--channels", "16,16,16", *SMALL]
    done(*args, "--out", "half", "--steps", 2, cwd=tmp_path)
    done(*args, "--out", "half", "--steps", 4, cwd=tmp_path)
    a, b = (load(file / "last.safetensors").tensors for file in (tmp_path / "half", runs / "a"))
    assert all((a[name] == b[name]).all() for name in b)
    half, whole = (done("digest", out, cwd=tmp_path) for out in ("half", runs / "a"))
    assert half == whole and len(half) == 65
    document = json.loads(done("digest", "half/state/00000002.safetensors", "--json", cwd=tmp_path))
    assert document["step"] == 2 and document["digest"] != whole.strip()


HELD = """
import sys
from stylegan_toon.cli import cli
from stylegan_toon.cli.common import ENVIRONMENT, run
code = run(cli, sys.argv[1:], "stylegan-toon", ENVIRONMENT)
print(code, "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    "args",
    [
        ("train", "absent.zip", "--out", "runs/held"),
        ("finetune", "--target", "held.zip"),
        ("train-encoder", "absent.zip", "--out", "runs/held"),
    ],
    ids=lambda args: args[0],
)
def test_a_second_run_is_told_who_holds_the_folder_before_torch_is_imported(args, tmp_path):
    (tmp_path / "held.zip").touch()
    with hold(tmp_path / "runs" / "held"):
        command = [sys.executable, "-c", HELD, *args]
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env)
    assert second.stdout == "7 False\n", second.stderr
    assert (
        second.stderr.startswith("Error: runs/held is in use by process ")
        and str(os.getpid()) in second.stderr
    )


def test_a_folder_made_for_a_run_that_cannot_start_goes_again_and_one_that_was_there_stays(tmp_path):
    (tmp_path / "mine").mkdir()
    for out in ("new/run", "mine"):
        assert toon("train", "absent.zip", "--out", out, cwd=tmp_path)[0] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "new"]
    assert not list((tmp_path / "new").iterdir())


def test_sigterm_saves_and_the_same_command_goes_on(tmp_path):
    args = [sys.executable, "-m", "stylegan_toon.cli", "train", FACES, "--out", "run", "--resolution", "16",
            "--channels", "16,16,16", "--steps", "100000", *SMALL]  # fmt: skip
    process = subprocess.Popen(args, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "log.jsonl"
    end = time.monotonic() + 120
    while not log.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    assert process.poll() is None, process.communicate()
    code, _, said = toon(*args[3:], cwd=tmp_path)
    assert code == 7 and str(process.pid) in said
    os.kill(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    last = errors.strip().splitlines()[-1]
    assert last.startswith("Error: stopped after step ") and "the same command goes on" in last
    step = int(last.split("step ")[1].split(";")[0])
    assert load(tmp_path / "run" / "state" / f"{step:08d}.safetensors").meta["step"] == step


@pytest.mark.parametrize(
    "args, code, text",
    [
        (["train", "absent.zip", "--out", "o"], 3, "absent.zip"),
        (["train", FACES, "--out", "o", "--channels", "1,2"], 2, "needs 5 channel numbers"),
        (["train", FACES, "--out", "o", "--channels", "1,x"], 2, "not a list of numbers"),
        (["train", FACES, "--out", "/dev/null/x", "--steps", "1"], 9, "--out"),
        (["train", FACES, "--out", "o", "--grow", "absent"], 4, "absent"),
        (["finetune", "--target", "webtone"], 3, "known: webtoon, "),
        (["digest", "absent"], 4, "absent"),
        (["digest", "."], 4, "holds no state of a run"),
        (["digest", FACES], 4, "faces16.zip"),
        (["finetune", "--target", STORYBOOK, "--source", "absent"], 4, "absent"),
        (["train", FACES, "--out", "o", "--lr", "1e30", "--steps", "9", *TINY], 8, "not finite"),
    ],
)
def test_what_goes_wrong_is_one_line_with_its_code(args, code, text, tmp_path):
    got, _, errors = toon(*args, cwd=tmp_path)
    assert got == code, errors
    lines = [line for line in errors.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1 and text in lines[0] and len(lines[0]) <= 200
