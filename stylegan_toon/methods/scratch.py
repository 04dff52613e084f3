"""Training a StyleGAN2 from scratch, or from the networks of a smaller resolution.

Source: Karras et al. 2020, arXiv 1912.04958 and arXiv 2006.06676.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from stylegan_toon.methods.gan import Gan, GanConfig, Places, cut_noise
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator

Config = GanConfig


class Scratch(nn.Module):
    def __init__(self, config: Config, g: Generator, d: Discriminator, g_ema: Generator | None = None):
        super().__init__()
        self.config = config
        self.gan = Gan(g, d, config, g_ema)

    def optimizers(self) -> dict[str, Optimizer]:
        return self.gan.optimizers()

    def take_parts(self, parts: int) -> bool:
        return self.gan.take_parts(parts)

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """One step of D and one of G on batch["photo"] [N, 3, R, R] in [-1, 1]."""
        gan, n = self.gan, len(batch["photo"])
        mine = gan.mine(n)
        real = batch["photo"][mine]
        with torch.no_grad():
            fake = gan.g.synthesis(gan.draw_w(n, mine), gan.draw_noise(n, mine))[-1]
        losses = gan.step_d(real, fake, opt["d"], i)

        w_plus, noise, views = gan.draw_w(n, mine), gan.draw_noise(n, mine), gan.draw_views(n, mine)

        def adversarial(codes: Tensor, at: Places) -> tuple[Tensor, dict[str, Tensor]]:
            pictures = gan.g.synthesis(codes, cut_noise(noise, at))[-1]
            loss = gan.loss_g(pictures, real[at], i, [view[at] for view in views])
            return loss, {"g": loss}

        losses |= gan.step_g(w_plus, adversarial, opt["g"])
        losses |= gan.step_path(opt["g"], i)
        gan.average(i)
        return losses
