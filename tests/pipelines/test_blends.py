"""A style at every blend, on small untrained networks and public pictures."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from stylegan_toon.cli import cli
from stylegan_toon.cli.common import ENVIRONMENT, run

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"


def test_every_blend_is_measured_and_the_last_is_the_inversion(models, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(models))
    photos, pictures = FIXTURES / "faces16.zip", FIXTURES / "storybook16.zip"
    args = ["blends", "drawn", "--source", "plain", "--photos", photos, "--pictures", pictures,
            "--shown", ROOT / "samples" / "nasa_astronaut.png", "--out", tmp_path / "strip"]  # fmt: skip
    code = run(cli, [str(arg) for arg in args], "stylegan-toon", ENVIRONMENT)
    said = capsys.readouterr()
    assert code == 0, said.err
    document = json.loads((tmp_path / "strip.json").read_text())
    assert (document["photo_count"], document["picture_count"]) == (16, 16)
    assert list(document["blends"]) == ["0", "1", "2", "3", "4"] and document["refine_steps"] == 30
    assert document["blends"]["0"] == document["blends"]["1"]  # the 4x4 block is shared
    assert document["blends"]["2"] != document["blends"]["3"]
    assert -1 <= document["blends"]["4"]["identity"] <= 1 and "identity" not in document["photos"]
    strip = np.asarray(Image.open(tmp_path / "strip.png"))
    assert strip.shape == (32, 7 * 32, 3)
    assert np.array_equal(strip[:, 32:64], strip[:, 6 * 32 :])  # inversion, and K = 4
    assert "K photos: KID mobileface" in said.out


def test_converting_sets_entries_of_the_header(models, tmp_path, monkeypatch):
    from stylegan_toon.checkpoint.format import load

    monkeypatch.chdir(tmp_path)
    source = str(models / "models" / "drawn-32.generator.safetensors")
    args = ["convert", source, "out.safetensors", "--half", "--meta", "blend=3", "--meta", "title=a b=c"]
    args += ["--meta", "eyes=0.4", "--meta", "version=1.2.3"]
    assert run(cli, args, "stylegan-toon", ENVIRONMENT) == 0
    made = load("out.safetensors")
    assert (
        made.meta == {"blend": 3, "title": "a b=c", "eyes": 0.4, "version": "1.2.3"}
        and str(made.tensors["w_mean"].dtype) == "torch.float16"
    )
    assert run(cli, [*args[:4], "--meta", "blend"], "stylegan-toon", ENVIRONMENT) == 2
