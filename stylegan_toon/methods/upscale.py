"""Training the upscaler on pictures and their own reductions.

L1 of pixels and of the steps between neighbours. Half of the pictures are reduced twice and enlarged twice,
as a large face will be: a network that only learnt to double takes what it made itself for a blurred picture,
and sharpens it until it rings. Reductions are drawn anew in every step: the small pictures that a generator
draws are softer, or more jagged, than any one filter makes them.
Source: Lim et al. 2017, arXiv 1707.02921; varied reductions as in Zhang et al. 2021, arXiv 2103.14006.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from stylegan_toon.device import channels_last
from stylegan_toon.errors import UsageError
from stylegan_toon.losses.latent import step_l1
from stylegan_toon.nn.upscaler import Upscaler
from stylegan_toon.training import ranks
from stylegan_toon.training.ema import update_ema

TAPS = 12  # of a reduction by two: even, as a small pixel's centre lies between two of the large ones


@dataclass(frozen=True)
class Config:
    batch: int = 16
    patch: int = 96  # edge of the large pictures' cuts
    lr: float = 0.0005
    step_weight: float = 1.0
    blur: float = 0.75  # the largest deviation of a Gaussian reduction, in small pixels
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
        channels_last(self)

    def optimizers(self) -> dict[str, Optimizer]:
        return {"g": Adam(self.network.parameters(), self.config.lr, (0.9, 0.99))}

    def take_parts(self, parts: int) -> bool:
        """No: it is trained with the whole batch only."""
        return parts == 1

    def reduce(self, large: Tensor, of: int, at: Tensor | slice = slice(None)) -> Tensor:
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
        """One step on batch["cartoon"] [N, 3, 4 S, 4 S] in [-1, 1]; every second one is enlarged twice."""
        large = batch["cartoon"]
        n, places = len(large), torch.arange(len(large))[ranks.part(len(large))]
        pairs = []
        if len(once := places[places % 2 == 0]):
            wanted = large[once]
            pairs.append((self.network(self.reduce(wanted, n, once)), wanted))
        if len(twice := places[places % 2 == 1]):
            wanted = large[twice]
            half = F.avg_pool2d(wanted, 2)
            made = self.network(self.reduce(half, n, twice))
            pairs += [(made, half), (self.network(made.clamp(-1, 1)), wanted)]
        pixel = torch.stack([(a - b).abs().mean() * len(b) / n for a, b in pairs]).sum()
        step = torch.stack([step_l1(a, b) * len(b) / n for a, b in pairs]).sum() * self.config.step_weight
        total = pixel + step
        opt["g"].zero_grad()
        total.backward()
        figures = {"g": total.detach(), "g/pixel": pixel.detach(), "g/step": step.detach()}
        figures = ranks.share(opt["g"], figures)
        opt["g"].step()
        update_ema(self.average, self.network, min(self.config.ema, (i + 1) / (i + 10)))
        return figures


def reductions(count: int, blur: float) -> Tensor:
    """[count, TAPS] float32, each of sum 1: filters that halve, drawn at random.

    s * sharp + (1 - s) * soft with a box, triangle or Lanczos filter and a Gaussian of 0.25 to blur small
    pixels. s is 0 for a quarter, up to 1.3 for the others: above 1 edges get halos, as a generator may draw
    them, and the network is to take them away.
    """
    x = (torch.arange(TAPS) - (TAPS - 1) / 2) / 2  # in small pixels
    box, triangle = (x.abs() < 0.5).float(), (1 - x.abs()).clamp(min=0)
    lanczos = torch.sinc(x) * torch.sinc(x / 3) * (x.abs() < 3)
    sharp = torch.stack([box, triangle, lanczos])[torch.randint(3, (count,))]
    deviation = 0.25 + (blur - 0.25) * torch.rand(count, 1)
    soft = torch.exp(-((x / deviation).square()) / 2)
    share = (torch.rand(count, 1) * 1.8 - 0.5).clamp(min=0)
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
