#!/usr/bin/env python3
"""Draw photos, for `finetune --pairs --drawings`: tools/make_drawings.py PHOTOS OUT --look LOOK

PHOTOS is a folder of aligned squares (prepare, or invert --aligned); OUT gets a PNG of each, under its name. LOOK is
one of these:

- figure: as a figure of an animation film: very large eyes, a small nose, skin without pores or lines
- soft: smooth skin and hair, larger eyes, richer colours: what a painted style should keep of a face
- comic: the filter of the sample pictures `comic` (tools/make_samples.py)
- ink: black on white
- flat: few tones and no lines
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from make_samples import bilateral, blurred, comic, in_tones, to_lab, to_rgb
from PIL import Image

from stylegan_toon.losses.latent import PARTS, part_mask, part_weights

WORK, SIZE = 256, 128  # px: the filter's strokes are meant for the first
EYES, MOUTH = PARTS[:2], PARTS[2:]
GROW, REACH = 0.25, 1.35  # how much larger eyes are in their middle, and how far around, in half widths
SKIN = (18.0, 22.0)  # a and b of Lab that skin of every lightness is near to


def soft(picture: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] with larger eyes, smooth, of richer colours and a little more contrast."""
    lab = to_lab(smoothed(reshaped(picture), 3, radius=4, tone=18, space=6))
    lab[..., 0] += contrast(lab[..., 0], 4)
    lab[..., 1:] *= 1.2
    return as_picture(lab)


def figure(picture: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] with very large eyes and a small nose, softly lit, without lines."""
    large = reshaped(picture, eyes=0.9, reach=1.7, nose=0.18)
    lab, own = to_lab(smoothed(large, 5, 5, 24, 8)), to_lab(smoothed(large, 2, 3, 18, 4))
    eyes, mouth = (mask(len(picture), parts) for parts in (EYES, MOUTH))
    own[..., 0] += (eyes + 0.3 * mouth) * (own[..., 0] - blurred(own[..., 0], 6.0))
    lab[..., 0] = 0.6 * lab[..., 0] + 0.4 * blurred(lab[..., 0], 3.0)
    lab[..., 0] += contrast(lab[..., 0], 5)
    lab = mixed(lab, own, 0.9 * np.maximum(eyes, 0.8 * mouth))
    lab[..., 1:] *= 1.3
    skin = np.exp(-((lab[..., 1] - SKIN[0]) ** 2) / 200 - (lab[..., 2] - SKIN[1]) ** 2 / 300)
    lab[..., 0] += 3 * skin
    lab[..., 1] += 4 * skin
    return as_picture(lab)


def smoothed(picture: np.ndarray, times: int, radius: int, tone: float, space: float) -> np.ndarray:
    for _ in range(times):
        picture = bilateral(picture, radius, tone, space)
    return picture


def mask(size: int, parts: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """[size, size], 1 in the middle of parts, 0 elsewhere."""
    return part_mask(size, parts)[0, 0].numpy().clip(0, 1)


def mixed(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """a [H, W, 3] with the share [H, W] of b."""
    return a + share[..., None] * (b - a)


def contrast(light: np.ndarray, much: float) -> np.ndarray:
    """What makes lightness 0 to 100 lighter above the middle and darker below."""
    return much * np.sin((light - 50) / 50 * np.pi)


def as_picture(lab: np.ndarray) -> np.ndarray:
    return (to_rgb(lab) * 255).round().astype(np.uint8)


def reshaped(picture: np.ndarray, eyes: float = GROW, reach: float = REACH, nose: float = 0) -> np.ndarray:
    """uint8 [S, S, 3], an aligned square, whose eyes swell as under a lens, and whose nose shrinks.

    eyes: how much larger in their middle; reach: how far around, in half widths. nose: how much smaller. The
    outline stays: a narrower jaw would leave the photo's own beside it.
    """
    size = len(picture)
    at = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(at, at)
    where = np.stack([x, y], -1)  # what each pixel shows
    for middle_x, middle_y, half, _ in EYES:
        away = np.stack([x - middle_x, y - middle_y - 0.01], -1)
        where -= (1 - 1 / (1 + eyes)) * near(away / (reach * half))[..., None] * away
    away = np.stack([x - 0.5, (y - 0.6) * 0.83], -1)
    where += nose * near(away / 0.1)[..., None] * away * (1, 0.7)
    planes = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None].double()
    grid = torch.from_numpy(where * 2 - 1)[None]
    drawn = F.grid_sample(planes, grid, "bicubic", "reflection", align_corners=False)
    return drawn[0].clamp(0, 255).round().byte().numpy().transpose(1, 2, 0)


def near(away: np.ndarray) -> np.ndarray:
    """1 where away [..., 2] is 0, falling to 0 where it is as long as 1."""
    return np.clip(1 - np.square(away).sum(-1), 0, 1) ** 2


def ink(picture: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] in black on white: what is dark, and lines where it is darker than around.

    Source: the extended difference of Gaussians, Winnemoeller 2011.
    """
    light = to_lab(smoothed(reshaped(picture), 3, radius=4, tone=18, space=6))[..., 0]
    lines = blurred(light, 1.1) - 0.97 * blurred(light, 2.6)
    paper = (1 + np.tanh((lines - 0.4) * 0.9)) / 2 * (1 + np.tanh((light - 24) * 0.25)) / 2
    return np.repeat((255 * np.clip(paper * 1.1, 0, 1)).round().astype(np.uint8)[..., None], 3, 2)


def flat(picture: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] with larger eyes, in few tones without lines; eyes and mouth keep theirs, darker."""
    large = reshaped(picture)
    lab, own = to_lab(smoothed(large, 5, radius=5, tone=28, space=8)), to_lab(bilateral(large, 3, 18, 4))
    lab[..., 0] = in_tones(lab[..., 0], 14, 7)
    own[..., 0] += 0.8 * (own[..., 0] - blurred(own[..., 0], 6.0))
    weights = part_weights(len(picture), 1.0)[0, 0].numpy()
    parts = (weights / weights.min() - 1)[..., None]
    lab = lab + parts.clip(0, 1) * (own - lab)
    lab[..., 1:] *= 1.25
    return as_picture(lab)


LOOKS = {"figure": figure, "comic": comic, "soft": soft, "ink": ink, "flat": flat}


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
