"""Real commands that fail: the exit code, and one line on stderr."""

import json
from pathlib import Path

import pytest
import torch

from stylegan_toon.checkpoint.format import Checkpoint, save
from stylegan_toon.config import to_json
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.generator import Generator


def tiny(path: Path) -> str:
    """The file of a 16 px generator, which has 3 resolutions."""
    generator = Generator(Config(16, (8, 8, 8), z_dim=8, w_dim=8, mapping_layers=2))
    save(path, Checkpoint("generator", to_json(generator.config), {}, dict(generator.state_dict())))
    return str(path)


def check(done, code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) <= 201
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    "args, words",
    [
        ([], ["Missing command", "stylegan-toon --help"]),
        (["toonfy"], ["no command 'toonfy'", "did you mean 'toonify'"]),
        (["xyzzy"], ["no command 'xyzzy'", "toonify, generate"]),
        (["--nothing"], ["--nothing"]),
        (["toonify", "--blent", "4"], ["--blent", "--blend"]),
        (["toonify", "--refine", "4"], ["--refine", "0<=x<=3"]),
        (["toonify", "--faces", "0"], ["--faces", "'largest'"]),
        (["toonify", "--size", "64"], ["--size", "--crop-only"]),
        (["toonify", "--device", "tpu"], ["--device", "auto", "mps"]),
        (["generate"], ["MODEL"]),
        (["generate", "faces", "--seeds", "1", "--latents", "x.npz"], ["--seeds", "--latents"]),
        (["generate", "faces", "--seed", "-1"], ["--seed"]),
        (["convert", "one.pt"], ["DEST"]),
        (["blend", "a", "b", "--out", "c"], ["--blend"]),
        (["doctor", "extra"], ["extra"]),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(args: list[str], words: list[str], toon) -> None:
    check(toon(*args), 2, *words)


def test_seeds_that_are_no_numbers_are_2(here, tmp_path: Path) -> None:
    check(here("generate", tiny(tmp_path / "g.safetensors"), "--seeds", "one"), 2, "one", "0-7")


@pytest.mark.parametrize("k", ["-1", "4", "99"])
def test_a_blend_outside_the_range_is_2_and_names_the_range(k: str, here, tmp_path: Path) -> None:
    model = tiny(tmp_path / "g.safetensors")
    check(here("blend", model, model, "--blend", k, "--out", "new.safetensors"), 2, k, "0..3")
    assert not (tmp_path / "new.safetensors").exists()


def test_latents_that_are_missing_are_3(here, tmp_path: Path) -> None:
    model = tiny(tmp_path / "g.safetensors")
    check(here("generate", model, "--latents", "none.npz"), 3, "none.npz")


def test_the_code_and_the_line_are_those_of_the_process(toon) -> None:
    check(toon("generate", "no-such-style"), 4, "no-such-style")


@pytest.mark.parametrize("name", ["no-such-style", "no-such.safetensors", "a/folder/no-such.pt"])
def test_a_model_that_is_missing_is_4(name: str, here) -> None:
    check(here("generate", name), 4, name)


def test_a_file_that_is_no_model_is_4(here, tmp_path: Path) -> None:
    (tmp_path / "page.pt").write_text("<!DOCTYPE html><title>Quota exceeded</title>")
    check(here("convert", "page.pt", "new.safetensors"), 4, "page.pt")
    check(here("convert", "none.pt", "new.safetensors"), 4, "none.pt")


def test_a_file_name_of_control_characters_is_shown_as_escapes(here) -> None:
    done = here("generate", "evil\x1b[31m\nname\u202e.pt")
    check(done, 4)
    assert done.stderr[:-1].isprintable()


def test_a_long_name_does_not_make_a_long_line(here) -> None:
    check(here("generate", "x" * 200), 4)
    check(here("y" * 3000), 2)


def test_a_device_that_is_missing_is_5(here, tmp_path: Path) -> None:
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    model = tiny(tmp_path / "g.safetensors")
    check(here("doctor", "--device", missing), 5, missing, "--device cpu")
    check(here("generate", model, "--device", missing), 5, missing)
    check(here("doctor", STYLEGAN_TOON_DEVICE=missing), 5, missing)


def test_kernels_that_are_asked_for_and_missing_are_5(toon, tmp_path: Path) -> None:
    model = tiny(tmp_path / "g.safetensors")
    check(toon("generate", model, "--device", "cpu", TOON_OPS="cuda"), 5, "TOON_OPS=auto")
    check(toon("generate", model, TOON_OPS="fast"), 2, "'fast'", "reference")


def test_a_place_that_cannot_be_written_is_9(here, tmp_path: Path) -> None:
    model = tiny(tmp_path / "g.safetensors")
    check(here("convert", model, "g.safetensors/below.safetensors"), 9, "below.safetensors")
    check(here("generate", model, "--out", "g.safetensors"), 9, "g.safetensors")


def test_json_has_the_error_as_its_one_document(here) -> None:
    for args, code in ((["generate", "no-such-style"], 4), (["generate", "--nothing"], 2)):
        done = here(*args, "--json")
        assert done.returncode == code
        assert json.loads(done.stdout)["exit_code"] == code
        assert done.stderr == f"Error: {json.loads(done.stdout)['error']}\n"


def test_json_can_be_asked_for_by_the_environment(here) -> None:
    assert json.loads(here("generate", "no-such-style", STYLEGAN_TOON_JSON="1").stdout)["exit_code"] == 4


def test_an_option_can_be_set_by_the_environment(toon) -> None:
    check(toon("toonify", STYLEGAN_TOON_TOONIFY_REFINE="9"), 2, "--refine")
    check(toon(script="toonify.py", STYLEGAN_TOON_TOONIFY_REFINE="9"), 2, "--refine")


def test_generate_prints_paths_or_one_document(here, tmp_path: Path) -> None:
    model = tiny(tmp_path / "g.safetensors")
    lines = here("generate", model, "--seeds", "3-4").stdout.splitlines()
    assert [Path(line).name for line in lines] == ["seed0003.png", "seed0004.png", "grid.png"]
    assert all((tmp_path / line).is_file() for line in lines)
    done = here("generate", model, "--seeds", "3-4", "--json")
    assert json.loads(done.stdout) == {"paths": lines}


def test_seed_chooses_the_pictures_when_no_list_is_given(here, tmp_path: Path) -> None:
    done = here("generate", tiny(tmp_path / "g.safetensors"), "--seed", "5")
    assert "seed0005.png" in done.stdout
    assert "seed0012.png" in done.stdout
