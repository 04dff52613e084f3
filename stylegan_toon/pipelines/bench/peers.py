"""Checked-out repositories of others with a StyleGAN2, run with our weights beside ours.

Nothing of theirs is here but the names by which they are called. Importing a peer runs its code.
Source: rosinality/stylegan2-pytorch (model.py, op/); NVlabs/stylegan3 (training/networks_stylegan2.py,
torch_utils/ops/).
"""

import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.torch_version import TorchVersion
from torch.utils import cpp_extension

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers.nvidia import to_nvidia
from stylegan_toon.checkpoint.importers.rosinality import to_rosinality
from stylegan_toon.errors import MissingPartError, UsageError, shown

# What stylegan3 imports for work that is not done here (comparing versions of torch, downloads).
UNUSED: Mapping[str, Mapping[str, Any]] = {
    "pkg_resources": {"parse_version": TorchVersion},
    "requests": {},
}


class Rosinality:
    """rosinality/stylegan2-pytorch, whose operators on a CPU are its own PyTorch code."""

    name, needed = "rosinality", ("model.py", "op/upfirdn2d.py", "op/fused_act.py")

    def __init__(self, path: Path, device: torch.device):
        self.device = device
        self._model, self._op = _modules(self, path, ("model", "op"), build=device.type == "cuda")

    def generator(self, checkpoint: Checkpoint) -> nn.Module:
        config = checkpoint.config
        net = self._model.Generator(config["resolution"], config["w_dim"], config["mapping_layers"])
        net.load_state_dict(to_rosinality({"generator": checkpoint})["g_ema"])
        return net.to(self.device)

    def discriminator(self, checkpoint: Checkpoint) -> nn.Module:
        net = self._model.Discriminator(checkpoint.config["resolution"])
        net.load_state_dict(to_rosinality({"discriminator": checkpoint})["d"])
        return net.to(self.device)

    def codes(self, g: Any, z: Tensor) -> Tensor:
        """z [N, Z] -> w_plus [N, L, D]."""
        return g.style(z)[:, None].expand(-1, g.n_latent, -1)

    def pictures(self, g: Any, w_plus: Tensor, noise: str) -> Tensor:
        """[N, 3, R, R]; noise is const or random."""
        return g([w_plus], input_is_latent=True, randomize_noise=noise == "random")[0]

    def scores(self, d: Any, pictures: Tensor) -> Tensor:
        return d(pictures).squeeze(1)

    def bias_act(self, x: Tensor, bias: Tensor) -> Tensor:
        return self._op.fused_leaky_relu(x, bias.to(x.dtype))

    def upfirdn2d(self, x: Tensor, f: Tensor, up: int = 1, down: int = 1, pad: Any = (0, 0)) -> Tensor:
        return self._op.upfirdn2d(x, f.to(x.dtype), up=up, down=down, pad=pad)


class StyleGAN3:
    """The StyleGAN2 of NVlabs/stylegan3, in float32 throughout."""

    name = "stylegan3"
    needed = ("training/networks_stylegan2.py", "torch_utils/ops/upfirdn2d.py", "torch_utils/ops/bias_act.py")

    def __init__(self, path: Path, device: torch.device):
        self.device = device
        names = ("training.networks_stylegan2", "torch_utils.ops.upfirdn2d", "torch_utils.ops.bias_act")
        self._networks, self._upfirdn2d, self._bias_act = _modules(self, path, names)

    def generator(self, checkpoint: Checkpoint) -> nn.Module:
        config = checkpoint.config
        sizes = {"z_dim": config["z_dim"], "w_dim": config["w_dim"], "img_resolution": config["resolution"]}
        mapping = {"num_layers": config["mapping_layers"]}
        net = self._networks.Generator(
            **sizes, c_dim=0, img_channels=3, mapping_kwargs=mapping, num_fp16_res=0, conv_clamp=None
        )
        return _load(net, to_nvidia(checkpoint)).to(self.device)

    def discriminator(self, checkpoint: Checkpoint) -> nn.Module:
        config = checkpoint.config
        sizes = {"img_resolution": config["resolution"], "num_fp16_res": 0, "conv_clamp": None}
        net = self._networks.Discriminator(
            c_dim=0, img_channels=3, **sizes, epilogue_kwargs={"mbstd_group_size": config["group"]}
        )
        return _load(net, to_nvidia(checkpoint)).to(self.device)

    def codes(self, g: Any, z: Tensor) -> Tensor:
        return g.mapping(z, None)

    def pictures(self, g: Any, w_plus: Tensor, noise: str) -> Tensor:
        return g.synthesis(w_plus, noise_mode=noise)

    def scores(self, d: Any, pictures: Tensor) -> Tensor:
        return d(pictures, None).squeeze(1)

    def bias_act(self, x: Tensor, bias: Tensor) -> Tensor:
        return self._bias_act.bias_act(x, bias.to(x.dtype), act="lrelu")

    def upfirdn2d(self, x: Tensor, f: Tensor, up: int = 1, down: int = 1, pad: Any = (0, 0)) -> Tensor:
        padding = [*pad, *pad]
        return self._upfirdn2d.upfirdn2d(x, f, up=up, down=down, padding=padding)


Peer = Rosinality | StyleGAN3
PEERS: Mapping[str, Callable[[Path, torch.device], Peer]] = {"rosinality": Rosinality, "stylegan3": StyleGAN3}


def open_peer(given: str, device: torch.device) -> Peer:
    """The peer of NAME=PATH.

    Raises: UsageError (exit 2) for another name, or a PATH that is no such checkout; MissingPartError (exit
        5) if its modules do not import.
    """
    name, _, path = given.partition("=")
    if name not in PEERS or not path:
        known = " or ".join(f"{known}=PATH" for known in PEERS)
        raise UsageError(f"--peer {shown(given)} is no peer; give {known}")
    return PEERS[name](Path(path), device)


def open_peers(given: Iterable[str], device: torch.device) -> list[Peer]:
    """As open_peer; each name once. Raises: UsageError, MissingPartError."""
    peers: dict[str, Peer] = {}
    for one in given:
        peer = open_peer(one, device)
        if peer.name in peers:
            raise UsageError(f"--peer {peer.name} was given twice; name one checkout of it")
        peers[peer.name] = peer
    return list(peers.values())


def _load(net: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """net with the weights of state; the FIR filters, which a state need not hold, stay its own."""
    missing, _ = net.load_state_dict(state, strict=False)
    left = [name for name in missing if not name.endswith("resample_filter")]
    assert not left, left
    return net


def _modules(peer: Peer, path: Path, names: Sequence[str], build: bool = True) -> list[Any]:
    """The modules of a checkout. Raises: UsageError if it lacks a file, MissingPartError if one fails."""
    if lacking := [name for name in peer.needed if not (path / name).is_file()]:
        raise UsageError(f"{shown(path)} is no checkout of {peer.name}: it has no {lacking[0]}; clone it")
    with _importable(path, {name.partition("/")[0].removesuffix(".py") for name in peer.needed}, build):
        try:
            return [import_module(name) for name in names]
        except Exception as error:  # it is the code of others: anything may come
            why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason'}"
            raise MissingPartError(
                f"{peer.name} in {shown(path, 50)} does not import ({why[:60]}); install what it needs"
            ) from None


@contextmanager
def _importable(path: Path, rooms: Collection[str], build: bool) -> Iterator[None]:
    """Import from path, whatever else has been imported under the names of its rooms (model, op, ...).

    build: let it compile its kernels, which a CPU has no use for.
    """
    for name in [name for name in sys.modules if name.partition(".")[0] in rooms]:
        del sys.modules[name]
    absent = [name for name in UNUSED if find_spec(name) is None]
    for name in absent:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(UNUSED[name])
    load = cpp_extension.load
    if not build:
        cpp_extension.load = lambda *args, **settings: None
    sys.path.insert(0, str(path.resolve()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.path.remove(str(path.resolve()))
        cpp_extension.load = load
        for name in absent:
            del sys.modules[name]
