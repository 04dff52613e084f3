"""ArcFace with an IR-SE50 body: an identity embedding with gradients, that of StyleCLIP's identity loss.

Source: Deng et al. 2019, arXiv 1801.07698; Patashnik et al. 2021, arXiv 2103.17249 (what it is shown). The
weights are of TreB1eN/InsightFace_Pytorch, without a stated licence; they do not ship. Training pictures were
photos: of drawn faces it judges colour and texture more than shape.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.errors import ModelError, shown
from stylegan_toon.features.files import build_features
from stylegan_toon.nn.irse import REDUCTION, UNITS, WIDTHS, IrSe, check
from stylegan_toon.paths import pretrained_file

NAME = "arcface-ir-se50"  # in the catalogue of pipelines/catalogue.py
FILE = f"{NAME}.pth"
# Of an FFHQ-style aligned picture of 256 px; for other sizes see crop.
SIZE, ROWS, COLUMNS = 256, slice(35, 223), slice(32, 220)


@dataclass(frozen=True)
class Config:
    """widths, units, reduction: of the body, as nn.irse.IrSe; size: edge of what it sees."""

    widths: tuple[int, ...] = WIDTHS
    units: tuple[int, ...] = UNITS
    reduction: int = REDUCTION
    embedding: int = 512
    size: int = 112

    def __post_init__(self) -> None:
        check(self.widths, self.units, self.reduction)


class IrSeFace(nn.Module):
    """Aligned pictures -> identity embeddings."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.body = IrSe(config.widths, config.units, config.reduction)
        edge = -(-config.size // 2 ** len(config.widths))
        self.head = nn.Linear(config.widths[-1] * edge**2, config.embedding)

    def forward(self, x: Tensor) -> Tensor:
        """Embed FFHQ-style aligned pictures.

        Args:
            x: [N, 3, H, H], RGB in [-1, 1], any size. Values outside are not clamped.
        Returns: [N, 512] of length 1, in the network's dtype, differentiable in x.
        Raises: ValueError if x is not [N, 3, H, H].
        """
        return self.embed(self.crop(x))

    def crop(self, x: Tensor) -> Tensor:
        """[N, 3, H, H] -> [N, 3, 112, 112]: averaged to 256 px, cut to the face, averaged again.

        A smaller picture has its pixels repeated by the first step, so the cut is the same part of it.
        """
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] != x.shape[3]:
            raise ValueError(f"expected aligned pictures [N, 3, H, H], got {list(x.shape)}")
        x = x.to(self.head.weight.dtype)
        if x.shape[2] != SIZE:
            x = F.adaptive_avg_pool2d(x, SIZE)
        return F.adaptive_avg_pool2d(x[:, :, ROWS, COLUMNS], self.config.size)

    def embed(self, x: Tensor) -> Tensor:
        """As forward, for faces that are cut out already: [N, 3, 112, 112] in [-1, 1]."""
        return F.normalize(self.head(self.body(x)[-1].flatten(1)))


def load_irse(path: str | Path | None = None, device: str | torch.device = "cpu") -> IrSeFace:
    """The network in float32, frozen: gradients pass to the picture, none to the weights.

    Args:
        path: model_ir_se50.pth of StyleCLIP and its kin, facexlib's file, or what convert made of one; None
            takes the file that `models get arcface-ir-se50` fetched.
    Raises: ModelError (exit 4) when the file is missing, broken or of another network.
    """
    path = path or pretrained_file(FILE)
    if path is None:
        raise ModelError(f"{NAME} is not here; get it by stylegan-toon models get {NAME}")
    found = read_any(path)
    if "features" not in found:
        kinds = " and ".join(kind[:30] for kind in found)
        raise ModelError(f"{shown(path)} holds a {kinds}, not the network {NAME}; name another file")
    return build_features(IrSeFace, Config, NAME, found["features"], path, device)
