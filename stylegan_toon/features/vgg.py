"""VGG's feature maps for losses of content and style, from a user's file; else MobileFace stands in.

Source: Simonyan and Zisserman 2015, arXiv 1409.1556; Gatys et al. 2016, CVPR (its use in losses).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.errors import ModelError, shown
from stylegan_toon.features.files import build_features
from stylegan_toon.features.mobileface import load_mobileface

# Pictures [N, 3, H, W] in [-1, 1] and names of layers -> their maps.
Maps = Callable[[Tensor, Sequence[str]], list[Tensor]]
# For RGB in [0, 1]: torchvision's, and Caffe's (of BGR in 0..255) written for it.
TORCHVISION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE = (123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255)


@dataclass(frozen=True)
class Config:
    """convs: in each block; widths: channels of each; caffe: whether it wants BGR in 0..255 less a mean."""

    convs: tuple[int, ...] = (2, 2, 4, 4, 4)
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    caffe: bool = False


class Vgg(nn.Module):
    """Pictures -> maps of named layers: conv4_4 before its ReLU, relu4_4 after it."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.convs = nn.ModuleDict()
        n_in = 3
        for block, (count, width) in enumerate(zip(config.convs, config.widths, strict=True), 1):
            for k in range(1, count + 1):
                self.convs[f"conv{block}_{k}"] = nn.Conv2d(n_in, width, 3, padding=1)
                n_in = width

    def forward(self, x: Tensor, names: Sequence[str]) -> list[Tensor]:
        """Maps [N, C, h, w] in the order of names; what lies above the last of them is not computed.

        x: [N, 3, H, W], RGB in [-1, 1], edges of 16 and more for block 5; not clamped. Max pooling between
        blocks. Raises: ValueError for a name that is no layer.
        """
        wanted = {name.replace("relu", "conv") for name in names}
        if unknown := wanted - set(self.convs):
            raise ValueError(f"no layer {min(unknown)!r}; there are {', '.join(self.convs)}, and relu...")
        mean, spread = CAFFE if self.config.caffe else TORCHVISION
        y = (x / 2 + 0.5 - x.new_tensor(mean)[:, None, None]) / x.new_tensor(spread)[:, None, None]
        y = y.flip(1) if self.config.caffe else y
        found: dict[str, Tensor] = {}
        for name, conv in self.convs.items():
            if name.endswith("_1") and name != "conv1_1":
                y = F.max_pool2d(y, 2)
            found[name] = y = conv(y)
            wanted.discard(name)
            found[name.replace("conv", "relu")] = y = F.relu(y)
            if not wanted:
                break
        return [found[name] for name in names]


def load_maps(
    path: str | Path | None,
    device: str | torch.device = "cpu",
    report: Callable[[str], None] = lambda text: None,
) -> tuple[Maps, str]:
    """The feature maps that losses compare, and one line that says whose they are.

    Args:
        path: a VGG16 or VGG19 in torchvision's or Gatys' naming, or what `convert` made of one; None takes
            MobileFace, which ships, where a block of VGG is the stage at the same scale (blocks 1 and 2 its
            stem, at half of the size): its maps have other sizes, so weights made for VGG fit them roughly.
        report: is told what stands in.
    Raises: ModelError for a file that is missing, broken or of another network.
    """
    if path is None:
        said = "MobileFace (it ships) stands in for VGG19; --vgg FILE takes VGG19"
        report(f"feature losses: {said}")
        face = load_mobileface(device=device)

        def maps(x: Tensor, names: Sequence[str]) -> list[Tensor]:
            stages = face.run(x)
            return [stages[max(0, _block(name) - 2)] for name in names]

        return maps, said
    found = read_any(path)
    if "features" not in found:
        kinds = " and ".join(kind[:30] for kind in found)
        raise ModelError(f"{shown(path)} holds a {kinds}, not a VGG; name vgg19-*.pth or vgg_conv.pth")
    net = build_features(Vgg, Config, "vgg", found["features"], path, device)
    kind = {13: "VGG16", 16: "VGG19"}[sum(net.config.convs)]
    return net, f"{kind} of {Path(path).name}"


def _block(name: str) -> int:
    """The block of a layer's name. Raises: ValueError for another text."""
    match = re.fullmatch(r"(?:conv|relu)([1-5])_[1-4]", name)
    if match is None:
        raise ValueError(f"{name!r} is no layer of VGG")
    return int(match[1])
