"""CycleGAN's generators, read by renaming: latest_net_G_A.pth and its like.

Width, number of blocks, norm and dropout are read from keys and shapes. Files from before torch 0.4 also hold
running statistics of instance norms, which nothing reads.
Source: junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers.taker import Taker

LAYOUT = "CycleGAN's layout"
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def without_statistics(state: Mapping[str, Any]) -> dict[str, Any]:
    """state less the statistics of instance norms: those of layers that have no weight."""
    return {
        key: value
        for key, value in state.items()
        if key.rpartition(".")[2] not in STATISTICS or f"{key.rpartition('.')[0]}.weight" in state
    }


def take_norm(source: Taker, name: str, width: int) -> dict[str, Tensor]:
    """The tensors of a batch norm, under its own names; without its count, which only training reads."""
    source.state.pop(f"{name}.num_batches_tracked", None)
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": source.take(f"{name}.{part}", (width,)) for part in parts}


def from_cyclegan(state: Mapping[str, Any]) -> Checkpoint:
    """The state dict of a generator, as g_ab of our CycleGAN.

    Raises: ModelError naming the key that is missing, left over or of a wrong shape.
    """
    source = Taker(without_statistics(state), "", LAYOUT, "generator")
    width = source.shape("model.1.weight", 4)[0]
    blocks = max(source.last(r"model\.(\d{1,3})\.conv_block\."), 9) - 9
    batch, dropout = "model.2.weight" in state, "model.10.conv_block.6.weight" in state
    second, up = 6 if dropout else 5, 10 + blocks
    convs = {"model.1": (width, 3, 7, 7), "model.4": (2 * width, width, 3, 3)}
    convs["model.7"] = (4 * width, 2 * width, 3, 3)
    for i in range(10, up):
        convs |= {f"model.{i}.conv_block.{k}": (4 * width, 4 * width, 3, 3) for k in (1, second)}
    convs[f"model.{up}"] = (4 * width, 2 * width, 3, 3)  # transposed: from, to
    convs[f"model.{up + 3}"] = (2 * width, width, 3, 3)
    out: dict[str, Tensor] = {}
    for name, shape in convs.items():
        out[f"{name}.weight"] = source.take(f"{name}.weight", shape)
        n = shape[1] if name in (f"model.{up}", f"model.{up + 3}") else shape[0]
        if batch:
            stem, _, place = name.rpartition(".")
            out |= take_norm(source, f"{stem}.{int(place) + 1}", n)
        else:
            out[f"{name}.bias"] = source.take(f"{name}.bias", (n,))
    last = f"model.{up + 7}"
    out[f"{last}.weight"] = source.take(f"{last}.weight", (3, width, 7, 7))
    out[f"{last}.bias"] = source.take(f"{last}.bias", (3,))
    source.finish()
    config = {"width": width, "blocks": blocks, "norm": "batch" if batch else "instance", "dropout": dropout}
    meta = {"imported_from": "CycleGAN", "method": "cyclegan"}
    return Checkpoint("translator", config, meta, {f"g_ab.{name}": tensor for name, tensor in out.items()})
