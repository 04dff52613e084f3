"""pix2pix's U-Nets, read by renaming: latest_net_G.pth and its like, whose levels lie in each other.

Width, depth and norm are read from keys and shapes; dropout has no key, and does nothing outside of training.
Source: junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers.cyclegan import take_norm, without_statistics
from stylegan_toon.checkpoint.importers.taker import Taker
from stylegan_toon.errors import ModelError

MAX_DEPTH = 8


def from_pix2pix(state: Mapping[str, Any]) -> Checkpoint:
    """The state dict of a generator, as g of our Pix2Pix.

    Raises: ModelError naming the key that is missing, left over or of a wrong shape.
    """
    source = Taker(without_statistics(state), "", "pix2pix's layout", "U-Net")
    levels = ["model.model"]  # from the outside in: the first holds its convolution at 0, the others at 1
    while (
        f"{levels[-1]}.{1 if len(levels) == 1 else 3}.model.1.weight" in source.state
        and len(levels) < MAX_DEPTH
    ):
        levels.append(f"{levels[-1]}.{1 if len(levels) == 1 else 3}.model")
    depth = len(levels)
    if depth < 5:
        raise ModelError(f"is no U-Net in pix2pix's layout: {depth - 1} levels inside of model.model")
    width = source.shape("model.model.0.weight", 4)[0]
    widths = [width * min(2**i, 8) for i in range(depth)]
    batch = f"{levels[1]}.2.weight" in source.state
    out: dict[str, Tensor] = {}

    def take(theirs: str, ours: str, shape: tuple[int, ...], bias: int) -> None:
        out[f"{ours}.weight"] = source.take(f"{theirs}.weight", shape)
        if bias:
            out[f"{ours}.bias"] = source.take(f"{theirs}.bias", (bias,))

    def take_batch_norm(theirs: str, ours: str, n: int) -> None:
        for name, tensor in take_norm(source, theirs, n).items() if batch else ():
            out[f"{ours}.{name.rpartition('.')[2]}"] = tensor

    for i, (level, n) in enumerate(zip(levels, widths, strict=True)):
        inmost, bias = i == depth - 1, not batch
        take(f"{level}.{1 if i else 0}", f"downs.{i}", (n, widths[i - 1] if i else 3, 4, 4), n * bias)
        if 0 < i < depth - 1:
            take_batch_norm(f"{level}.2", f"down_norms.{i}", n)
        if i:
            place, up = (3 if inmost else 5), depth - 1 - i
            shape = (n * (1 if inmost else 2), widths[i - 1], 4, 4)
            take(f"{level}.{place}", f"ups.{up}", shape, widths[i - 1] * bias)
            take_batch_norm(f"{level}.{place + 1}", f"up_norms.{up}", widths[i - 1])
    take("model.model.3", "last", (2 * width, 3, 4, 4), 3)
    source.finish()
    config = {"size": 2**depth, "width": width, "depth": depth, "norm": "batch" if batch else "instance"}
    meta = {"imported_from": "pix2pix", "method": "pix2pix"}
    return Checkpoint("translator", config, meta, {f"g.{name}": tensor for name, tensor in out.items()})
