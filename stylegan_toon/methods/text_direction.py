"""One direction for a text, the same for all faces, found in seconds: of styles (S-space) or of codes.

The losses' gradient is taken to the direction itself, over a few hundred faces, a batch a step; what moves
little is then cut away, as most of a text is in few channels.
Source: Kocasari et al. 2021, "StyleMC", arXiv 2112.08493; Wu et al. 2021, arXiv 2011.12799 (channels; their
standard deviations are the units here).
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.func import functional_call
from torch.optim import SGD

from stylegan_toon.methods.text_goal import Goal, spread
from stylegan_toon.stylegan2.edits import affines
from stylegan_toon.stylegan2.generator import Generator

SPACES = ("s", "w+")


def find_direction(
    g: Generator,
    batches: Iterable[Tensor],
    goal: Goal,
    space: str = "s",
    threshold: float = 0.1,
    layers: Iterable[int] | None = None,
    lr: float = 0.02,
    tell: Callable[[], object] = lambda: None,
) -> dict[str, Tensor]:
    """The tensors of an edit file, of strength 1.

    Args:
        batches: codes [N, L, D], one batch a step.
        space: one of SPACES.
        threshold: 0 to 1; what is below this part of the largest number, in units of the spread, is set to 0.
        layers: which of w_plus, and the styles made of them, may change; None is all.
        lr: the root mean square of a step, in units of the spread, too. Steps are of one length and go down
            the gradient, averaged over ten or so; Adam would move channels that matter little as far.
        tell: called after every step.
    Draws from torch's generator. Raises: ValueError for another space.
    """
    if space not in SPACES:
        raise ValueError(f"space must be one of {', '.join(SPACES)}, not {space!r}")
    allowed = {*range(g.config.n_layers)} if layers is None else {*layers}
    units = style_units(g) if space == "s" else {"w_plus": code_units(g)}
    if space == "s":
        units = {name: unit for name, unit in units.items() if affines(g)[name[2:]][0] in allowed}
    else:
        units["w_plus"][[i for i in range(g.config.n_layers) if i not in allowed]] = 0
    way = {name: torch.zeros_like(unit).requires_grad_() for name, unit in units.items()}
    count = sum(part.numel() for part in way.values())
    optimizer = SGD(way.values(), lr, 0.9, dampening=0.9)
    for w_plus in batches:
        with torch.no_grad():
            before = g.synthesis(w_plus, "none")[-1]
        after = shifted(g, w_plus, {name: way[name] * unit for name, unit in units.items()})
        moved = torch.cat([part.flatten() for part in way.values()])
        losses = goal(after, before, moved.expand(len(w_plus), 1, -1))
        optimizer.zero_grad()
        losses["loss"].mean().backward()
        size = torch.stack([part.grad.norm() for part in way.values() if part.grad is not None]).norm()
        for part in way.values():
            if part.grad is not None:
                part.grad *= count**0.5 / size.clamp(min=1e-12)
        optimizer.step()
        tell()
    with torch.no_grad():
        most = max(float(part.abs().max()) for part in way.values())
        kept = {name: torch.where(part.abs() < threshold * most, 0, part) for name, part in way.items()}
        found = {name: part * units[name] for name, part in kept.items()}
    return {name: tensor for name, tensor in found.items() if tensor.any()} or found


def shifted(g: Generator, w_plus: Tensor, change: dict[str, Tensor]) -> Tensor:
    """Pictures [N, 3, R, R] drawn with the tensors of an edit added, differentiable in them."""
    if "w_plus" in change:
        return g.synthesis(w_plus + change["w_plus"], "none")[-1]
    biases = {}
    for name, (_, affine) in affines(g).items():
        if f"s.{name}" in change:
            biases[f"{name}.conv.affine.bias"] = affine.bias + change[f"s.{name}"] / affine.lr_mul
    pictures: list[Tensor] = functional_call(g.synthesis, biases, (w_plus, "none"))
    return pictures[-1]


def style_units(g: Generator, count: int = 2048) -> dict[str, Tensor]:
    """s.NAME [C] of each convolution: the standard deviations of its styles over random faces.

    Those of toRGB layers are left out: they are colours alone (Wu et al. 2021, section 3).
    """
    z = torch.randn(count, g.config.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        w_plus = g.codes(z.to(g.w_mean))
        return {
            f"s.{name}": affine(w_plus[:, layer]).std(0)
            for name, (layer, affine) in affines(g).items()
            if not name.endswith("to_rgb")
        }


def code_units(g: Generator) -> Tensor:
    """[L, D]: the mean standard deviation of w, everywhere."""
    return torch.full((g.config.n_layers, g.config.w_dim), spread(g)).to(g.w_mean)
