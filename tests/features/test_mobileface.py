import numpy as np
import pytest
import torch
from torch import Tensor

from stylegan_toon.checkpoint.format import Checkpoint, save
from stylegan_toon.errors import ModelError
from stylegan_toon.features.mobileface import (
    ALIGNED,
    TEMPLATE,
    Config,
    MobileFace,
    load_mobileface,
    resampling,
    template_fit,
)

ORIGINAL = (
    -0.02945, -0.05759, -0.05244, 0.01407, 0.09432, -0.05052,
    0.02455, 0.10327, -0.04763, 0.13113, 0.01005, 0.03328,
)  # fmt: skip


def blob(size: int, x: float, y: float) -> Tensor:
    """[1, 3, size, size]: a soft white dot at (x, y), given as shares of the side, on black."""
    at = (torch.arange(size) + 0.5) / size
    bump = torch.exp(-((at[None] - x) ** 2 + (at[:, None] - y) ** 2) / (2 * 0.02**2))
    return (2 * bump - 1).expand(1, 3, -1, -1)


def centre(x: Tensor) -> tuple[float, float]:
    """Centre of mass of a picture in [-1, 1], in pixels whose centres are integers."""
    light = (x[0, 0] + 1).double()
    at = torch.arange(len(light), dtype=torch.float64)
    return float((light.sum(0) * at).sum() / light.sum()), float((light.sum(1) * at).sum() / light.sum())


@pytest.fixture(scope="module")
def net() -> MobileFace:
    return load_mobileface()


def test_shipped_weights_give_unit_embeddings_and_penultimate_features(net):
    embedding, features = net(torch.rand(3, 3, 64, 64) * 2 - 1)
    assert embedding.shape == (3, 256) and features.shape == (3, 2048)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))
    logits = features @ net.head.weight.T + net.head.bias
    torch.testing.assert_close(embedding, logits / logits.norm(dim=1, keepdim=True))


def test_embedding_equals_that_of_the_original_network(net):
    """Entries that onnxruntime gave with the original float32 weights for this 112 px pattern."""
    at = torch.arange(112, dtype=torch.float32) / 112
    x = torch.stack([at[None].expand(112, -1), at[:, None].expand(-1, 112), (at[None] - at[:, None]).abs()])
    embedding, _ = net.embed(2 * x[None] - 1)
    wanted = torch.tensor(ORIGINAL)
    torch.testing.assert_close(embedding[0, :12], wanted, atol=1e-3, rtol=0)


def test_gradients_reach_the_picture_but_no_weight(net):
    x = (torch.rand(1, 3, 96, 96) * 2 - 1).requires_grad_()
    net(x)[0][0, 0].backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in net.parameters())


def test_gradient_of_the_crop_equals_finite_differences():
    net = MobileFace(Config(size=16))
    x = torch.rand(1, 3, 8, 8, dtype=torch.float32)
    direction = torch.randn(1, 3, 16, 16)
    x.requires_grad_()
    (grad,) = torch.autograd.grad((net.crop(x) * direction).sum(), x)
    step = torch.zeros_like(x)
    step[0, 1, 4, 3] = 1.0
    slope = ((net.crop(x + step) - net.crop(x - step)) * direction).sum() / 2  # linear, so exact
    torch.testing.assert_close(grad[0, 1, 4, 3], slope, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [64, 128, 256, 500])
def test_eyes_and_mouth_come_to_lie_where_the_template_has_them(net, size):
    scale, left, top = template_fit(112)
    found = np.array([centre(net.crop(blob(size, x, y))) for x, y in ALIGNED])
    np.testing.assert_allclose(found, scale * np.array(ALIGNED) + (left - 0.5, top - 0.5), atol=0.05)
    gap = np.linalg.norm(found - np.array(TEMPLATE), axis=1)
    assert gap.max() < 4.5 and gap.mean() < 3  # eyes to mouth is 1 eye distance here, 1.15 in the template


def test_template_fit_is_the_least_squares_solution():
    scale, x, y = template_fit(112)
    p, q = np.array(ALIGNED), np.array(TEMPLATE) + 0.5
    q[:, 0] += 56 - q[:, 0].mean()
    one, none = np.ones(5), np.zeros(5)
    rows = np.concatenate([np.stack([p[:, 0], one, none], 1), np.stack([p[:, 1], none, one], 1)])
    solution, *_ = np.linalg.lstsq(rows, q.T.reshape(-1), rcond=None)
    np.testing.assert_allclose([scale, x, y], solution, atol=1e-6)


def test_resampling_is_linear_interpolation_when_enlarging_and_keeps_constants():
    matrix = resampling(4, 8, 8.0, 0.0)  # the whole interval, twice as many pixels
    torch.testing.assert_close(matrix.sum(1), torch.ones(8))
    wanted = torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
    torch.testing.assert_close(matrix @ torch.tensor([0.0, 1, 2, 3]), wanted)


def test_resampling_averages_when_shrinking():
    stripes = torch.tensor([1.0, -1.0]).repeat(64)
    assert (resampling(128, 32, 32.0, 0.0) @ stripes).abs()[1:-1].max() < 1e-6


def test_size_of_the_picture_hardly_matters(net):
    x = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8) * 2 - 1, size=(256, 256), mode="bicubic")
    small = torch.nn.functional.interpolate(x, size=(128, 128), mode="bilinear", antialias=True)
    assert float((net(x)[0] * net(small)[0]).sum()) > 0.98


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 64, 32)], ids=str)
def test_wrong_shapes_are_named(net, shape):
    with pytest.raises(ValueError, match="aligned pictures"):
        net(torch.zeros(shape))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ModelError, match="is not there"):
        load_mobileface(tmp_path / "none.safetensors")
    save(tmp_path / "other.safetensors", Checkpoint("features", {}, {"network": "vgg"}, {}))
    with pytest.raises(ModelError, match="not of the network mobileface"):
        load_mobileface(tmp_path / "other.safetensors")
    save(tmp_path / "half.safetensors", Checkpoint("features", {}, {"network": "mobileface"}, {}))
    with pytest.raises(ModelError, match="does not fit"):
        load_mobileface(tmp_path / "half.safetensors")
