"""Training a head of an encoder that gives a shift of features (the space F/W+), codes as they are.

What methods.invert lowers for one photo by Adam is here lowered over all photos of a pack. Sources: Kang et
al. 2021, arXiv 2108.08998 (the space); Wang et al. 2022, arXiv 2109.06590 (a network that gives it, from what
the first picture lacks); Alaluf et al. 2021, arXiv 2104.02699 (passes, a loss after each).
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from stylegan_toon.device import channels_last
from stylegan_toon.errors import UsageError
from stylegan_toon.features.look import Look
from stylegan_toon.methods.invert import SHIFT, gap
from stylegan_toon.stylegan2.encoder import PASSES, Encoder, FineHead, ShiftHead, draw_shifted, predict_shift
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import fold_shift
from stylegan_toon.training import ranks
from stylegan_toon.training.ema import update_ema


@dataclass(frozen=True)
class Config:
    batch: int = 8
    lr: float = 0.002
    ema: float = 0.995


class ShiftTraining(nn.Module):
    def __init__(self, config: Config, encoder: Encoder, g: Generator, look: Look, fine: bool = False):
        """look: as methods.invert.gap compares pictures.

        encoder: with a head, which alone is trained; fine: with another for the resolutions above, which is.
        Raises: ValueError for an encoder without a head; UsageError for more processes than photos.
        """
        super().__init__()
        head = encoder.fine if fine else encoder.shift
        if head is None:
            how = "with_fine" if fine else "with_shift"
            raise ValueError(f"the encoder has no head for shifts; use stylegan2.encoder.{how}")
        if config.batch < ranks.world():
            raise UsageError(
                f"a batch of {config.batch} photos for {ranks.world()} processes; "
                f"use --batch {ranks.world()} or more"
            )
        self.config = config
        self.head: ShiftHead | FineHead = head
        self.average = copy.deepcopy(head).requires_grad_(False)
        fixed = Encoder(encoder.config).eval().requires_grad_(False)
        fixed.load_state_dict(encoder.state_dict())
        self._fixed = (channels_last(fixed), g.eval().requires_grad_(False), look)
        channels_last(self)

    @property
    def encoder(self) -> Encoder:
        """The encoder with the average of the heads so far."""
        fixed = self._fixed[0]
        head = fixed.fine if isinstance(self.head, FineHead) else fixed.shift
        assert head
        head.load_state_dict(self.average.state_dict())
        return fixed

    def optimizers(self) -> dict[str, Optimizer]:
        return {"e": Adam(self.head.parameters(), self.config.lr, (0.9, 0.99))}

    def take_parts(self, parts: int) -> bool:
        """No: it is trained with the whole batch only."""
        return parts == 1

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """One step on batch["photo"] [N, 3, R, R]: the mean loss after every pass."""
        encoder, g, look = self._fixed
        mine = ranks.part(len(batch["photo"]))
        photos = batch["photo"][mine]
        share = len(photos) / len(batch["photo"])
        with torch.no_grad():
            w_plus = encoder(photos)
            known: list[Tensor] = []
            if isinstance(self.head, FineHead):
                low = predict_shift(encoder, g, photos, w_plus, fine=False)
                assert low is not None
                known = [low]
            drawn, features = draw_shifted(g, w_plus, known[0] if known else None)
            shown = look(photos)
        opt["e"].zero_grad()
        figures: dict[str, Tensor] = {}
        shift: list[Tensor] = []
        for k in range(PASSES):
            found = self._ask(photos, drawn.detach(), [part.detach() for part in features])
            shift = [a.detach() + b for a, b in zip(shift, found, strict=True)] if shift else found
            drawn, features = draw_shifted(g, w_plus, fold_shift([*known, *shift]))
            gaps = gap(drawn, photos, look, shown).mean()
            size = torch.stack(
                [(a / b).square().mean() for a, b in zip(shift, self._units(), strict=True)]
            ).sum()
            ((gaps + SHIFT * size) * (share / PASSES)).backward()
            figures[f"e/pass{k + 1}"] = gaps.detach() * share
            figures["e/size"] = size.detach() * share
        figures = ranks.share(opt["e"], figures)
        opt["e"].step()
        update_ema(self.average, self.head, min(self.config.ema, (i + 1) / (i + 10)))
        return figures

    def _ask(self, photos: Tensor, drawn: Tensor, features: list[Tensor]) -> list[Tensor]:
        """What the head says of every resolution that it is for."""
        if isinstance(self.head, FineHead):
            return self.head(photos, drawn, features[1:])
        return [self.head(photos, drawn, features[0])]

    def _units(self) -> list[Tensor]:
        heads = self.head.levels if isinstance(self.head, FineHead) else [self.head]
        return [head.get_buffer("unit") for head in heads]
