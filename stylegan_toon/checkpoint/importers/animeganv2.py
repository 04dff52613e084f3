"""AnimeGANv2's generator in the PyTorch port's `.pt`, read by renaming; the network takes and gives RGB.

Source: bryandlee/animegan2-pytorch, model.py.
"""

from collections.abc import Mapping
from typing import Any

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers.taker import Taker


def from_animeganv2(state: Mapping[str, Any]) -> Checkpoint:
    """Turn the state dict of a generator into ours; its width and number of blocks are read.

    Raises: ModelError naming the key that is missing, left over or of a wrong shape.
    """
    source = Taker(state, "", "the port's layout", "AnimeGANv2 generator")
    w = source.shape("block_a.0.1.weight", 4)[0]
    blocks = source.last(r"block_c\.(\d{1,2})\.layers\.")
    out = {}

    def norm(ours: str, theirs: str, n: int) -> None:
        for part in ("weight", "bias"):
            out[f"{ours}.{part}"] = source.take(f"{theirs}.{part}", (n,))

    def unit(ours: str, theirs: str, n_in: int, n: int, kernel: int = 3) -> None:
        out[f"{ours}.1.weight"] = source.take(f"{theirs}.1.weight", (n, n_in, kernel, kernel))
        norm(f"{ours}.2", f"{theirs}.2", n)

    widths = {
        "a": [(3, w, 7), (w, 2 * w, 3), (2 * w, 2 * w, 3)],
        "b": [(2 * w, 4 * w, 3), (4 * w, 4 * w, 3)],
        "d": [(4 * w, 4 * w, 3), (4 * w, 4 * w, 3)],
        "e": [(4 * w, 2 * w, 3), (2 * w, 2 * w, 3), (2 * w, w, 7)],
    }
    for letter, units in widths.items():
        for k, (n_in, n, kernel) in enumerate(units):
            unit(f"{letter}.{k}", f"block_{letter}.{k}", n_in, n, kernel)
    unit("c.0", "block_c.0", 4 * w, 4 * w)
    for k in range(1, blocks + 1):
        ours, theirs = f"c.{k}", f"block_c.{k}.layers"
        n_in = 4 * w if k == 1 else 8 * w
        unit(f"{ours}.expand", f"{theirs}.0", n_in, 2 * n_in, 1)
        unit(f"{ours}.depth", f"{theirs}.1", 1, 2 * n_in)
        out[f"{ours}.depth.1.bias"] = source.take(f"{theirs}.1.1.bias", (2 * n_in,))
        out[f"{ours}.project.weight"] = source.take(f"{theirs}.2.weight", (8 * w, 2 * n_in, 1, 1))
        norm(f"{ours}.norm", f"{theirs}.3", 8 * w)
    unit(f"c.{blocks + 1}", f"block_c.{blocks + 1}", 8 * w, 4 * w)
    out["out.weight"] = source.take("out_layer.0.weight", (3, w, 1, 1))
    source.finish()
    meta = {"imported_from": "AnimeGANv2", "method": "animeganv2"}
    return Checkpoint(
        "translator",
        {"width": w, "blocks": blocks},
        meta,
        {f"g.{name}": tensor for name, tensor in out.items()},
    )
