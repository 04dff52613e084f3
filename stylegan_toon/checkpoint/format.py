"""The project's own file: tensors in safetensors, all else as one JSON in its header, nothing pickled.

The header's metadata holds one entry, `stylegan_toon`: {"version", "kind", "config", "meta", "digest"}. The
digest is a SHA-256 over kind, config and meta and over every tensor's name, dtype, shape and bytes; what it
does not cover (the version, the order, every space) must be as save() writes it, so any changed byte is seen.
"""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from stylegan_toon.errors import ModelError, NotFiniteError, shown
from stylegan_toon.files import write_aside

VERSION = 1
KEY = "stylegan_toon"
TRAIN_STATE = "train-state"  # the one kind that is not refused for a number that is not finite
MAX_BYTES = 16 << 30
MAX_HEADER = 4 << 20  # 40,000 tensors; parsed JSON can take 25 times its length
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip
CODES = {dtype: code for code, dtype in DTYPES.items()}


@dataclass
class Checkpoint:
    """What one file holds.

    kind is "generator", "discriminator", "encoder", "upscaler", "train-state" ...; config and meta hold JSON
    values.
    """

    kind: str
    config: dict[str, Any]
    meta: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)


def save(path: str | Path, checkpoint: Checkpoint, half: bool = False) -> None:
    """Write checkpoint to path: aside in the same folder, fsynced, then renamed over what was there.

    Args:
        half: store floating tensors as float16 (train-state should not be).
    Tensors may share memory, be strided or live on another device; each is written whole, under its own name.
    Raises: DiskError when the place is full or not writable (an older file there stays as it was);
        NotFiniteError for weights that load() would refuse; ValueError for values JSON cannot hold.
    """
    tensors = {name: _plain(tensor, half) for name, tensor in checkpoint.tensors.items()}
    if checkpoint.kind != TRAIN_STATE and (bad := not_finite(tensors)):
        overflow = half and not not_finite({bad: checkpoint.tensors[bad]})
        why = "holds numbers above the float16 range; save it without half" if overflow else "is not finite"
        raise NotFiniteError(f"{shown(path)} was not written: tensor {bad[:60]!r} {why}")
    about: dict[str, Any] = {"kind": checkpoint.kind, "config": checkpoint.config, "meta": checkpoint.meta}
    about = json.loads(json.dumps(about, allow_nan=False))  # tuples and number keys as load() will see them
    about = {"version": VERSION, **about, "digest": digest(**about, tensors=tensors)}
    write_aside(path, [_head(about, tensors), *(_view(tensors[name]) for name in _order(tensors))])


def load(path: str | Path, kind: str | None = None) -> Checkpoint:
    """Read a file of this project, whole and checked; tensors are on the CPU, in their stored dtype.

    Args:
        kind: refuse any other kind of checkpoint; None takes all.
    Raises: ModelError (one line) for a file that is missing, not regular, not ours, newer, changed, of
        another kind, or whose weights are not finite.
    """
    return loads(read_regular(path), path, kind)


def loads(data: bytes, path: str | Path, kind: str | None = None) -> Checkpoint:
    """As load, from the bytes of a file; path is for the messages."""
    about = _header(data, path)
    try:
        found = {
            name: torch.frombuffer(raw["data"], dtype=DTYPES[raw["dtype"]]).reshape(raw["shape"])
            if raw["data"]
            else torch.empty(raw["shape"], dtype=DTYPES[raw["dtype"]])
            for name, raw in sorted(safetensors.deserialize(data), key=itemgetter(0))  # it shuffles them
        }
        wanted = digest(about["kind"], about["config"], about["meta"], found)
        same = data.startswith(_head(about, found)) and about["digest"] == wanted
    except (safetensors.SafetensorError, KeyError, ValueError, OverflowError, RuntimeError) as error:
        raise ModelError(f"{shown(path)} is damaged ({type(error).__name__}); get or make it again") from None
    checkpoint = Checkpoint(about["kind"], about["config"], about["meta"], found)
    if not same:
        raise ModelError(f"{shown(path)} was changed since it was written (digest differs); get it again")
    if kind is not None and checkpoint.kind != kind:
        raise ModelError(f"{shown(path)} holds {_a(checkpoint.kind[:40])}, not {_a(kind)}; name another file")
    if checkpoint.kind != TRAIN_STATE and (bad := not_finite(found)):
        raise ModelError(f"{shown(path)}: tensor {bad[:60]!r} holds NaN or infinity; take an earlier file")
    return checkpoint


def digest(kind: str, config: dict[str, Any], meta: dict[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 in hex over one JSON (kind, config, meta, every tensor's name, dtype, shape), then all bytes.

    Tensors are taken in the order of their names; they are contiguous and on the CPU.
    """
    names = sorted(tensors)
    listing = [[name, CODES[tensors[name].dtype], list(tensors[name].shape)] for name in names]
    about = {"kind": kind, "config": config, "meta": meta, "tensors": listing}
    total = hashlib.sha256(json.dumps(about, sort_keys=True, allow_nan=False).encode())
    for name in names:
        total.update(_view(tensors[name]))
    return total.hexdigest()


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first floating tensor that holds NaN or infinity, or None."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.numel():
            if tensor.dtype == torch.float16:  # integers are faster here: an exponent of all ones
                if int((tensor.view(torch.int16) & 0x7C00).max()) == 0x7C00:
                    return name
            elif not all(bool(torch.isfinite(end)) for end in torch.aminmax(tensor)):
                return name
    return None


def read_regular(path: str | Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file of at most max_bytes; a pipe or device is refused without waiting for it.

    Raises: ModelError.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as file:  # noqa: PTH123
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelError(f"{shown(path)} is not a regular file; name a model file")
            if status.st_size > max_bytes:
                raise ModelError(f"{shown(path)} is above the limit of {max_bytes} bytes; name a model file")
            return file.read()
    except FileNotFoundError:
        raise ModelError(f"{shown(path)} is not there; check the name") from None
    except IsADirectoryError:
        raise ModelError(f"{shown(path)} is a folder; name a model file in it") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{shown(path)} cannot be read ({_reason(error)}); check its rights") from None


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:60]


def _plain(tensor: Tensor, half: bool) -> Tensor:
    """Contiguous, on the CPU, and float16 if it is floating and half is asked for."""
    tensor = tensor.detach().to("cpu", torch.float16 if half and tensor.is_floating_point() else None)
    if tensor.dtype not in CODES:
        raise ValueError(f"a checkpoint cannot hold {tensor.dtype}")
    return tensor.contiguous()


def _view(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _header(data: bytes, path: str | Path) -> dict[str, Any]:
    """The JSON of the project inside the header of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= min(MAX_HEADER, len(data) - 8) or data[8:9] != b"{":
        raise ModelError(f"{shown(path)} is damaged or not a safetensors file; name a model file")
    try:
        entry = json.loads(data[8 : 8 + size]).get("__metadata__", {}).get(KEY)
        about = None if entry is None else json.loads(entry)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ModelError(f"{shown(path)} is damaged: its header is no JSON; get or make it again") from None
    if about is None:
        raise ModelError(f"{shown(path)} is safetensors, but not made by stylegan-toon; name another file")
    wanted: dict[str, type] = {"version": int, "kind": str, "config": dict, "meta": dict, "digest": str}
    if not isinstance(about, dict) or any(not isinstance(about.get(k), t) for k, t in wanted.items()):
        raise ModelError(f"{shown(path)} is damaged: its header lacks an entry; get or make it again")
    if about["version"] > VERSION:
        raise ModelError(f"{shown(path)} is of a newer format than {VERSION}; update stylegan-toon")
    return {key: about[key] for key in wanted} | {"version": VERSION}


def _order(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names in the order of the file, which keeps every tensor aligned."""
    return sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))


def _head(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    """The beginning of the file, up to the first tensor."""
    header: dict[str, Any] = {"__metadata__": {KEY: json.dumps(about)}}
    end = 0
    for name in _order(tensors):
        begin, end = end, end + tensors[name].nbytes
        header[name] = {"dtype": CODES[tensors[name].dtype], "shape": list(tensors[name].shape),
                        "data_offsets": [begin, end]}  # fmt: skip
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _a(kind: str) -> str:
    return f"{'an' if kind[:1] in tuple('aeiou') else 'a'} {kind}"
