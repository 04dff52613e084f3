"""finetune --inverted as a person types it: pictures are drawings of those whom the encoder sees there."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.checkpoint.format import load, save
from stylegan_toon.data import load_pictures
from stylegan_toon.paths import sample_file
from stylegan_toon.pipelines.codes import inverted, moods_of
from stylegan_toon.pipelines.finetune import look_at
from stylegan_toon.pipelines.judge import in_moods
from stylegan_toon.pipelines.models import load_encoder, load_generator
from stylegan_toon.stylegan2.edits import Edit, apply_edit, save_edit
from stylegan_toon.stylegan2.encoder import Config, Encoder, with_spread
from stylegan_toon.stylegan2.files import encoder_checkpoint
from stylegan_toon.stylegan2.latent_files import save_latents
from tests.cli.test_finetune import CPU, NETWORK, write
from tests.cli.test_training import done, toon


@pytest.fixture
def given(tmp_path):
    """A source of 32 px with an encoder that knows the spread of photos' codes, and drawings a to d."""
    torch.manual_seed(2)
    write(tmp_path / "small.safetensors", NETWORK)
    plain = Encoder(Config(32, NETWORK.channels, NETWORK.n_layers, 16, rank=4))
    knowing = with_spread(plain, torch.randn(20, NETWORK.n_layers, 16), 5)
    save(tmp_path / "small.encoder.safetensors", encoder_checkpoint(knowing))
    (tmp_path / "drawings").mkdir()
    for seed, name in enumerate("abcd"):
        noise = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "drawings" / f"{name}.png")
    return ("finetune", "--target", "drawings", "--source", "small.safetensors", "--batch", "4", *CPU)


def test_people_and_pictures_are_told_apart_and_about_as_many(given, tmp_path):
    encoder = load_encoder(str(tmp_path / "small.safetensors"))
    g = load_generator(tmp_path / "small.safetensors")
    pictures = load_pictures([tmp_path / "drawings"], 32)
    photos = load_pictures([sample_file("portraits")], 32)
    for mirror, drawn in (True, torch.cat([pictures, pictures.flip(3)])), (False, pictures):
        known = inverted(encoder, g, pictures, mirror)
        assert known.shift is None and known.paired.sum() == 120 == len(known.w_plus) / 2
        with torch.no_grad():
            codes = encoder(drawn / 127.5 - 1)
            theirs = encoder(photos / 127.5 - 1)
        for row in (0, len(drawn) - 1, len(drawn), 119):
            at = known.at(torch.tensor([row]), torch.device("cpu"))
            torch.testing.assert_close(at.drawings[0], drawn[row % len(drawn)] / 127.5 - 1)
            torch.testing.assert_close(at.w_plus[0], codes[row % len(drawn)], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(known.w_plus[120:180], theirs, atol=1e-5, rtol=1e-5)
    many = inverted(encoder, g, pictures.repeat(40, 1, 1, 1))
    assert many.paired.sum() == 320 and len(many.w_plus) == 320 + 360


def test_the_file_says_that_shapes_are_its_own_and_the_recipe_is_another(given, tmp_path):
    code, _, said = toon(*given, "--inverted", "3", "--steps", "2", "--out", "one", cwd=tmp_path)
    assert code == 0 and "; shapes of its own: --freeze-g 0 --structure 0 --photo-codes 0.95" in said, said
    settings = json.loads((tmp_path / "one/run.json").read_text())["method"]
    assert settings["pairs_weight"] == 3 and settings["freeze_g"] == settings["structure_weight"] == 0
    assert settings["lowpass_weight"] == settings["blend"] == 0 and settings["freeze_mapping"]
    logged = [json.loads(line) for line in (tmp_path / "one/log.jsonl").read_text().splitlines()]
    assert any(entry.get("g/pairs", 0) > 0 for entry in logged)
    assert load(tmp_path / "one/best.safetensors", "generator").meta["shapes"] == "style"
    done(*given, "--steps", "1", "--out", "two", cwd=tmp_path)
    assert "shapes" not in load(tmp_path / "two/best.safetensors", "generator").meta


def test_photos_are_those_of_codes_and_pictures_have_the_moods_of_their_names(given, tmp_path):
    encoder = load_encoder(str(tmp_path / "small.safetensors"))
    g = load_generator(tmp_path / "small.safetensors")
    names = ["a.png", "in/b-happy.png", "c_happy.png", "D-ANGRY.jpg", "sad.png"]
    moods = moods_of(names, ("sad", "angry", "happy"))
    assert moods.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0]]
    pictures = load_pictures([tmp_path / "drawings"], 32)
    photos = torch.randn(3, NETWORK.n_layers, 16)
    known = inverted(encoder, g, pictures, True, photos, moods[:4])
    assert known.paired.tolist() == [True] * 8 + [False] * 9
    assert torch.equal(known.w_plus[8:], photos.repeat(3, 1, 1))
    assert torch.equal(known.moods[:8], moods[:4].repeat(2, 1))
    assert {*map(tuple, known.moods[8:].tolist())} <= {*map(tuple, moods[:4].tolist())}
    assert inverted(encoder, g, pictures, True, photos).moods is None


def test_looks_draw_faces_in_the_moods_that_the_pictures_have(given, tmp_path):
    g = load_generator(tmp_path / "small.safetensors")
    torch.manual_seed(4)
    edits = [
        Edit("sad", "mean", {"s.blocks.1.conv1": torch.randn(NETWORK.channels[1])}, 2.0),
        Edit("happy", "mean", {"w": torch.randn(16)}, 1.0),  # of codes, which samples have their own of
    ]
    shares = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    nets = in_moods(g, edits, shares)
    sad = apply_edit(g, g.w_mean[None], edits[0], 2.0)[0]
    codes = torch.randn(1, NETWORK.n_layers, 16)
    with torch.no_grad():
        drawn = [net.synthesis(codes, "none")[-1] for net in nets]
        plain, moved = (net.synthesis(codes, "none")[-1] for net in (g, sad))
    assert not torch.equal(plain, moved)
    assert [torch.equal(x, plain) for x in drawn] == [True] * 6 + [False] * 2
    assert torch.equal(drawn[6], moved) and torch.equal(drawn[7], moved)


def test_even_drawings_are_finished_so_and_their_eyes_stay(given, tmp_path):
    (tmp_path / "even").mkdir()
    for i in range(5):
        picture = Image.new("RGB", (80, 80), (240 - 9 * i, 200, 170))
        picture.paste((90, 60, 40 + i), (20, 10, 60, 40 + i))
        picture.save(tmp_path / f"even/{i}.png")
    own = (*given[:2], "even", *given[3:], "--dry-run")
    for more, words in (
        (("--inverted", "3"), " --finish cel "),
        (("--pairs", "1", "--moods"), " --finish cel "),
    ):
        said = toon(*own, *more, cwd=tmp_path)[2]
        assert "; shapes of its own: --freeze-g 0" in said and words in said and "--eyes" not in said, said
        assert "few drawings change" not in said
    faces = ("finetune", "--target", "even", "--inverted", "3", "--dry-run", *CPU)
    for more, begins in (
        ((), True), (("--train", "lora"), False), (("--freeze-g", "1"), True), (("--steps", "9"), True),
    ):  # fmt: skip
        code, _, said = toon(*faces, *more, cwd=tmp_path)
        assert code == 0 and ("--start toon --adversarial 0.3" in said) == begins, said


def test_a_run_with_moods_says_so_in_its_file(given, tmp_path, monkeypatch):
    source = load(tmp_path / "small.safetensors", "generator")
    for mood in ("sad", "angry", "happy"):
        (edits := tmp_path / "models/edits").mkdir(exist_ok=True, parents=True)
        save_edit(edits / f"{mood}.edit.safetensors", Edit(mood, "mean", {"w": torch.randn(16)}), source)
    codes = tmp_path / "people.latent.safetensors"
    save_latents(codes, torch.randn(5, NETWORK.n_layers, 16), source, ["x"] * 5)
    (tmp_path / "drawings/a.png").rename(tmp_path / "drawings/a-happy.png")
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(tmp_path))
    args = ("--inverted", "3", "--moods", "--codes", codes, "--steps", "2", "--out", "one")
    code, _, said = toon(*given, *args, cwd=tmp_path)
    assert code == 0, said
    meta = load(tmp_path / "one/best.safetensors", "generator").meta
    assert (meta["shapes"], meta["moods"]) == ("style", ["sad", "angry", "happy"])
    assert json.loads((tmp_path / "one/run.json").read_text())["moods"] is True
    calm = tuple(word for word in args if word not in ("--moods", "one"))
    done(*given, *calm, "two", cwd=tmp_path)  # the same draws, of faces that no edit changed
    one, two = (load(tmp_path / f"{name}/last.safetensors", "generator").tensors for name in ("one", "two"))
    assert any(not torch.equal(one[name], two[name]) for name in one)


def test_names_are_those_of_the_pictures_in_their_order(tmp_path):
    greys = {"b-happy.png": 10, "a.png": 20, "c/a-sad.png": 30, "b.png": 40}
    with zipfile.ZipFile(tmp_path / "drawn.zip", "w") as pack:
        for name, grey in greys.items():
            Image.new("RGB", (32, 32), (grey, 0, 0)).save(file := io.BytesIO(), "PNG")
            pack.writestr(name, file.getvalue())
    pictures, names = look_at(tmp_path / "drawn.zip", 32, 2, ("b.png",), lambda text: None)
    assert sorted(names) == ["a.png", "b-happy.png", "c/a-sad.png"]
    assert [int(picture[0, 0, 0]) for picture in pictures] == [greys[name] for name in names]


def test_what_does_not_go_with_it_is_said_in_one_line(given, tmp_path):
    source = load(tmp_path / "small.safetensors", "generator")
    save_latents(
        tmp_path / "one.latent.safetensors", torch.randn(1, NETWORK.n_layers, 16), source, ["someone"]
    )
    for options, code, words in (
        (("--pairs", "1"), 2, "leave --pairs out"),
        (("--codes", "absent.latent.safetensors"), 4, "absent.latent"),
        (("--moods",), 2, "-sad, -angry, -happy; rename some"),
        (("--photo-codes", "0"), 2, "give --photo-codes 0.95"),
        (("--encoder", "absent"), 4, "absent"),
    ):
        got, _, said = toon(*given, "--inverted", "1", *options, "--out", "never", cwd=tmp_path)
        line = said.splitlines()[-1]
        assert got == code and words in line and len(line) <= 200, said
    code, _, said = toon(*given, "--moods", "--out", "never", cwd=tmp_path)
    assert code == 2 and "give --inverted 4, or --pairs 10" in said.splitlines()[-1], said
