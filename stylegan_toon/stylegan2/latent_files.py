"""Latent files: the codes of faces, with the digest of the generator that draws them.

One file of kind "latent" holds w_plus [N, L, D] float32; where noise was optimised, noise.0, noise.1, ...
[N, 1, r, r], one a noise input; and in the space F/W+ shift [N, C, r, r], of the features of one resolution.
meta has `parent`, the generator's weights_digest; `mapping`, the digest of its mapping alone, which children
with a frozen mapping share; and `names`, one a row.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from stylegan_toon.checkpoint.format import Checkpoint, digest, loads, read_regular, save
from stylegan_toon.errors import ModelError, shown
from stylegan_toon.stylegan2.adapters import weights_digest

KIND = "latent"
SUFFIX = ".latent.safetensors"
MAX_BYTES = 1 << 30  # 30,000 codes of 18 layers of 512


def mapping_digest(generator: Checkpoint) -> str:
    """SHA-256 in hex of the mapping's weights as float16: equal where a code means the same."""
    tensors = {
        name: tensor.half().contiguous()
        for name, tensor in generator.tensors.items()
        if name.startswith(("mapping.", "source_mapping."))
    }
    return digest("generator", {}, {}, tensors)


def save_latents(
    path: str | Path,
    w_plus: Tensor,
    generator: Checkpoint,
    names: Sequence[str],
    noise: Sequence[Tensor] = (),
    meta: Mapping[str, Any] | None = None,
    shift: Tensor | None = None,
) -> None:
    """Write codes of a generator.

    Args:
        w_plus: [N, L, D].
        generator: what they were made with; its digests go into the file.
        names: N, for a person.
        noise: nothing, or the maps of every noise input, [N, 1, r, r] each.
        meta: more for the header, JSON values.
        shift: nothing, or [N, C, r, r].
    Raises: DiskError; NotFiniteError; ValueError if the numbers of rows differ.
    """
    rows = [len(names), *map(len, noise), *([] if shift is None else [len(shift)])]
    if w_plus.ndim != 3 or {*rows} != {len(w_plus)}:
        raise ValueError(
            f"expected w_plus [N, L, D] and N rows of all else, got {list(w_plus.shape)}, {rows}"
        )
    tensors = {"w_plus": w_plus.float()} | {f"noise.{i}": maps.float() for i, maps in enumerate(noise)}
    tensors |= {} if shift is None else {"shift": shift.float()}
    about = {"parent": weights_digest(generator), "mapping": mapping_digest(generator), "names": [*names]}
    save(path, Checkpoint(KIND, {}, {**(meta or {}), **about}, tensors))


def load_latents(path: str | Path) -> tuple[Tensor, dict[str, Any]]:
    """w_plus [N, L, D] float32, N from 1 up, and meta, of a latent file.

    load_noise and load_shift have the rest.

    Whether they are of the generator at hand is for the caller to see: belongs.
    Raises: ModelError, one line, for a file that is missing, broken, of another kind or not as it should be.
    """
    checkpoint = _load(path)
    return checkpoint.tensors["w_plus"].float(), checkpoint.meta


def load_noise(path: str | Path) -> list[Tensor]:
    """The maps [N, 1, r, r] of every noise input, in order; nothing where none were optimised.

    Raises: ModelError as load_latents.
    """
    tensors = _load(path).tensors
    return [tensors[f"noise.{i}"].float() for i in range(len(tensors) - 1 - ("shift" in tensors))]


def load_shift(path: str | Path) -> Tensor | None:
    """The shift [N, C, r, r] of features, where there is one. Raises: ModelError as load_latents."""
    shift = _load(path).tensors.get("shift")
    return None if shift is None else shift.float()


def belongs(meta: Mapping[str, Any], generator: Checkpoint) -> bool:
    """Whether codes with this meta are those of the generator, or of one that shares its mapping."""
    return meta["parent"] == weights_digest(generator) or meta["mapping"] == mapping_digest(generator)


def _load(path: str | Path) -> Checkpoint:
    checkpoint = loads(read_regular(path, MAX_BYTES), path, KIND)
    if why := _problem(checkpoint.tensors, checkpoint.meta):
        raise ModelError(f"{shown(path)} is no sound latent file: {why}; make it again")
    return checkpoint


def _problem(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> str | None:
    """What is wrong with a latent file, or None."""
    count = len(tensors.keys() - {"w_plus", "shift"})
    wanted = {"w_plus", *(f"noise.{i}" for i in range(count))}
    if tensors.keys() - {"shift"} != wanted or not all(t.is_floating_point() for t in tensors.values()):
        return "its tensors are not w_plus, noise.0, noise.1, ... and shift"
    w_plus = tensors["w_plus"]
    if w_plus.ndim != 3 or not w_plus.numel():
        return f"w_plus is {list(w_plus.shape)[:4]}, wanted [N, L, D]"
    if any(
        maps.ndim != 4 or maps.shape[:2] != (len(w_plus), 1)
        for name, maps in tensors.items()
        if name.startswith("noise")
    ):
        return f"its noise is not {len(w_plus)} maps [1, r, r] each"
    shift = tensors.get("shift")
    if shift is not None and (shift.ndim != 4 or len(shift) != len(w_plus) or not shift.numel()):
        return f"its shift is {list(shift.shape)[:5]}, wanted [{len(w_plus)}, C, r, r]"
    names = meta.get("names")
    if not isinstance(names, list) or [*map(type, names)] != [str] * len(w_plus):
        return f"names are not {len(w_plus)} texts"
    if any(not re.fullmatch("[0-9a-f]{64}", str(meta.get(key))) for key in ("parent", "mapping")):
        return "it names no generator"
    return None
