"""Comparing ways of fine-tuning at matched fidelity: each run is a curve of (KID, structure), not a point.

A frontier tells the most structure that is kept at a KID no higher than asked, anywhere on the curve: at a
checkpoint or on the straight line between two that follow each other.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

Curve = Sequence[tuple[float, float]]  # (KID, structure) of checkpoints in the order they were made


def _points(curve: Curve, level: np.ndarray) -> np.ndarray:
    """Most structure at a KID of at most level, for every level; -inf where the curve does not get so low."""
    best = np.full(len(level), -np.inf)
    for x, y in curve:
        best = np.where(level >= x, np.maximum(best, y), best)
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x0 != x1:  # where the line crosses the level
            share = (level - x0) / (x1 - x0)
            on = (share >= 0) & (share <= 1)
            best = np.where(on, np.maximum(best, y0 + share * (y1 - y0)), best)
    return best


def structure_at(curve: Curve, kid: float) -> float:
    """The most structure kept at a KID of at most kid; nan where the run never gets there.

    Raises: ValueError for an empty curve.
    """
    if not curve:
        raise ValueError("a curve needs one checkpoint at least")
    found = float(_points(curve, np.array([kid]))[0])
    return found if np.isfinite(found) else float("nan")


def pareto_area(curve: Curve, low: float, high: float, worst: float = 0.0, steps: int = 1000) -> float:
    """The mean of structure_at from KID low to high; where the run does not get so low, worst counts.

    Args:
        worst: what unrelated pictures get, 0 for correlations.
    Raises: ValueError for an empty curve or high not above low.
    """
    if not curve or not low < high:
        raise ValueError(f"expected checkpoints and low < high, got {len(curve)}, {low} and {high}")
    levels = low + (high - low) * (np.arange(steps) + 0.5) / steps
    best = _points(curve, levels)
    return float(np.where(np.isfinite(best), best, worst).mean())


# The 97.5 % quantile of Student's t for 1 to 9 degrees of freedom (any statistics table).
STUDENT = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)


def paired_interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean of paired differences, one for each seed, and its 95 % interval by Student's t.

    With one value the interval is nan.
    Raises: ValueError for none, or more than ten.
    """
    values = np.asarray(differences, float)
    n = len(values)
    if not 1 <= n <= len(STUDENT) + 1:
        raise ValueError(f"expected 1 to {len(STUDENT) + 1} differences, got {n}")
    mean = float(values.mean())
    half = STUDENT[n - 2] * float(values.std(ddof=1)) / n**0.5 if n > 1 else float("nan")
    return mean, mean - half, mean + half
