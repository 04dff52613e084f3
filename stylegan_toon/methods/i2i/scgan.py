"""scGAN: CycleGAN's scheme with a U-Net, more weight on the parts of the face, smoothness and content.
Paper: Li et al. 2019, arXiv 1904.12615; no code was found.
Domains: selfies (a), cartoon portraits (b), unpaired. Sizes: a multiple of 32; translates any size, padded
to what the U-Net's halvings need.
Stated there: U-Net generators, patch discriminators, logistic loss; 10 (attentive cycle of a + cycle of b) +
2 TV of G_AB(x) + 0.5 L1 of VGG19 conv4_4; whole picture, eyes, nose, mouth weigh 1, 0.5, 0.5, 0.5.
Our reading of what is not: pix2pix's U-Net with instance norm and no dropout, 70x70 PatchGAN, 256 px,
CycleGAN's Adam, schedule, pool and half weight of D's loss; regions are crops of the reconstruction
(losses/cycle.py), their boxes drawn round YuNet's landmarks (faces/regions.py); generators do not saturate.
Presets A (cycle), B (attentive cycle), C (that and perceptual) are its table 4: --sweep preset=A,B,C; with
and without TV its table 3: --sweep tv_weight=0,2, by the column average_gradient.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from torch.optim import Optimizer

from stylegan_toon.features.vgg import Maps
from stylegan_toon.losses.cycle import attentive_l1
from stylegan_toon.losses.style import total_variation
from stylegan_toon.methods.cycle import Cycle, CycleConfig
from stylegan_toon.nn.norm import padded
from stylegan_toon.nn.unet import UNet, check_depth, unet_depth
from stylegan_toon.training import ranks

LAYER = "conv4_4"


@dataclass(frozen=True)
class Config(CycleConfig):
    wants: ClassVar[tuple[str, ...]] = ("regions", "features")
    multiple: ClassVar[int] = 32
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "A": {"region_weights": (1.0, 0.0, 0.0, 0.0), "perceptual_weight": 0.0},
        "B": {"perceptual_weight": 0.0},
        "C": {},
        "small": {"size": 64, "width": 32, "d_width": 32, "epochs": 10, "decay_epochs": 10, "epoch": 200},
    }

    loss: str = "log"
    identity_weight: float = 0.0
    depth: int = 0  # halvings of the U-Net; 0 is as many as the size allows, 8 at most
    region_weights: tuple[float, ...] = (1.0, 0.5, 0.5, 0.5)  # whole picture, eyes, nose, mouth
    tv_weight: float = 2.0
    perceptual_weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_depth(self.depth, self.size)
        if len(self.region_weights) != 4:
            raise ValueError("region_weights are four: of the whole picture, the eyes, the nose, the mouth")


class ScGAN(nn.Module):
    def __init__(self, config: Config, maps: Maps | None = None):
        """maps: of features.vgg.load_maps; needed for steps."""
        super().__init__()
        self.config = config
        self.depth = config.depth or unet_depth(config.size)
        self.cycle = Cycle(config, lambda: UNet(config.width, self.depth, "instance", dropout=False))
        self._fixed = (maps,)  # in a tuple, so that it is no part of the state

    def optimizers(self) -> dict[str, Optimizer]:
        return self.cycle.optimizers()

    def take_parts(self, parts: int) -> bool:
        """No: it is trained with the whole batch only, most often one picture."""
        return parts == 1

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """Both generators, then both discriminators, on photo, cartoon and regions of the batch.

        regions: [N, 3, S, S], eyes, nose and mouth of the photos, 1 inside and -1 outside.
        """
        config, (maps,) = self.config, self._fixed
        made = self.cycle.draw(batch)
        regions = batch["regions"][ranks.part(made.n)] / 2 + 0.5
        cycle_a = attentive_l1(made.back_a, made.photo, regions, config.region_weights)
        losses = {
            "adv": self.cycle.fooled(made),
            "cycle": config.cycle_weight * (cycle_a + l1_loss(made.back_b, made.cartoon)),
        }
        if config.identity_weight:
            losses["identity"] = config.identity_weight * self.cycle.identity(made)
        if config.tv_weight:
            losses["tv"] = config.tv_weight * total_variation(made.fake_b)
        if config.perceptual_weight:
            assert maps is not None, "a step of the perceptual loss needs maps"
            with torch.no_grad():
                (wanted,) = maps(made.photo, [LAYER])
            losses["perceptual"] = config.perceptual_weight * l1_loss(maps(made.fake_b, [LAYER])[0], wanted)
        figures = self.cycle.step_g(losses, made, opt["g"], i)
        return figures | self.cycle.step_d(made, opt["d"], i)

    def translate(self, photo: Tensor) -> Tensor:
        return padded(self.cycle.g_ab, photo, 2**self.depth)

    def back(self, cartoon: Tensor) -> Tensor:
        return padded(self.cycle.g_ba, cartoon, 2**self.depth)

    def translators(self) -> dict[str, nn.Module]:
        return {"g_ab": self.cycle.g_ab, "g_ba": self.cycle.g_ba}

    def original(self) -> nn.Module:
        """Our network as it is: no original is public."""
        return self.cycle.g_ab
