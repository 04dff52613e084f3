"""insightface's recognition network on aligned pictures."""

import numpy as np
import pytest
import torch

pytest.importorskip("insightface")

from stylegan_toon.errors import ModelError
from stylegan_toon.features.arcface import load_arcface
from stylegan_toon.features.mobileface import to_template
from stylegan_toon.metrics.identity import identity_cosine
from tests.faces.insight_files import detector, recognition


def by_hand(x: torch.Tensor, matrix: np.ndarray, size: int = 112) -> np.ndarray:
    """The stand-in in float64: (RGB - 127.5) / 127.5, means of 7x7 fields, the matrix, length 1."""
    faces = to_template(x.clamp(-1, 1), size).double().numpy()
    n, fields = len(faces), size // 7
    means = faces.reshape(n, 3, fields, 7, fields, 7).mean((3, 5)).reshape(n, -1)
    out = means @ matrix.astype(np.float64)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


@pytest.mark.parametrize("batch", ["None", 1], ids=["any batch", "one at a time"])
@pytest.mark.parametrize("size", [112, 224])
def test_embeddings_are_those_worked_out_by_hand(batch, size, tmp_path):
    matrix = recognition(tmp_path / "models/buffalo_l/w600k_r50.onnx", batch, size)
    said: list[str] = []
    embed = load_arcface(tmp_path, report=said.append)
    x = torch.rand(5, 3, 96, 96) * 2.4 - 1.2
    out = embed(x)
    assert out.shape == (5, 512) and out.dtype == torch.float32
    np.testing.assert_allclose(out.numpy(), by_hand(x, matrix, size), atol=1e-5)
    assert "w600k_r50.onnx on CPUExecutionProvider" in said[0]


def test_the_order_of_colours_is_that_of_the_library(tmp_path):
    matrix = recognition(tmp_path / "w600k_r50.onnx")
    embed = load_arcface(tmp_path)
    crop = torch.randint(0, 256, (112, 112, 3), dtype=torch.uint8)
    own = embed.args[0].get_feat(crop.numpy()[..., ::-1].copy())[0]  # BGR, as insightface's users give it
    x = crop.permute(2, 0, 1)[None].double().numpy() / 127.5 - 1
    means = x.reshape(1, 3, 16, 7, 16, 7).mean((3, 5)).reshape(1, -1)
    np.testing.assert_allclose(own, (means @ matrix.astype(np.float64))[0], rtol=1e-3, atol=1e-3)


def test_identity_is_measured_with_it(tmp_path):
    recognition(tmp_path / "w600k_r50.onnx")
    embed = load_arcface(tmp_path)
    x = torch.rand(3, 3, 64, 64) * 2 - 1
    torch.testing.assert_close(identity_cosine(x, x, embed, batch=2), torch.ones(3))
    assert identity_cosine(x, x.roll(1, 0), embed).max() < 0.9
    assert embed(x[:0]).numel() == 0
    with pytest.raises(ValueError, match="aligned pictures"):
        embed(x[0])


def test_a_detector_under_the_name_is_refused(tmp_path):
    detector(tmp_path / "w600k_r50.onnx")
    with pytest.raises(ModelError, match="no recognition model"):
        load_arcface(tmp_path)
