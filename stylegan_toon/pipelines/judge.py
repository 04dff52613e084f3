"""How near a generator in training is to its pictures, KID in three feature spaces, and to its source."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from stylegan_toon.errors import UsageError, shown
from stylegan_toon.features.emotion import load_emotion
from stylegan_toon.features.inception import FILE as INCEPTION
from stylegan_toon.features.inception import load_inception
from stylegan_toon.features.mobileface import load_mobileface
from stylegan_toon.features.untrained import Untrained
from stylegan_toon.losses.structure import structure_loss
from stylegan_toon.metrics.kid import kid, statistics
from stylegan_toon.paths import pretrained_file
from stylegan_toon.pipelines.evaluate import LEAST, draw_samples, features, parts
from stylegan_toon.stylegan2.edits import Edit, apply_edit
from stylegan_toon.stylegan2.generator import Generator

Spaces = Mapping[str, Callable[[Tensor], Tensor]]

BATCH = 16  # pictures at a time: looks shall not need more memory than steps
LOOKED_AT = 8  # moods in which a look's samples are drawn
STRUCTURE = 3  # toRGB outputs, from 4x4 up, that the structure score compares, whatever the loss does
SMALLEST = 1e-3  # below what 200 samples tell from 0; KID without bias may be negative


def spaces(where: torch.device) -> Spaces:
    """The three feature spaces: pictures [N, 3, R, R] in [-1, 1] -> features [N, F]."""
    face, emotion = load_mobileface(device=where), load_emotion(device=where)
    return {
        "mobileface": lambda x: face(x)[1],
        "emotion": lambda x: emotion(x)[1],
        "untrained": Untrained().to(where),
    }


def fid_space(name: str | None, where: torch.device) -> tuple[str, Callable[[Tensor], Tensor]]:
    """The network whose features FID compares, and its name in the figures.

    Args:
        name: of one of spaces(), inception for the file that was fetched, or Inception's file; None takes
            inception where it was fetched, else untrained.
    Raises: UsageError for another name, ModelError for a file that is missing, broken or another.
    """
    name = name or ("inception" if pretrained_file(INCEPTION) else "untrained")
    nets = spaces(where)
    if name in nets:
        return name, nets[name]
    if name != "inception" and Path(name).name == name and not Path(name).suffix:
        known = ", ".join((*nets, "inception"))
        raise UsageError(f"FID by {shown(name, 40)!r}: wanted one of {known}, or Inception's file")
    return "inception", load_inception(None if name == "inception" else name, where)


def kid_judge(
    pictures: Tensor,
    where: torch.device,
    drawn: Callable[[Generator], Sequence[Generator]] = lambda g: [g],
    count: int = 200,
    most: int = 1000,
) -> Callable[[Generator], dict[str, float]] | None:
    """Figures of a generator, lower is better: KID of count samples (psi 1) to at most `most` of the pictures
    [N, 3, R, R] uint8, on the scale of the pictures; kid/SPACE each, and kid, their geometric mean.

    drawn: what draws the samples in a generator's stead, such as its blend with the source; each its share.
    None where there are too few pictures, or they are too small, to tell.
    """
    if len(pictures) < 2 or pictures.shape[2] < LEAST:
        return None
    nets = spaces(where)
    some = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))[:most].sort().values
    wanted = {space: features(net, parts(pictures[some], BATCH), where) for space, net in nets.items()}
    scale = {space: statistics(of) for space, of in wanted.items()}

    def judge(g: Generator) -> dict[str, float]:
        who = drawn(g)
        share = math.ceil(count / len(who))
        made = torch.cat([x for i, net in enumerate(who) for x in draw_samples(net, share, 1.0, i, BATCH)])[
            :count
        ]
        found = {
            f"kid/{space}": kid(
                wanted[space], features(net, iter(made.split(BATCH)), where), *scale[space], resamples=0
            ).value
            for space, net in nets.items()
        }
        mean = sum(math.log(max(value, SMALLEST)) for value in found.values()) / len(found)
        return {"kid": math.exp(mean), **found}

    return judge


def in_moods(g: Generator, edits: Sequence[Edit], shares: Tensor) -> list[Generator]:
    """LOOKED_AT generators that draw g's faces, changed by edits of styles as often as in shares [N, M]."""
    order = sorted(range(len(shares)), key=lambda i: shares[i].tolist())
    rows = [order[(2 * i + 1) * len(order) // (2 * LOOKED_AT)] for i in range(LOOKED_AT)]
    made = []
    for row in shares[rows].tolist():
        net = g
        for share, edit in zip(row, edits, strict=True):
            if share and not edit.moves_codes:
                net = apply_edit(net, net.w_mean[None], edit, share * edit.strength)[0]
        made.append(net)
    return made


def structure_score(source: Generator, count: int = 16) -> Callable[[Generator], float]:
    """A figure of a child: structure_loss to the source for count fixed codes, noise none; 0 for a copy."""
    z = torch.randn(count, source.config.z_dim, generator=torch.Generator().manual_seed(2))
    layers = min(STRUCTURE, source.config.n_resolutions)
    synthesis = source.synthesis
    dtype, synthesis.compute_dtype = synthesis.compute_dtype, torch.float32
    with torch.inference_mode():
        w_plus = source.broadcast(source.mapping(z.to(source.w_mean.device)))
        wanted = synthesis(w_plus, "none", upto=layers)
    synthesis.compute_dtype = dtype

    def score(child: Generator) -> float:
        with torch.inference_mode():
            return float(structure_loss(child.synthesis(w_plus, "none", upto=layers), wanted, layers))

    return score
