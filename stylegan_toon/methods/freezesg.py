"""Fine-tuning to a cartoon domain: FreezeG, FreezeSG, FreezeD, and losses that keep a child near its source.

Source: Back 2021, arXiv 2106.12445; CPTR. What is frozen is defined in stylegan2/freeze.py. With the mapping
frozen, as here by default, every style layer sees the source's w, FreezeSG and FreezeG are the same, and the
source's codes can be used in the child. Else FreezeSG gives the frozen resolutions the source's w, by a
second mapping that the child keeps.
Deviation: the released code never loads its source, injects its w only into mixed batches, which it then no
longer mixes, and compares features; this compares toRGB outputs unless structure_of is "features".
"""

import copy
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from stylegan_toon.device import channels_last
from stylegan_toon.features.look import Look
from stylegan_toon.losses.correspondence import correspondence_loss
from stylegan_toon.losses.identity import identity_loss
from stylegan_toon.losses.perceptual import map_distance
from stylegan_toon.losses.regularize import l2_sp
from stylegan_toon.losses.structure import lowpass_loss, structure_loss
from stylegan_toon.methods.expression import Change, Expressions, changed
from stylegan_toon.methods.gan import Gan, GanConfig, Places, cut_noise
from stylegan_toon.methods.invert import gap
from stylegan_toon.stylegan2.adapters import add_lora, fold, style_parameters
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.edits import Edit
from stylegan_toon.stylegan2.encoder import Encoder
from stylegan_toon.stylegan2.files import outline
from stylegan_toon.stylegan2.freeze import frozen_d, frozen_g, with_source_mapping
from stylegan_toon.stylegan2.generator import Generator, Synthesis

STRUCTURES = ("rgb", "features")
TRAIN = ("all", "offsets", "lora")
Drawn = tuple[list[Tensor], list[Tensor]]  # features and pictures, from the lowest resolution up


class Known(NamedTuple):
    """Codes w_plus [N, L, D] of photos; of those of F/W+ the shift [N, C, r, r]; where drawings of the same
    faces are known, these [N, 3, R, R] in [-1, 1] or uint8, and paired [N] bool, which rows have one; where
    faces have moods, [N, M], how much of each of M edits."""

    w_plus: Tensor
    shift: Tensor | None = None
    drawings: Tensor | None = None
    paired: Tensor | None = None
    moods: Tensor | None = None

    def at(self, rows: Places | Tensor, where: torch.device) -> "Known":
        """Some rows, on the device where; drawings in [-1, 1]."""
        more = [None if part is None else part[rows].to(where) for part in self[1:]]
        some = Known(self.w_plus[rows].to(where), *more)
        if some.drawings is None or some.drawings.dtype != torch.uint8:
            return some
        return some._replace(drawings=some.drawings.float() / 127.5 - 1)


@dataclass(frozen=True)
class Config(GanConfig):
    """freeze_g: how many resolutions of the generator, from 4x4 up, are frozen.

    freeze_sg: how many of them are drawn from the source's w even if the mapping is trained.
    freeze_d: how many blocks of the discriminator, from the image side, are frozen.
    structure_layers: how many toRGB outputs, from 4x4 up, are compared with the source's; with structure_of
        "features" how many features before toRGB, from 8x8 up.
    l2sp_weight: of half the squared distance of the generator's weights to the source's.
    cdc_weight: of the cross-domain correspondence between the pictures of a minibatch-stddev group.
    identity_weight: of the identity loss between what the child and the source draw, blended or not.
    lowpass_weight: of the squared gap to the source's picture at a quarter of the size: light, colours, and
        where they are; of blended draws alone, if there are any.
    perceptual_weight: of the distance of features to the source's picture, of the same draws.
    adversarial_weight: of what the discriminator says; with 0 there is none, and no step of it.
    pairs_weight: of the gap, as inversion takes it, to the known drawings of photos, in draws of their codes.
    expression_weight: of the expression loss: that edits of expressions change what the child draws, blended
        or not, as they change what the source draws; half of all batches then show edited faces.
    photo_codes: the share of draws that take codes spread as an encoder's codes of photos are, or known
        codes, not random w.
    blend: where not 0, every second draw on average has so many resolutions, from 4x4 up, of the source, so
        that what is above them learns to carry the style when it is blended there.
    train: all, or what a style file can hold: offsets, or lora of rank (stylegan2.adapters).
    style_lr: the learning rate of what a style file holds, as a multiple of lr, the discriminator's.
    """

    freeze_mapping: bool = True
    freeze_g: int = 1
    freeze_sg: int = 0
    freeze_d: int = 0
    structure_layers: int = 3
    structure_of: str = "rgb"
    structure_weight: float = 1.0
    l2sp_weight: float = 0.0
    cdc_weight: float = 0.0
    identity_weight: float = 0.0
    lowpass_weight: float = 0.0
    perceptual_weight: float = 0.0
    expression_weight: float = 0.0  # nor is this: in the papers nothing but noise tells a child's moods
    adversarial_weight: float = 1.0
    pairs_weight: float = 0.0  # not of the papers, which have no pairs
    photo_codes: float = 0.0  # not of the papers: a cartoon is drawn from them, and random w are wilder
    blend: int = 0  # not of the papers, which blend what was never trained so
    train: str = "all"
    rank: int = 8
    style_lr: float = 5.0

    @property
    def lora(self) -> int:
        """The rank of the LoRA, 0 where there is none."""
        return self.rank if self.train == "lora" else 0


class FreezeSG(nn.Module):
    def __init__(
        self,
        config: Config,
        source: Generator,
        d: Discriminator,
        encoder: Encoder | None = None,
        look: Look | None = None,
        start: Generator | None = None,
        expressions: Expressions | None = None,
        known: Known | None = None,
        moods: Sequence[Edit] = (),
    ):
        """Args:
            encoder: of source, which knows the spread of photos' codes; only photo_codes needs it.
            look: tells identity and features; identity_weight and perceptual_weight need it, and
                pairs_weight, which goes by pixels alone without.
            start: what the child begins as, of source's shape and with its mapping; None is source itself.
            expressions: edits of the source's codes; only expression_weight needs them.
            known: codes of photos, which photo_codes then takes instead of the encoder's spread; only
                pairs_weight needs drawings of them.
            moods: the edits, directions of the source's, that known.moods is of.
        Raises: ValueError where source lacks the resolutions, nothing is left to train, or one of these is
            missing.
        """
        super().__init__()
        n = source.config.n_resolutions
        if not 0 <= config.freeze_sg <= config.freeze_g:
            raise ValueError(f"freeze_sg={config.freeze_sg} is not within freeze_g={config.freeze_g}")
        if config.freeze_g >= n and (config.freeze_mapping or config.freeze_sg >= n):
            raise ValueError(
                f"freezing {config.freeze_g} of {n} resolutions leaves nothing of the generator to train"
            )
        if not 0 <= config.blend < n:
            raise ValueError(f"blend={config.blend} leaves nothing of {n} resolutions to train")
        if config.structure_of not in STRUCTURES:
            raise ValueError(
                f"structure_of must be one of {', '.join(STRUCTURES)}, not {config.structure_of!r}"
            )
        if config.train not in TRAIN:
            raise ValueError(f"train must be one of {', '.join(TRAIN)}, not {config.train!r}")
        if config.train != "all" and not (config.freeze_mapping and config.freeze_g < n):
            raise ValueError(f"train={config.train} needs a frozen mapping and a resolution that is trained")
        least = int(config.structure_of == "features")  # these begin at 8x8
        if not 0 <= config.structure_layers <= n - least:
            raise ValueError(f"structure_layers={config.structure_layers}, but of {n} resolutions there are "
                             f"{n - least} {config.structure_of}")  # fmt: skip
        spread = known or (encoder and encoder.config.spread)
        if config.photo_codes and not (spread and config.freeze_mapping):
            raise ValueError("photo codes need a frozen mapping and an encoder that knows their spread")
        if config.pairs_weight and not (config.photo_codes and known and known.drawings is not None):
            raise ValueError("pairs need codes of photos with known drawings, and a share of photo codes")
        if not config.adversarial_weight and not (config.pairs_weight and config.photo_codes == 1):
            raise ValueError("without an adversarial loss it takes pairs, and photo codes in all draws")
        if (config.identity_weight or config.perceptual_weight) and not look:
            raise ValueError("the identity and perceptual losses need a network that knows faces")
        if moods and config.expression_weight:
            raise ValueError("either faces have moods, or the expression loss edits them")
        if config.expression_weight and not (expressions and config.freeze_mapping):
            raise ValueError(
                "the expression loss needs a frozen mapping and edits of the source's expressions"
            )
        self.config = config
        child = with_source_mapping(source, 0 if config.freeze_mapping else config.freeze_sg)
        if start:
            if config.train != "all":
                raise ValueError(f"train={config.train} begins as the source; a start needs train=all")
            if not config.freeze_mapping:
                raise ValueError("a start needs a frozen mapping, as it has the source's")
            child.load_state_dict(start.state_dict())
        self.gan = Gan(add_lora(child, config.lora, config.freeze_g) if config.lora else child, d, config)
        self._group = len(self.gan.groups(config.batch))
        if config.cdc_weight and self._group < 3:
            raise ValueError(f"cdc needs groups of 3 or 4 pictures; a batch of {config.batch} has none")
        frozen = [*frozen_g(self.gan.g, config.freeze_g, config.freeze_mapping)]
        if config.train != "all":
            trained = {id(p) for p in style_parameters(self.gan.g, config.freeze_g).values()}
            frozen = [p for p in self.gan.g.parameters() if id(p) not in trained]
        self._frozen = [*frozen, *frozen_d(self.gan.d, config.freeze_d)]
        structure = (
            config.structure_layers + least if config.structure_layers and config.structure_weight else 0
        )
        # how far the source is run
        self._finished = config.identity_weight or config.lowpass_weight or config.perceptual_weight
        self._upto = n if config.cdc_weight or self._finished else structure
        self._given, self._known = (encoder, look), known
        self._moods = [*moods]
        self._expressions = [expressions] if expressions and config.expression_weight else []  # as source is
        fixed = channels_last(copy.deepcopy(source).eval().requires_grad_(False))
        fixed.synthesis.compute_dtype = self.gan.g.synthesis.compute_dtype
        self._source = [fixed]  # in a list: it never changes, so it is no part of the state
        self._blend: list[Synthesis] = []  # nor is this, which holds the blocks of both

    @property
    def source(self) -> Generator:
        return self._source[0]

    def optimizers(self) -> dict[str, Optimizer]:
        out = self.gan.optimizers(self._frozen)
        for group in out["g"].param_groups if self.config.train != "all" else ():
            group["lr"] *= self.config.style_lr
        for group in out["g"].param_groups if not self.config.adversarial_weight else ():
            group["betas"] = (0.9, group["betas"][1])  # there is no game that momentum could upset
        return out

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

    def draw_codes(self, n: int, at: Places) -> Known:
        """Codes at some places of n, as Gan.draw_w, or by a coin those of photos."""
        share, encoder = self.config.photo_codes, self._given[0]
        if not share or float(torch.rand([])) >= share:
            return Known(self.gan.draw_w(n, at))
        if self._known:
            return self._known.at(torch.randint(len(self._known.w_plus), [n])[at], self.gan.g.w_mean.device)
        assert encoder
        return Known(encoder.draw(n)[at])

    def draw_change(self, faces: Known, n: int, at: Places) -> Change | None:
        """What edits faces, of some places of n: their moods or, by a coin, what expressions go by."""
        if faces.moods is not None:
            return changed(self._moods, faces.moods, faces.w_plus)
        if not self._expressions or float(torch.rand([])) < 0.5:
            return None
        return self._expressions[0].draw(n, faces.w_plus)[at]

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """One step of D and one of G on batch["cartoon"] [N, 3, R, R] in [-1, 1]."""
        gan, n = self.gan, len(batch["cartoon"])
        mine = gan.mine(n)
        real = batch["cartoon"][mine]
        adversarial = self.config.adversarial_weight
        losses: dict[str, Tensor] = {}
        if adversarial:
            with torch.no_grad():
                codes = self.draw_codes(n, mine)
                change, drawing = self.draw_change(codes, n, mine), self.drawing()
                fake = drawn(drawing, codes.w_plus, gan.draw_noise(n, mine), change, codes.shift)[1][-1]
            losses = gan.step_d(real, fake, opt["d"], i)

        faces, drawing = self.draw_codes(n, mine), self.drawing()
        change = self.draw_change(faces, n, mine)
        noises, views = gan.draw_noise(n, mine), gan.draw_views(n, mine)
        blended = drawing is not gan.g.synthesis
        compared = self._upto and (not blended or self._finished)

        def adversarial_and_likeness(codes: Tensor, at: Places) -> tuple[Tensor, dict[str, Tensor]]:
            noise = cut_noise(noises, at)
            here = change[at] if change else None
            _, shift, drawings, paired, _ = faces.at(at, codes.device)
            judged = here is not None and here.cuts is not None  # by the expression loss
            made = drawn(drawing, codes, noise, here, shift)
            loss, figures = codes.new_zeros([]), dict[str, Tensor]()
            terms: dict[str, tuple[float, Tensor]] = {}
            if adversarial:
                said = gan.loss_g(made[1][-1], real[at], i, [view[at] for view in views])
                loss, figures["g"] = said if adversarial == 1 else adversarial * said, said
            if compared or judged:
                with torch.no_grad():
                    upto = None if judged else self._upto
                    wanted = drawn(self.source.synthesis, codes.detach(), noise, here, shift, upto)
            if compared:
                terms |= self.likeness(made, wanted, blended)
            if here and judged:
                after = made[1][-1], wanted[1][-1]
                terms["expression"] = self.expression(codes, noise, drawing, after, here, shift)
            if drawings is not None and paired is not None and not judged:
                terms["pairs"] = self.config.pairs_weight, self.pairs(made[1][-1], drawings, paired)
            if self.config.l2sp_weight:
                own = fold(dict(gan.g.named_parameters()))
                trained = {name: p for name, p in own.items() if p.requires_grad}
                starts = dict(self.source.named_parameters())
                terms["l2sp"] = self.config.l2sp_weight, l2_sp(trained.values(), (starts[k] for k in trained))
            for name, (weight, term) in terms.items():
                figures[f"g/{name}"] = term
                loss = loss + weight * term
            return loss, figures

        losses |= gan.step_g(faces.w_plus, adversarial_and_likeness, opt["g"])
        losses |= gan.step_path(opt["g"], i)
        gan.average(i)
        return losses

    def likeness(self, mine: Drawn, theirs: Drawn, blended: bool = False) -> dict[str, tuple[float, Tensor]]:
        """Weight and value of the losses that compare what the child drew with what the source draws from the
        same codes and noise.

        Args:
            mine: all that the child drew.
            theirs: without a graph, what the source did, as far up as the losses look.
            blended: mine is of a blend, of which the finished pictures alone are compared.
        """
        config, n = self.config, self.config.structure_layers
        (features, rgbs), (source_features, source_rgbs) = mine, theirs
        terms: dict[str, tuple[float, Tensor]] = {}
        look, as_shown = self._given[1], blended == bool(config.blend)
        perceptual = config.perceptual_weight if as_shown else 0.0
        if look and (config.identity_weight or perceptual):
            with torch.no_grad():
                known, wanted = look(source_rgbs[-1].float())
            own, maps = look(rgbs[-1].float())
            if config.identity_weight:
                terms["identity"] = config.identity_weight, identity_loss(own, known)
            if perceptual:
                terms["perceptual"] = perceptual, map_distance(maps, wanted).mean()
        if config.lowpass_weight and as_shown:
            terms["lowpass"] = config.lowpass_weight, lowpass_loss(rgbs[-1], source_rgbs[-1])
        if blended:
            return terms
        if n and config.structure_weight:
            pair = (
                (rgbs, source_rgbs) if config.structure_of == "rgb" else (features[1:], source_features[1:])
            )
            terms["structure"] = config.structure_weight, structure_loss(*pair, n)
        if config.cdc_weight:
            loss = correspondence_loss(features, source_features, self._group)
            terms["cdc"] = config.cdc_weight, loss
        return terms

    def pairs(self, made: Tensor, drawings: Tensor, paired: Tensor) -> Tensor:
        """The mean gap of pictures [N, 3, R, R] to the drawings of the same faces, 0 where none is known."""
        look = self._given[1]
        with torch.no_grad():
            known = look(drawings) if look else None
        return (gap(made.float(), drawings, look, known) * paired).mean()

    def expression(
        self,
        w_plus: Tensor,
        noise: str | Sequence[Tensor],
        drawing: Synthesis,
        after: tuple[Tensor, Tensor],
        change: Change,
        shift: Tensor | None = None,
    ) -> tuple[float, Tensor]:
        """Weight and value of the expression loss; after: what child and source drew with change."""
        child = drawn(drawing, w_plus, noise, None, shift)[1][-1]
        with torch.no_grad():
            source = drawn(self.source.synthesis, w_plus, noise, None, shift)[1][-1]
        loss = self._expressions[0].loss((child, after[0]), (source, after[1]), change)
        return self.config.expression_weight, loss


def drawn(
    synthesis: Synthesis,
    w_plus: Tensor,
    noise: str | Sequence[Tensor],
    change: Change | None,
    shift: Tensor | None = None,
    upto: int | None = None,
) -> Drawn:
    """All features and all pictures of Synthesis.run, of edited faces where there is a change."""
    with change.on(synthesis) if change else nullcontext():
        pairs = [*synthesis.run(w_plus + change.w_plus if change else w_plus, noise, upto, shift)]
    return [x for x, _ in pairs], [rgb for _, rgb in pairs]
