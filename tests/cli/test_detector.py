"""--detector and --identity, from the command line."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.features.irse import FILE
from tests.checkpoint import irse_file
from tests.faces.insight_files import BOX, detector, recognition

ROOT = Path(__file__).parents[2]
FACES = str(ROOT / "tests/fixtures/faces16.zip")
PHOTO = str(ROOT / "samples/nasa_astronaut.png")
COMMANDS = {
    "prepare": ["prepare", FACES, "out.zip", "--detector", "insightface"],
    "toonify": ["toonify", PHOTO, "--detector", "insightface"],
    "evaluate": ["evaluate", "faces-64", "--real", FACES, "--train", FACES, "--detector", "insightface"],
    "identity": ["evaluate", "faces-64", "--real", FACES, "--train", FACES, "--identity", "arcface"],
}
installed = pytest.mark.skipif(not importlib.util.find_spec("insightface"), reason="no extra `face`")


@pytest.mark.parametrize("command", COMMANDS)
def test_without_the_models_the_exit_code_is_5_and_the_line_says_what_to_do(command, here, tmp_path):
    done = here(*COMMANDS[command], "--insightface-root", "nowhere", "--device", "cpu", "--quiet")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.count("\n") == 1 and len(done.stderr) <= 201
    assert "nowhere" in done.stderr and "models get insightface-" in done.stderr


def test_the_folder_can_be_named_by_a_variable(here):
    done = here(*COMMANDS["toonify"], "--quiet", STYLEGAN_TOON_INSIGHTFACE="elsewhere")
    assert done.returncode == 5 and "elsewhere" in done.stderr


@installed
def test_faces_of_insightface_are_turned_into_cartoons_and_the_provider_is_named(here, tmp_path):
    detector(tmp_path / "pack/det_10g.onnx")
    pixels = np.full((640, 640, 3), 60, np.uint8)
    pixels[320:328, 320:336] = 0
    pixels[320:328, 320:328, 0] = pixels[320:328, 328:336, 1] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    args = ["toonify", "a.png", "--detector", "insightface", "--insightface-root", "pack", "--json"]
    args += ["--around", "0", "--finish", "paint"]  # what is no face stays as it is
    done = here(*args, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "det_10g.onnx on CPUExecutionProvider" in done.stderr
    (result,) = json.loads(done.stdout)["results"]
    (face,) = result["faces"]
    assert face["box"] == pytest.approx(
        [320 - 8 * BOX[0], 320 - 8 * BOX[1], 320 + 8 * BOX[2], 320 + 8 * BOX[3]]
    )
    after = np.asarray(Image.open(tmp_path / "out/a.png"))
    assert not np.array_equal(after, pixels) and np.array_equal(after[:240], pixels[:240])


@installed
def test_identity_by_arcface_is_another_figure_and_says_so(here, tmp_path):
    recognition(tmp_path / "pack/w600k_r50.onnx")
    args = ["evaluate", "faces-128", "--real", FACES, "--train", FACES, "--encoder", "faces-128", "--json"]
    args += ["--samples", "0", "--face-samples", "0", "--device", "cpu"]
    figures = [
        json.loads(here(*args, "--identity", name, "--insightface-root", "pack").stdout)["identity"]
        for name in ("mobileface", "arcface")
    ]
    assert [one["network"] for one in figures] == ["mobileface", "arcface"]
    assert figures[0]["mean"] != figures[1]["mean"] and -1 <= figures[1]["mean"] <= 1


def test_identity_by_ir_se_50_is_that_of_its_file(here, tmp_path):
    pictures = ["--real", FACES, "--train", FACES, "--samples", "0", "--face-samples", "0"]
    args = ["evaluate", "faces-128", *pictures, "--encoder", "faces-128", "--device", "cpu", "--identity"]
    done = here(*args, "arcface-ir-se50", "--quiet", STYLEGAN_TOON_MODELS=str(tmp_path / "models"))
    assert (done.returncode, done.stdout) == (4, "") and done.stderr.count("\n") == 1
    assert "models get arcface-ir-se50" in done.stderr
    assert here(*args, "arcfase").returncode == 2
    (tmp_path / "models").mkdir()
    state = irse_file.arcface_state()
    torch.save(state, tmp_path / "models" / FILE)
    del state["output_layer.4.bias"]
    torch.save(state, tmp_path / "broken.pth")
    done = here(*args, "broken.pth", "--quiet")
    assert done.returncode == 4 and done.stderr.count("\n") == 1 and "output_layer.4.bias" in done.stderr
    figure = json.loads(here(*args, "arcface-ir-se50", "--json").stdout)["identity"]
    assert figure["network"] == "arcface-ir-se50" and -1 <= figure["mean"] <= 1
