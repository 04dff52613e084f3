"""finetune --pairs as a person types it: drawings of known photos, found by their names."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.checkpoint.format import load
from stylegan_toon.pipelines.codes import paired, read_codes
from stylegan_toon.stylegan2.edits import Edit, save_edit
from stylegan_toon.stylegan2.files import build_generator
from stylegan_toon.stylegan2.latent_files import save_latents
from tests.cli.test_finetune import CPU, NETWORK, write
from tests.cli.test_training import done, toon


@pytest.fixture
def given(tmp_path):
    """A source of 32 px, drawings a to d, and codes b, c and z, of which the last has no drawing."""
    torch.manual_seed(2)
    write(tmp_path / "small.safetensors", NETWORK)
    for folder in ("drawings", "codes"):
        (tmp_path / folder).mkdir()
    for seed, name in enumerate("abcd"):
        noise = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "drawings" / f"{name}.png")
    source = load(tmp_path / "small.safetensors", "generator")
    for name in "bcz":
        shift = torch.randn(1, *NETWORK.shift_shape)
        save_latents(tmp_path / "codes" / f"{name}.latent.safetensors", torch.randn(1, NETWORK.n_layers, 16),
                     source, ["photo"], shift=shift)  # fmt: skip
    return ("finetune", "--target", "drawings", "--source", "small.safetensors", "--batch", "4", *CPU)


def test_a_drawing_belongs_to_the_code_that_bears_its_name(given, tmp_path):
    codes = ("--codes", "codes", "--photo-codes", "1", "--steps", "2")
    code, _, said = toon(*given, *codes, "--pairs", "2", "--out", "one", cwd=tmp_path)
    assert code == 0 and "2 of 3 codes have a drawing in " in said, said
    assert json.loads((tmp_path / "one/run.json").read_text())["method"]["pairs_weight"] == 2
    logged = [json.loads(line) for line in (tmp_path / "one/log.jsonl").read_text().splitlines()]
    assert [entry["g/pairs"] > 0 for entry in logged if "g" in entry][:1] == [True]
    done(*given, *codes, "--out", "two", cwd=tmp_path)
    one, two = (load(tmp_path / out / "last.safetensors", "generator").tensors for out in ("one", "two"))
    assert any(not torch.equal(one[name], two[name]) for name in one)


def test_drawings_may_lie_beside_the_target_and_are_taken_as_they_are(given, tmp_path):
    codes = ("--codes", "codes", "--photo-codes", "1", "--pairs", "2", "--steps", "1")
    (tmp_path / "others").mkdir()
    for name in "zy":
        Image.new("RGB", (32, 32), "teal").save(tmp_path / "others" / f"{name}.png")
    code, _, said = toon(*given, *codes, "--drawings", "others", "--out", "one", cwd=tmp_path)
    assert code == 0 and "1 of 3 codes have a drawing in others" in said, said
    assert json.loads((tmp_path / "one/run.json").read_text())["drawings"] == "others"


def test_pairs_alone_train_no_discriminator(given, tmp_path):
    options = ("--codes", "codes", "--pairs", "1", "--adversarial", "0")
    planned = json.loads(done(*given, *options, "--dry-run", "--json", cwd=tmp_path))
    assert planned["trained_parameters_d"] == 0 < planned["trained_parameters_g"]
    assert planned["method"]["photo_codes"] == 1
    done(*given, *options, "--finish", "cel", "--steps", "2", "--out", "one", cwd=tmp_path)
    assert load(tmp_path / "one/last.safetensors", "generator").meta["finish"] == "cel"
    logged = [json.loads(line) for line in (tmp_path / "one/log.jsonl").read_text().splitlines()]
    assert not any("d" in entry for entry in logged) and any("g/pairs" in entry for entry in logged)
    assert (tmp_path / "one/report.html").is_file()
    code, _, said = toon(*given, "--adversarial", "0", "--out", "two", cwd=tmp_path)
    assert code == 2 and "without an adversarial loss" in said and "Traceback" not in said


def people(tmp_path, *names):
    """Codes without shifts, in the folder people."""
    source = load(tmp_path / "small.safetensors", "generator")
    (tmp_path / "people").mkdir()
    for i, name in enumerate(names):
        w_plus = torch.full((1, NETWORK.n_layers, 16), float(i))
        save_latents(tmp_path / "people" / f"{name}.latent.safetensors", w_plus, source, ["photo"])


def test_people_have_a_drawing_in_every_mood_that_their_names_end_in(given, tmp_path):
    people(tmp_path, "a", "b", "c", "z")
    for name in ("a-happy", "c-sad", "c-happy"):
        (tmp_path / "drawings/d.png").replace(tmp_path / f"drawings/{name}.png")
        Image.new("RGB", (32, 32), "teal").save(tmp_path / "drawings/d.png")
    (tmp_path / "drawings/c.png").unlink()
    drawn = {file.stem: np.asarray(Image.open(file)) for file in (tmp_path / "drawings").glob("*.png")}
    g = build_generator(load(tmp_path / "small.safetensors", "generator"))
    said = []
    known = paired(
        read_codes([str(tmp_path / "people")], g), tmp_path / "drawings", 32, said.append, ("sad", "happy")
    )
    assert said[0].startswith("3 of 4 codes have a drawing in ") and said[0].endswith(
        ", 5 with those in moods"
    )
    assert known.w_plus[:, 0, 0].tolist() == [0, 1, 2, 3, 2, 0, 2] and known.shift is None
    assert known.paired.tolist() == [True, True, False, False, True, True, True]
    assert known.moods.tolist() == [[0, 0]] * 4 + [[1, 0], [0, 1], [0, 1]]
    for row, name in {0: "a", 1: "b", 4: "c-sad", 5: "a-happy", 6: "c-happy"}.items():
        assert np.array_equal(known.drawings[row].permute(1, 2, 0).numpy(), drawn[name]), name
    assert (
        paired(read_codes([str(tmp_path / "people")], g), tmp_path / "drawings", 32, said.append).moods
        is None
    )
    assert said[1].startswith("2 of 4 codes have a drawing in ") and "moods" not in said[1]


def test_pairs_in_moods_make_a_style_with_shapes_of_its_own(given, tmp_path, monkeypatch):
    source = load(tmp_path / "small.safetensors", "generator")
    (edits := tmp_path / "models/edits").mkdir(parents=True)
    for mood in ("sad", "angry", "happy"):
        save_edit(edits / f"{mood}.edit.safetensors", Edit(mood, "mean", {"w": torch.randn(16)}), source)
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(tmp_path))
    people(tmp_path, "a", "b")
    options = ("--pairs", "2", "--moods", "--steps", "2", "--out")
    code, _, said = toon(*given, "--codes", "people", *options, "never", cwd=tmp_path)
    assert code == 2 and "-sad, -angry, -happy; rename some" in said.splitlines()[-1], said
    code, _, said = toon(*given, "--codes", "codes", *options, "never", cwd=tmp_path)
    assert code == 2 and "invert the photos with --space w+" in said.splitlines()[-1], said
    (tmp_path / "drawings/c.png").rename(tmp_path / "drawings/b-angry.png")
    done(*given, "--codes", "people", *options, "one", cwd=tmp_path)
    meta = load(tmp_path / "one/last.safetensors", "generator").meta
    assert (meta["shapes"], meta["moods"]) == ("style", ["sad", "angry", "happy"])


def test_pairs_that_cannot_be_found_are_refused(given, tmp_path):
    for options, code, words in (
        ((), 2, "give --codes FOLDER"),
        (("--codes", "codes/z.latent.safetensors"), 3, "bears the name of a code (z)"),
        (("--codes", "codes", "--photo-codes", "0"), 2, "a share of photo codes"),
        (("--codes", "codes", "--freeze-g", "1"), 2, "frozen mapping"),
        (("--codes", "codes", "--drawings", "codes"), 3, "no picture in folder codes"),
        (("--drawings", "drawings"), 2, "give --pairs 10 and --codes FOLDER"),
    ):
        got, _, said = toon(*given, "--pairs", "1", *options, "--out", "never", cwd=tmp_path)
        line = said.splitlines()[-1]
        assert got == code and words in line and len(line) <= 200, line
    assert not (tmp_path / "never").exists() or not any((tmp_path / "never").glob("*.safetensors"))


def test_portraits_are_their_own_drawings(given, tmp_path):
    (tmp_path / "large").mkdir()
    for seed in range(2):
        noise = np.random.default_rng(seed).integers(0, 256, (128, 128, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "large" / f"{seed}.png")
    plan, faces = ("--portraits", "3", "--dry-run", "--json"), ("--source", "faces", "--target", "large")
    for more, weight in (((), 0), (("--codes", "codes"), 0), (faces, 3)):
        planned = json.loads(done(*given, *more, *plan, cwd=tmp_path))
        assert planned["method"]["pairs_weight"] == weight, more
