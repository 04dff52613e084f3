"""UNIT: two variational autoencoders that share one latent space; a photo's code is decoded as a cartoon.

Paper: Liu, Breuel and Kautz 2017, arXiv 1703.00848. What it leaves open, and the blocks, are those of the
second version of mingyuliutw/UNIT: the latent is the encoder's output plus unit noise in training, no layer
is shared (the losses hold the spaces together), discriminators judge three scales, least squares.
Domains: photos (a), cartoons (b), unpaired. Sizes: 256 px, from 32 px up with fewer scales; translates any.
Deviations: the perceptual loss takes relu5_3 of VGG19, or of what stands in for it, instead of VGG16's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from torch.optim import Adam, Optimizer

from stylegan_toon.features.vgg import Maps
from stylegan_toon.losses.adversarial import lsgan_d, lsgan_g
from stylegan_toon.methods.players import move, still
from stylegan_toon.methods.translation import TranslationConfig, at_least_one
from stylegan_toon.nn.init import draw_weights
from stylegan_toon.nn.munit import ContentEncoder, Decoder, MultiScalePatch
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
    wants: ClassVar[tuple[str, ...]] = ("features",)
    margin: ClassVar[float] = 1.0  # pictures are not cut

    iterations: int = 1_000_000
    lr: float = 1e-4
    halve_every: int = 100_000  # steps after which the learning rate halves
    weight_decay: float = 1e-4
    width: int = 64  # channels after the first layer
    downs: int = 2
    blocks: int = 4  # in the encoder, and in the decoder
    d_width: int = 64
    d_layers: int = 4
    scales: int = 3
    gan_weight: float = 1.0
    recon_weight: float = 10.0
    kl_weight: float = 0.01
    cycle_weight: float = 10.0
    cycle_kl_weight: float = 0.01
    perceptual_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "iterations", "halve_every", "scales")
        if self.size < 2 ** (self.d_layers + self.scales - 1):
            raise ValueError(
                f"size={self.size} is too small for scales={self.scales} of d_layers={self.d_layers}"
            )

    @property
    def steps(self) -> int:
        return self.iterations


class Vae(nn.Module):
    """One domain's autoencoder."""

    def __init__(self, width: int, downs: int, blocks: int):
        super().__init__()
        self.encoder, self.decoder = ContentEncoder(width, downs, blocks), Decoder(width, downs, blocks)
        draw_weights(self, partial(nn.init.kaiming_normal_, nonlinearity="relu"))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures -> their reconstructions, in training from noisy codes, and their codes."""
        code = self.encoder(x)
        return self.decoder(code + torch.randn_like(code) if self.training else code), code


class Pair(nn.Module):
    """Both autoencoders, and what the original's trainer answers."""

    def __init__(self, width: int = 64, downs: int = 2, blocks: int = 4):
        super().__init__()
        self.a, self.b = Vae(width, downs, blocks), Vae(width, downs, blocks)

    def ab(self, x: Tensor) -> Tensor:
        return self.b.decoder(self.a.encoder(x))

    def ba(self, x: Tensor) -> Tensor:
        return self.a.decoder(self.b.encoder(x))

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures of both domains [N, 3, H, W] in [-1, 1], sides multiples of 4 -> a as b, b as a."""
        return self.ab(a), self.ba(b)


class Unit(nn.Module):
    def __init__(self, config: Config, maps: Maps | None = None):
        super().__init__()
        self.config = config
        self._fixed = (maps,)
        self.g = Pair(config.width, config.downs, config.blocks)
        shape = config.d_width, config.d_layers, config.scales
        self.d = nn.ModuleDict({key: small_weights(MultiScalePatch(*shape)) for key in "ab"})

    def optimizers(self) -> dict[str, Optimizer]:
        config = self.config
        return {
            key: Adam(network.parameters(), config.lr, (0.5, 0.999), weight_decay=config.weight_decay)
            for key, network in (("g", self.g), ("d", self.d))
        }

    def take_parts(self, parts: int) -> bool:
        """No: it is trained with the whole batch only, in the paper one picture."""
        return parts == 1

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """Both discriminators, then both autoencoders, on batch["photo"] and batch["cartoon"]."""
        config, n, at = self.config, len(batch["photo"]), ranks.part(len(batch["photo"]))
        a, b = batch["photo"][at], batch["cartoon"][at]
        share = len(a) / n
        for optimizer in opt.values():
            set_lr(optimizer, config.lr * 0.5 ** (i // config.halve_every))

        def noisy(code: Tensor) -> Tensor:
            """The code with noise that is drawn for the whole batch."""
            return code + torch.randn(n, *code.shape[1:])[at].to(code)

        with torch.no_grad():
            fake_b = self.g.b.decoder(noisy(self.g.a.encoder(a)))
            fake_a = self.g.a.decoder(noisy(self.g.b.encoder(b)))
        told = {"a": self.told(a, fake_a, "a"), "b": self.told(b, fake_b, "b")}
        figures = move(opt["d"], {key: config.gan_weight * loss for key, loss in told.items()}, share, "d")

        code_a, code_b = self.g.a.encoder(a), self.g.b.encoder(b)
        z_a, z_b = noisy(code_a), noisy(code_b)
        recon = l1_loss(self.g.a.decoder(z_a), a) + l1_loss(self.g.b.decoder(z_b), b)
        fake_b, fake_a = self.g.b.decoder(z_a), self.g.a.decoder(z_b)
        again_a, again_b = self.g.b.encoder(fake_b), self.g.a.encoder(fake_a)
        cycle = l1_loss(self.g.a.decoder(noisy(again_a)), a) + l1_loss(self.g.b.decoder(noisy(again_b)), b)
        losses = {
            "recon": config.recon_weight * recon,
            "kl": config.kl_weight * (code_a.square().mean() + code_b.square().mean()),
            "cycle": config.cycle_weight * cycle,
            "cycle_kl": config.cycle_kl_weight * (again_a.square().mean() + again_b.square().mean()),
        }
        if config.perceptual_weight:
            kept = self.perceptual(fake_b, a) + self.perceptual(fake_a, b)
            losses["perceptual"] = config.perceptual_weight * kept
        with still(self.d):
            scores = [*self.d["b"](fake_b), *self.d["a"](fake_a)]
            losses["adv"] = config.gan_weight * torch.stack([lsgan_g(score) for score in scores]).sum()
            return figures | move(opt["g"], losses, share, "g")

    def told(self, real: Tensor, fake: Tensor, domain: str) -> Tensor:
        """The loss of a domain's discriminator, summed over its scales."""
        d = self.d[domain]
        return torch.stack([lsgan_d(x, y) for x, y in zip(d(real), d(fake), strict=True)]).sum()

    def perceptual(self, made: Tensor, source: Tensor) -> Tensor:
        """Mean squared gap of deep features, each map brought to mean 0 and variance 1; 0 for 1x1 maps."""
        (maps,) = self._fixed
        assert maps is not None
        (mine,) = maps(made, ["relu5_3"])
        with torch.no_grad():
            (theirs,) = maps(source, ["relu5_3"])
        return (standard(mine) - standard(theirs)).square().mean()

    def translate(self, photo: Tensor) -> Tensor:
        return padded(self.g.ab, photo, 2**self.config.downs, 16)

    def back(self, cartoon: Tensor) -> Tensor:
        return padded(self.g.ba, cartoon, 2**self.config.downs, 16)

    def translators(self) -> dict[str, nn.Module]:
        return {"g": self.g}

    def original(self) -> nn.Module:
        """(a, b), both [N, 3, H, W] RGB in [-1, 1], to (a as b, b as a), as the original's trainer answers.

        Its parts a and b answer a picture with (reconstruction, code), as the original's VAEGen.
        """
        return self.g


def standard(x: Tensor) -> Tensor:
    """(x - mean) / sqrt(variance + 1e-5) over H and W of [N, C, H, W]: an instance norm that takes 1x1."""
    variance, mean = torch.var_mean(x, (2, 3), unbiased=False, keepdim=True)
    return (x - mean) * (variance + 1e-5).rsqrt()
