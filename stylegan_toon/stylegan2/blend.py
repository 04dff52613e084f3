"""Blending two generators of one family by resolutions. Source: Pinkney and Adler 2020, arXiv 2010.05334."""

import copy

import torch

from stylegan_toon.errors import ModelError, UsageError
from stylegan_toon.stylegan2.generator import Generator


def blend(source: Generator, child: Generator, k: int) -> Generator:
    """The k lowest resolutions of source, the rest of child; mapping and w_mean are always the source's.

    A resolution is its constant (at 4x4), convolutions, affines, noise strengths and constants, biases and
    toRGB.
    Args:
        k: 0 gives the child (under the source's mapping), n_resolutions the source.
    Returns: a new generator in the child's mode; neither input is changed.
    Raises: UsageError if k is not in 0..n_resolutions; ModelError if the configurations differ.
    """
    _check_family(source, child)
    n = source.config.n_resolutions
    if not 0 <= k <= n:
        raise UsageError(f"blend {k} is outside 0..{n}: 0 is the style alone, {n} the photo generator")
    out = copy.deepcopy(child)
    with torch.no_grad():
        out.w_mean.copy_(source.w_mean)
        out.mapping.load_state_dict(source.mapping.state_dict())
        for theirs, ours in zip(source.synthesis.blocks[:k], out.synthesis.blocks[:k], strict=True):
            ours.load_state_dict(theirs.state_dict())
        if k > 0:
            out.synthesis.const.copy_(source.synthesis.const)
    return out


def shared_resolutions(source: Generator, child: Generator) -> list[bool]:
    """For every resolution from 4x4 up, whether both generators hold the same bits there.

    Where entry j is True, blend with k = j and k = j + 1 is the same generator.
    Raises: ModelError if the configurations differ.
    """
    _check_family(source, child)
    shared = []
    for a, b in zip(source.synthesis.blocks, child.synthesis.blocks, strict=True):
        others = b.state_dict()
        shared.append(all(torch.equal(tensor, others[name]) for name, tensor in a.state_dict().items()))
    shared[0] = shared[0] and torch.equal(source.synthesis.const, child.synthesis.const)
    return shared


def _check_family(source: Generator, child: Generator) -> None:
    if source.config != child.config:
        sizes = [f"{g.config.resolution} px, w {g.config.w_dim}, channels {list(g.config.channels)}"
                 for g in (source, child)]  # fmt: skip
        raise ModelError(f"generators of two shapes cannot be blended: {sizes[0]}; {sizes[1]}"[:200])
