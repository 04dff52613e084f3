"""The networks against their formulas in float64 NumPy, through a file in rosinality's layout."""

import numpy as np
import pytest
import torch

from stylegan_toon.pipelines.convert import convert
from stylegan_toon.pipelines.models import load_discriminator, load_generator
from stylegan_toon.stylegan2.config import Config, channels_for
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.files import outline
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import mix
from tests.stylegan2 import reference


def relative(found, wanted):
    """The largest difference, relative to the largest number wanted."""
    return np.abs(np.asarray(found, np.float64) - wanted).max() / np.abs(wanted).max()


def check(tmp_path, channels, style_dim=512, n_mlp=8, n=2, psi=0.7):
    resolution = 2 ** (len(channels) + 1)
    g = reference.generator_state(channels, style_dim, n_mlp)
    d = reference.discriminator_state(channels)
    draw = torch.Generator().manual_seed(9)
    mean = torch.randn(style_dim, generator=draw) * 0.3
    pt = reference.write_pt(tmp_path / "ros.pt", g_ema=g, d=d, latent_avg=mean)
    files = convert(pt, tmp_path / "mine.safetensors")
    assert [file.name for file in files] == ["mine.safetensors", "mine.discriminator.safetensors"]
    ours, judge = load_generator(files[0]), load_discriminator(files[1])
    config = (ours.config.resolution, ours.config.w_dim, ours.config.mapping_layers, ours.config.channels)
    assert config == (resolution, style_dim, n_mlp, tuple(channels))
    z = torch.randn(n, style_dim, generator=draw)
    wanted = reference.generator(g, z.numpy(), psi, mean)
    with torch.inference_mode():
        pictures = ours(z, psi, noise="const")
        scores = judge(pictures)
    assert pictures.shape == wanted.shape == (n, 3, resolution, resolution)
    errors = relative(pictures, wanted), relative(scores, reference.discriminator(d, pictures.numpy()))
    print(f"\n{resolution} px, channels {channels}: generator {errors[0]:.1e}, discriminator {errors[1]:.1e}")
    assert max(errors) < 1e-4
    return ours, judge


def test_64_px_agrees_with_the_formulas(tmp_path):
    check(tmp_path, [24, 24, 24, 16, 12], style_dim=64, n_mlp=8, n=4)


def test_256_px_agrees_with_the_formulas(tmp_path):
    check(tmp_path, [16, 16, 16, 16, 12, 8, 6], style_dim=48, n_mlp=3)


@pytest.mark.parametrize("n, psi", [(1, 1.0), (2, 0.5), (8, 0.0)])
def test_batches_and_psi_agree_with_the_formulas(tmp_path, n, psi):
    check(tmp_path, [12, 12, 8], style_dim=32, n_mlp=2, n=n, psi=psi)


def test_half_width_style_256_two_mapping_layers_agree_with_the_formulas(tmp_path):
    check(tmp_path, list(channels_for(32, multiplier=1)), style_dim=256, n_mlp=2, n=1)


@pytest.mark.slow
def test_256_px_at_full_width_agrees_with_the_formulas(tmp_path):
    ours, judge = check(tmp_path, list(channels_for(256)), n=1)
    assert sum(p.numel() for p in ours.parameters()) == 30_034_338
    assert sum(p.numel() for p in judge.parameters()) == 28_864_129


@pytest.mark.parametrize("multiplier, g, d", [(2, 30_034_338, 28_864_129), (1, 24_767_458, 24_001_089)])
def test_parameter_counts_are_the_originals(multiplier, g, d):
    config = Config(256, channels_for(256, multiplier))
    networks = outline(Generator, config), outline(Discriminator, config)
    assert all(p.is_meta for net in networks for p in net.parameters())
    assert [sum(p.numel() for p in net.parameters()) for net in networks] == [g, d]


def test_every_running_picture_agrees_with_the_formulas_under_style_mixing():
    from stylegan_toon.checkpoint.importers.rosinality import from_rosinality
    from stylegan_toon.stylegan2.files import build_generator

    state = reference.generator_state([12, 12, 8, 8], style_dim=32, n_mlp=2)
    ours = build_generator(from_rosinality({"g": state})["generator"])
    z = torch.randn(2, 2, 32, generator=torch.Generator().manual_seed(3))
    s = reference.arrays(state)
    first, second = (np.repeat(reference.mapping(s, part.numpy())[:, None], 8, 1) for part in z.double())
    mixed = np.concatenate([first[:, :3], second[:, 3:]], 1)
    with torch.inference_mode():
        a, b = (ours.broadcast(ours.mapping(part)) for part in z)
        rgbs = ours.synthesis(mix(a, b, 3), noise="const")
    for found, wanted in zip(rgbs, reference.synthesis(s, mixed), strict=True):
        assert relative(found, wanted) < 1e-5


def test_the_mean_of_w_is_sampled_where_the_file_has_none():
    from stylegan_toon.checkpoint.importers.rosinality import from_rosinality

    state = reference.generator_state([8, 8], style_dim=16, n_mlp=3)
    w_mean = from_rosinality({"g_ema": state})["generator"].tensors["w_mean"]
    z = np.random.default_rng(0).standard_normal((20_000, 16))
    w = reference.mapping(reference.arrays(state), z)
    standard_error = w.std(0) * np.sqrt(1 / 10_000 + 1 / 20_000)
    assert (np.abs(w_mean.numpy() - w.mean(0)) < 5 * standard_error).all()
