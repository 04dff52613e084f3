"""GANILLA: CycleGAN's scheme with a generator that keeps low-level features by concatenation.
Paper: Hicsonmez et al. 2020, arXiv 2002.05638; what it leaves open is as in giddyyupp/ganilla.
Domains: photos (a), cartoons (b), unpaired (there: illustrations of children's books). Sizes: trained on 256
px; translates any size, padded to a multiple of 16.
Deviations: as methods/i2i/cyclegan.py; the pyramid's weights, 1 there by default, are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from stylegan_toon.methods.cycle import Cycle, CycleConfig
from stylegan_toon.nn.norm import padded
from stylegan_toon.nn.pyramid import PyramidGenerator


@dataclass(frozen=True)
class Config(CycleConfig):
    multiple: ClassVar[int] = PyramidGenerator.multiple
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "small": {"size": 64, "width": 32, "d_width": 32, "epochs": 10, "decay_epochs": 10, "epoch": 200},
    }


class Ganilla(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.cycle = Cycle(config, lambda: PyramidGenerator(config.width))

    def optimizers(self) -> dict[str, Optimizer]:
        return self.cycle.optimizers()

    def take_parts(self, parts: int) -> bool:
        """No: it is trained with the whole batch only, most often one picture."""
        return parts == 1

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        return self.cycle.step(batch, opt, i)

    def translate(self, photo: Tensor) -> Tensor:
        return padded(self.cycle.g_ab, photo, PyramidGenerator.multiple, PyramidGenerator.least)

    def back(self, cartoon: Tensor) -> Tensor:
        return padded(self.cycle.g_ba, cartoon, PyramidGenerator.multiple, PyramidGenerator.least)

    def translators(self) -> dict[str, nn.Module]:
        return {"g_ab": self.cycle.g_ab, "g_ba": self.cycle.g_ba}

    def original(self) -> nn.Module:
        """[N, 3, H, W] RGB in [-1, 1], edges multiples of 16, to the same, as the original's generator."""
        return self.cycle.g_ab
