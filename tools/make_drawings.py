#!/usr/bin/env python3
"""Draw photos, for `finetune --pairs --drawings`: tools/make_drawings.py PHOTOS OUT --look LOOK

PHOTOS is a folder of aligned squares (prepare, or invert --aligned); OUT gets a PNG of each, under its name. LOOK is
one of these:

- soft: smooth skin and hair, larger eyes, richer colours: what a painted style should keep of a face
- comic: the filter of the sample pictures `comic` (tools/make_samples.py)
- ink: black on white
- flat: few tones and no lines
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from make_samples import bilateral, blurred, comic, in_tones, to_lab, to_rgb
from PIL import Image

from stylegan_toon.losses.latent import part_weights
from stylegan_toon.nn.lens import swell

WORK, SIZE = 256, 128  # px: the filter's strokes are meant for the first
GROW, REACH = 0.25, 1.35  # how much larger eyes are in their middle, and how far around, in half widths


def soft(picture: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] with larger eyes, smooth, of richer colours and a little more contrast."""
    lab = to_lab(smoothed(with_larger_eyes(picture), 3, radius=4, tone=18, space=6))
    lab[..., 0] += 4 * np.sin((lab[..., 0] - 50) / 50 * np.pi)
    lab[..., 1:] *= 1.2
    return as_picture(lab)


def smoothed(picture: np.ndarray, times: int, radius: int, tone: float, space: float) -> np.ndarray:
    for _ in range(times):
        picture = bilateral(picture, radius, tone, space)
    return picture


def as_picture(lab: np.ndarray) -> np.ndarray:
    return (to_rgb(lab) * 255).round().astype(np.uint8)


def with_larger_eyes(picture: np.ndarray) -> np.ndarray:
    """uint8 [S, S, 3], an aligned square, whose eyes swell as under a lens."""
    planes = torch.from_numpy(picture.transpose(2, 0, 1).copy())[None].double() / 127.5 - 1
    drawn = (swell(planes, GROW, REACH, nose=0)[0] + 1) * 127.5
    return drawn.round().byte().numpy().transpose(1, 2, 0)


def ink(picture: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] in black on white: what is dark, and lines where it is darker than around.

    Source: the extended difference of Gaussians, Winnemoeller 2011.
    """
    light = to_lab(smoothed(with_larger_eyes(picture), 3, radius=4, tone=18, space=6))[..., 0]
    lines = blurred(light, 1.1) - 0.97 * blurred(light, 2.6)
    paper = (1 + np.tanh((lines - 0.4) * 0.9)) / 2 * (1 + np.tanh((light - 24) * 0.25)) / 2
    return np.repeat((255 * np.clip(paper * 1.1, 0, 1)).round().astype(np.uint8)[..., None], 3, 2)


def flat(picture: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] with larger eyes, in few tones without lines; eyes and mouth keep theirs, darker."""
    large = with_larger_eyes(picture)
    lab, own = to_lab(smoothed(large, 5, radius=5, tone=28, space=8)), to_lab(bilateral(large, 3, 18, 4))
    lab[..., 0] = in_tones(lab[..., 0], 14, 7)
    own[..., 0] += 0.8 * (own[..., 0] - blurred(own[..., 0], 6.0))
    weights = part_weights(len(picture), 1.0)[0, 0].numpy()
    parts = (weights / weights.min() - 1)[..., None]
    lab = lab + parts.clip(0, 1) * (own - lab)
    lab[..., 1:] *= 1.25
    return as_picture(lab)


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
