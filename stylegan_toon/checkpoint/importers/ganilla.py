"""GANILLA's generators, read by renaming: latest_net_G_A.pth and its like.

Width is read from a shape. Statistics of instance norms, in files from before torch 0.4, are dropped.
Source: giddyyupp/ganilla, models/networks.py.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import Tensor

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers.cyclegan import without_statistics
from stylegan_toon.checkpoint.importers.taker import Taker

PYRAMID = ("P2_1", "P3_1", "P4_1", "P5_1")


def from_ganilla(state: Mapping[str, Any]) -> Checkpoint:
    """The state dict of a generator, as g_ab of our Ganilla.

    Raises: ModelError naming the key that is missing, left over or of a wrong shape.
    """
    source = Taker(without_statistics(state), "", "GANILLA's layout", "generator")
    width = source.shape("conv1.weight", 4)[0]
    widths = (width, 2 * width, 2 * width, 4 * width)
    out: dict[str, Tensor] = {}

    def take(theirs: str, ours: str, shape: tuple[int, ...], bias: bool = False) -> None:
        out[f"{ours}.weight"] = source.take(f"{theirs}.weight", shape)
        if bias:
            out[f"{ours}.bias"] = source.take(f"{theirs}.bias", shape[:1])

    take("conv1", "stem", (width, 3, 7, 7), True)
    for k, (before, n) in enumerate(pairwise((width, *widths))):
        for i in range(2):
            theirs, ours, n_in = f"layer{k + 1}.{i}", f"layers.{k}.{i}", n if i else before
            take(f"{theirs}.conv1", f"{ours}.conv1", (n, n_in, 3, 3))
            take(f"{theirs}.conv2", f"{ours}.conv2", (n, n, 3, 3))
            if i == 0 and k:  # it halves
                take(f"{theirs}.shortcut.0", f"{ours}.skip", (n, n_in, 1, 1))
            take(f"{theirs}.final_conv.1", f"{ours}.merge", (n, 2 * n, 3, 3))
    for k, (name, n) in enumerate(zip(PYRAMID, widths, strict=True)):
        take(f"fpn.{name}", f"laterals.{k}", (2 * width, n, 1, 1), True)
    take("fpn.P2_2", "smooth", (width, 2 * width, 3, 3), True)
    take("conv2", "to_rgb", (3, width, 7, 7), True)
    source.finish()
    meta = {"imported_from": "GANILLA", "method": "ganilla"}
    return Checkpoint("translator", {"width": width}, meta, {f"g_ab.{name}": t for name, t in out.items()})
