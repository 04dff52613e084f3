"""White-box cartoonization: a cartoon's surface, structure and texture, each with a loss of its own.

Paper: Wang and Yu 2020 (CVPR, "Learning to Cartoonize Using White-box Cartoon Representations"); layers,
weights and rates as in SystemErrorWang/White-box-Cartoonization. Surface: a discriminator sees pictures
smoothed by a guided filter of themselves (0.1). Texture: another sees them gray, with random weights of R,
G and B (1). Structure: VGG19's conv4_4 of a picture against that of its superpixels, and content: against
that of the photo (200 each, divided by the map's size). Total variation of squares (10^4, divided by the
picture's size). First, the generator learns to give the photo back.
Its output passes a guided filter along the photo: radius 1, epsilon 0.01 in training, 0.005 in translation.
Domains: photos, cartoons, unpaired, one direction; theirs were mixed, one batch of faces in five. Sizes:
256 px; translates any size.
Deviations: superpixels are a small SLIC of our own (nn/superpixel.py), 200 in mean colours, without the
adaptive colouring that their code leaves off, too; divisions are by the sizes at 256 px whatever the size
is, so that weights mean the same; the discriminators see the pictures from before the generator's move.
Weights are made for the maps of Caffe's VGG19.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from torch.optim import Adam, Optimizer

from stylegan_toon.features.vgg import Maps
from stylegan_toon.losses.adversarial import lsgan_d, lsgan_g
from stylegan_toon.losses.style import total_variation
from stylegan_toon.methods.players import move, still
from stylegan_toon.methods.translation import TranslationConfig, at_least_one
from stylegan_toon.nn.guided import guided_filter
from stylegan_toon.nn.norm import padded
from stylegan_toon.nn.superpixel import superpixels
from stylegan_toon.nn.whitebox import WhiteBoxGenerator, WhiteBoxPatch
from stylegan_toon.training import ranks

LOW, HIGH = (0.199, 0.487, 0.014), (0.399, 0.687, 0.214)  # of the weights of R, G and B in a texture


@dataclass(frozen=True)
class Config(TranslationConfig):
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "small": {  # with the stand-in's maps, the two weigh about a fifth of least squares each
            "size": 64, "batch": 2, "width": 16, "d_width": 16, "iterations": 4000, "init_iterations": 400,
            "lr": 5e-4, "content_weight": 0.05, "structure_weight": 0.05,
        },
    }  # fmt: skip
    wants: ClassVar[tuple[str, ...]] = ("features",)
    margin: ClassVar[float] = 1.0  # pictures are not cut
    multiple: ClassVar[int] = 8

    batch: int = 16
    iterations: int = 150_000
    init_iterations: int = 50_000  # the first of iterations, of giving back the photo
    lr: float = 2e-4
    width: int = 32
    blocks: int = 4
    d_width: int = 32
    tv_weight: float = 1e4 / (3 * 256 * 256)
    surface_weight: float = 0.1
    texture_weight: float = 1.0
    structure_weight: float = 200 / (32 * 32 * 512)
    content_weight: float = 200 / (32 * 32 * 512)
    superpixels: int = 200
    surface_radius: int = 5
    surface_eps: float = 0.2
    eps: float = 0.01  # of the filter of the output in training
    run_eps: float = 0.005  # and in translation

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "iterations", "superpixels")

    @property
    def steps(self) -> int:
        return self.iterations


class WhiteBox(nn.Module):
    def __init__(self, config: Config, maps: Maps | None = None):
        super().__init__()
        self.config = config
        self._fixed = (maps,)
        self.g = WhiteBoxGenerator(config.width, config.blocks)
        channels = {"surface": 3, "texture": 1}
        self.d = nn.ModuleDict({key: WhiteBoxPatch(n, config.d_width) for key, n in channels.items()})

    def optimizers(self) -> dict[str, Optimizer]:
        networks = {"init": self.g, "g": self.g, "d": self.d}
        return {key: Adam(net.parameters(), self.config.lr, (0.5, 0.99)) for key, net in networks.items()}

    def take_parts(self, parts: int) -> bool:
        """No: it is trained with the whole batch only."""
        return parts == 1

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """The generator, then its judges, on batch["photo"] and batch["cartoon"]; at first g alone."""
        config, n, at = self.config, len(batch["photo"]), ranks.part(len(batch["photo"]))
        photo, cartoon = batch["photo"][at], batch["cartoon"][at]
        share = len(photo) / n
        if i < config.init_iterations:
            return move(opt["init"], {"photo": l1_loss(self.g(photo), photo)}, share, "g")

        weights = torch.rand(3).to(photo)  # one draw for the pictures of a step, as in their code

        fake = guided_filter(photo, self.g(photo), 1, config.eps)
        made, kept = self.maps(fake), self.maps(photo).detach()
        flat = self.maps(superpixels(fake, config.superpixels)).detach()
        losses = {
            "tv": config.tv_weight * total_variation(fake, 2),
            "structure": config.structure_weight * l1_loss(made, flat),
            "content": config.content_weight * l1_loss(made, kept),
        }
        with still(self.d):
            losses["surface"] = config.surface_weight * lsgan_g(self.d["surface"](self.surface(fake)))
            losses["texture"] = config.texture_weight * lsgan_g(self.d["texture"](texture(fake, weights)))
            figures = move(opt["g"], losses, share, "g")

        fake = fake.detach()
        views = {"surface": (self.surface(cartoon), self.surface(fake)),
                 "texture": (texture(cartoon, weights), texture(fake, weights))}  # fmt: skip
        told = {key: 0.5 * lsgan_d(*map(self.d[key], pair)) for key, pair in views.items()}
        return figures | move(opt["d"], told, share, "d")

    def surface(self, x: Tensor) -> Tensor:
        return guided_filter(x, x, self.config.surface_radius, self.config.surface_eps)

    def maps(self, x: Tensor) -> Tensor:
        (maps,) = self._fixed
        assert maps is not None
        return maps(x, ["conv4_4"])[0]

    def translate(self, photo: Tensor) -> Tensor:
        """The filter follows the photo itself, so that its edges stay where they are."""
        return guided_filter(photo, padded(self.g, photo, 4, 16), 1, self.config.run_eps)

    def translators(self) -> dict[str, nn.Module]:
        return {"g": self.g}


def texture(x: Tensor, draw: Tensor) -> Tensor:
    """Pictures [N, 3, H, W] as gray [N, 1, H, W]: R, G and B weigh from LOW (draw 0) to HIGH (1), sum 1."""
    low, high = x.new_tensor(LOW), x.new_tensor(HIGH)
    weight = low + draw * (high - low)
    return (x * (weight / weight.sum())[:, None, None]).sum(1, keepdim=True)
