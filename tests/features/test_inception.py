"""Inception in pytorch-fid's layout, from files written here with random numbers."""

import pytest
import torch
from torch import nn

from stylegan_toon.errors import ModelError
from stylegan_toon.features.inception import FILE, Inception, load_inception
from stylegan_toon.metrics.size import parameter_count


@pytest.fixture(scope="module")
def state():
    draw = torch.Generator().manual_seed(1)
    out = {}
    for key, value in Inception().state_dict().items():
        if value.ndim > 1:
            out[key] = torch.randn(value.shape, generator=draw) * (1.5 / value[0].numel()) ** 0.5
        elif "num_batches" not in key:
            out[key] = torch.rand(value.shape, generator=draw) * 0.4 + 0.6
    return out


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / FILE
    torch.save(state, path)
    return path


def test_it_has_the_parameters_and_names_of_the_file():
    with torch.device("meta"):
        net = Inception()
    assert parameter_count(net) == 23_850_960  # pytorch-fid's, with 1008 classes
    shapes = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    assert shapes["Conv2d_1a_3x3.conv.weight"] == (32, 3, 3, 3)
    assert shapes["Mixed_5b.branch3x3dbl_3.conv.weight"] == (96, 96, 3, 3)
    assert shapes["Mixed_6e.branch7x7dbl_2.conv.weight"] == (192, 192, 7, 1)
    assert shapes["Mixed_7a.branch7x7x3_4.bn.running_var"] == (192,)
    assert shapes["Mixed_7c.branch3x3dbl_3b.conv.weight"] == (384, 384, 3, 1)
    assert shapes["fc.weight"] == (1008, 2048)


def test_a_file_gives_2048_features_of_pictures_of_any_size(file):
    net = load_inception(file)
    with torch.inference_mode():
        one = net(torch.rand(1, 3, 40, 60) * 2 - 1)
    assert one.shape == (1, 2048) and one.std() > 0
    assert not any(p.requires_grad for p in net.parameters()) and not net.training
    with pytest.raises(ValueError, match="N, 3, H, W"):
        net(torch.zeros(1, 1, 40, 40))


def test_the_fetched_file_is_found_by_itself(file, monkeypatch):
    with pytest.raises(ModelError, match="models get inception-fid"):
        load_inception()
    monkeypatch.setenv("STYLEGAN_TOON_MODELS", str(file.parent))
    assert isinstance(load_inception(), Inception)


@pytest.mark.parametrize("change", ["missing", "left over", "shape"])
def test_every_key_is_used_or_named(state, tmp_path, change):
    state = dict(state)
    if change == "missing":
        del state["Mixed_7c.branch_pool.bn.bias"]
    elif change == "left over":
        state["AuxLogits.fc.weight"] = torch.zeros(1)
    else:
        state["fc.weight"] = torch.zeros(1000, 2048)
    torch.save(state, tmp_path / "it.pth")
    key = {"missing": "Mixed_7c.branch_pool", "left over": "AuxLogits", "shape": "fc.weight"}[change]
    with pytest.raises(ModelError, match=key):
        load_inception(tmp_path / "it.pth")


def test_a_file_that_is_none_is_one_line(tmp_path):
    (tmp_path / "it.pth").write_bytes(b"no model")
    for name in ("it.pth", "none.pth"):
        with pytest.raises(ModelError) as caught:
            load_inception(tmp_path / name)
        assert name in str(caught.value) and len(str(caught.value)) < 190


def test_it_equals_torchvisions_network_with_the_three_changes(file, state):
    """Averages without the padding in every block, a maximum in the last one."""
    models = pytest.importorskip("torchvision.models", exc_type=(ImportError, RuntimeError))
    theirs = models.inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    theirs.load_state_dict(state, strict=False)
    theirs.fc = nn.Identity()
    for name, block in theirs.named_children():
        if (name[:7] in ("Mixed_5", "Mixed_6") and hasattr(block, "branch_pool")) or name == "Mixed_7b":
            block._forward = _pooling(block, type(block)._forward, "mean")
        if name == "Mixed_7c":
            block._forward = _pooling(block, type(block)._forward, "max")
    x = torch.rand(1, 3, 299, 299) * 2 - 1
    with torch.inference_mode():
        wanted = theirs.eval()(x)
        torch.testing.assert_close(load_inception(file)(x), wanted, rtol=1e-4, atol=1e-5)


def _pooling(block, forward, kind):
    def body(x):
        usual = nn.functional.avg_pool2d
        other = (
            (lambda x, **_: usual(x, 3, 1, 1, count_include_pad=False))
            if kind == "mean"
            else (lambda x, **_: nn.functional.max_pool2d(x, 3, 1, 1))
        )
        nn.functional.avg_pool2d = other
        try:
            return forward(block, x)
        finally:
            nn.functional.avg_pool2d = usual

    return body
