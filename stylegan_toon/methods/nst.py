"""Neural style transfer: a photo is optimised until its features have the Gram matrices of one style picture.

Paper: Gatys et al. 2016, CVPR; layers, weights and optimiser as in leongatys/PytorchNeuralStyleTransfer:
relu1_1, 2_1, 3_1, 4_1, 5_1 with weights 1000 / C^2 for style, relu4_2 with weight 1 for content, L-BFGS from
the photo.
Domains: one photo and one cartoon, any size (256 px and more in the paper). Nothing is trained, so every
picture takes `calls` passes there and back through the network.
Deviations: one size, where the code adds a second pass at 800 px; the style picture is brought to the photo's
size. Gatys' weights of VGG19 are scaled to mean activations of 1; those of torchvision are not, nor is the
stand-in's, so that style counts more or less there: see style_weight.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import mse_loss
from torch.optim import LBFGS

from stylegan_toon.features.vgg import Maps
from stylegan_toon.losses.style import gram

STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT = "relu4_2"


@dataclass(frozen=True)
class Config:
    """calls: of the loss and its gradient, for each picture; the last step of L-BFGS may ask for more."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}, "small": {"calls": 40}}
    paired: ClassVar[bool] = False
    wants: ClassVar[tuple[str, ...]] = ("features",)

    calls: int = 500
    style_weight: float = 1000.0  # divided by the square of each layer's channels
    content_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.calls < 1 or not (self.style_weight >= 0 and self.content_weight >= 0):
            raise ValueError(
                f"calls={self.calls} style_weight={self.style_weight} content_weight={self.content_weight}: "
                "wanted calls from 1 up and weights from 0 up"
            )


class NST(nn.Module):
    def __init__(self, config: Config, features: Maps, style: Tensor):
        """style: [1, 3, H, W] in [-1, 1], the picture whose manner is taken."""
        super().__init__()
        self.config, self.features = config, features
        self.register_buffer("style", style)

    def translate(self, photo: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] to the same, one after the other."""
        return torch.cat([self._one(one[None]) for one in photo])

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _one(self, photo: Tensor) -> Tensor:
        photo = photo.detach().clone(memory_format=torch.contiguous_format)  # L-BFGS flattens by view
        style = self.get_buffer("style").clone().to(photo)
        style = F.interpolate(style, photo.shape[2:], mode="bilinear", antialias=True)
        with torch.no_grad():
            grams = [gram(maps) for maps in self.features(style, STYLE)]
            content = self.features(photo, [CONTENT])[0]
        made = photo.clone().requires_grad_(True)
        opt = LBFGS([made], max_iter=self.config.calls, max_eval=self.config.calls, tolerance_change=0.0)

        def closure() -> Tensor:
            opt.zero_grad()
            loss = self.loss(made, grams, content)
            loss.backward()
            return loss

        opt.step(closure)
        return made.detach().clamp(-1, 1)

    def loss(self, made: Tensor, grams: list[Tensor], content: Tensor) -> Tensor:
        """What is brought down: the distance of Gram matrices, and that of the content's maps."""
        *styles, kept = self.features(made, [*STYLE, CONTENT])
        config, total = self.config, self.config.content_weight * mse_loss(kept, content)
        for maps, wanted in zip(styles, grams, strict=True):
            total = total + config.style_weight / maps.shape[1] ** 2 * mse_loss(gram(maps), wanted)
        return total
