"""Coming nearer to a photo than the encoder does: optimising its code.

Source: Abdal et al. 2019, arXiv 1904.03189 (w_plus); Tov et al. 2021, arXiv 2102.02766 (staying near W keeps
codes editable, and blended pictures clean).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Adam

from stylegan_toon.exact import normal
from stylegan_toon.losses.identity import identity_loss
from stylegan_toon.losses.latent import pyramid_l1
from stylegan_toon.stylegan2.generator import Generator

STEPS = (0, 40, 120, 400)  # of --refine 0, 1, 2, 3
STAY = 0.05
GRID = 2**14  # parts of 1 that codes in float64 are rounded to: far below a step, far above an error


def refine(
    g: Generator,
    photos: Tensor,
    w_plus: Tensor,
    steps: int,
    embed: Callable[[Tensor], Tensor] | None = None,
    lr: float = 0.03,
) -> Tensor:
    """Move codes towards photos by Adam, with a pixel pyramid, identity, and a pull back to where they began.

    Args:
        photos: [N, 3, R, R] in [-1, 1], aligned, at the generator's size.
        w_plus: [N, L, D], where to start.
        steps: how many; 0 returns w_plus itself.
        embed: pictures to unit identity embeddings [N, F]; None leaves the identity loss out.
        lr: in units of the spread of w.
    Returns: [N, L, D] of the lowest loss seen for each photo. Samples do not influence each other. In float64
        the codes stay on a grid, so that every step begins with the same bits on every machine.
    """
    if not steps:
        return w_plus
    exact = w_plus.dtype == torch.float64
    with torch.no_grad():
        z = normal((1024, g.config.z_dim), torch.Generator().manual_seed(0), exact)
        spread = g.mapping(z.to(w_plus.device)).std(0).mean()
        known = embed(photos) if embed else None
    start = w_plus.detach().mul(GRID).round().div(GRID) if exact else w_plus.detach().clone()
    code = start.clone().requires_grad_()
    optimizer = Adam([code], lr=lr * float(spread), betas=(0.9, 0.99))
    best, kept = torch.full([len(photos)], float("inf"), device=photos.device), start.clone()
    for step in range(steps + 1):
        made = g.synthesis(code, "none")[-1]
        each = []
        for i in range(len(photos)):
            loss = pyramid_l1(made[i : i + 1], photos[i : i + 1])
            if embed and known is not None:
                loss = loss + 0.2 * identity_loss(embed(made[i : i + 1]), known[i : i + 1])
            each.append(loss + STAY * ((code[i] - start[i]) / spread).square().mean())
        losses = torch.stack(each)
        with torch.no_grad():
            better = losses < best
            best = torch.where(better, losses, best)
            kept[better] = code[better]
        if step < steps:
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            if exact:
                with torch.no_grad():
                    code.mul_(GRID).round_().div_(GRID)
    return kept
