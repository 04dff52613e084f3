"""`stylegan-toon export` as typed: what is printed, what is said on stderr, and the exit code."""

import json
from pathlib import Path

import onnxruntime
import torch

from stylegan_toon.checkpoint.format import save
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator


def generators(folder: Path) -> None:
    """a and b of one shape, b a style whose own blend is 1; c of another."""
    for name, channels in (("a", (4, 4)), ("b", (4, 4)), ("c", (4, 4, 4))):
        g = Generator(Config(2 ** (len(channels) + 2 - 1), channels, 4, 4, 1))
        save(folder / f"{name}.safetensors", generator_checkpoint(g, {"blend": 1} if name == "b" else {}))


def test_the_path_is_printed_and_the_difference_said(here, tmp_path: Path) -> None:
    generators(tmp_path)
    done = here("export", "b.safetensors", "new/b.onnx", "--source", "a.safetensors")
    assert (done.returncode, done.stdout) == (0, "new/b.onnx\n")
    assert "generator: onnxruntime differs from torch by " in done.stderr
    assert "b.safetensors has a mapping of its own" in done.stderr
    done = here("export", "a.safetensors", "a.onnx", "--part", "mapping", "--json", "--quiet", "--seed", "7")
    document = json.loads(done.stdout)
    assert (document["path"], document["part"], done.stderr) == ("a.onnx", "mapping", "")
    assert 0 <= document["difference"] <= 1e-4
    opened = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    given = {"z": torch.randn(2, 4).numpy(), "psi": torch.ones(1).numpy()}
    assert opened.run(None, given)[0].shape == (2, 4, 4)


def test_bad_input_is_one_line(here, tmp_path: Path) -> None:
    generators(tmp_path)
    (tmp_path / "text.safetensors").write_text("no model")
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "file").touch()
    a, b = "a.safetensors", "b.safetensors"
    for args, code, words in (
        ([a, "a.safetensors"], 2, "ends in .onnx"),
        ([a, ""], 2, "'' is no name of an ONNX file"),
        ([a, "a.onnx", "--part", "encoder"], 2, "'encoder' is not one of"),
        ([a, "a.onnx", "--noise", "random"], 2, "'random' is not one of"),
        ([a, "a.onnx", "--blend", "1"], 2, "--source"),
        ([a, "a.onnx", "--weights", "1,0"], 2, "--source"),
        ([b, "a.onnx", "--source", a, "--blend", "3"], 2, "outside 0..2"),
        ([b, "a.onnx", "--source", a, "--blend", "1", "--weights", "1,0"], 2, "--weights is the whole blend"),
        (["c.safetensors", "a.onnx", "--source", a], 4, "generators of two shapes cannot be blended"),
        (["absent", "a.onnx"], 4, "no generator is called 'absent'"),
        ([b, "a.onnx", "--source", "absent"], 4, "no generator is called 'absent'"),
        (["text.safetensors", "a.onnx"], 4, "text.safetensors"),
        ([b, "a.onnx", "--source", a, "--blend", "x"], 2, "'x' is not a valid integer"),
        ([a, "folder.onnx"], 9, "not a regular file"),
        ([a, "file/a.onnx"], 9, "could not be written"),
    ):
        done = here("export", *args)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), (args, done)
        assert words in done.stderr and len(done.stderr) <= 201, (args, done.stderr)
    assert not (tmp_path / "a.onnx").exists()
