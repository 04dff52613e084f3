"""doctor says what is there, and in words what is not."""

import json
import platform
from pathlib import Path

import numpy
import pytest
import torch

from stylegan_toon import __version__
from stylegan_toon.checkpoint.format import Checkpoint, save
from stylegan_toon.pipelines import doctor


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of models: one sound, one changed afterwards, one ONNX file."""
    models = tmp_path / "home/models"
    models.mkdir(parents=True)
    for name in ("good", "changed"):
        save(models / f"{name}.safetensors", Checkpoint("generator", {}, {}, {"a": torch.ones(64)}))
    data = bytearray((models / "changed.safetensors").read_bytes())
    data[-1] ^= 1
    (models / "changed.safetensors").write_bytes(data)
    (models / "eyes.onnx").write_bytes(b"x" * 2**20)
    return models.parent


def test_the_document_holds_everything(toon, home: Path) -> None:
    done = toon("doctor", "--json", STYLEGAN_TOON_HOME=str(home))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["versions"]["stylegan-toon"] == __version__
    assert report["versions"]["torch"] == torch.__version__
    assert report["versions"]["numpy"] == numpy.__version__
    assert report["versions"]["python"] == platform.python_version()
    assert report["versions"]["torch_too_old"] is False
    assert report["device"]["threads"] == 1
    assert report["kernels"]["in_use"] in ("reference", "cuda")
    models = {model["name"]: model for model in report["models"]}
    assert models["good"]["kind"] == "generator"
    assert models["good"]["ok"] is True
    assert models["changed"]["ok"] is False
    assert "digest" in models["changed"]["why"]
    assert models["eyes"]["bytes"] == 2**20
    assert set(report["parts"]) == {"clip", "insightface", "lpips", "torchvision", "av"}


def test_the_text_says_the_same_in_lines(toon, home: Path) -> None:
    done = toon("doctor", "--device", "cpu", STYLEGAN_TOON_HOME=str(home))
    assert done.returncode == 0, done.stderr
    lines = {" ".join(line.split()) for line in done.stdout.splitlines()}
    assert f"torch {torch.__version__}" in lines
    assert any(line.startswith("device cpu (") for line in lines)
    assert any(line.startswith("kernels plain PyTorch; on the CPU they run under") for line in lines)
    assert "model good, generator, 0.0 MiB, digest ok" in lines
    assert any(line.startswith("model changed, 0.0 MiB, broken: ") for line in lines)
    assert "model eyes, onnx, 1.0 MiB" in lines


def test_a_part_that_is_absent_comes_with_the_line_that_installs_it() -> None:
    part = doctor._part("no-such-distribution", "clip", "nothing")
    assert part["usable"] is False
    assert "pip install" in part["why"]
    assert "[clip]" in part["why"]


def test_absent_models_are_told_not_an_error() -> None:
    report = doctor.examine("cpu") | {"models": []}
    assert any("none found" in line for line in doctor.as_text(report))


def test_an_old_torch_is_named_with_its_remedy() -> None:
    report = doctor.examine("cpu")
    report["versions"] |= {"torch": "2.4.0", "torch_too_old": True}
    assert any("too old" in line and "torch>=2.10" in line for line in doctor.as_text(report))


@pytest.mark.parametrize(
    "body, words",
    [
        ("", None),
        ("raise RuntimeError('operator torchvision::nms does not exist')", "another torch"),
        ("raise ImportError('libjpeg.so.9')", "libjpeg"),
    ],
    ids=["healthy", "of another torch", "broken"],
)
def test_torchvision_is_tried_in_a_process_of_its_own(body, words, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "torchvision.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    why = doctor._torchvision_problem()
    assert (why is None) if words is None else (why is not None and words in why)


def test_models_of_insightface_are_named_with_their_provider(here, tmp_path: Path) -> None:
    pack = tmp_path / "packs/buffalo_l"
    pack.mkdir(parents=True)
    (pack / "det_10g.onnx").touch()
    variables = {"STYLEGAN_TOON_INSIGHTFACE": str(tmp_path / "packs")}
    found = json.loads(here("doctor", "--device", "cpu", "--json", **variables).stdout)["insightface_models"]
    assert found["detection"] == str(pack / "det_10g.onnx") and found["recognition"] is None
    assert found["provider"] == "CPUExecutionProvider" and found["looked_in"] == [str(tmp_path / "packs")]
    lines = [" ".join(line.split()) for line in here("doctor", "--device", "cpu").stdout.splitlines()]
    assert f"insightface detection model: {pack / 'det_10g.onnx'} on CPUExecutionProvider" in lines
    assert "insightface recognition model: not here; see `models list`" in lines
