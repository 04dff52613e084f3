"""Training a mapper for one text, on the codes of a fixed generator.

Source: Patashnik et al. 2021, arXiv 2103.17249, section 5; CPTR eq. 3 to 6. Deviations: Adam, not Ranger; the
last layers start at 0, so that the few hundred steps that fit go to the text; see also methods/text_goal.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from stylegan_toon.methods.text_goal import Goal, spread
from stylegan_toon.stylegan2 import mapper
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import keep_colours
from stylegan_toon.stylegan2.mapper import Mapper


@dataclass(frozen=True)
class Config:
    """What the goal was made of stands here, too, so that a run of another text is not gone on with."""

    text: str
    neutral: tuple[str, ...] = ()
    batch: int = 8
    lr: float = 0.5  # the layers' own multiplier makes it 0.005
    betas: tuple[float, float] = (0.9, 0.99)
    clip: str = ""
    identity: str = "mobileface"
    identity_weight: float = 0.5
    step_weight: float = 0.1
    views: int = 2
    step: float = 0.1
    layers: tuple[int, ...] = ()
    parent: str = ""
    psi: float | None = None
    trained_on: tuple[str, ...] = ()
    colours: bool = True


class MapperTraining(nn.Module):
    def __init__(
        self, config: Config, network: Mapper, g: Generator, goal: Goal, layers: Iterable[int] | None = None
    ):
        """layers: which of w_plus may change; None is all."""
        super().__init__()
        self.config = config
        self.mapper = network
        self._fixed = (g.eval().requires_grad_(False), goal)
        allowed = {*range(g.config.n_layers)} if layers is None else {*layers}
        lock = torch.tensor([[float(i in allowed)] for i in range(g.config.n_layers)])
        self.register_buffer("lock", lock, persistent=False)
        self._spread = spread(g)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"mapper": Adam(self.mapper.parameters(), self.config.lr, self.config.betas)}

    def take_parts(self, parts: int) -> bool:
        """No: it is trained with the whole batch only."""
        return parts == 1

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """One step on batch["w_plus"] [N, L, D]."""
        g, goal = self._fixed
        w_plus = batch["w_plus"]
        moved = self.mapper(w_plus) * self.lock
        with torch.no_grad():
            before = g.synthesis(w_plus, "none")[-1]
        edited = w_plus + moved if self.mapper.config.colours else keep_colours(w_plus + moved, w_plus)
        after = g.synthesis(edited, "none")[-1]
        losses = {name: loss.mean() for name, loss in goal(after, before, moved / self._spread).items()}
        opt["mapper"].zero_grad()
        losses["loss"].backward()
        opt["mapper"].step()
        return {name if name == "loss" else f"loss/{name}": loss.detach() for name, loss in losses.items()}


def new_mapper(g: Generator, groups: tuple[str, ...], step: float = 0.1, colours: bool = True) -> Mapper:
    """A mapper for the codes of g, whose steps are 0; its first layers draw from torch's generator."""
    made = Mapper(mapper.Config(g.config.n_layers, g.config.w_dim, groups, step=step, colours=colours))
    mapper.start_small(made)
    return made
