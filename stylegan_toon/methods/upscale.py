"""Training the upscaler on pictures and their own reductions.

L1 of pixels and of the steps between neighbours; later also a judge of patches, whose loss compares every
patch with the true one at its place (relativistic pairs), so that soft edges cost and invented texture does
not pay. Reductions are drawn anew in every step: the small pictures that a generator draws are softer, or
more jagged, than any one filter makes them.
Source: Lim et al. 2017, arXiv 1707.02921; Wang et al. 2018 (ESRGAN), arXiv 1809.00219; varied reductions as in
Zhang et al. 2021 (BSRGAN), arXiv 2103.14006. Deviations: no perceptual loss, pairs instead of averages.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from stylegan_toon.device import channels_last
from stylegan_toon.errors import UsageError
from stylegan_toon.losses.adversarial import relativistic_d, relativistic_g
from stylegan_toon.losses.latent import step_l1
from stylegan_toon.nn.upscaler import PatchJudge, Upscaler
from stylegan_toon.training import ranks
from stylegan_toon.training.ema import update_ema

TAPS = 12  # of a reduction by two: even, as a small pixel's centre lies between two of the large ones


@dataclass(frozen=True)
class Config:
    batch: int = 16
    patch: int = 96  # edge of the large pictures' cuts
    lr: float = 0.0005
    step_weight: float = 1.0
    adversarial_weight: float = 0.01
    adversarial_from: int = 2000  # steps; before, the judge does not run
    blur: float = 0.9  # the largest deviation of a Gaussian reduction, in small pixels
    noise: float = 0.02  # the largest deviation of the noise, of a range of 2
    ema: float = 0.998


class UpscalerTraining(nn.Module):
    def __init__(self, config: Config, network: Upscaler):
        """Raises: UsageError where there are more processes than pictures in a batch."""
        super().__init__()
        if config.batch < ranks.world():
            raise UsageError(
                f"a batch of {config.batch} is too small for {ranks.world()} processes; "
                f"use --batch {ranks.world()} or more"
            )
        self.config = config
        self.network = network
        self.average = Upscaler(network.config).requires_grad_(False)
        self.average.load_state_dict(network.state_dict())
        self.judge = PatchJudge()
        channels_last(self)

    def optimizers(self) -> dict[str, Optimizer]:
        def adam(network: nn.Module) -> Optimizer:
            return Adam(network.parameters(), self.config.lr, (0.9, 0.99))

        return {"g": adam(self.network), "d": adam(self.judge)}

    def take_parts(self, parts: int) -> bool:
        """No: it is trained with the whole batch only."""
        return parts == 1

    def reduce(self, large: Tensor, of: int, at: slice) -> Tensor:
        """large [n, 3, 2 S, 2 S] -> [n, 3, S, S] in 256 levels: filters, softness and noise drawn for each.

        of, at: how many pictures there are in all, of which large are those at some places.
        """
        kernels = reductions(of, self.config.blur)[at].to(large)
        deviation = torch.rand(of, 1, 1, 1) * self.config.noise
        small = reduce_by(large, kernels)
        noise = torch.randn(of, *small.shape[1:]) * deviation
        levels = (small + noise[at].to(small)).clamp(-1, 1) * 127.5
        return levels.round() / 127.5

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """One step on batch["cartoon"] [N, 3, 2 S, 2 S] in [-1, 1]."""
        config, n = self.config, len(batch["cartoon"])
        at = ranks.part(n)
        large = batch["cartoon"][at].contiguous(memory_format=torch.channels_last)
        share = len(large) / n
        made = self.network(self.reduce(large, n, at))
        losses = {
            "pixel": (made - large).abs().mean(),
            "step": step_l1(made, large) * config.step_weight,
        }
        judged = config.adversarial_weight > 0 and i >= config.adversarial_from
        if judged:
            self.judge.requires_grad_(False)
            with torch.no_grad():
                real = self.judge(large)
            losses["adversarial"] = relativistic_g(real, self.judge(made)) * config.adversarial_weight
            self.judge.requires_grad_(True)
        total = torch.stack(list(losses.values())).sum() * share
        opt["g"].zero_grad()
        total.backward()
        figures = {f"g/{name}": value.detach() * share for name, value in losses.items()}
        figures = ranks.share(opt["g"], {"g": total.detach()} | figures)
        opt["g"].step()
        update_ema(self.average, self.network, min(config.ema, (i + 1) / (i + 10)))
        if judged:
            loss = relativistic_d(self.judge(large), self.judge(made.detach())) * share
            opt["d"].zero_grad()
            loss.backward()
            figures |= ranks.share(opt["d"], {"d": loss.detach()})
            opt["d"].step()
        return figures


def reductions(count: int, blur: float) -> Tensor:
    """[count, TAPS] float32, each of sum 1: filters that halve, drawn at random.

    A third each: a box, triangle or Lanczos filter, sharp; a Gaussian of 0.25 to blur small pixels; and a
    mixture of one of each. Distances are in small pixels.
    """
    x = (torch.arange(TAPS) - (TAPS - 1) / 2) / 2
    sharp = torch.stack(
        [
            (x.abs() < 0.5).float(),
            (1 - x.abs()).clamp(min=0),
            torch.sinc(x) * torch.sinc(x / 3) * (x.abs() < 3),
        ]
    )
    sharp = sharp[torch.randint(len(sharp), (count,))]
    deviation = 0.25 + (blur - 0.25) * torch.rand(count, 1)
    soft = torch.exp(-((x / deviation).square()) / 2)
    share = (torch.rand(count, 1) * 3 - 1).clamp(0, 1)
    sharp, soft = (kernel / kernel.sum(1, keepdim=True) for kernel in (sharp, soft))
    return share * sharp + (1 - share) * soft


def reduce_by(pictures: Tensor, kernels: Tensor) -> Tensor:
    """[N, C, 2 S, 2 S] by kernels [N, TAPS], rows and columns alike -> [N, C, S, S]; edges are reflected."""
    n, c, height, width = pictures.shape
    weight = kernels.repeat_interleave(c, 0)
    x = pictures.contiguous().reshape(1, n * c, height, width)
    pad = TAPS // 2 - 1
    x = F.pad(x, (pad, pad, pad, pad), mode="reflect")
    x = F.conv2d(x, weight[:, None, None], stride=(1, 2), groups=n * c)
    x = F.conv2d(x, weight[:, None, :, None], stride=(2, 1), groups=n * c)
    return x.reshape(n, c, height // 2, width // 2)
