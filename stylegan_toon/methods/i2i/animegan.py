"""AnimeGAN: content of the photo, texture of gray cartoons, colours of the photo.

Paper: Chen, Liu and Chen 2019 (ISICA, "AnimeGAN: A Novel Lightweight GAN for Photo Animation"); layers,
weights, rates and order as in TachibanaYoshino/AnimeGAN. The generator's losses: least squares 300; L1 of
VGG19's conv4_4 against the photo 1.5; L1 of its Gram matrices, divided by C H W, against gray cartoons 3;
colour in YUV 10. The discriminator is shown cartoons as real; pictures of the generator, gray cartoons and,
weighing 0.1, gray cartoons with blurred edges as fake. First come 5 epochs of content alone, with an
optimiser of their own.
Domains: photos, cartoons, unpaired, one direction. Sizes: 256 px; translates any size.
Deviations: weights are made for the maps of Caffe's VGG19; blurred cartoons are made of each
batch (nn/edges.py) instead of drawn apart from a folder of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import l1_loss
from torch.optim import Adam, Optimizer

from stylegan_toon.features.vgg import Maps
from stylegan_toon.losses.adversarial import lsgan_fake, lsgan_g
from stylegan_toon.losses.color import color_loss
from stylegan_toon.losses.style import gram, total_variation
from stylegan_toon.methods.players import move, still
from stylegan_toon.methods.translation import TranslationConfig, at_least_one
from stylegan_toon.nn.anime import AnimeGenerator, AnimeGeneratorV2, CartoonPatch
from stylegan_toon.nn.edges import edge_smooth, gray
from stylegan_toon.nn.norm import padded
from stylegan_toon.training import ranks


@dataclass(frozen=True)
class Config(TranslationConfig):
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "shinkai": {"content_weight": 1.1},
        "small": {  # with the stand-in's maps, content and texture weigh about what least squares do
            "size": 64, "batch": 2, "width": 16, "blocks": 4, "d_width": 16, "epoch": 200, "epochs": 20,
            "init_epochs": 4, "init_lr": 5e-4, "lr": 1e-4, "d_lr": 2e-4, "content_weight": 30.0,
            "style_weight": 60.0,
        },
    }  # fmt: skip
    wants: ClassVar[tuple[str, ...]] = ("features",)
    margin: ClassVar[float] = 1.0  # pictures are not cut

    batch: int = 6
    epochs: int = 101
    init_epochs: int = 5  # of content alone, the first of epochs
    init_lr: float = 1e-4  # in these
    lr: float = 8e-5
    d_lr: float = 1.6e-4
    width: int = 64
    blocks: int = 8
    d_width: int = 32
    gan_weight: float = 300.0
    content_weight: float = 1.5
    style_weight: float = 3.0
    color_weight: float = 10.0
    tv_weight: float = 0.0
    d_weight: float = 300.0  # factor on the next four
    real_weight: float = 1.0
    fake_weight: float = 1.0
    gray_weight: float = 1.0
    smooth_weight: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "epochs")

    @property
    def steps(self) -> int:
        return -(-self.epochs * max(self.epoch, 1) // self.batch)

    def starting(self, i: int) -> bool:
        """Whether step i learns the content alone."""
        return i * self.batch < self.init_epochs * self.epoch


class Anime(nn.Module):
    """Both versions: they differ in the generator, the discriminator's norms, and numbers."""

    def __init__(self, config: Config, maps: Maps | None, g: AnimeGenerator | AnimeGeneratorV2, norm: str):
        """norm: the discriminator's, "instance" or "layer"."""
        super().__init__()
        self.config = config
        self._fixed = (maps,)
        self.g, self.d = g, CartoonPatch(config.d_width, norm, spectral=True)

    def optimizers(self) -> dict[str, Optimizer]:
        config = self.config
        kinds = {"init": (self.g, config.init_lr), "g": (self.g, config.lr), "d": (self.d, config.d_lr)}
        return {key: Adam(net.parameters(), lr, (0.5, 0.999)) for key, (net, lr) in kinds.items()}

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """The discriminator, then the generator, on batch["photo"] and batch["cartoon"]; at first g alone."""
        config, n, at = self.config, len(batch["photo"]), ranks.part(len(batch["photo"]))
        photo, cartoon = batch["photo"][at], batch["cartoon"][at]
        share = len(photo) / n
        fake = self.g(photo)
        made, kept = self.maps(fake), self.maps(photo).detach()
        losses = {"content": config.content_weight * l1_loss(made, kept)}
        if config.starting(i):
            return move(opt["init"], losses, share, "g")

        colourless = gray(cartoon).expand_as(cartoon)
        blurred = gray(edge_smooth(cartoon)).expand_as(cartoon)
        told = {
            "real": config.real_weight * lsgan_g(self.d(cartoon)),
            "fake": config.fake_weight * lsgan_fake(self.d(fake.detach())),
            "gray": config.gray_weight * lsgan_fake(self.d(colourless)),
            "smooth": config.smooth_weight * lsgan_fake(self.d(blurred)),
        }
        figures = move(opt["d"], {key: config.d_weight * loss for key, loss in told.items()}, share, "d")

        channels = made.shape[1]
        texture = l1_loss(gram(made), gram(self.maps(colourless).detach())) / channels
        losses["style"] = config.style_weight * texture
        losses["color"] = config.color_weight * color_loss(fake, photo)
        if config.tv_weight:
            losses["tv"] = config.tv_weight * 0.5 * total_variation(fake, 2)
        with still(self.d):
            losses["adv"] = config.gan_weight * lsgan_g(self.d(fake))
            return figures | move(opt["g"], losses, share, "g")

    def maps(self, x: Tensor) -> Tensor:
        (maps,) = self._fixed
        assert maps is not None
        return maps(x, ["conv4_4"])[0]


class AnimeGAN(nn.Module):
    def __init__(self, config: Config, maps: Maps | None = None):
        super().__init__()
        self.config = config
        self.anime = Anime(config, maps, AnimeGenerator(config.width, config.blocks), "instance")

    def optimizers(self) -> dict[str, Optimizer]:
        return self.anime.optimizers()

    def take_parts(self, parts: int) -> bool:
        """No: it is trained with the whole batch only."""
        return parts == 1

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        return self.anime.step(batch, opt, i)

    def translate(self, photo: Tensor) -> Tensor:
        return padded(self.anime.g, photo, 4, 16)

    def translators(self) -> dict[str, nn.Module]:
        return {"g": self.anime.g}
