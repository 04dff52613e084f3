"""CycleGAN: unpaired translation both ways, held together by coming back to where one was.

Paper: Zhu et al. 2017, arXiv 1703.10593. What it leaves open is as in junyanz/pytorch-CycleGAN-and-pix2pix.
Domains: photos (a), cartoons (b), unpaired. Sizes: trained on 256 px (9 blocks) or 128 px (6 blocks), cut out
of pictures of 286/256 of that; translates any size.
Options: loss "log" is the form of Tian's CycleGAN avatar paper, who writes log D(G(x)) for generators, and
whose series of learning rates is --sweep lr=2e-4,4e-4,8e-4,1.6e-3 (the ends are his, what lies between ours).
Deviations: pictures are brought to size by Lanczos instead of bicubic; cartoons are drawn as epochs of
permutations, as photos are, instead of independently at random.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from stylegan_toon.methods.cycle import Cycle, CycleConfig
from stylegan_toon.nn.norm import check_norm, padded
from stylegan_toon.nn.resnet import ResnetGenerator


@dataclass(frozen=True)
class Config(CycleConfig):
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "paper-128": {"size": 128, "blocks": 6},
        "small": {
            "size": 64,
            "blocks": 6,
            "width": 32,
            "d_width": 32,
            "epochs": 10,
            "decay_epochs": 10,
            "epoch": 200,
        },
    }

    blocks: int = 9
    norm: str = "instance"
    dropout: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.norm)


class CycleGAN(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        shape = config.width, config.blocks, config.norm, config.dropout
        self.cycle = Cycle(config, lambda: ResnetGenerator(*shape))

    def optimizers(self) -> dict[str, Optimizer]:
        return self.cycle.optimizers()

    def take_parts(self, parts: int) -> bool:
        """No: it is trained with the whole batch only, most often one picture."""
        return parts == 1

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        return self.cycle.step(batch, opt, i)

    def translate(self, photo: Tensor) -> Tensor:
        return padded(self.cycle.g_ab, photo, ResnetGenerator.multiple, ResnetGenerator.least)

    def back(self, cartoon: Tensor) -> Tensor:
        return padded(self.cycle.g_ba, cartoon, ResnetGenerator.multiple, ResnetGenerator.least)

    def translators(self) -> dict[str, nn.Module]:
        return {"g_ab": self.cycle.g_ab, "g_ba": self.cycle.g_ba}

    def original(self) -> nn.Module:
        """[N, 3, H, W] RGB in [-1, 1] to the same, as the original's generator."""
        return self.cycle.g_ab
