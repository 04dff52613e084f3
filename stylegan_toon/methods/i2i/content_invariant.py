"""Content invariance: one direction, with one content and one style encoder for photos and cartoons alike.

Paper: Tian, "Converting Real Human Avatar to Cartoon Avatar Utilizing CycleGAN", section 5.3, which has a
figure and no code. A cartoon is decoded from the photo's content and a cartoon's style. In place of a way
back, the photo is reconstructed from the content of its cartoon and the style of another photo.
Domains: photos (a), cartoons (b), unpaired, a to b alone. Sizes: 256 px, from 32 px up; translates any
size.
Ours, as the paper gives no layers, weights or rates: MUNIT's blocks (content encoder, style encoder without
norms, AdaIN from a three-layer network: 15,026,187 parameters) and UNIT's multi-scale discriminator with
least squares; adversarial weight 1 and reconstruction 10, both MUNIT's. The other photo is the one before
it in the batch.
A translation takes the mean style of the cartoons seen in training, which lies in the file beside the
weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from torch.optim import Adam, Optimizer

from stylegan_toon.losses.adversarial import lsgan_d, lsgan_g
from stylegan_toon.methods.players import move, still
from stylegan_toon.methods.translation import TranslationConfig, at_least_one
from stylegan_toon.nn.init import draw_weights
from stylegan_toon.nn.munit import ContentEncoder, Decoder, MultiScalePatch, StyleEncoder
from stylegan_toon.nn.norm import padded, small_weights
from stylegan_toon.training import ranks
from stylegan_toon.training.schedule import set_lr


@dataclass(frozen=True)
class Config(TranslationConfig):
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "small": {
            "size": 64,
            "width": 16,
            "d_width": 16,
            "scales": 2,
            "iterations": 4000,
            "halve_every": 2000,
        },
    }
    margin: ClassVar[float] = 1.0  # pictures are not cut

    batch: int = 2
    iterations: int = 1_000_000
    lr: float = 1e-4
    halve_every: int = 100_000
    weight_decay: float = 1e-4
    width: int = 64
    blocks: int = 4
    style: int = 8  # numbers in a style
    mlp: int = 256  # width of the network that turns it into the decoder's norms
    d_width: int = 64
    d_layers: int = 4
    scales: int = 3
    gan_weight: float = 1.0
    recon_weight: float = 10.0
    style_momentum: float = 0.99  # of the mean style

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "iterations", "halve_every", "scales", "blocks", "style", "mlp")
        if self.batch < 2:
            raise ValueError(
                "batch=1: a photo is reconstructed with the style of another one; wanted 2 or more"
            )
        if self.size < max(32, 2 ** (self.d_layers + self.scales - 1)):
            raise ValueError(
                f"size={self.size} is too small for scales={self.scales} of d_layers={self.d_layers}"
            )

    @property
    def steps(self) -> int:
        return self.iterations


class Generator(nn.Module):
    """content(x), style(x), and decode(content, style); mean_style is that of the cartoons, [style]."""

    mean_style: Tensor

    def __init__(self, width: int = 64, blocks: int = 4, style: int = 8, mlp: int = 256):
        super().__init__()
        self.blocks = blocks
        self.content, self.style = ContentEncoder(width, 2, blocks), StyleEncoder(width, style)
        self.decoder = Decoder(width, 2, blocks)
        norms = blocks * 4 * 4 * width
        self.mlp = nn.Sequential(
            nn.Linear(style, mlp), nn.ReLU(), nn.Linear(mlp, mlp), nn.ReLU(), nn.Linear(mlp, norms)
        )
        draw_weights(self, partial(nn.init.kaiming_normal_, nonlinearity="relu"))
        self.register_buffer("mean_style", torch.zeros(style))

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        return self.decoder(content, self.mlp(style).unflatten(1, (self.blocks, 4, -1)))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [N, 3, H, W] in [-1, 1], sides multiples of 4, in the mean style."""
        return self.decode(self.content(x), self.mean_style.expand(len(x), -1))


class ContentInvariant(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.g = Generator(config.width, config.blocks, config.style, config.mlp)
        self.d = small_weights(MultiScalePatch(config.d_width, config.d_layers, config.scales))

    def optimizers(self) -> dict[str, Optimizer]:
        config = self.config
        return {
            key: Adam(network.parameters(), config.lr, (0.5, 0.999), weight_decay=config.weight_decay)
            for key, network in (("g", self.g), ("d", self.d))
        }

    def take_parts(self, parts: int) -> bool:
        """No: a photo needs another one beside it."""
        return parts == 1

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """The discriminator of cartoons, then the network, on batch["photo"] and batch["cartoon"]."""
        config, n, at = self.config, len(batch["photo"]), ranks.part(len(batch["photo"]))
        photo, cartoon, other = batch["photo"][at], batch["cartoon"][at], batch["photo"].roll(1, 0)[at]
        share = len(photo) / n
        for optimizer in opt.values():
            set_lr(optimizer, config.lr * 0.5 ** (i // config.halve_every))
        style = self.g.style(cartoon)
        fake = self.g.decode(self.g.content(photo), style)

        told = zip(self.d(cartoon), self.d(fake.detach()), strict=True)
        loss = config.gan_weight * torch.stack([lsgan_d(real, made) for real, made in told]).sum()
        figures = move(opt["d"], {"adv": loss}, share, "d")

        back = self.g.decode(self.g.content(fake), self.g.style(other))
        losses = {"recon": config.recon_weight * l1_loss(back, photo)}
        with still(self.d):
            losses["adv"] = config.gan_weight * torch.stack([lsgan_g(score) for score in self.d(fake)]).sum()
            figures |= move(opt["g"], losses, share, "g")
        mean = ranks.total(style.detach().mean(0) * share)
        self.g.mean_style.lerp_(mean, 1 - min(config.style_momentum, i / (i + 1)))
        return figures

    def translate(self, photo: Tensor) -> Tensor:
        return padded(self.g, photo, 4, 16)

    def translators(self) -> dict[str, nn.Module]:
        return {"g": self.g}
