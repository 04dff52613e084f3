"""LPIPS against NumPy in float64 and, where it is installed, its package; where its files are."""

import sys

import numpy as np
import pytest
import torch

from stylegan_toon.errors import ModelError
from stylegan_toon.features.look import load_look
from stylegan_toon.features.lpips import BACKBONE, LAYERS, load_lpips, lpips_files
from stylegan_toon.losses.perceptual import map_distance


def write(folder):
    """Files in the layouts of torchvision's AlexNet and of the package's heads, with random numbers."""
    draw = torch.Generator().manual_seed(0)
    backbone, heads = {"classifier.1.weight": torch.zeros(1)}, {}
    for i, (place, a, b, k, *_) in enumerate(LAYERS):
        backbone[f"features.{place}.weight"] = torch.randn(b, a, k, k, generator=draw) / (a * k * k) ** 0.5
        backbone[f"features.{place}.bias"] = torch.randn(b, generator=draw) * 0.1
        heads[f"lin{i}.model.1.weight"] = torch.rand(1, b, 1, 1, generator=draw)
    files = (
        folder / "hub" / "checkpoints" / BACKBONE,
        folder / "site" / "lpips" / "weights" / "v0.1" / "alex.pth",
    )
    for file, state in zip(files, (backbone, heads), strict=True):
        file.parent.mkdir(parents=True)
        torch.save(state, file)
    (folder / "site" / "lpips" / "__init__.py").write_text("raise ImportError('torchvision')")
    return files


def conv(x, weight, bias, stride, padding):
    """[C, H, W] by a loop over the kernel, in NumPy."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    k = weight.shape[2]
    n = (x.shape[1] - k) // stride + 1
    out = np.zeros((len(weight), n, n)) + bias[:, None, None]
    for i in range(k):
        for j in range(k):
            part = x[:, i : i + n * stride : stride, j : j + n * stride : stride][:, :n, :n]
            out += np.tensordot(weight[:, :, i, j], part, 1)
    return out


def pool(x):
    n = (x.shape[1] - 3) // 2 + 1
    return np.max(
        [x[:, i : i + 2 * n : 2, j : j + 2 * n : 2][:, :n, :n] for i in range(3) for j in range(3)], 0
    )


def in_numpy(a, b, files):
    states = [{k: v.double().numpy() for k, v in torch.load(file).items()} for file in files]
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    total, maps = 0.0, [(x - shift[:, None, None]) / scale[:, None, None] for x in (a, b)]
    for i, (place, _, _, _, stride, padding) in enumerate(LAYERS):
        weight, bias = (states[0][f"features.{place}.{part}"] for part in ("weight", "bias"))
        maps = [
            np.maximum(conv(pool(m) if i in (1, 2) else m, weight, bias, stride, padding), 0) for m in maps
        ]
        one, two = (m / (np.sqrt((m**2).sum(0)) + 1e-10) for m in maps)
        total += ((one - two) ** 2 * states[1][f"lin{i}.model.1.weight"][0]).sum(0).mean()
    return total


def test_it_equals_numpy(tmp_path):
    files = write(tmp_path)
    net = load_lpips(*files)
    a, b = torch.rand(2, 3, 67, 67) * 2 - 1, torch.rand(2, 3, 67, 67) * 2 - 1
    found = map_distance(net(a), net(b))
    wanted = [in_numpy(x.double().numpy(), y.double().numpy(), files) for x, y in zip(a, b, strict=True)]
    assert found.tolist() == pytest.approx(wanted, rel=1e-4) and found.min() > 0.01
    x = torch.zeros(1, 3, 67, 67, requires_grad=True)  # some places have no features at all
    map_distance(net(x), net(b[:1])).sum().backward()
    assert torch.isfinite(x.grad).all() and x.grad.abs().max() > 0


def test_it_equals_its_package(tmp_path):
    package = pytest.importorskip("lpips", reason="the extra metrics is not installed")
    theirs = package.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    names = {".".join(key.split(".")[1:]): key for key in theirs.net.state_dict()}
    state = {f"features.{key}": theirs.net.state_dict()[names[key]] for key in names}
    heads = {f"lin{i}.model.1.weight": theirs.lins[i].model[1].weight.detach() for i in range(5)}
    torch.save(state, tmp_path / "a.pth")
    torch.save(heads, tmp_path / "b.pth")
    net = load_lpips(tmp_path / "a.pth", tmp_path / "b.pth")
    a, b = torch.rand(2, 3, 128, 128) * 2 - 1, torch.rand(2, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        wanted = theirs(a, b).flatten()
    torch.testing.assert_close(map_distance(net(a), net(b)), wanted, rtol=1e-4, atol=1e-6)


def test_it_is_used_where_its_files_are_and_mobileface_else_with_one_sentence(tmp_path, monkeypatch):
    said = []
    monkeypatch.delitem(sys.modules, "lpips", raising=False)  # where it is installed
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "absent"))
    look, name, file = load_look(128, report=said.append)
    photos = torch.rand(2, 3, 128, 128) * 2 - 1
    embedding, maps = look(photos)
    assert (name, file, len(maps)) == ("mobileface", None, 5) and len(said) == 1 and "LPIPS" in said[0]
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))
    files = write(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "site")  # a package whose program cannot be imported
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert lpips_files() == files
    look, name, file = load_look(128, report=said.append)
    again, maps = look(photos)
    assert (name, file) == ("lpips", files[0]) and torch.equal(again, embedding) and len(said) == 1
    assert all(torch.equal(a, b) for a, b in zip(maps, load_lpips(*files)(photos), strict=True))
    assert load_look(32, report=said.append)[1] == "mobileface" and "64 px" in said[1]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("data", [b"", b"<html>", {}, {"features.0.weight": torch.zeros(3)}, [1]], ids=str)
def test_a_broken_file_is_one_line(which, data, tmp_path):
    files = write(tmp_path)
    if isinstance(data, bytes):
        files[which].write_bytes(data)
    else:
        torch.save(data, files[which])
    with pytest.raises(ModelError) as caught:
        load_lpips(*files)
    line = str(caught.value)
    assert "\n" not in line and len(line) <= 200 and files[which].name in line, line
