"""`stylegan-toon convert` as typed: what is printed, what is said on stderr, and the exit code."""

import json
from pathlib import Path

import torch

from stylegan_toon.checkpoint.format import Checkpoint, save
from stylegan_toon.config import to_json
from stylegan_toon.features.clip import CLIP, load_clip
from stylegan_toon.features.clip import Config as ClipConfig
from stylegan_toon.pipelines.models import load_generator
from tests.checkpoint import irse_file, nvidia_file
from tests.stylegan2 import reference

CHANNELS = [4, 4]


def g_state():
    return reference.generator_state(CHANNELS, style_dim=4, n_mlp=1)


def test_an_nvidia_pickle_goes_to_two_files_and_on_to_rosinality(here, tmp_path: Path) -> None:
    d = reference.discriminator_state(CHANNELS)
    entries = {"G_ema": nvidia_file.generator(g_state()), "D": nvidia_file.discriminator(d)}
    (tmp_path / "snapshot.pkl").write_bytes(nvidia_file.dump(entries, tmp_path / "ran"))
    done = here("convert", "snapshot.pkl", "new/")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["new/snapshot.safetensors", "new/snapshot.discriminator.safetensors"]
    done = here("convert", "new/snapshot.safetensors", "back.pt", "--to", "rosinality", "--json")
    assert json.loads(done.stdout) == {"paths": ["back.pt"]}
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert set(back) == {"g_ema", "d", "latent_avg"}
    assert all(back["g_ema"][key].equal(tensor) for key, tensor in g_state().items())
    assert all(back["d"][key].equal(tensor) for key, tensor in d.items())
    assert not (tmp_path / "ran").exists()


def test_wrong_usage_of_to_is_2(here, tmp_path: Path) -> None:
    reference.write_pt(tmp_path / "a.pt", g_ema=g_state())
    for wrong in (["--half"], ["--meta", "blend=3"]):
        done = here("convert", "a.pt", "b.pt", "--to", "rosinality", *wrong)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and "--half and --meta" in done.stderr
    assert here("convert", "a.pt", "b.pt", "--to", "onnx").returncode == 2
    assert not (tmp_path / "b.pt").exists()


def test_what_is_not_read_is_said_and_quiet_is_quiet(here, tmp_path: Path) -> None:
    networks = {f"decoder.{key}": value for key, value in g_state().items()}
    whole = {"state_dict": {**networks, "encoder.x": torch.ones(1)}, "latent_avg": torch.zeros(4), "opts": {}}
    torch.save(whole, tmp_path / "e4e.pt")
    done = here("convert", "e4e.pt", "a.safetensors")
    assert done.returncode == 0 and done.stderr.count("\n") == 1 and "encoder" in done.stderr
    assert here("convert", "e4e.pt", "a.safetensors", "--quiet").stderr == ""


def test_an_e4e_file_goes_to_generator_and_encoder_and_a_wrong_encoder_is_4(here, tmp_path: Path) -> None:
    torch.save(irse_file.whole(irse_file.encoder_state()), tmp_path / "e4e.pt")
    done = here("convert", "e4e.pt", "new/")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["new/e4e.safetensors", "new/e4e.encoder.safetensors"]
    done = here("convert", "e4e.pt", "back.pt", "--to", "rosinality")
    assert done.returncode == 0 and "encoder" in done.stderr and done.stderr.count("\n") == 1
    torch.save(irse_file.whole(irse_file.encoder_state(6)), tmp_path / "mixed.pt")
    fewer = irse_file.whole(irse_file.encoder_state(6), channels=[4, 4, 4])
    torch.save(fewer, tmp_path / "fewer.pt")
    photo = str(Path(__file__).parents[2] / "samples/nasa_astronaut.png")
    with_it = ["toonify", photo, "--style", "e4e.pt", "--source", "e4e.pt", "--encoder"]
    for command, words in (
        (["convert", "mixed.pt", "a.safetensors"], "gives 6 codes of 6, but its decoder takes 8"),
        ([*with_it, "fewer.pt"], "gives 6 codes of 6, the generator takes 8"),
        ([*with_it, "absent"], "no encoder is called"),
    ):
        done = here(*command, "--quiet")
        assert done.returncode == 4 and done.stderr.count("\n") == 1 and words in done.stderr
        assert len(done.stderr) <= 201


def test_a_pickle_with_a_payload_is_4_in_one_line(here, tmp_path: Path) -> None:
    (tmp_path / "evil.pkl").write_bytes(b"\x80\x04cos\nsystem\n(X\x09\x00\x00\x00touch rantR.")
    for command in (["convert", "evil.pkl", "a.safetensors"], ["generate", "evil.pkl"]):
        done = here(*command)
        assert done.returncode == 4 and done.stdout == "" and done.stderr.count("\n") == 1
        assert "os.system" in done.stderr and "evil.pkl" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pkl"]


def test_without_noise_every_mode_draws_as_none_does(here, tmp_path: Path) -> None:
    reference.write_pt(tmp_path / "a.pt", g_ema=g_state())
    assert here("convert", "a.pt", "noisy.safetensors").returncode == 0
    assert here("convert", "a.pt", "clean.safetensors", "--no-noise").returncode == 0
    noisy, clean = (load_generator(tmp_path / f"{name}.safetensors") for name in ("noisy", "clean"))
    z = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert clean(z, noise="random").equal(noisy(z, noise="none"))
        assert not noisy(z, noise="const").equal(noisy(z, noise="none"))


def test_a_small_text_model_is_written_as_clip_load_opens_it(here, tmp_path: Path) -> None:
    net = CLIP(ClipConfig(4, 8, 8, 64, 1, 64, 1, 9, 4))
    about = {"words": {"sad": [3719], "face": [1710]}}
    save(tmp_path / "small.safetensors", Checkpoint("clip", to_json(net.config), about, net.state_dict()))
    done = here("convert", "small.safetensors", "whole.pt", "--to", "clip")
    assert (done.returncode, done.stdout, done.stderr) == (0, "whole.pt\n", "")
    state = torch.load(tmp_path / "whole.pt", weights_only=True)
    rows = net.token_embedding.weight.half()  # the words' and the two marks', in the order of their numbers
    assert torch.equal(state["token_embedding.weight"][[1710, 3719, 49_406, 49_407]], rows)
    x = torch.rand(2, 3, 8, 8)
    small, whole = load_clip(tmp_path / "small.safetensors"), load_clip(tmp_path / "whole.pt")
    torch.testing.assert_close(small.image(x), whole.image(x), atol=5e-3, rtol=0)


def test_what_is_no_text_model_is_not_written_as_one(here, tmp_path: Path) -> None:
    reference.write_pt(tmp_path / "a.pt", g_ema=g_state())
    for wrong, code in ((["--half"], 2), ([], 4)):
        done = here("convert", "a.pt", "b.pt", "--to", "clip", *wrong)
        assert done.returncode == code and done.stderr.count("\n") == 1 and not (tmp_path / "b.pt").exists()
    assert "not a CLIP" in done.stderr
