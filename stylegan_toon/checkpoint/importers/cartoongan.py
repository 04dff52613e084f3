"""CartoonGAN's `<style>_net_G_float.pth`, read by renaming; the network takes and gives BGR.

Source: Yijunmaverick/CartoonGAN-Test-Pytorch-Torch, network/Transformer.py.
"""

from collections.abc import Mapping
from typing import Any

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers.taker import Taker


def from_cartoongan(state: Mapping[str, Any]) -> Checkpoint:
    """Turn the state dict of a generator into ours; its width and number of blocks are read.

    Raises: ModelError naming the key that is missing, left over or of a wrong shape.
    """
    source = Taker(state, "", "CartoonGAN's layout", "CartoonGAN generator")
    width = source.shape("conv01_1.weight", 4)[0]
    blocks = source.last(r"conv(\d\d)_2\.") - 3
    out = {}

    def conv(ours: str, theirs: str, n_in: int, n_out: int, kernel: int, flipped: bool = False) -> None:
        shape = (n_in, n_out) if flipped else (n_out, n_in)
        out[f"{ours}.weight"] = source.take(f"{theirs}.weight", (*shape, kernel, kernel))
        out[f"{ours}.bias"] = source.take(f"{theirs}.bias", (n_out,))

    def norm(ours: str, theirs: str, n: int) -> None:
        out[f"{ours}.weight"] = source.take(f"{theirs}.scale", (n,))
        out[f"{ours}.bias"] = source.take(f"{theirs}.shift", (n,))

    conv("stem", "conv01_1", 3, width, 7)
    norm("norm", "in01_1", width)
    for k, n in enumerate((2 * width, 4 * width)):
        conv(f"downs.{k}.first", f"conv0{k + 2}_1", n // 2, n, 3)
        conv(f"downs.{k}.second", f"conv0{k + 2}_2", n, n, 3)
        norm(f"downs.{k}.norm", f"in0{k + 2}_1", n)
    for k in range(blocks):
        for i in range(2):
            conv(f"blocks.{k}.conv{i}", f"conv{k + 4:02}_{i + 1}", 4 * width, 4 * width, 3)
            norm(f"blocks.{k}.norm{i}", f"in{k + 4:02}_{i + 1}", 4 * width)
    for k, n in enumerate((2 * width, width)):
        conv(f"ups.{k}.first", f"deconv0{k + 1}_1", 2 * n, n, 3, flipped=True)
        conv(f"ups.{k}.second", f"deconv0{k + 1}_2", n, n, 3)
        norm(f"ups.{k}.norm", f"in{blocks + 4 + k}_1", n)
    conv("head", "deconv03_1", width, 3, 7)
    source.finish()
    meta = {"imported_from": "CartoonGAN", "method": "cartoongan"}
    return Checkpoint(
        "translator",
        {"width": width, "blocks": blocks, "bgr": True},
        meta,
        {f"g.{name}": tensor for name, tensor in out.items()},
    )
