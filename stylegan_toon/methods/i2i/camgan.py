"""CAMGAN: GANILLA's generator with channel attention between the way down and the way up.
Paper: "CAMGAN", Journal of Intelligent & Fuzzy Systems 2021, DOI 10.3233/JIFS-211210; no code was found.
Domains: photos (a), cartoons (b), unpaired (there: 10,000 of FFHQ, 10,000 cartoon faces). Sizes: 256 px;
translates any size, padded to a multiple of 16.
Stated there: CycleGAN's scheme, 70x70 PatchGAN, Adam at 2e-4, 200 epochs, 7x7 stem with instance norm and
max pooling, four layers of two blocks that concatenate, ECA with a kernel adapted to C, sums on the way up,
a last 7x7.
Our reading of what is not: ECA on each of the four layers' features before its 1x1 convolution; widths,
pyramid and schedule as GANILLA's; least squares; lambda 10; no identity loss, which it does not mention
(--set identity_weight=5 is CycleGAN's). Its list of filters ends at 256, a 70x70 PatchGAN has 512, too.
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

    identity_weight: float = 0.0


class Camgan(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.cycle = Cycle(config, lambda: PyramidGenerator(config.width, attention=True))

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
        """Our network as it is: no original is public."""
        return self.cycle.g_ab
