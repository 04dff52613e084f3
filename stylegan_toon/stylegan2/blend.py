"""Blending two generators of one family by resolutions. Source: Pinkney and Adler 2020, arXiv 2010.05334."""

import copy
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stylegan_toon.errors import ModelError, UsageError
from stylegan_toon.stylegan2.generator import Generator

KEEP = ("low", "high")
STEP = 2**24  # shares are whole multiples of 1 / STEP


@dataclass(frozen=True)
class Recipe:
    """How to blend. What counts is the source's share of every resolution: 1 is the source, 0 the child.

    k: the switch point, between the k lowest resolutions and the others.
    width: of the logistic curve round it, in resolutions; 0 is the hard swap.
    keep: which side of the switch is the source's, "low" or "high" (Pinkney's direction).
    weights: the shares themselves, one a resolution from 4x4 up, instead of the other three.
    """

    k: int = 0
    width: float = 0.0
    keep: str = "low"
    weights: tuple[float, ...] = ()

    def __str__(self) -> str:
        """As on the command line."""
        if self.weights:
            return "--weights " + ",".join(f"{weight:g}" for weight in self.weights)
        width = f" --blend-width {self.width:g}" if self.width else ""
        return f"--blend {self.k}{width}{'' if self.keep == 'low' else f' --keep {self.keep}'}"

    def shares(self, n: int) -> list[float]:
        """The source's share of each of n resolutions, from 4x4 up.

        Resolution j lies at j and the switch at k - 1/2. With k = 0 and k = n there is none, whatever the
        width: one network has all.
        Raises: UsageError naming the range of k, width, keep or weights.
        """
        if self.weights:
            if len(self.weights) != n or not all(0 <= weight <= 1 for weight in self.weights):
                given = ",".join(f"{weight:g}" for weight in self.weights)[:60]
                raise UsageError(
                    f"weights {given} are not {n} numbers in 0..1, one each from 4 to {2 << n} px"
                )
            return list(self.weights)
        ends = ("the style alone", "the photo generator")
        if not 0 <= self.k <= n:
            zero, all_of_it = ends if self.keep == "low" else ends[::-1]
            raise UsageError(f"blend {self.k} is outside 0..{n}: 0 is {zero}, {n} {all_of_it}")
        if self.keep not in KEEP:
            raise UsageError(f"keep must be {' or '.join(KEEP)}, not {self.keep[:40]!r}")
        if not 0 <= self.width < math.inf:
            raise UsageError(f"blend width {self.width:g} is not a number from 0 up (0 is the hard swap)")
        low = [_logistic(self.k - 0.5 - j, self.width) for j in range(n)]
        if self.k in (0, n):
            low = [float(self.k == n)] * n
        return low if self.keep == "low" else [1.0 - share for share in low]


def parse_weights(text: str) -> tuple[float, ...]:
    """Read "1,1,.5,0" as numbers. Raises: UsageError where one is no number in 0..1."""
    try:
        weights = tuple(float(part) for part in text.split(","))
    except ValueError:
        weights = ()
    if not weights or not all(0 <= weight <= 1 for weight in weights):
        raise UsageError(f"weights {text[:60]!r} are not numbers in 0..1 with commas, such as 1,1,.5,0,0,0")
    return weights


def blend(source: Generator, child: Generator, how: int | Recipe) -> Generator:
    """A generator whose resolutions are the source's and the child's by shares; mapping and w_mean are the
    source's, and the only ones: a child's second mapping is left behind.

    A resolution is its constant (at 4x4), convolutions, affines, noise strengths and constants, biases and
    toRGB, all interpolated by one share; with shares 1 and 0 they are the source's and the child's bits.
    Args:
        how: a number k is Recipe(k): the k lowest resolutions of source, the rest of child.
    Returns: a new generator in the child's mode; neither input is changed.
    Raises: UsageError as Recipe.shares; ModelError if the configurations differ.
    """
    _check_family(source, child)
    shares = (Recipe(how) if isinstance(how, int) else how).shares(source.config.n_resolutions)
    out = copy.deepcopy(child)
    out.config = out.synthesis.config = source.config
    if out.source_mapping is not None:
        out.source_mapping = None
        del out.source_w_mean
    with torch.no_grad():
        out.w_mean.copy_(source.w_mean)
        out.mapping.load_state_dict(source.mapping.state_dict())
        _interpolate(out.synthesis.const, source.synthesis.const, shares[0])
        for ours, theirs, share in zip(out.synthesis.blocks, source.synthesis.blocks, shares, strict=True):
            others = theirs.state_dict()
            for name, tensor in ours.state_dict().items():  # they share memory with the parameters
                _interpolate(tensor, others[name], share)
    return out


def shared_resolutions(source: Generator, child: Generator) -> list[bool]:
    """For every resolution from 4x4 up, whether both generators hold the same bits there.

    Where entry j is True, its share changes nothing.
    Raises: ModelError if the configurations differ.
    """
    _check_family(source, child)
    shared = []
    for a, b in zip(source.synthesis.blocks, child.synthesis.blocks, strict=True):
        others = b.state_dict()
        shared.append(all(torch.equal(tensor, others[name]) for name, tensor in a.state_dict().items()))
    shared[0] = shared[0] and torch.equal(source.synthesis.const, child.synthesis.const)
    return shared


def same_mapping(source: Generator, child: Generator) -> bool:
    """Whether a code means the same to both: one mapping, to the precision of files in float16."""
    _check_family(source, child)
    if child.source_mapping is not None:
        return False
    pairs = zip(source.mapping.parameters(), child.mapping.parameters(), strict=True)
    return all(torch.equal(a.half(), b.half()) for a, b in pairs)


def _logistic(x: float, width: float) -> float:
    """1 / (1 + exp(-x / width)); the step at 0 where width is 0."""
    if width == 0 or abs(x) / width > 50:
        return float(x > 0)
    return 1 / (1 + math.exp(-x / width))


def _interpolate(child: Tensor, source: Tensor, share: float) -> None:
    """child becomes share * source + (1 - share) * child."""
    # A share of 24 bits times a float32 is exact in float64, so the sum is rounded once on every machine.
    share = round(share * STEP) / STEP
    if share == 1:
        child.copy_(source)
    elif share > 0:
        child.copy_(source.double() * share + child.double() * (1 - share))


def _check_family(source: Generator, child: Generator) -> None:
    if source.source_mapping is not None:
        raise ModelError("the source has two mappings, as --freeze-sg makes them; name the one it came from")
    if source.config != replace(child.config, source_resolutions=0):
        sizes = [f"{g.config.resolution} px, w {g.config.w_dim}, channels {list(g.config.channels)}"
                 for g in (source, child)]  # fmt: skip
        raise ModelError(f"generators of two shapes cannot be blended: {sizes[0]}; {sizes[1]}"[:200])
