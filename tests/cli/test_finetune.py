"""finetune as a person types it: what is frozen, from which files, with which pictures, and what it says."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.checkpoint.format import Checkpoint, load, save
from stylegan_toon.cli.presets import cartoon_stylegan, parse_preset
from stylegan_toon.errors import UsageError
from stylegan_toon.pipelines.models import load_generator
from stylegan_toon.pipelines.networks import open_networks, open_start
from stylegan_toon.stylegan2.config import Config, channels_for
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.edits import Edit, save_edit
from stylegan_toon.stylegan2.encoder import Config as EncoderConfig
from stylegan_toon.stylegan2.encoder import Encoder, with_spread
from stylegan_toon.stylegan2.files import (
    discriminator_checkpoint,
    encoder_checkpoint,
    generator_checkpoint,
)
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latent_files import mapping_digest, save_latents
from tests.checkpoint import nvidia_file
from tests.cli.test_training import STORYBOOK, done, toon
from tests.stylegan2 import reference

CPU = ("--device", "cpu")
NETWORK = Config(32, (8, 8, 8, 8), 16, 16, 2)


def write(path, config):
    save(path, generator_checkpoint(Generator(config), half=True))
    save(path.with_name(f"{path.stem}.discriminator.safetensors"),
         discriminator_checkpoint(Discriminator(config), half=True))  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """small.safetensors, 32 px, and its discriminator."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(2)
    write(folder / "small.safetensors", NETWORK)
    return folder


def plan(*args, cwd, target=STORYBOOK):
    said = done("finetune", "--target", target, "--dry-run", "--json", *args, *CPU, cwd=cwd)
    return json.loads(said)


@pytest.mark.parametrize("pictures", ["many", True, -1, 1e30, [3]], ids=str)
def test_a_source_whose_count_of_pictures_is_no_number_is_refused(place, tmp_path, pictures):
    made = load(place / "small.safetensors", "generator")
    save(
        tmp_path / "odd.safetensors", Checkpoint(made.kind, made.config, {"pictures": pictures}, made.tensors)
    )
    (tmp_path / "odd.discriminator.safetensors").hardlink_to(place / "small.discriminator.safetensors")
    code, _, said = toon("finetune", "--target", STORYBOOK, "--source", "odd.safetensors", "--dry-run", *CPU,
                         cwd=tmp_path)  # fmt: skip
    assert code == 4 and "odd.safetensors says it has seen" in said and "Traceback" not in said


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """An untrained StyleGAN2 of 256 px, multiplier 2, in float16, and one picture."""
    folder = tmp_path_factory.mktemp("full")
    write(folder / "full.safetensors", Config(256, channels_for(256)))
    (folder / "pictures").mkdir()
    Image.new("RGB", (256, 256), "teal").save(folder / "pictures" / "a.png")
    return folder


@pytest.mark.parametrize(
    "options, g, d",
    [
        (["--freeze-g", "3", "--freeze-mapping"], 14_019_988, 28_864_129),
        (["--freeze-g", "3"], 16_121_236, 28_864_129),
        (["--freeze-g", "4", "--freeze-mapping"], 8_510_863, 28_864_129),
        (["--freeze-sg", "4", "--freeze-d", "2"], 10_612_111, 26_486_785),
        (["--preset", "cartoon-stylegan"], 14_019_988, 26_486_785),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_trained_parameters_at_256_px(full, options, g, d):
    found = plan("--source", "full.safetensors", *options, cwd=full, target="pictures")
    assert (found["trained_parameters_g"], found["trained_parameters_d"]) == (g, d)
    assert (found["parameters_g"], found["parameters_d"]) == (30_034_338, 28_864_129)
    assert not (full / "runs").exists()


def test_a_dry_run_writes_nothing_and_says_the_settings_that_a_run_would_have(place, tmp_path):
    args = ("finetune", "--target", STORYBOOK, "--source", place / "small.safetensors", "--freeze-d", "2",
            "--steps", "1", "--batch", "4", *CPU)  # fmt: skip
    lines = done(*args, "--dry-run", cwd=tmp_path).splitlines()
    assert list(tmp_path.iterdir()) == []
    assert "  freeze_d: 2" in lines and "pictures: 16" in lines
    planned = json.loads(done(*args, "--dry-run", "--json", cwd=tmp_path))
    done(*args, cwd=tmp_path)
    assert json.loads((tmp_path / "runs/storybook16/run.json").read_text())["method"] == planned["method"]


@pytest.mark.parametrize(
    "options, freeze_g, freeze_sg, mapping",
    [
        ([], 2, 0, True),  # the recipe for few pictures
        (["--freeze-g", "2"], 2, 0, False),
        (["--freeze-g", "0"], 0, 0, False),
        (["--freeze-sg", "2"], 2, 2, False),
        (["--freeze-g", "3", "--freeze-sg", "2"], 3, 2, False),
        (["--freeze-sg", "2", "--freeze-mapping"], 2, 2, True),
        (["--train-mapping"], 1, 0, False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_the_mapping_is_frozen_by_default_and_trained_beside_the_freezing_options(
    place, options, freeze_g, freeze_sg, mapping
):
    code, out, said = toon("finetune", "--target", STORYBOOK, "--source", "small.safetensors", "--dry-run",
                           "--json", *options, *CPU, cwd=place)  # fmt: skip
    method = json.loads(out)["method"]
    assert (method["ema_images"], method["ema_ramp"]) == (1500.0, 0.1)
    assert (method["freeze_g"], method["freeze_sg"], method["freeze_mapping"]) == (
        freeze_g,
        freeze_sg,
        mapping,
    )
    assert code == 0 and ("--freeze-sg 2 does what --freeze-g 2 does" in said) == (mapping and freeze_sg > 0)


def test_the_preset_gives_that_repositorys_settings_and_what_is_typed_counts_more(place):
    common = ("--source", "small.safetensors", "--structure-layers", "2")
    method = plan(*common, "--preset", "cartoon-stylegan:freezeG=2,freezeD=1", cwd=place)["method"]
    wanted = {"freeze_g": 2, "freeze_d": 2, "freeze_mapping": True, "structure_of": "features", "mixing": 0.9,
              "r1_weight": 10.0, "path_weight": 0.0, "ema_images": 2500.0, "ema_ramp": 0.0, "ada_p": 0.0,
              "noise_lr": 0.1, "structure_layers": 2}  # fmt: skip
    assert method.items() >= wanted.items()
    method = plan(*common, "--preset", "cartoon-stylegan:freezeG=-1", "--r1", "3", "--batch", "8", cwd=place)[
        "method"
    ]
    assert method["r1_weight"] == 3.0 and method["path_weight"] == 2.0 and method["ema_images"] == 2500.0
    assert (method["freeze_g"], method["freeze_mapping"]) == (0, False)


def test_the_presets_numbers_are_read_whole():
    assert parse_preset("cartoon-stylegan") == {
        "freezeG": 4,
        "freezeD": 4,
        "freezeStyle": 4,
        "structure_loss": 3,
    }
    assert cartoon_stylegan(parse_preset("cartoon-stylegan:freezeD=-1,structure_loss=-1"), 16).items() >= {
        "freeze_g": -4, "freeze_d": 0, "structure_layers": 0}.items()  # fmt: skip
    for text in ("cartoon", "cartoon-stylegan:freezeg=4", "cartoon-stylegan:freezeG=x", "cartoon-stylegan:,",
                 "cartoon-stylegan:freezeG=0", "cartoon-stylegan:freezeG=-1,freezeStyle=2"):  # fmt: skip
        with pytest.raises(UsageError) as refused:
            parse_preset(text)
        assert len(str(refused.value)) <= 190


def test_a_child_of_freeze_sg_is_drawn_as_it_was_trained_and_told_apart(place, tmp_path):
    """Coarse layers from the source's mapping in generate and looks; other commands know it."""
    source = place / "small.safetensors"
    done("finetune", "--target", STORYBOOK, "--source", source, "--freeze-sg", "2", "--steps", "3",
         "--batch", "4", "--out", "runs/sg", "--lr", "0.05", *CPU, cwd=tmp_path)  # fmt: skip
    path = tmp_path / "runs/sg/last.safetensors"
    child, parent = load_generator(path), load_generator(source)
    assert load(path).config["source_resolutions"] == 2
    assert load(path).meta["source_mapping"] == mapping_digest(load(source))
    z = torch.randn(1, 16, generator=torch.Generator().manual_seed(4))
    codes = child.codes(z)
    assert torch.equal(codes[:, 0], parent.mapping(z)) and torch.equal(codes[:, 4], child.mapping(z))
    assert not torch.allclose(codes[:, 3], codes[:, 4])
    done("generate", path, "--seeds", "4", "--out", "drawn", "--psi", "1", "--npz", "drawn.npz", cwd=tmp_path)
    drawn = np.load(tmp_path / "drawn.npz")["images"]
    torch.testing.assert_close(torch.from_numpy(drawn), child.synthesis(codes, "const")[-1])
    done("convert", path, "again.safetensors", cwd=tmp_path)
    assert load_generator(tmp_path / "again.safetensors").config == child.config
    for args, wanted in (
        (("convert", path, "x.pt", "--to", "rosinality"), "second mapping of --freeze-sg"),
        (("train-encoder", STORYBOOK, "--source", path, "--out", "e"), "has two mappings"),
        (("finetune", "--target", STORYBOOK, "--source", path), "has two mappings"),
        (("blend", path, source, "--blend", "1", "--out", "b.safetensors"), "the source has two mappings"),
    ):
        code, _, said = toon(*args, cwd=tmp_path)
        assert code == 4 and wanted in said.splitlines()[-1] and len(said.splitlines()[-1]) <= 200, said
    code, _, said = toon("blend", source, path, "--blend", "1", "--out", "b.safetensors", cwd=tmp_path)
    assert code == 0 and "has a mapping of its own" in said
    assert load_generator(tmp_path / "b.safetensors").config == parent.config
    code, out, said = toon("toonify", "--style", path, "--source", source, "--blend", "1", *CPU, cwd=tmp_path)
    assert code == 0 and out.strip() == "out/last-pairs.png" and "has a mapping of its own" in said


@pytest.mark.parametrize(
    "options", [(), ("--freeze-sg", "2", "--l2sp", ".01", "--cdc", "5", "--loss", "relativistic")]
)
def test_three_steps_and_three_more_end_as_six(place, tmp_path, options):
    for out, steps in (("half", 3), ("half", 6), ("whole", 6)):
        done("finetune", "--target", STORYBOOK, "--source", place / "small.safetensors", *options, "--batch",
             "4", "--steps", steps, "--out", out, "--noise", *CPU, cwd=tmp_path)  # fmt: skip
    digests = {done("digest", out, cwd=tmp_path) for out in ("half", "whole")}
    assert len(digests) == 1


def rosinality(folder, **more):
    state = reference.generator_state([8, 8, 8, 8], style_dim=16, n_mlp=2)
    return reference.write_pt(folder / "theirs.pt", False, g_ema=state, **more)


def nvidia(folder):
    g = reference.generator_state([8, 8, 8, 8], style_dim=16, n_mlp=2)
    d = nvidia_file.discriminator(reference.discriminator_state([8, 8, 8, 8]))
    made = nvidia_file.generator(g)
    path = folder / "theirs.pkl"
    path.write_bytes(nvidia_file.dump({"G": made, "D": d, "G_ema": made}))
    return path


@pytest.mark.parametrize("layout", ["rosinality", "nvidia"])
def test_a_file_of_others_gives_generator_and_discriminator(layout, tmp_path):
    state = reference.discriminator_state([8, 8, 8, 8])
    source = nvidia(tmp_path) if layout == "nvidia" else rosinality(tmp_path, d=state)
    args = ("finetune", "--target", STORYBOOK, "--source", source, "--steps", "1", "--batch", "4",
            "--lr", "1e-9", "--out", "run", *CPU)  # fmt: skip
    code, _, said = toon(*args, cwd=tmp_path)
    assert code == 0 and "starts afresh" not in said
    theirs = reference.discriminator_state([8, 8, 8, 8])["final_linear.0.weight"]
    ours = load(tmp_path / "run/last.discriminator.safetensors").tensors["fc.weight"]
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_without_a_discriminator_one_starts_afresh_and_its_cost_is_said_in_one_line(tmp_path):
    args = ("finetune", "--target", STORYBOOK, "--source", rosinality(tmp_path), "--steps", "1",
            "--batch", "4", "--out", "run", *CPU)  # fmt: skip
    code, _, said = toon(*args, cwd=tmp_path)
    lines = [line for line in said.splitlines() if "starts afresh" in line]
    assert code == 0 and len(lines) == 1 and "more steps" in lines[0] and len(lines[0]) <= 200
    assert (tmp_path / "run/last.discriminator.safetensors").is_file()
    code, _, said = toon("train", STORYBOOK, "--start", tmp_path / "theirs.pt", "--out", "t", cwd=tmp_path)
    assert code == 4 and "needs a discriminator" in said


def pictures(folder, *made):
    folder.mkdir()
    for number, picture in enumerate(made):
        picture.save(folder / f"{number}.png")
    return folder


def noisy(size, mode="RGB"):
    shape = (size, size) if mode == "L" else (size, size, len(mode))
    return Image.fromarray(np.random.default_rng(size + len(mode)).integers(0, 256, shape, np.uint8), mode)


def test_unusual_pictures_have_their_sentences(place, tmp_path):
    folder = pictures(tmp_path / "few", noisy(32), noisy(40), noisy(32, "L"), noisy(32, "RGBA"), noisy(16))
    code, _, said = toon(
        "finetune", "--target", folder, "--source", "small.safetensors", "--dry-run", *CPU, cwd=place
    )
    assert code == 0
    for text in ("5 of 5 pictures: they are fewer than a batch of 8", "1 of 5 pictures: they are grey",
                 "1 of 5 pictures: they are transparent",
                 "1 of 5 pictures: they are below the source's 32 px (16 px)"):  # fmt: skip
        assert text in said
    assert all(len(line) <= 200 for line in said.splitlines()) and len(said.splitlines()) == 5
    quiet = toon("finetune", "--target", STORYBOOK, "--source", "small.safetensors", "--dry-run", "--batch",
                 "4", *CPU, cwd=place)  # fmt: skip
    assert quiet[2].count("of 16 pictures") == quiet[2].count("enlarged")


def test_few_grey_transparent_pictures_train(place, tmp_path):
    folder = pictures(tmp_path / "few", noisy(32, "L"), noisy(33, "LA"), noisy(34, "RGBA"))
    done("finetune", "--target", folder, "--source", place / "small.safetensors", "--steps", "2", "--out",
         "r", *CPU, cwd=tmp_path)  # fmt: skip
    assert (tmp_path / "r/last.safetensors").is_file()


def test_pictures_that_are_all_alike_are_refused(place, tmp_path):
    folder = pictures(tmp_path / "same", *[Image.new("RGB", (32, 32), "red")] * 3)
    code, _, said = toon(
        "finetune", "--target", folder, "--source", place / "small.safetensors", cwd=tmp_path
    )
    assert (
        code == 3
        and "all 3 pictures are alike" in said.splitlines()[-1]
        and not (tmp_path / "runs/same").exists()
    )


def test_networks_of_two_sizes_are_refused(place, tmp_path):
    save(tmp_path / "a.safetensors", generator_checkpoint(Generator(Config(16, (8, 8, 8), 16, 16, 2))))
    beside = (place / "small.discriminator.safetensors").read_bytes()
    (tmp_path / "a.discriminator.safetensors").write_bytes(beside)
    code, _, said = toon("finetune", "--target", STORYBOOK, "--source", "a.safetensors", cwd=tmp_path)
    assert code == 4 and "is of 32 px, the generator of 16 px" in said


def test_a_run_of_another_source_size_is_refused(place, tmp_path):
    args = ("finetune", "--target", STORYBOOK, "--out", "run", "--batch", "4", "--freeze-g", "1", *CPU)
    done(*args, "--source", place / "small.safetensors", "--steps", "1", cwd=tmp_path)
    write(tmp_path / "other.safetensors", Config(16, (8, 8, 8), 16, 16, 2))
    code, _, said = toon(*args, "--source", "other.safetensors", "--steps", "2", "--r1", "0.2", cwd=tmp_path)
    assert code == 4 and "is a state of other networks" in said


@pytest.mark.parametrize(
    "options, said",
    [
        (("--freeze-g", "4", "--freeze-mapping"), "leaves nothing"),
        (("--freeze-g", "9"), "there are 4 resolutions"),
        (("--freeze-sg", "4"), "leaves nothing"),
        (("--freeze-sg", "9"), "9 of 4 resolutions"),
        (("--freeze-d", "4"), "there are 3 blocks"),
        (("--structure-layers", "5"), "there are 4 rgb"),
        (("--structure-layers", "4", "--structure-of", "features"), "there are 3 features"),
        (("--cdc", "1", "--batch", "2"), "a batch of 2"),
        (("--l2sp", "-1"), "--l2sp"),
        (("--preset", "mine"), "known: cartoon-stylegan"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_options_that_do_not_fit_are_wrong_usage(place, options, said):
    code, _, errors = toon(
        "finetune", "--target", STORYBOOK, "--source", "small.safetensors", *options, cwd=place
    )
    line = errors.splitlines()[-1]
    assert code == 2 and line.startswith("Error: ") and said in line and len(line) <= 200


def test_codes_of_photos_are_drawn_where_the_encoder_knows_their_spread(place, tmp_path):
    plain = Encoder(EncoderConfig(32, NETWORK.channels, NETWORK.n_layers, 16, rank=4))
    save(tmp_path / "plain.safetensors", encoder_checkpoint(plain))
    knowing = with_spread(plain, torch.randn(20, NETWORK.n_layers, 16), 5)
    save(tmp_path / "knows.safetensors", encoder_checkpoint(knowing))
    other = Encoder(EncoderConfig(32, NETWORK.channels, NETWORK.n_layers, 8, rank=4))
    save(tmp_path / "other.safetensors", encoder_checkpoint(other))
    args = ("--source", place / "small.safetensors", "--steps", "1", "--batch", "4")

    def share(*options):
        return plan(*args, *options, cwd=tmp_path)["method"]["photo_codes"]

    assert share() == 0  # the source has no encoder
    assert share("--encoder", "knows.safetensors") == 0.75
    assert share("--encoder", "knows.safetensors", "--photo-codes", "0.5", "--identity", "1") == 0.5
    assert share("--encoder", "knows.safetensors", "--photo-codes", "0") == 0
    done("finetune", "--target", STORYBOOK, *args, "--encoder", "knows.safetensors", *CPU, cwd=tmp_path)
    assert json.loads((tmp_path / "runs/storybook16/run.json").read_text())["method"]["photo_codes"] == 0.75
    for options, code, words in (
        (("--photo-codes", "0.5"), 4, "small"),
        (("--encoder", "plain.safetensors"), 4, "does not know how the codes of photos are spread"),
        (("--encoder", "other.safetensors"), 4, "8 codes of 8, the generator takes 8 of 16"),
        (("--encoder", "knows.safetensors", "--train-mapping"), 2, "need a frozen mapping"),
        (("--photo-codes", "2"), 2, "--photo-codes"),
    ):
        given = ("finetune", "--target", STORYBOOK, *args, *options, "--out", "never", *CPU)
        got, _, said = toon(*given, cwd=tmp_path)
        line = said.splitlines()[-1]
        assert got == code and words in line and len(line) <= 200, line
        assert "Traceback" not in said


def test_codes_of_photos_come_from_latent_files_with_their_shifts(place, tmp_path):
    source = load(place / "small.safetensors", "generator")
    (tmp_path / "codes").mkdir()
    for name in "ab":
        w_plus, shift = torch.randn(2, NETWORK.n_layers, 16), torch.randn(2, *NETWORK.shift_shape)
        file = tmp_path / "codes" / f"{name}.latent.safetensors"
        save_latents(file, w_plus, source, ["x", "y"], shift=shift)
    args = ("finetune", "--target", STORYBOOK, "--source", place / "small.safetensors", "--batch", "4", *CPU)
    done(*args, "--codes", "codes", "--steps", "2", "--photo-codes", "1", "--out", "one", cwd=tmp_path)
    about = json.loads((tmp_path / "one/run.json").read_text())
    assert about["method"]["photo_codes"] == 1 and about["codes"] == ["codes"]
    done(*args, "--steps", "2", "--out", "two", cwd=tmp_path)
    one, two = (load(tmp_path / out / "last.safetensors", "generator").tensors for out in ("one", "two"))
    assert any(not torch.equal(one[name], two[name]) for name in one)
    plan_of = plan(
        "--source", place / "small.safetensors", "--codes", "codes/a.latent.safetensors", cwd=tmp_path
    )
    assert plan_of["method"]["photo_codes"] == 0.75
    (tmp_path / "empty").mkdir()
    save_latents(tmp_path / "b.safetensors", w_plus, source, ["x", "y"], shift=shift[:, :1])
    torch.manual_seed(8)
    save_latents(tmp_path / "c.safetensors", w_plus, generator_checkpoint(Generator(NETWORK)), ["x", "y"])
    for codes, code, words in (
        ("empty", 3, "holds no latent files"),
        ("b.safetensors", 4, "its shift is of"),
        ("c.safetensors", 4, "made with another generator"),
        ("nowhere", 4, "nowhere"),
    ):
        got, _, said = toon(*args, "--codes", codes, "--out", "never", cwd=tmp_path)
        line = said.splitlines()[-1]
        assert got == code and words in line and len(line) <= 200, line


def test_a_style_begins_as_another_of_the_same_source(place, tmp_path):
    source = place / "small.safetensors"
    args = ("finetune", "--target", STORYBOOK, "--source", source, "--batch", "4", *CPU)
    done(*args, "--steps", "2", "--ema", "1", "--out", "first", cwd=tmp_path)
    done(*args, "--steps", "1", "--lr", "1e-9", "--start", "first", "--out", "second", cwd=tmp_path)
    first, second, plain = (
        {name: tensor.float() for name, tensor in load(file, "generator").tensors.items()}
        for file in (tmp_path / "first/last.safetensors", tmp_path / "second/last.safetensors", source)
    )
    name = "synthesis.blocks.3.to_rgb.conv.weight"
    assert not torch.allclose(first[name], plain[name], atol=1e-4)
    assert json.loads((tmp_path / "second/run.json").read_text())["start"] == "first"
    for key, value in first.items():
        if key.startswith("synthesis"):
            torch.testing.assert_close(value, second[key], atol=1e-6, rtol=1e-6)
    torch.manual_seed(9)
    write(tmp_path / "stranger.safetensors", NETWORK)
    for start, code, words in (("stranger.safetensors", 4, "is no child of"), ("nobody", 4, "nobody")):
        got, _, said = toon(*args, "--steps", "1", "--start", start, "--out", "third", cwd=tmp_path)
        line = said.splitlines()[-1]
        assert got == code and words in line and len(line) <= 200, line
    for option, words in (
        (("--train", "lora"), "begins as the source"),
        (("--train-mapping",), "frozen mapping"),
    ):
        got, _, said = toon(
            *args, *option, "--steps", "1", "--start", "first", "--out", "third", cwd=tmp_path
        )
        assert got == 2 and words in (line := said.splitlines()[-1]) and len(line) <= 200, line


def test_a_start_without_a_discriminator_takes_the_sources(place, tmp_path):
    write(tmp_path / "whole.safetensors", NETWORK)
    save(tmp_path / "alone.safetensors", load(place / "small.safetensors"))
    _, d, _, _ = open_networks(str(place / "small.safetensors"))
    said: list[str] = []
    for start, whose, words in (("whole", None, None), ("alone", d, "the source's goes on")):
        g, found = open_start(str(tmp_path / f"{start}.safetensors"), d, said.append)
        assert (found is d) == (whose is d) and isinstance(g, Generator)
        assert said == [] if words is None else words in said.pop()
    assert open_start(str(tmp_path / "alone.safetensors"), None, said.append)[1] is not d
    assert "starts afresh" in said.pop()
    args = ("finetune", "--target", STORYBOOK, "--source", place / "small.safetensors", "--batch", "4", *CPU)
    done(*args, "--steps", "1", "--lr", "1e-9", "--start", "alone.safetensors", "--out", "one", cwd=tmp_path)
    after = load(tmp_path / "one/last.discriminator.safetensors", "discriminator").tensors
    for name, value in d.state_dict().items():
        torch.testing.assert_close(after[name].float(), value, atol=1e-3, rtol=1e-3)


def test_expressions_are_kept_by_edits_of_the_source(place, tmp_path):
    parent = load(place / "small.safetensors")
    mine = Edit("mine", "mean", {"w": torch.randn(16)}, 0.7)
    save_edit(tmp_path / "mine.edit.safetensors", mine, parent)
    write(tmp_path / "other.safetensors", NETWORK)
    save_edit(tmp_path / "other.edit.safetensors", mine, load(tmp_path / "other.safetensors"))
    wide = Edit("wide", "mean", {"w": torch.randn(8)}, 1.0)
    save_edit(tmp_path / "wide.edit.safetensors", wide, parent)
    args = ("--source", place / "small.safetensors", "--steps", "4", "--batch", "4", "--expression", "0.5")
    made = plan(*args, "--edit", "mine.edit.safetensors", "--low-pass", "2", cwd=tmp_path)
    assert (made["method"]["expression_weight"], made["method"]["lowpass_weight"]) == (0.5, 2)
    assert made["edits"] == ["mine.edit.safetensors"]
    done("finetune", "--target", STORYBOOK, *args, "--edit", "mine.edit.safetensors", *CPU, cwd=tmp_path)
    log = [json.loads(row) for row in (tmp_path / "runs/storybook16/log.jsonl").read_text().splitlines()]
    assert any("g" in row for row in log)
    for edit, words in (
        ("sad", "was made with another generator"),
        ("other.edit.safetensors", "was made with another generator"),
        ("wide.edit.safetensors", "codes here are [16]"),
        ("nowhere", "no edit is called 'nowhere'"),
    ):
        given = ("finetune", "--target", STORYBOOK, *args, "--edit", edit, "--out", "never", *CPU)
        got, _, said = toon(*given, cwd=tmp_path)
        line = said.splitlines()[-1]
        assert got == 4 and words in line and len(line) <= 200, line
        assert "Traceback" not in said
    got, _, said = toon("finetune", "--target", STORYBOOK, "--edit", "sad", "--out", "never", cwd=tmp_path)
    assert got == 2 and "give --expression 1" in said.splitlines()[-1]
