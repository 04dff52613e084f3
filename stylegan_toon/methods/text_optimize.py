"""Editing faces by optimising their codes for a text.

Source: Patashnik et al. 2021, arXiv 2103.17249, section 4. The rate rises and falls as in methods/invert.py;
the step is measured in units of the spread of w, and cut-outs are drawn anew at every step.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Adam

from stylegan_toon.methods.invert import rate
from stylegan_toon.methods.text_goal import Goal, spread
from stylegan_toon.stylegan2.generator import Generator


def optimize(
    g: Generator,
    w_plus: Tensor,
    shift: Tensor | None,
    goal: Goal,
    steps: int,
    layers: Iterable[int] | None = None,
    lr: float = 0.1,
    tell: Callable[[], object] = lambda: None,
) -> Tensor:
    """Codes of the edited faces, [N, L, D]; all are moved together, each by its own losses.

    Args:
        w_plus: [N, L, D], where they start.
        shift: of the faces' features, [N, C, r, r], which stays; None is none.
        layers: which of them may change; None is all.
        lr: in units of the spread of w.
        tell: called after every step.
    Draws from torch's generator.
    """
    unit = spread(g)
    allowed = {*range(g.config.n_layers)} if layers is None else {*layers}
    lock = torch.tensor([[float(i in allowed)] for i in range(g.config.n_layers)]).to(w_plus)
    with torch.no_grad():
        before = g.synthesis(w_plus, "none", shift=shift)[-1]
    step = torch.zeros_like(w_plus).requires_grad_()
    optimizer = Adam([step], lr, (0.9, 0.99))
    for i in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * rate((i + 1) / (steps + 1))
        after = g.synthesis(w_plus + unit * step * lock, "none", shift=shift)[-1]
        optimizer.zero_grad()
        goal(after, before, step)["loss"].sum().backward()
        optimizer.step()
        tell()
    return (w_plus + unit * step * lock).detach()
