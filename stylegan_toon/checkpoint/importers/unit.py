"""UNIT's `gen_<step>.pt`, {"a", "b"}, read by renaming.

Running means and variances of files from torch 0.3 belong to norms that never used them, and are dropped.
Source: mingyuliutw/UNIT, networks.py (the second version).
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers.taker import Taker
from stylegan_toon.errors import ModelError

UNUSED = ("running_mean", "running_var", "num_batches_tracked")


def from_unit(state: Mapping[str, Any]) -> Checkpoint:
    """Turn both generators of a file into ours, under a and b; width, halvings and blocks are read.

    Raises: ModelError naming the key that is missing, left over or of a wrong shape.
    """
    if more := [str(key)[:40] for key in state if key not in ("a", "b")]:
        raise ModelError(f"holds {', '.join(more[:3])} besides generators a and b; name UNIT's gen_*.pt")
    out: dict[str, Tensor] = {}
    configs = []
    for key in ("a", "b"):
        config, tensors = _generator(state.get(key), key)
        configs.append(config)
        out |= {f"g.{key}.{name}": tensor for name, tensor in tensors.items()}
    if configs[0] != configs[1]:
        raise ModelError("has generators a and b of different sizes, which share no latent space")
    return Checkpoint("translator", configs[0], {"imported_from": "UNIT", "method": "unit"}, out)


def _generator(state: Any, key: str) -> tuple[dict[str, int], dict[str, Tensor]]:
    source = Taker(state, key, "UNIT's layout", "UNIT generator")
    source.state = {k: v for k, v in source.state.items() if str(k).rsplit(".", 1)[-1] not in UNUSED}
    width = source.shape("enc.model.0.conv.weight", 4)[0]
    downs = source.last(r"enc\.model\.(\d{1,2})\.") - 1
    blocks = source.last(rf"enc\.model\.{downs + 1}\.model\.(\d{{1,2}})\.") + 1
    out = {}

    def conv(ours: str, theirs: str, n_in: int, n_out: int, kernel: int) -> None:
        out[f"{ours}.weight"] = source.take(f"{theirs}.conv.weight", (n_out, n_in, kernel, kernel))
        out[f"{ours}.bias"] = source.take(f"{theirs}.conv.bias", (n_out,))

    conv("encoder.stem", "enc.model.0", 3, width, 7)
    for k in range(downs):
        conv(f"encoder.downs.{k}", f"enc.model.{k + 1}", width * 2**k, width * 2 ** (k + 1), 4)
    for ours, theirs in (("encoder", f"enc.model.{downs + 1}"), ("decoder", "dec.model.0")):
        for k in range(blocks):
            for i in range(2):
                n = width * 2**downs
                conv(f"{ours}.blocks.{k}.conv{i}", f"{theirs}.model.{k}.model.{i}", n, n, 3)
    for k in range(downs):
        n = width * 2 ** (downs - k - 1)
        conv(f"decoder.ups.{k}", f"dec.model.{2 * k + 2}", 2 * n, n, 5)
        for part in ("gamma", "beta"):
            out[f"decoder.norms.{k}.{part}"] = source.take(f"dec.model.{2 * k + 2}.norm.{part}", (n,))
    conv("decoder.head", f"dec.model.{2 * downs + 1}", width, 3, 7)
    source.finish()
    return {"width": width, "downs": downs, "blocks": blocks}, out
