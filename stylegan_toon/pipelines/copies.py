"""Does a style repeat its training pictures? A figure, and a strip of the pairs that are nearest."""

import math
from pathlib import Path

import torch
from torch import Tensor

from stylegan_toon.features.mobileface import load_mobileface
from stylegan_toon.images import grid, save_png
from stylegan_toon.metadata import chunks
from stylegan_toon.metrics.kid import standardise, statistics
from stylegan_toon.metrics.memorise import nearest, nearest_among
from stylegan_toon.pipelines.evaluate import LEAST, draw_samples, features, parts
from stylegan_toon.stylegan2.generator import Generator

STRIP = "nearest.png"
SAMPLES, MOST, PAIRS = 200, 2000, 8


def find_copies(
    generator: Generator, pictures: Tensor, out: Path, where: torch.device, batch: int = 16
) -> dict[str, float]:
    """Compare samples (psi 1) with the training pictures [N, 3, R, R] uint8 in MobileFace's features.

    Writes RUN/nearest.png: the samples that are nearest to a training picture, and these below them.
    Returns: nearest, the median distance to the nearest training picture (or its mirror image), divided by
        that of the training pictures among themselves; and closer, as metrics.memorise. Empty where there is
        one picture, they are all alike or too small. Of more than MOST pictures the first count.
    """
    pictures = pictures[:MOST]
    if len(pictures) < 2 or pictures.shape[2] < LEAST:
        return {}
    face = load_mobileface(device=where)

    def net(x: Tensor) -> Tensor:
        return face(x)[1]

    train, mirrored = (features(net, parts(p, batch), where) for p in (pictures, pictures.flip(3)))
    samples = torch.cat(list(draw_samples(generator, SAMPLES, 1.0, 0, batch)))
    made = features(net, iter(samples.split(batch)), where)
    mean, std = statistics(train)
    found = nearest_among(made, train, mirrored, mean, std)
    if not math.isfinite(found.ratio):
        return {}
    scaled, both = (standardise(f, mean, std).float() for f in (made, torch.cat([train, mirrored])))
    distances, which = nearest(scaled, both)
    first = distances.argsort()[:PAIRS]
    twins = torch.cat([pictures, pictures.flip(3)])[which[first]].float() / 127.5 - 1
    about = chunks({"command": "finetune", "nearest": True})
    save_png(out / STRIP, grid(torch.cat([samples[first], twins]), len(first)), about)
    return {"nearest": found.ratio, "closer": found.closer}
