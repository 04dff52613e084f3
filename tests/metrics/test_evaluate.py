import json
from pathlib import Path

import pytest
import torch

from stylegan_toon.checkpoint.format import save
from stylegan_toon.cli.common import run
from stylegan_toon.cli.evaluate import evaluate as command
from stylegan_toon.data import load_pictures
from stylegan_toon.errors import InputError, ModelError, UsageError
from stylegan_toon.metrics.fid import fid
from stylegan_toon.metrics.kid import kid, statistics
from stylegan_toon.pipelines.evaluate import as_saved, as_text, draw_samples, evaluate, face_share
from stylegan_toon.pipelines.judge import fid_space
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.encoder import Config as EncoderConfig
from stylegan_toon.stylegan2.encoder import Encoder
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator

FIXTURES = Path(__file__).parents[1] / "fixtures"
FACES, STORYBOOK = FIXTURES / "faces16.zip", FIXTURES / "storybook16.zip"
SHAPE = Config(resolution=32, channels=(8, 8, 8, 8), z_dim=8, w_dim=8, mapping_layers=2)


@pytest.fixture
def generator() -> Generator:
    return Generator(SHAPE).eval().requires_grad_(False)


def test_all_figures_are_there_and_are_json(generator):
    encoder = Encoder(EncoderConfig(32, SHAPE.channels, SHAPE.n_layers, SHAPE.w_dim, rank=4)).eval()
    figures = evaluate(
        generator, [FACES], [STORYBOOK], samples=6, face_samples=3, encoder=encoder, device="cpu"
    )
    again = json.loads(json.dumps(figures, allow_nan=False))
    assert again["faces"] == {"share": 0.0, "samples": 3, "psi": 0.7, "score": 0.7}
    assert again["held_out"] == 16 and again["training"] == 16 and again["resolution"] == 32
    for space in ("mobileface", "untrained"):
        assert again["kid"][space]["low"] < again["kid"][space]["value"] < again["kid"][space]["high"]
        assert again["kid"][space]["value"] > again["floor"][space]["high"]  # noise is farther than paintings
    assert again["nearest"]["ratio"] > 0
    assert -1 <= again["identity"]["mean"] <= 1
    assert all(0 <= again["manifold"]["mobileface"][name] <= 1 for name in ("precision", "recall"))
    assert again["manifold"]["pictures"] == 6
    assert len(as_text(figures)) == 10


def test_fid_compares_samples_and_photos_by_the_named_network(generator):
    cpu = torch.device("cpu")
    name, net = fid_space("emotion", cpu)
    figures = evaluate(
        generator, [FACES], [STORYBOOK], samples=5, face_samples=0, fid=(name, net), device="cpu"
    )
    drawn = torch.cat(list(draw_samples(generator, 5, 1.0, 0, 2)))
    sides = (load_pictures([FACES], 32).float() / 127.5 - 1, drawn)
    with torch.inference_mode():
        wanted = fid(*(net(side) for side in sides))
    assert figures["fid"] == {"network": "emotion", "value": pytest.approx(wanted, rel=1e-4)}
    assert any(line.startswith("FID, emotion: ") for line in as_text(figures))
    assert fid_space(None, cpu)[0] == "untrained"  # Inception was not fetched
    with pytest.raises(UsageError, match="untrained, inception"):
        fid_space("vgg", cpu)
    with pytest.raises(ModelError, match="models get inception-fid"):
        fid_space("inception", cpu)


def test_figures_depend_on_the_seed_alone(generator):
    few = [
        evaluate(generator, [FACES], [STORYBOOK], samples=4, face_samples=0, device="cpu", batch=b)
        for b in (4, 3)
    ]
    other = evaluate(generator, [FACES], [STORYBOOK], samples=4, face_samples=0, device="cpu", seed=1)
    for space in ("mobileface", "untrained"):
        assert few[0]["kid"][space]["value"] == pytest.approx(few[1]["kid"][space]["value"], rel=1e-3)
        assert few[0]["kid"][space]["value"] != pytest.approx(other["kid"][space]["value"], rel=1e-3)


def test_excluded_pictures_do_not_count_as_training(generator):
    figures = evaluate(generator, [FACES], [STORYBOOK], ["*0.*", "*1.*"], 2, 0, device="cpu")
    assert figures["training"] < 16 and figures["held_out"] == 16


def test_photos_on_both_sides_are_refused(generator):
    with pytest.raises(InputError, match="16 photos of --real are in --train"):
        evaluate(generator, [FACES], [STORYBOOK, FACES], samples=2, face_samples=0, device="cpu")


def test_fewer_samples_are_the_first_of_more(generator):
    few, more = (torch.cat([*draw_samples(generator, n, 0.7, 5, 2)]) for n in (3, 7))
    torch.testing.assert_close(few, more[:3], atol=1 / 127, rtol=0)
    assert float((more * 127.5 - (more * 127.5).round()).abs().max()) <= 0.5
    torch.testing.assert_close(as_saved(more), more)


def test_faces_are_found_in_portraits_and_not_in_noise():
    photos = load_pictures([FACES], 64).float() / 127.5 - 1
    assert face_share(iter(photos.split(5)), 16)["share"] >= 15 / 16
    assert face_share(iter(torch.randn(1, 4, 3, 64, 64)), 4)["share"] == 0
    assert face_share(iter([photos.flip(2)]), 16)["share"] == 0  # upside down


def test_paintings_are_farther_from_photos_than_photos_are():
    from stylegan_toon.features.untrained import Untrained

    photos, drawn = (Untrained()(load_pictures([p], 64).float() / 127.5 - 1) for p in (FACES, STORYBOOK))
    mean, std = statistics(photos)
    near, far = kid(photos[:8], photos[8:], mean, std), kid(photos[8:], drawn, mean, std)
    assert far.value > near.value and far.value > 0


def test_the_command_prints_figures_and_writes_json(tmp_path, capsys, generator):
    save(tmp_path / "g.safetensors", generator_checkpoint(generator))
    args = [str(tmp_path / "g.safetensors"), "--real", str(FACES), "--train", str(STORYBOOK), "--quiet"]
    args += [
        "--samples",
        "3",
        "--face-samples",
        "2",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "figures.json"),
    ]
    assert run(command, [*args, "--json"], "evaluate", "T") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "figures.json").read_text())
    assert run(command, args, "evaluate", "T") == 0
    assert capsys.readouterr().out.startswith("faces found: 0.0% of 2 samples at psi 0.7\nKID, mobileface: ")


def test_wrong_numbers_and_sizes_are_refused(generator):
    with pytest.raises(UsageError, match="1 samples give no figure"):
        evaluate(generator, [FACES], [STORYBOOK], samples=1, device="cpu")
    small = Generator(Config(resolution=16, channels=(4, 4, 4), z_dim=4, w_dim=4, mapping_layers=1))
    with pytest.raises(UsageError, match="draws 16 px"):
        evaluate(small, [FACES], [STORYBOOK], device="cpu")
