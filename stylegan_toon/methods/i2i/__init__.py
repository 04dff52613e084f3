"""Translators from picture to picture: command-line name -> (Config, class)."""

from typing import Any

from stylegan_toon.methods.i2i import (
    animegan,
    animeganv2,
    camgan,
    cartoongan,
    content_invariant,
    cyclegan,
    ganilla,
    pix2pix,
    scgan,
    unit,
    whitebox,
)
from stylegan_toon.methods.translation import TranslationConfig

TRANSLATORS: dict[str, tuple[type[TranslationConfig], Any]] = {
    "cyclegan": (cyclegan.Config, cyclegan.CycleGAN),
    "pix2pix": (pix2pix.Config, pix2pix.Pix2Pix),
    "ganilla": (ganilla.Config, ganilla.Ganilla),
    "camgan": (camgan.Config, camgan.Camgan),
    "scgan": (scgan.Config, scgan.ScGAN),
    "unit": (unit.Config, unit.Unit),
    "content-invariant": (content_invariant.Config, content_invariant.ContentInvariant),
    "cartoongan": (cartoongan.Config, cartoongan.CartoonGAN),
    "animegan": (animegan.Config, animegan.AnimeGAN),
    "animeganv2": (animeganv2.Config, animeganv2.AnimeGANv2),
    "whitebox": (whitebox.Config, whitebox.WhiteBox),
}
