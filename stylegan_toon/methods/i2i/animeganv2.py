"""AnimeGANv2: AnimeGAN with layer norms against high-frequency artefacts, total variation, fewer numbers.

Description: the "Reproduce cartoon image" article and TachibanaYoshino/AnimeGANv2, which gives a set of
weights for each of its films: presets hayao (the default), paprika and shinkai. Files of
bryandlee/animegan2-pytorch load.
Domains: photos, cartoons, unpaired, one direction. Sizes: 256 px; translates any size.
Deviations: as AnimeGAN's (methods/i2i/animegan.py); layer norms have torch's epsilon of 1e-5, as in the
port, and enlargements put corners on corners, as the port does unless told; the films' BGR mean is not
evened out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from stylegan_toon.features.vgg import Maps
from stylegan_toon.methods.i2i import animegan
from stylegan_toon.methods.i2i.animegan import Anime
from stylegan_toon.nn.anime import AnimeGeneratorV2
from stylegan_toon.nn.norm import padded


@dataclass(frozen=True)
class Config(animegan.Config):
    """The defaults are Hayao's."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "hayao": {},
        "paprika": {
            "content_weight": 2.0, "style_weight": 0.6, "color_weight": 50.0, "tv_weight": 0.1,
            "real_weight": 1.0, "fake_weight": 1.0, "gray_weight": 1.0, "smooth_weight": 0.005,
        },
        "shinkai": {
            "content_weight": 1.2, "style_weight": 2.0, "color_weight": 10.0, "tv_weight": 1.0,
            "real_weight": 1.7, "fake_weight": 1.7, "gray_weight": 1.7, "smooth_weight": 1.0,
        },
        "small": {  # with the stand-in's maps, content and texture weigh about what least squares do
            "size": 64, "batch": 2, "width": 16, "d_width": 16, "epoch": 200, "epochs": 20, "init_epochs": 4,
            "init_lr": 5e-4, "lr": 1e-4, "d_lr": 2e-4, "content_weight": 30.0, "style_weight": 50.0,
        },
    }  # fmt: skip

    batch: int = 12
    init_epochs: int = 10
    init_lr: float = 2e-4
    lr: float = 2e-5
    d_lr: float = 4e-5
    width: int = 32
    blocks: int = 4
    style_weight: float = 2.5
    color_weight: float = 15.0
    tv_weight: float = 1.0
    real_weight: float = 1.2
    fake_weight: float = 1.2
    gray_weight: float = 1.2
    smooth_weight: float = 0.8


class AnimeGANv2(nn.Module):
    def __init__(self, config: Config, maps: Maps | None = None):
        super().__init__()
        self.config = config
        self.anime = Anime(config, maps, AnimeGeneratorV2(config.width, config.blocks), "layer")

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

    def original(self) -> nn.Module:
        """[N, 3, H, W] RGB in [-1, 1] to the same, and align_corners, as the port's Generator."""
        return self.anime.g
