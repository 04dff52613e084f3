#!/usr/bin/env python3
"""Draw photos, for `finetune --pairs --drawings`: tools/make_drawings.py PHOTOS OUT --look comic|soft|ink|flat

PHOTOS is a folder of aligned squares (prepare, or invert --aligned); OUT gets a PNG of each, under its name. comic is
the filter of the sample pictures `comic` (tools/make_samples.py); soft smooths skin and hair, enlarges the eyes, and
makes colours richer, and serves as a teacher of what a painted style should keep of a face; ink is black on white; flat has few
tones and no lines.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from make_samples import bilateral, blurred, comic, in_tones, to_lab, to_rgb
from PIL import Image

from stylegan_toon.losses.latent import PARTS, part_weights

WORK, SIZE = 256, 128  # px: the filter's strokes are meant for the first
EYES = PARTS[:2]
GROW, REACH = 0.25, 1.35  # how much larger eyes are in their middle, and how far around, in half widths


def soft(picture: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] with larger eyes, smooth, of richer colours and a little more contrast."""
    smooth = with_larger_eyes(picture)
    for _ in range(3):
        smooth = bilateral(smooth, radius=4, tone=18, space=6)
    lab = to_lab(smooth)
    lab[..., 0] += 4 * np.sin((lab[..., 0] - 50) / 50 * np.pi)
    lab[..., 1:] *= 1.2
    return (to_rgb(lab) * 255).round().astype(np.uint8)


def with_larger_eyes(picture: np.ndarray) -> np.ndarray:
    """uint8 [S, S, 3], an aligned square, whose eyes swell as under a lens."""
    size = len(picture)
    at = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(at, at)
    where = np.stack([x, y], -1)
    for middle_x, middle_y, half, _ in EYES:
        middle = np.array([middle_x, middle_y + 0.01])
        away = np.stack([x, y], -1) - middle
        near = np.clip(1 - (np.linalg.norm(away, axis=-1) / (REACH * half)) ** 2, 0, 1) ** 2
        where -= (1 - 1 / (1 + GROW)) * near[..., None] * away
    planes = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None].double()
    grid = torch.from_numpy(where * 2 - 1)[None]
    drawn = F.grid_sample(planes, grid, "bicubic", "reflection", align_corners=False)
    return drawn[0].clamp(0, 255).round().byte().numpy().transpose(1, 2, 0)


def ink(picture: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] in black on white: what is dark, and lines where it is darker than around.

    Source: the extended difference of Gaussians, Winnemoeller 2011.
    """
    smooth = with_larger_eyes(picture)
    for _ in range(3):
        smooth = bilateral(smooth, radius=4, tone=18, space=6)
    light = to_lab(smooth)[..., 0]
    lines = blurred(light, 1.1) - 0.97 * blurred(light, 2.6)
    paper = (1 + np.tanh((lines - 0.4) * 0.9)) / 2 * (1 + np.tanh((light - 24) * 0.25)) / 2
    return np.repeat((255 * np.clip(paper * 1.1, 0, 1)).round().astype(np.uint8)[..., None], 3, 2)


def flat(picture: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] with larger eyes, in few tones without lines; eyes and mouth keep theirs, darker."""
    smooth = large = with_larger_eyes(picture)
    for _ in range(5):
        smooth = bilateral(smooth, radius=5, tone=28, space=8)
    lab, own = to_lab(smooth), to_lab(bilateral(large, radius=3, tone=18, space=4))
    lab[..., 0] = in_tones(lab[..., 0], 14, 7)
    own[..., 0] += 0.8 * (own[..., 0] - blurred(own[..., 0], 6.0))
    weights = part_weights(len(picture), 1.0)[0, 0].numpy()
    parts = (weights / weights.min() - 1)[..., None]
    lab = lab + parts.clip(0, 1) * (own - lab)
    lab[..., 1:] *= 1.25
    return (to_rgb(lab) * 255).round().astype(np.uint8)


LOOKS = {"comic": comic, "soft": soft, "ink": ink, "flat": flat}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--look", choices=LOOKS, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for file in sorted(given.photos.iterdir()):
        with Image.open(file) as opened:
            photo = opened.convert("RGB").resize((WORK, WORK), Image.Resampling.LANCZOS)
        drawn = Image.fromarray(LOOKS[given.look](np.asarray(photo)))
        drawn.resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(given.out / f"{file.stem}.png")


if __name__ == "__main__":
    main()
