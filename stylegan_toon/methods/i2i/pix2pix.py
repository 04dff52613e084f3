"""pix2pix: translation learnt from pairs, by a U-Net against a PatchGAN that sees photo and cartoon together.
Paper: Isola et al. 2017, arXiv 1611.07004; what it leaves open is as in junyanz/pytorch-CycleGAN-and-
pix2pix.
Domains: pairs of photo and cartoon of the same geometry. Sizes: 256 px (8 halvings) or another multiple of
32; translates any size, padded to what the halvings need.
Deviations: translates with running statistics and without dropout, so that a photo has one cartoon (the
paper keeps both as in training, the code's --eval does as we do); pictures are brought to size by Lanczos
instead of bicubic. Of several processes each normalises by its own pictures and draws its own dropout;
running statistics are their mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from torch.optim import Adam, Optimizer

from stylegan_toon.losses.adversarial import logistic_d, logistic_g
from stylegan_toon.methods.translation import EpochConfig
from stylegan_toon.nn.norm import check_norm, padded
from stylegan_toon.nn.patchgan import PatchGAN
from stylegan_toon.nn.unet import UNet, check_depth, unet_depth
from stylegan_toon.training import ranks
from stylegan_toon.training.schedule import flat_then_linear, set_lr


@dataclass(frozen=True)
class Config(EpochConfig):
    paired: ClassVar[bool] = True
    multiple: ClassVar[int] = 32
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "small": {"size": 64, "batch": 4, "width": 32, "d_width": 32, "epochs": 10, "decay_epochs": 10,
                  "epoch": 400},
    }  # fmt: skip

    width: int = 64  # channels after the generator's first layer
    d_width: int = 64  # and after the discriminator's
    depth: int = 0  # halvings; 0 is as many as the size allows, 8 at most
    norm: str = "batch"
    dropout: bool = True
    l1_weight: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.norm)
        check_depth(self.depth, self.size)


class Pix2Pix(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.depth = config.depth or unet_depth(config.size)
        self.g = UNet(config.width, self.depth, config.norm, config.dropout)
        self.d = PatchGAN(config.d_width, 6, config.norm)

    def optimizers(self) -> dict[str, Optimizer]:
        nets = {"g": self.g, "d": self.d}
        return {key: Adam(net.parameters(), self.config.lr, (0.5, 0.999)) for key, net in nets.items()}

    def take_parts(self, parts: int) -> bool:
        """No: a batch norm takes the whole batch."""
        return parts == 1

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """The discriminator, then the generator, on pairs batch["photo"], batch["cartoon"] [N, 3, S, S]."""
        config, n = self.config, len(batch["photo"])
        at = ranks.part(n)
        photo, cartoon = batch["photo"][at], batch["cartoon"][at]
        share = len(photo) / n
        lr = config.lr * flat_then_linear(config.epoch_of(i), config.epochs, config.decay_epochs)
        for optimizer in opt.values():
            set_lr(optimizer, lr)
        fake = self.g(photo)

        self.d.requires_grad_(True)
        seen = self.d(torch.cat([photo, fake.detach()], 1))
        d = 0.5 * logistic_d(self.d(torch.cat([photo, cartoon], 1)), seen) * share
        opt["d"].zero_grad()
        d.backward()
        figures = ranks.share(opt["d"], {"d": d.detach()})
        opt["d"].step()

        self.d.requires_grad_(False)
        adv = logistic_g(self.d(torch.cat([photo, fake], 1))) * share
        l1 = config.l1_weight * l1_loss(fake, cartoon) * share
        opt["g"].zero_grad()
        (adv + l1).backward()
        found = {"g": adv + l1, "g/adv": adv, "g/l1": l1}
        figures |= ranks.share(opt["g"], {name: value.detach() for name, value in found.items()})
        opt["g"].step()
        ranks.average_statistics(self)
        return figures

    def translate(self, photo: Tensor) -> Tensor:
        return padded(self.g, photo, 2**self.depth)

    def translators(self) -> dict[str, nn.Module]:
        return {"g": self.g}

    def original(self) -> nn.Module:
        """[N, 3, H, W] RGB in [-1, 1], edges multiples of 2^depth, to the same, as the original's."""
        return self.g
