"""Fine-tuning to a cartoon domain with FreezeSG and a structure loss, against a source that is really loaded.

Source: Back 2021, arXiv 2106.12445; CPTR. With the mapping frozen, as here by default, every style layer
sees the source's w, and codes of the source can be used in the child.
Deviation: the released code never loads its source, and compares features; this compares toRGB outputs.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from stylegan_toon.device import channels_last
from stylegan_toon.losses.structure import structure_loss
from stylegan_toon.methods.gan import Gan, GanConfig
from stylegan_toon.stylegan2.adapters import add_lora, style_parameters
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.files import outline
from stylegan_toon.stylegan2.generator import Generator, Synthesis


@dataclass(frozen=True)
class Config(GanConfig):
    """freeze_g: how many resolutions from 4x4 up are frozen.

    structure_layers: how many toRGB outputs, from 4x4 up, are compared with the source's.
    blend: where not 0, every second draw on average has so many resolutions, from 4x4 up, of the source, so
        that what is above them learns to carry the style when it is blended there.
    train: all, or what a style file can hold: offsets, or lora of rank (stylegan2.adapters).
    """

    freeze_mapping: bool = True
    freeze_g: int = 1
    structure_layers: int = 3
    structure_weight: float = 1.0
    blend: int = 0  # not of the papers, which blend what was never trained so
    train: str = "all"
    rank: int = 8

    @property
    def lora(self) -> int:
        """The rank of the LoRA, 0 where there is none."""
        return self.rank if self.train == "lora" else 0


class FreezeSG(nn.Module):
    def __init__(self, config: Config, source: Generator, d: Discriminator):
        super().__init__()
        if not 0 <= config.freeze_g <= source.config.n_resolutions:
            raise ValueError(
                f"freeze_g={config.freeze_g}, but there are {source.config.n_resolutions} resolutions"
            )
        if not 0 <= config.blend < source.config.n_resolutions:
            raise ValueError(
                f"blend={config.blend} leaves nothing of {source.config.n_resolutions} resolutions to train"
            )
        if config.train not in ("all", "offsets", "lora"):
            raise ValueError(f"train must be all, offsets or lora, not {config.train!r}")
        if config.train != "all" and not (
            config.freeze_mapping and config.freeze_g < source.config.n_resolutions
        ):
            raise ValueError(f"train={config.train} needs a frozen mapping and a resolution that is trained")
        self.config = config
        child = copy.deepcopy(source)
        self.gan = Gan(add_lora(child, config.lora, config.freeze_g) if config.lora else child, d, config)
        fixed = channels_last(copy.deepcopy(source).eval().requires_grad_(False))
        fixed.synthesis.compute_dtype = self.gan.g.synthesis.compute_dtype
        self._source = [fixed]  # in a list: it never changes, so it is no part of the state
        self._blend: list[Synthesis] = []  # nor is this, which holds the blocks of both

    @property
    def source(self) -> Generator:
        return self._source[0]

    def frozen(self) -> Iterator[nn.Parameter]:
        """The parameters of g that never move."""
        g = self.gan.g
        if self.config.train != "all":
            trained = {id(p) for p in style_parameters(g, self.config.freeze_g).values()}
            yield from (p for p in g.parameters() if id(p) not in trained)
            return
        if self.config.freeze_mapping:
            yield from g.mapping.parameters()
        if self.config.freeze_g:
            yield g.synthesis.const
            yield from g.synthesis.blocks[: self.config.freeze_g].parameters()

    def optimizers(self) -> dict[str, Optimizer]:
        return self.gan.optimizers(self.frozen())

    def take_parts(self, parts: int) -> bool:
        return self.gan.take_parts(parts)

    def drawing(self) -> Synthesis:
        """What draws this time: the child's synthesis or, by a coin with config.blend, the blend of both."""
        child, source, k = self.gan.g.synthesis, self.source.synthesis, self.config.blend
        if not k or float(torch.rand([])) < 0.5:
            return child
        if not self._blend:  # now that both are where they will be computed
            blend = outline(Synthesis, child.config)
            blend.blocks = nn.ModuleList([*source.blocks[:k], *child.blocks[k:]])
            blend.const, blend.fir, blend.compute_dtype = source.const, child.fir, child.compute_dtype
            self._blend.append(blend)
        return self._blend[0]

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """One step of D and one of G on batch["cartoon"] [N, 3, R, R] in [-1, 1]."""
        real, gan, n = batch["cartoon"], self.gan, self.config.structure_layers
        with torch.no_grad():
            fake = self.drawing()(gan.draw_w(len(real)), gan.noise)[-1]
        losses = gan.step_d(real, fake, opt["d"], i)

        w_plus, drawing = gan.draw_w(len(real)), self.drawing()

        def adversarial_and_structure(w_plus: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            rgbs = drawing(w_plus, gan.noise)
            loss = gan.loss_g(rgbs[-1], i)
            figures = {"g": loss}
            if n and self.config.structure_weight and drawing is gan.g.synthesis:
                with torch.no_grad():
                    wanted = self.source.synthesis(w_plus.detach(), "none", upto=n)
                low = rgbs if gan.noise == "none" else gan.g.synthesis(w_plus, "none", upto=n)
                figures["g/structure"] = structure_loss(low, wanted, n)
                loss = loss + self.config.structure_weight * figures["g/structure"]
            return loss, figures

        losses |= gan.step_g(w_plus, adversarial_and_structure, opt["g"])
        losses |= gan.step_path(opt["g"], i)
        gan.average(i)
        return losses
