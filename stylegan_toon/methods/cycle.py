"""What CycleGAN and its descendants share: two generators, two discriminators, two pools, and who moves when.

Source: Zhu et al. 2017, arXiv 1703.10593; junyanz/pytorch-CycleGAN-and-pix2pix (weights, order, schedule).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from torch.optim import Adam, Optimizer

from stylegan_toon.losses.adversarial import logistic_d, logistic_g, lsgan_d, lsgan_g
from stylegan_toon.methods.translation import EpochConfig
from stylegan_toon.nn.patchgan import LEAST, PatchGAN
from stylegan_toon.training import ranks
from stylegan_toon.training.pool import ImagePool
from stylegan_toon.training.schedule import flat_then_linear, set_lr

# The discriminator's loss of (real, fake) and the generator's of (fake).
GAN_LOSSES = {"lsgan": (lsgan_d, lsgan_g), "log": (logistic_d, logistic_g)}


@dataclass(frozen=True)
class CycleConfig(EpochConfig):
    loss: str = "lsgan"  # or log, the logistic loss of Goodfellow et al. 2014
    width: int = 64  # channels after the generator's first layer
    d_width: int = 64  # and after the discriminator's
    cycle_weight: float = 10.0
    identity_weight: float = 5.0  # the code's lambda_identity 0.5 times cycle_weight
    pool_size: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in GAN_LOSSES:
            raise ValueError(f"loss {self.loss[:20]!r} is none of {', '.join(GAN_LOSSES)}")
        if self.size < LEAST:
            raise ValueError(f"size={self.size}: the 70x70 PatchGAN takes {LEAST} px and more")


class Made(NamedTuple):
    """This process's share of a batch, all [n, 3, S, S]: drawn from it, and back from that."""

    photo: Tensor
    cartoon: Tensor
    fake_b: Tensor
    fake_a: Tensor
    back_a: Tensor
    back_b: Tensor
    share: float  # of the batch
    n: int  # pictures in the whole batch


class Cycle(nn.Module):
    """a is the domain of photos, b that of cartoons."""

    def __init__(self, config: CycleConfig, generator: Callable[[], nn.Module]):
        super().__init__()
        self.config = config
        self.g_ab, self.g_ba = generator(), generator()
        self.d_a, self.d_b = PatchGAN(config.d_width), PatchGAN(config.d_width)
        self.pool_a, self.pool_b = (ImagePool(config.pool_size, config.size) for _ in "ab")

    def optimizers(self) -> dict[str, Optimizer]:
        g = [*self.g_ab.parameters(), *self.g_ba.parameters()]
        d = [*self.d_a.parameters(), *self.d_b.parameters()]
        return {key: Adam(p, self.config.lr, (0.5, 0.999)) for key, p in (("g", g), ("d", d))}

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """Both generators, then both discriminators, on batch["photo"] and batch["cartoon"] [N, 3, S, S]."""
        made = self.draw(batch)
        figures = self.step_g(self.losses(made), made, opt["g"], i)
        return figures | self.step_d(made, opt["d"], i)

    def draw(self, batch: Mapping[str, Tensor]) -> Made:
        """Both ways and back, of batch["photo"] and batch["cartoon"] [N, 3, S, S] in [-1, 1]."""
        n = len(batch["photo"])
        at = ranks.part(n)
        a, b = batch["photo"][at], batch["cartoon"][at]
        fake_b, fake_a = self.g_ab(a), self.g_ba(b)
        return Made(a, b, fake_b, fake_a, self.g_ba(fake_b), self.g_ab(fake_a), len(a) / n, n)

    def losses(self, made: Made) -> dict[str, Tensor]:
        """CycleGAN's terms of the generators, weighted: adversarial, cycle, identity unless it weighs 0."""
        config = self.config
        cycle = l1_loss(made.back_a, made.photo) + l1_loss(made.back_b, made.cartoon)
        out = {"adv": self.fooled(made), "cycle": config.cycle_weight * cycle}
        if config.identity_weight:
            out["identity"] = config.identity_weight * self.identity(made)
        return out

    def identity(self, made: Made) -> Tensor:
        """How far either generator changes what is of its own domain already."""
        return l1_loss(self.g_ab(made.cartoon), made.cartoon) + l1_loss(self.g_ba(made.photo), made.photo)

    def fooled(self, made: Made) -> Tensor:
        """The adversarial loss of both generators."""
        _, loss = GAN_LOSSES[self.config.loss]
        self.d_a.requires_grad_(False)
        self.d_b.requires_grad_(False)
        return loss(self.d_b(made.fake_b)) + loss(self.d_a(made.fake_a))

    def step_g(self, losses: Mapping[str, Tensor], made: Made, opt: Optimizer, i: int) -> dict[str, Tensor]:
        """Move both generators; the losses as figures."""
        config = self.config
        set_lr(opt, config.lr * flat_then_linear(config.epoch_of(i), config.epochs, config.decay_epochs))
        total = torch.stack(list(losses.values())).sum() * made.share
        opt.zero_grad()
        total.backward()
        figures = {f"g/{name}": value.detach() * made.share for name, value in losses.items()}
        figures = ranks.share(opt, {"g": total.detach()} | figures)
        opt.step()
        return figures

    def step_d(self, made: Made, opt: Optimizer, i: int) -> dict[str, Tensor]:
        """Move both discriminators, which see older pictures of the generators, too."""
        config, at = self.config, ranks.part(made.n)
        set_lr(opt, config.lr * flat_then_linear(config.epoch_of(i), config.epochs, config.decay_epochs))
        loss, _ = GAN_LOSSES[config.loss]
        self.d_a.requires_grad_(True)
        self.d_b.requires_grad_(True)
        # Every process keeps the whole pools, so that all hold the same.
        fake_b = self.pool_b(ranks.whole(made.fake_b.detach(), made.n))[at]
        fake_a = self.pool_a(ranks.whole(made.fake_a.detach(), made.n))[at]
        d_b, d_a = (
            loss(self.d_b(made.cartoon), self.d_b(fake_b)),
            loss(self.d_a(made.photo), self.d_a(fake_a)),
        )
        total = 0.5 * (d_a + d_b) * made.share
        opt.zero_grad()
        total.backward()
        figures = {
            "d": total.detach(),
            "d/a": 0.5 * d_a.detach() * made.share,
            "d/b": 0.5 * d_b.detach() * made.share,
        }
        figures = ranks.share(opt, figures)
        opt.step()
        return figures
