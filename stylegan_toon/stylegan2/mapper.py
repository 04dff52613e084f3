"""The mapper: from a face's codes to the step that makes it what a text says.

Three networks, one for each group of layers, each PixelNorm and equalised layers with a slow learning rate.
A file of kind "mapper" holds them; its meta is that of an edit file (stylegan2/edits.py).
Source: Patashnik et al. 2021, arXiv 2103.17249, section 5; CPTR eq. 3.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.config import from_json
from stylegan_toon.errors import ModelError
from stylegan_toon.nn.equalized import EqualLinear
from stylegan_toon.stylegan2.latents import GROUPS

KIND = "mapper"
NORMS = ("features", "layers")
MAX_WIDTH, MAX_DEPTH = 4096, 16  # beyond them a file is no mapper


@dataclass(frozen=True)
class Config:
    """layers: L of w_plus; groups: those with a network, the others are left alone.

    norm: what codes are divided by, the root mean square over their features, or over the layers of their
    group, as StyleCLIP's published mappers were trained. colours: whether toRGB layers take the step, too, as
    theirs do; else convolutions alone.
    """

    layers: int
    w_dim: int
    groups: tuple[str, ...] = tuple(GROUPS)
    depth: int = 4
    lr_mul: float = 0.01
    step: float = 0.1
    norm: str = "features"
    colours: bool = True

    def __post_init__(self) -> None:
        if self.norm not in NORMS or not self.groups or not {*self.groups} <= {*GROUPS}:
            raise ModelError(f"no mapper has the groups {self.groups} with the norm {self.norm[:20]!r}")
        if not (0 < self.layers <= 64 and 0 < self.w_dim <= MAX_WIDTH and 0 < self.depth <= MAX_DEPTH):
            raise ModelError(f"no mapper has {self.layers} layers of {self.w_dim}, {self.depth} deep")


class Mapper(nn.Module):
    """w_plus [N, L, D] -> the step [N, L, D] of strength 1, zero for layers of no group."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.networks = nn.ModuleDict({group: _network(config) for group in config.groups})

    def forward(self, w_plus: Tensor) -> Tensor:
        """Raises: ValueError if w_plus is not [N, L, D]."""
        config = self.config
        if w_plus.shape[1:] != (config.layers, config.w_dim):
            raise ValueError(
                f"expected w_plus [N, {config.layers}, {config.w_dim}], got {list(w_plus.shape)}"
            )
        out = torch.zeros_like(w_plus)
        axis = 2 if config.norm == "features" else 1
        for group, network in self.networks.items():
            part = w_plus[:, GROUPS[group]]
            if part.shape[1]:
                part = part * (part.square().mean(axis, keepdim=True) + 1e-8).rsqrt()
                out[:, GROUPS[group]] = config.step * network(part.flatten(0, 1)).reshape(part.shape)
        return out


def _network(config: Config) -> nn.Sequential:
    width, slow = config.w_dim, config.lr_mul
    return nn.Sequential(
        *(EqualLinear(width, width, lr_mul=slow, activate=True) for _ in range(config.depth))
    )


def start_small(mapper: Mapper) -> None:
    """Let every step begin at 0: a few hundred training steps are too few to unlearn a random one."""
    for network in mapper.networks.values():
        assert isinstance(network, nn.Sequential)
        last = network[-1]
        assert isinstance(last, EqualLinear)
        nn.init.zeros_(last.weight)


def build_mapper(checkpoint: Checkpoint) -> Mapper:
    """The mapper of a checkpoint, float32, frozen. Raises: ModelError if its tensors are not a mapper's."""
    with torch.device("meta"):  # a file cannot make us allocate more than it holds
        mapper = Mapper(from_json(Config, checkpoint.config))
    wanted, found = mapper.state_dict(), checkpoint.tensors
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found or name not in wanted or found[name].shape != wanted[name].shape:
            raise ModelError(f"{name[:50]!r} is missing, too many or of another shape than the mapper's")
    mapper.load_state_dict({name: tensor.float() for name, tensor in found.items()}, assign=True)
    return mapper.eval().requires_grad_(False)
