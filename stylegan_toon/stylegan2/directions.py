"""Directions that change a face: from the weights alone (SeFa), or from codes of two kinds of faces."""

from collections.abc import Iterable

import torch
from torch import Tensor

from stylegan_toon.stylegan2.edits import affines
from stylegan_toon.stylegan2.generator import Generator


def sefa(g: Generator, layers: Iterable[int], count: int) -> Tensor:
    """The directions of w that move the styles of some layers most: eigenvectors of A^T A, strongest first.

    A holds the weights of the affine layers of the convolutions there, one below the other; toRGB's count
    where nothing else reads a layer.
    Args:
        layers: of w_plus; count: how many, 1..D.
    Returns: [count, D] float64, orthonormal; the largest number of each is positive.
    Raises: ValueError for no layer, or another count.
    Source: Shen and Zhou 2021, arXiv 2007.06600, eq. 5.
    """
    chosen = {*layers}
    found = {name: affine for name, (layer, affine) in affines(g).items() if layer in chosen}
    convolutions = [affine for name, affine in found.items() if not name.endswith("to_rgb")]
    rows = [
        (affine.weight.detach().double() * affine.scale).cpu() for affine in convolutions or found.values()
    ]
    if not rows or not 0 < count <= g.config.w_dim:
        raise ValueError(f"expected layers and 1..{g.config.w_dim} directions, got {chosen} and {count}")
    a = torch.cat(rows)
    directions = torch.linalg.eigh(a.T @ a).eigenvectors.T.flip(0)[:count]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return directions * largest.sign()


def mean_difference(a: Tensor, b: Tensor) -> Tensor:
    """The way from the mean of b to the mean of a, both [N, ...]."""
    return a.mean(0) - b.mean(0)


def svm_normal(a: Tensor, b: Tensor, c: float = 1.0) -> Tensor:
    """The normal of the plane that a linear support vector machine puts between b and a, pointing to a.

    It minimises |n|^2 / 2 + c * sum max(0, 1 - y (n x + offset))^2, y = 1 for a and -1 for b, over codes that
    are centred and scaled to a mean squared length of 1; in the sum both kinds weigh the same.
    Args:
        a, b: [N, F] and [M, F].
    Returns: [F] float64, as long as the way between the means of b and a along it.
    Source: Fan et al. 2008, JMLR 9 (L2-loss SVC); for faces: Shen et al. 2020, arXiv 2005.09635.
    """
    x = torch.cat([a, b]).double()
    x = x - x.mean(0)
    x = x / x.square().sum(1).mean().sqrt().clamp(min=1e-12)
    y = torch.cat([torch.ones(len(a)), -torch.ones(len(b))]).double()
    weight = torch.where(y > 0, len(x) / (2 * len(a)), len(x) / (2 * len(b))) * c
    normal, offset = torch.zeros(x.shape[1], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    parameters = [normal.requires_grad_(), offset.requires_grad_()]
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        gap = (1 - y * (x @ normal + offset)).clamp(min=0)
        loss = normal.square().sum() / 2 + (weight * gap.square()).sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    unit = normal.detach() / normal.detach().norm().clamp(min=1e-12)
    return unit * (unit @ mean_difference(a.double(), b.double()))


def held_out_accuracy(a: Tensor, b: Tensor, how: str, folds: int = 5) -> float:
    """How often a direction found on the others puts a code on its side: mean of both kinds, 0.5 is chance.

    Args:
        a, b: [N, F] and [M, F], two or more of each. how: a key of MAKERS.
        folds: code i is held out in fold i mod folds; at most the smaller number of codes.
    """
    folds = min(folds, len(a), len(b))
    right = [torch.zeros(len(a)), torch.zeros(len(b))]
    for fold in range(folds):
        held = [torch.arange(len(x)) % folds == fold for x in (a, b)]
        rest = [x[~out].double() for x, out in zip((a, b), held, strict=True)]
        direction = MAKERS[how](*rest)
        middle = sum((x @ direction).mean() for x in rest) / 2
        for x, out, hits, sign in zip((a, b), held, right, (1, -1), strict=True):
            hits[out] = (sign * (x[out].double() @ direction - middle) > 0).float()
    return float(sum(hits.mean() for hits in right) / 2)


MAKERS = {"mean": mean_difference, "svm": svm_normal}
