"""StyleCLIP's mappers, read by renaming: those with up to three networks for groups of layers.

The number of layers is that of the decoder in the same file. Their PixelNorm divides by the root mean square
over axis 1, which of codes [N, L, D] is the layers: a switch of our mapper does so, too.
Source: orpatashnik/StyleCLIP, mapper/latent_mappers.py and mapper/styleclip_mapper.py.
"""

import re
from collections.abc import Mapping
from typing import Any

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers.taker import Taker
from stylegan_toon.errors import ModelError

NETWORKS = {"course_mapping": "coarse", "medium_mapping": "medium", "fine_mapping": "fine"}  # course: theirs
STEP, LR_MUL = 0.1, 0.01  # in their code, in no shape


def is_mapper(state: Mapping[str, Any]) -> bool:
    """Whether a state dict is that of a mapper with groups; one network for all, or S-space, is not read."""
    return bool(state) and all(str(key).split(".")[0] in NETWORKS for key in state)


def from_mapper(state: Mapping[str, Any], opts: Mapping[str, Any], generator: Checkpoint) -> Checkpoint:
    """The mapper of a state dict for the codes of generator, its decoder.

    Networks that opts switched off are left out, trained or not.
    Raises: ModelError naming the key that is missing, left over or of a wrong shape; for another width.
    """
    source = Taker(state, "mapper", "StyleCLIP's layout", "mapper")
    width, layers = generator.config["w_dim"], 2 * len(generator.config["channels"])
    off = [ours for ours in NETWORKS.values() if opts.get(f"no_{ours}_mapper") is True]
    out, depth, groups = {}, 0, []
    for theirs, ours in NETWORKS.items():
        found = source.last(rf"{re.escape(theirs)}\.mapping\.(\d{{1,2}})\.")
        if found < 1:
            continue
        if depth not in (0, found):
            raise ModelError(f"mapper.{theirs} has {found} layers, another group {depth}; name another file")
        depth = found
        for i in range(depth):
            shapes = {"weight": (width, width), "bias": (width,)}
            for part, shape in shapes.items():
                out[f"networks.{ours}.{i}.{part}"] = source.take(f"{theirs}.mapping.{i + 1}.{part}", shape)
        groups.append(ours)
    source.finish()
    groups = [group for group in groups if group not in off]
    if not groups:
        raise ModelError("has all its mapper's groups switched off; name another file")
    out = {name: tensor for name, tensor in out.items() if name.split(".")[1] in groups}
    config = {"layers": layers, "w_dim": width, "groups": groups, "depth": depth, "lr_mul": LR_MUL,
              "step": STEP, "norm": "layers"}  # fmt: skip
    text = opts.get("description")
    meta = {"imported_from": "StyleCLIP", "kind": "mapper", "strength": 1.0}
    return Checkpoint("mapper", config, meta | ({"text": text} if isinstance(text, str) else {}), out)
