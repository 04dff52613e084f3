"""Drawing from seeds and from latents: the same picture in any company, and the numbers of the network."""

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.checkpoint.format import save
from stylegan_toon.errors import InputError, UsageError
from stylegan_toon.pipelines.generate import generate, parse_seeds
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import truncate

CONFIG = Config(16, (6, 5, 4), z_dim=10, w_dim=8, mapping_layers=2)


@pytest.fixture
def g():
    network = Generator(CONFIG).eval().requires_grad_(False)
    network.w_mean.normal_()
    for block in network.synthesis.blocks:
        block.conv1.noise_strength.fill_(0.5)
    return network


def images(g, tmp_path, **options):
    generate(g, out=tmp_path / "out", npz=tmp_path / "a.npz", **options)
    with np.load(tmp_path / "a.npz") as file:
        return file["images"]


def close(a, b):
    return np.allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-5)


def test_seeds_are_numbers_and_ranges():
    assert parse_seeds("0-7,9") == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    assert parse_seeds(" 5 , 3-3 ") == [5, 3]
    for text in ("", "a", "3-1", "-1", "1,,2", "1-2-3", "1.5", "4294967296", "0-100000", "٣"):
        with pytest.raises(UsageError):
            parse_seeds(text)


def test_pictures_grid_and_floats_are_written(g, tmp_path):
    save(tmp_path / "model.safetensors", generator_checkpoint(g))
    written = generate(tmp_path / "model.safetensors", "3,11", 0.5, tmp_path / "out", npz=tmp_path / "f.npz")
    assert [path.name for path in written] == ["seed0003.png", "seed0011.png", "grid.png", "f.npz"]
    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        found = file["images"]
    assert found.dtype == np.float32 and found.shape == (2, 3, 16, 16)
    z = torch.stack([torch.randn(10, generator=torch.Generator().manual_seed(s)) for s in (3, 11)])
    wanted = g(z, 0.5, "const").numpy()
    assert close(found, wanted) and np.abs(wanted).max() > 1  # not clamped
    pixels = np.asarray(Image.open(written[1])).astype(float)
    assert np.abs(pixels - (wanted[1].clip(-1, 1).transpose(1, 2, 0) + 1) * 127.5).max() <= 0.51
    assert Image.open(written[2]).size == (32, 16)


@pytest.mark.parametrize("noise", ["const", "random", "none"])
def test_a_seed_gives_the_same_picture_in_any_company(g, tmp_path, noise):
    alone = images(g, tmp_path, seeds="5", noise=noise)
    together = images(g, tmp_path, seeds="3-9", noise=noise, batch=3)
    assert close(alone[0], together[2])
    torch.manual_seed(123)
    assert close(alone, images(g, tmp_path, seeds=[5], noise=noise, batch=8))


def test_noise_modes_differ(g, tmp_path):
    const, random, none = (images(g, tmp_path, seeds="5", noise=n) for n in ("const", "random", "none"))
    assert not close(const, random) and not close(const, none) and not close(random, none)
    with pytest.raises(UsageError):
        generate(g, noise="loud")


def test_latents_of_all_three_kinds(g, tmp_path):
    z, w_plus = torch.randn(5, 10), torch.randn(3, CONFIG.n_layers, 8)
    w = g.mapping(z)
    cases = {
        "z": (z, g(z, 1.0, "const")),
        "w": (w, g.synthesis(g.broadcast(w), "const")[-1]),
        "w_plus": (w_plus, g.synthesis(w_plus, "const")[-1]),
    }
    for name, (codes, wanted) in cases.items():
        np.savez(tmp_path / f"{name}.npz", **{name: codes.numpy()})
        assert close(images(g, tmp_path, latents=tmp_path / f"{name}.npz"), wanted), name
    pulled = g.synthesis(truncate(w_plus, g.w_mean, 0.3, 2), "const")[-1]
    assert close(images(g, tmp_path, latents=tmp_path / "w_plus.npz", psi=0.3, cutoff=2), pulled)
    assert (tmp_path / "out" / "latent0002.png").is_file()


def test_latents_that_cannot_be_used_are_one_line(g, tmp_path):
    bad = {
        "shape": {"w": np.zeros((2, 9))}, "axes": {"w_plus": np.zeros((2, 8))}, "none": {"x": np.zeros(8)},
        "two": {"w": np.zeros((2, 8)), "z": np.zeros((2, 10))}, "nan": {"w": np.full((1, 8), np.nan)},
        "text": {"w": np.array([["a"] * 8])}, "object": {"w": np.array([[{}] * 8], dtype=object)},
        "empty": {"w": np.zeros((0, 8))}, "scalar": {"z": np.zeros(())},
    }  # fmt: skip
    for name, arrays in bad.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
    (tmp_path / "noise.npz").write_bytes(b"\x00" * 99)
    np.save(tmp_path / "single.npy", np.zeros((2, 8)))
    good = (tmp_path / "two.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(good[: len(good) // 2])
    files = [tmp_path / f"{name}.npz" for name in (*bad, "noise", "cut", "missing")]
    for file in [*files, tmp_path / "single.npy", tmp_path]:
        with pytest.raises(InputError) as caught:
            generate(g, latents=file, out=tmp_path / "out")
        line = str(caught.value)
        assert "\n" not in line and len(line) <= 200 and file.name in line, line
    assert not (tmp_path / "out").exists()
