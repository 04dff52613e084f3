"""Latent codes: truncation, style mixing, the way between two, and the groups of layers."""

import re
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_toon.errors import UsageError
from stylegan_toon.stylegan2.config import Config

GROUPS = {"coarse": slice(0, 4), "medium": slice(4, 8), "fine": slice(8, None)}


def truncate(w_plus: Tensor, w_mean: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
    """Pull w_plus towards the mean latent: w_mean + psi * (w_plus - w_mean).

    Args:
        w_plus: [N, L, D], any float dtype.
        w_mean: [D], the running mean of w; or [L, D], one a layer.
        psi: 1 keeps w_plus, 0 gives the mean face; 0.7 is common.
        cutoff: how many leading layers to truncate; None means all L.
    Returns: [N, L, D], a new tensor; neither input is changed.
    Raises: ValueError if w_plus is not [N, L, D] with the D of w_mean.
    Source: Karras et al. 2019, arXiv 1812.04948, appendix B.
    """
    if w_plus.ndim != 3 or w_plus.shape[-1] != w_mean.shape[-1]:
        raise ValueError(f"expected w_plus [N, L, {w_mean.shape[-1]}], got {list(w_plus.shape)}")
    pulled = w_mean + psi * (w_plus - w_mean)
    return pulled if cutoff is None else torch.cat([pulled[:, :cutoff], w_plus[:, cutoff:]], dim=1)


def mix(a: Tensor, b: Tensor, crossover: int) -> Tensor:
    """Style mixing: the layers below crossover from a, the rest from b.

    Args:
        a, b: [N, L, D].
        crossover: 0 gives b, L gives a.
    Returns: [N, L, D], a new tensor.
    Raises: ValueError if the shapes differ or crossover is not in 0..L.
    Source: Karras et al. 2019, arXiv 1812.04948, section 3.1.
    """
    if a.shape != b.shape or a.ndim != 3:
        raise ValueError(f"expected two [N, L, D] of one shape, got {list(a.shape)} and {list(b.shape)}")
    if not 0 <= crossover <= a.shape[1]:
        raise ValueError(f"crossover {crossover} is not in 0..{a.shape[1]}")
    return torch.cat([a[:, :crossover], b[:, crossover:]], dim=1)


def parse_layers(text: str, n_layers: int) -> list[int]:
    """ "coarse,9-10" -> [0, 1, 2, 3, 9, 10]: groups, numbers and ranges of w_plus layers; "all" is all.

    Raises: UsageError for anything else, and for what no layer of n_layers is in.
    """
    found: set[int] = set()
    for part in (part.strip() for part in text.split(",")):
        match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part, re.ASCII)
        if part in GROUPS or part == "all":
            chosen = [*range(n_layers)][GROUPS.get(part, slice(None))]
        elif match and int(match[1]) <= int(match[2] or match[1]) < n_layers:
            chosen = [*range(int(match[1]), int(match[2] or match[1]) + 1)]
        else:
            raise UsageError(
                f"layers {part[:30]!r} are none of all, {', '.join(GROUPS)}, or numbers such as 0-3 in "
                f"0..{n_layers - 1}"
            )
        if not chosen:
            raise UsageError(f"layers {part!r} do not exist here: there are {n_layers}, 0..{n_layers - 1}")
        found |= {*chosen}
    return sorted(found)


def pick(a: Tensor, b: Tensor, layers: Iterable[int]) -> Tensor:
    """Style mixing by any layers: those named from a, the rest from b.

    Args:
        a, b: [N, L, D].
    Returns: [N, L, D], a new tensor.
    Raises: ValueError if the shapes differ or a layer is not in 0..L-1.
    Source: Karras et al. 2019, arXiv 1812.04948, section 3.1.
    """
    layers = [*layers]
    if a.shape != b.shape or a.ndim != 3:
        raise ValueError(f"expected two [N, L, D] of one shape, got {list(a.shape)} and {list(b.shape)}")
    if not all(0 <= layer < a.shape[1] for layer in layers):
        raise ValueError(f"layers {layers} are not all in 0..{a.shape[1] - 1}")
    out = b.clone()
    out[:, layers] = a[:, layers]
    return out


def keep_colours(moved: Tensor, w_plus: Tensor) -> Tensor:
    """Codes whose convolutions take those of moved, and whose toRGB layers those of w_plus.

    Args:
        moved, w_plus: [N, L, D], as Synthesis numbers them: toRGB has those of odd numbers.
    Returns: [N, L + L / 2, D], which Synthesis takes, too.
    """
    return torch.cat([moved, w_plus[:, 1::2]], dim=1)


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """From a (t = 0) to b (t = 1) at an even pace along the great circle, the way to walk among normal z.

    Where a and b point the same way, or opposite ones, there is no one circle, and the way is straight.
    Args:
        a, b: [..., Z].
    Source: Shoemake 1985, SIGGRAPH; for latents: White 2016, arXiv 1609.04468.
    """
    cosine = F.cosine_similarity(a, b, dim=-1).clamp(-1, 1)[..., None]
    angle = torch.acos(cosine)
    sine = angle.sin()
    round_way = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / sine.clamp(min=1e-12)
    return torch.where(sine < 1e-4, torch.lerp(a, b, t), round_way)


def unfold_shift(config: Config, shift: Tensor) -> dict[int, Tensor]:
    """What a shift in the space F/W+ adds to the features of which resolution, counted from 0 for 4x4 up.

    shift: [N, C, r, r] of the features of r x r; or with more channels, behind those the shift of the next
        resolution, [N, C', 2 r, 2 r] folded by pixel_unshuffle, and then that of the one after it.
    Raises: ValueError for another.
    """
    k, widths = config.shift_parts(shift.shape)
    parts = shift.split(widths, dim=1)
    return {k + i: F.pixel_shuffle(part, 2**i) for i, part in enumerate(parts)}


def fold_shift(parts: Iterable[Tensor]) -> Tensor:
    """One shift [N, C, r, r] of those of a resolution and the next ones above it, [N, C', r', r'] each."""
    return torch.cat([F.pixel_unshuffle(part, 2**i) for i, part in enumerate(parts)], 1)
