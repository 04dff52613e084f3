"""LPIPS with AlexNet, without its package's program: that needs torchvision, and would download the backbone.

The small heads are read from the package `lpips`; the backbone from the file that `models get lpips-alex`
keeps, or from torch hub's cache. Neither ships. Source: Zhang et al. 2018, arXiv 1801.03924, version 0.1.
"""

import importlib.util
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan_toon.errors import ModelError, shown
from stylegan_toon.losses.perceptual import unit_maps
from stylegan_toon.paths import pretrained_file

BACKBONE = "alexnet-owt-7be5be79.pth"  # torchvision's name
# Of every convolution its place among AlexNet's features, then in, out, kernel, stride, padding.
LAYERS = (
    (0, 3, 64, 11, 4, 2), (3, 64, 192, 5, 1, 2), (6, 192, 384, 3, 1, 1), (8, 384, 256, 3, 1, 1),
    (10, 256, 256, 3, 1, 1),
)  # fmt: skip
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation in [-1, 1]


class Lpips(nn.Module):
    """Pictures -> maps whose map_distance is LPIPS."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(a, b, k, s, p) for _, a, b, k, s, p in LAYERS)
        self.heads = nn.ParameterList(torch.zeros(1, layer[2], 1, 1) for layer in LAYERS)

    def forward(self, x: Tensor) -> list[Tensor]:
        """x [N, 3, H, W], RGB in [-1, 1], edges from 63 px up -> five maps, units times sqrt(head)."""
        x, out = x.to(self.heads[0].dtype), []
        y = (x - x.new_tensor(SHIFT)[:, None, None]) / x.new_tensor(SCALE)[:, None, None]
        for i, (conv, head) in enumerate(zip(self.convs, self.heads, strict=True)):
            y = F.relu(conv(F.max_pool2d(y, 3, 2) if i in (1, 2) else y))
            out.append(unit_maps(y) * head.sqrt())
        return out


def lpips_files() -> tuple[Path, Path] | None:
    """Where backbone and heads are, or None where one is missing."""
    spec = importlib.util.find_spec("lpips")  # imports nothing
    folder = spec.origin if spec else None
    heads = Path(folder or "lpips").with_name("weights") / "v0.1" / "alex.pth"
    backbone = pretrained_file(BACKBONE) or Path(torch.hub.get_dir()) / "checkpoints" / BACKBONE
    return (backbone, heads) if heads.is_file() and backbone.is_file() else None


def load_lpips(backbone: str | Path, heads: str | Path, device: str | torch.device = "cpu") -> Lpips:
    """The network in float32, frozen. Raises: ModelError for a file that is broken or another."""
    net = Lpips()
    convs, lins = _read(backbone), _read(heads)
    for i, layer in enumerate(LAYERS):
        conv, place = net.get_submodule(f"convs.{i}"), f"features.{layer[0]}"
        for path, state, key, tensor in (
            (backbone, convs, f"{place}.weight", conv.get_parameter("weight")),
            (backbone, convs, f"{place}.bias", conv.get_parameter("bias")),
            (heads, lins, f"lin{i}.model.1.weight", net.heads[i]),
        ):
            found = state.get(key)
            if not isinstance(found, Tensor) or found.shape != tensor.shape or not found.is_floating_point():
                raise ModelError(f"{shown(path)} is no file of LPIPS ({key} is not as wanted); get it again")
            tensor.data.copy_(found)
    return net.eval().requires_grad_(False).to(device)


def _read(path: str | Path) -> dict[str, object]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"{shown(path)} cannot be read ({type(error).__name__}); get it again") from None
    return state if isinstance(state, dict) else {}
