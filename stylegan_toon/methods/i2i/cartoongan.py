"""CartoonGAN: a discriminator that is shown cartoons with blurred edges as fakes asks for clear ones.

Paper: Chen, Lai and Liu 2018 (CVPR, "CartoonGAN: Generative Adversarial Networks for Photo
Cartoonization"). The generator is that of Yijunmaverick/CartoonGAN-Test-Pytorch-Torch, whose files load.
Content is the L1 gap of VGG19's conv4_4, weight 10; for the first 10 epochs the generator learns it alone.
Domains: photos, cartoons, unpaired, one direction. Sizes: 256 px; translates any size.
The paper gives no learning rate, batch or length: Adam (0.5, 0.999) with 2e-4, batch 1 and 200 epochs are
ours.
Its loss is the logistic one (eq. 3), of patches; --set loss=lsgan is what later ports took. Blurred
cartoons are made of each batch (nn/edges.py) and gray is not removed. The discriminator moves first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from torch.optim import Adam, Optimizer

from stylegan_toon.features.vgg import Maps
from stylegan_toon.methods.players import TERMS, move, still
from stylegan_toon.methods.translation import TranslationConfig, at_least_one
from stylegan_toon.nn.anime import CartoonPatch
from stylegan_toon.nn.cartoon import CartoonGenerator
from stylegan_toon.nn.edges import edge_smooth
from stylegan_toon.nn.norm import padded
from stylegan_toon.training import ranks


@dataclass(frozen=True)
class Config(TranslationConfig):
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "small": {
            "size": 64, "width": 16, "blocks": 4, "d_width": 16, "epoch": 200, "epochs": 20, "init_epochs": 2,
        },
    }  # fmt: skip
    wants: ClassVar[tuple[str, ...]] = ("features",)
    margin: ClassVar[float] = 1.0  # pictures are not cut

    epochs: int = 200
    init_epochs: int = 10  # of content alone, the first of epochs
    lr: float = 2e-4
    loss: str = "log"  # or lsgan
    width: int = 64
    blocks: int = 8
    d_width: int = 32
    smooth_weight: float = 1.0  # of blurred cartoons among the discriminator's fakes
    content_weight: float = 10.0
    bgr: bool = False  # whether the network takes and gives BGR, as the original's files do

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "epochs")
        if self.loss not in TERMS:
            raise ValueError(f"loss {self.loss[:20]!r} is none of {', '.join(TERMS)}")

    @property
    def steps(self) -> int:
        return -(-self.epochs * max(self.epoch, 1) // self.batch)

    def starting(self, i: int) -> bool:
        """Whether step i learns the content alone."""
        return i * self.batch < self.init_epochs * self.epoch


class CartoonGAN(nn.Module):
    def __init__(self, config: Config, maps: Maps | None = None):
        super().__init__()
        self.config = config
        self._fixed = (maps,)
        self.g = CartoonGenerator(config.width, config.blocks)
        self.d = CartoonPatch(config.d_width)

    def optimizers(self) -> dict[str, Optimizer]:
        networks = {"g": self.g, "d": self.d}
        return {key: Adam(net.parameters(), self.config.lr, (0.5, 0.999)) for key, net in networks.items()}

    def take_parts(self, parts: int) -> bool:
        """No: it is trained with the whole batch only."""
        return parts == 1

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """The discriminator, then the generator, on batch["photo"] and batch["cartoon"]; at first g alone."""
        config, n, at = self.config, len(batch["photo"]), ranks.part(len(batch["photo"]))
        photo, cartoon = batch["photo"][at], batch["cartoon"][at]
        share = len(photo) / n
        fake = self.draw(photo)
        losses = {"content": config.content_weight * self.content(fake, photo)}
        if config.starting(i):
            return move(opt["g"], losses, share, "g")
        real_loss, fake_loss = TERMS[config.loss]
        told = {
            "real": real_loss(self.d(cartoon)),
            "fake": fake_loss(self.d(fake.detach())),
            "smooth": config.smooth_weight * fake_loss(self.d(edge_smooth(cartoon))),
        }
        figures = move(opt["d"], told, share, "d")
        with still(self.d):
            losses["adv"] = real_loss(self.d(fake))
            return figures | move(opt["g"], losses, share, "g")

    def draw(self, photo: Tensor) -> Tensor:
        """RGB to RGB, whatever the network takes."""
        return self.g(photo.flip(1)).flip(1) if self.config.bgr else self.g(photo)

    def content(self, made: Tensor, photo: Tensor) -> Tensor:
        (maps,) = self._fixed
        assert maps is not None
        with torch.no_grad():
            (wanted,) = maps(photo, ["conv4_4"])
        return l1_loss(maps(made, ["conv4_4"])[0], wanted)

    def translate(self, photo: Tensor) -> Tensor:
        return padded(self.draw, photo, 4, 16)

    def translators(self) -> dict[str, nn.Module]:
        return {"g": self.g}

    def original(self) -> nn.Module:
        """[N, 3, H, W] BGR in [-1, 1] to the same, as the original's Transformer."""
        return self.g
