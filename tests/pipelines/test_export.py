"""What onnxruntime makes of an exported generator, against torch."""

import json

import numpy as np
import onnxruntime
import pytest
import torch

from stylegan_toon.checkpoint.format import save
from stylegan_toon.errors import ModelError, UsageError
from stylegan_toon.metadata import KEY, sha256
from stylegan_toon.onnx_file import read_graph
from stylegan_toon.pipelines.blend import blend_files
from stylegan_toon.pipelines.export import export
from stylegan_toon.pipelines.models import load_generator
from stylegan_toon.stylegan2.blend import Recipe
from stylegan_toon.stylegan2.config import Config, channels_for
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator


def network(config=Config(32, (12, 8, 8, 4), 6, 8, 3)):  # noqa: B008
    """Untrained, but no number of it is 0 or 1 where a forgotten one would not be seen."""
    g = Generator(config)
    for name, tensor in g.state_dict().items():
        if name.endswith(("bias", "noise_strength", "w_mean")):
            tensor.normal_()
    return g


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(1)
    save(tmp_path / "g.safetensors", generator_checkpoint(network()))
    return tmp_path / "g.safetensors"


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def run(opened, **inputs):
    return torch.from_numpy(opened.run(None, {name: np.float32(value) for name, value in inputs.items()})[0])


def close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("noise", ["none", "const"])
@pytest.mark.parametrize("config", [None, Config(16, (6, 5, 4), 6, 8, 2, source_resolutions=2)])
def test_every_part_is_torchs_at_any_batch_and_both_halves_are_the_whole(tmp_path, noise, config):
    torch.manual_seed(2)
    save(tmp_path / "g.safetensors", generator_checkpoint(network(config) if config else network()))
    g = load_generator(tmp_path / "g.safetensors")
    opened = {}
    for part in ("generator", "mapping", "synthesis"):
        path, gap = export(tmp_path / "g.safetensors", tmp_path / f"{part}.onnx", part, noise)
        assert 0 <= gap <= 1e-4
        opened[part] = session(path)
    for n, psi in ((1, 1.0), (2, 0.3), (5, 0.7)):
        z = torch.randn(n, 6)
        with torch.inference_mode():
            wanted = g(z, psi, noise)
            codes = g.centre() + psi * (g.codes(z) - g.centre())
        picture = run(opened["generator"], z=z, psi=[psi])
        w_plus = run(opened["mapping"], z=z, psi=[psi])
        assert picture.std() > 0.1
        close(picture, wanted)
        close(w_plus, codes)
        close(run(opened["synthesis"], w_plus=w_plus), picture)


@pytest.mark.parametrize("n", [1, 4])
def test_every_layer_takes_its_own_code(tmp_path, file, n):
    path, _ = export(file, tmp_path / "s.onnx", "synthesis")
    w_plus = torch.randn(n, 8, 8)
    with torch.inference_mode():
        wanted = load_generator(file).synthesis(w_plus, "none")[-1]
    close(run(session(path), w_plus=w_plus), wanted)


def test_noise_is_in_the_file_only_where_it_was_asked_for(tmp_path, file):
    drawn = []
    for noise in ("none", "const"):
        path, _ = export(file, tmp_path / f"{noise}.onnx", "synthesis", noise)
        drawn.append(run(session(path), w_plus=torch.ones(1, 8, 8)))
    assert (drawn[0] - drawn[1]).abs().max() > 0.01


@pytest.mark.parametrize("how", [None, 1, Recipe(2, 0.5), Recipe(weights=(1.0, 0.5, 0.0, 0.25))])
def test_a_blend_is_the_one_that_blend_writes(models, monkeypatch, tmp_path, how):
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(models))
    blend_files("plain-32", "drawn-32", 2 if how is None else how, tmp_path / "mixed.safetensors")
    export("drawn-32", tmp_path / "a.onnx", source="plain-32", how=how)
    z = torch.randn(3, 8)
    with torch.inference_mode():
        wanted = load_generator(tmp_path / "mixed.safetensors")(z, 0.7, "none")
        child = load_generator("drawn-32")(z, 0.7, "none")
    found = run(session(tmp_path / "a.onnx"), z=z, psi=[0.7])
    close(found, wanted)
    assert (found - child).abs().max() > 0.01


def test_the_file_says_what_it_is_and_its_batch_is_free(tmp_path, file):
    path, _ = export(file, tmp_path / "g.onnx")
    opened = session(path)
    about = json.loads(opened.get_modelmeta().custom_metadata_map[KEY])
    assert (about["part"], about["noise"], about["resolution"], about["layers"]) == (
        "generator",
        "none",
        32,
        8,
    )
    assert about["models"]["generator"]["sha256"] == sha256(file)
    assert [(i.name, i.shape, i.type) for i in opened.get_inputs()] == [
        ("z", ["N", 6], "tensor(float)"),
        ("psi", [1], "tensor(float)"),
    ]
    assert [(o.name, o.shape) for o in opened.get_outputs()] == [("picture", ["N", 3, 32, 32])]


def test_no_convolution_has_groups(tmp_path, file):
    path, _ = export(file, tmp_path / "g.onnx", "synthesis")
    nodes, weights = read_graph(path.read_bytes())
    sizes = [weights[names[1]].shape for op, names in nodes if op.startswith("Conv")]
    filters = [shape for shape in sizes if shape == (1, 1, 4, 4)]  # pictures of one channel
    # 3 transposed and 4 plain convolutions, 4 toRGB, 3 filters of features and 3 of pictures
    assert len(sizes) == 17 and len(filters) == 6
    assert all(min(shape[:2]) > 1 for shape in sizes if shape != (1, 1, 4, 4))
    assert b"group" not in path.read_bytes()


def test_the_onnx_package_finds_nothing_wrong(tmp_path, file):
    onnx = pytest.importorskip("onnx", exc_type=ImportError)
    for part in ("generator", "mapping", "synthesis"):
        path, _ = export(file, tmp_path / f"{part}.onnx", part, "const")
        onnx.checker.check_model(str(path), full_check=True)


def test_a_network_that_onnxruntime_draws_otherwise_is_not_written(tmp_path):
    """Sums near 1e6 round to 0.06 in float32, and those near 3e38 become NaN: neither is within 1e-4."""
    g = network()
    for bad in (1e6, 3e38):
        g.synthesis.blocks[1].conv1.bias.data.fill_(bad)
        save(tmp_path / "bad.safetensors", generator_checkpoint(g))
        with pytest.raises(ModelError, match="more than 1e-04; nothing is written"):
            export(tmp_path / "bad.safetensors", tmp_path / "bad.onnx")
        assert not (tmp_path / "bad.onnx").exists()


def test_what_is_no_part_and_a_blend_without_source_are_refused(tmp_path, file):
    for wrong in ({"part": "encoder"}, {"noise": "random"}, {"how": 2}):
        with pytest.raises(UsageError, match=r"encoder|random|--source"):
            export(file, tmp_path / "a.onnx", **wrong)


def test_an_untrained_256_px_network_is_written_within_1e_4(tmp_path):
    narrow = Generator(Config(256, tuple(n // 16 for n in channels_for(256))))
    save(tmp_path / "big.safetensors", generator_checkpoint(narrow))
    assert export(tmp_path / "big.safetensors", tmp_path / "big.onnx")[1] <= 1e-4
