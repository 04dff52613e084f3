"""Training a StyleGAN2 from scratch, or from the networks of a smaller resolution.

Source: Karras et al. 2020, arXiv 1912.04958 and arXiv 2006.06676.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from stylegan_toon.methods.gan import Gan, GanConfig, Places, cut_noise
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.training import ranks
from stylegan_toon.training.graphs import Inputs, Phase, Player, straight

Config = GanConfig


class Scratch(nn.Module):
    def __init__(
        self,
        config: Config,
        g: Generator,
        d: Discriminator,
        g_ema: Generator | None = None,
        player: Player | None = None,
    ):
        """player: records and plays what can be, on one GPU; None calls everything."""
        super().__init__()
        self.config = config
        self.gan = Gan(g, d, config, g_ema)
        self._player = player

    def optimizers(self) -> dict[str, Optimizer]:
        return self.gan.optimizers()

    def take_parts(self, parts: int) -> bool:
        return self.gan.take_parts(parts)

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """One step of D and one of G on batch["photo"] [N, 3, R, R] in [-1, 1]."""
        gan, n = self.gan, len(batch["photo"])
        real = batch["photo"][gan.mine(n)]
        losses = self.step_d(real, opt["d"], i) | self.step_g(real, opt["g"], i)
        if gan.config.path_weight and i % gan.config.path_every == 0:
            losses |= self.step_path(opt["g"])
        gan.average(i)
        return losses

    def step_d(self, real: Tensor, opt: Optimizer, i: int) -> dict[str, Tensor]:
        """One step of D on this process's pictures, and on as many made ones; R1; and what ADA counts."""
        gan, n, fade = self.gan, len(real) * ranks.world(), self.gan.fade(i)
        mine = gan.mine(n)
        inputs = {"real": [real], "z": gan.draw_z(n, mine), "noise": listed(gan.draw_noise(n, mine))}
        inputs["views"] = gan.draw_sight(n, mine)

        def learn(
            real: Sequence[Tensor], z: Sequence[Tensor], noise: Sequence[Tensor], views: Sequence[Tensor]
        ) -> dict[str, Tensor]:
            with torch.no_grad():
                fake = gan.g.synthesis(gan.codes(z), noise or "none")[-1]
            pictures = gan.seen((*real, fake), views)
            figures = gan.learn_d(pictures[0], pictures[1], opt, fade)
            return figures | (gan.step_penalty(pictures, fade, opt) if penalised else {})

        penalised = gan.penalised(i)
        figures = self._phase(f"d, R1 {penalised}", learn, inputs, opt, i)
        gan.count(figures, n, i)
        return figures

    def step_g(self, real: Tensor, opt: Optimizer, i: int) -> dict[str, Tensor]:
        """One step of G; the relativistic loss pairs its pictures with the real ones."""
        gan, n = self.gan, len(real) * ranks.world()
        mine = gan.mine(n)
        inputs = {"real": [real], "z": gan.draw_z(n, mine), "noise": listed(gan.draw_noise(n, mine))}
        inputs["views"] = gan.draw_views(n, mine)

        def learn(
            real: Sequence[Tensor], z: Sequence[Tensor], noise: Sequence[Tensor], views: Sequence[Tensor]
        ) -> dict[str, Tensor]:
            def adversarial(codes: Tensor, at: Places) -> tuple[Tensor, dict[str, Tensor]]:
                pictures = gan.g.synthesis(codes, cut_noise(noise or "none", at))[-1]
                loss = gan.loss_g(pictures, real[0][at], i, [view[at] for view in views])
                return loss, {"g": loss}

            return gan.step_g(gan.codes(z), adversarial, opt)

        return self._phase("g", learn, inputs, opt, i)

    def step_path(self, opt: Optimizer, i: int = 0) -> dict[str, Tensor]:
        """One step on the path length."""
        z, noise, y = self.gan.draw_path()

        def learn(z: Sequence[Tensor], noise: Sequence[Tensor], y: Sequence[Tensor]) -> dict[str, Tensor]:
            return self.gan.learn_path(z, noise or "none", y[0], opt)

        return self._phase("path", learn, {"z": z, "noise": listed(noise), "y": [y]}, opt, i)

    def _phase(self, name: str, phase: Phase, inputs: Inputs, opt: Optimizer, i: int) -> dict[str, Tensor]:
        """Played where every step is alike: by one process, the batch whole, no block of D fading in."""
        alike = ranks.world() == 1 and self.gan.parts == 1 and self.gan.fade(i) == 1
        play = self._player if self._player and alike else straight
        return play(name, phase, inputs, (p for group in opt.param_groups for p in group["params"]))


def listed(noise: str | list[Tensor]) -> list[Tensor]:
    """The noise that draw_noise gave; none is an empty list."""
    return [] if isinstance(noise, str) else noise
