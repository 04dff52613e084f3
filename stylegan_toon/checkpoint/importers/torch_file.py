"""Reading a foreign `.pt` without running anything in it, and believing nothing it says about its tensors.

torch.load is not used: its weights_only mode has had holes, inflates deflated members before it refuses them,
loads tensors of 2^40 elements that lie on four bytes, and ends the process on deeply nested keys. Tensors are
views into the bytes of the file, so a file costs its own size; what is used of it is copied by the importer.
"""

import io
import math
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan_toon.checkpoint.importers.unpickle import PROGRAM, Budget, Module, unpickle
from stylegan_toon.errors import ModelError

ZIP = b"PK\x03\x04"
ZIP_ENTRY = b"PK\x01\x02"
MAGIC = 0x1950A86A20F9469CFC6C  # how files before torch 1.6 begin, and the storages in NVIDIA's pickles
LEGACY = MAGIC.to_bytes(10, "little")
MAX_MEMBERS = 20_000
MAX_AXES = 8
NUMPY_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


@dataclass(frozen=True)
class Storage:
    """numel numbers of dtype; data is None while only their number is known."""

    dtype: torch.dtype
    numel: int
    data: memoryview | None


def is_torch_file(data: bytes) -> bool:
    """Whether the bytes begin as a file of torch.save, new (zip) or old."""
    return data.startswith(ZIP) or LEGACY in data[:32]


def read(data: bytes) -> dict[str, Any]:
    """The dictionary in a file of torch.save; its tensors are read-only views into data.

    Raises: ModelError, its message without the file's name (the caller knows it).
    """
    view = memoryview(data)
    state = _read_zip(data, TABLE) if data.startswith(ZIP) else read_legacy(view, TABLE, Budget())
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise ModelError("holds no dictionary of networks; save a state dict with torch.save")
    return state


def read_weights(data: bytes) -> dict[str, Tensor]:
    """The tensors in a file of torch.save or in a TorchScript archive, under their dotted names.

    Of an archive the numbers are read and never the program; what is no tensor is left out.
    Raises: ModelError.
    """
    if data.startswith(ZIP):
        state = _read_zip(data, TABLE | {f"{PROGRAM}*": Module})
    else:
        state = read_legacy(memoryview(data), TABLE, Budget())
    found, rest, seen = {}, [("", state)], 0
    while rest:
        prefix, value = rest.pop()
        seen += 1
        if seen > MAX_MEMBERS:  # a module may hold another twice, and so on, or itself
            raise ModelError(f"holds more than {MAX_MEMBERS} weights; do not trust this file")
        if isinstance(value, Tensor):
            found[prefix[1:]] = value
        elif isinstance(value, dict):
            rest += [(f"{prefix}.{key}", part) for key, part in value.items()]
    return found


def read_legacy(data: memoryview, table: Mapping[str, Any], budget: Budget) -> Any:
    """The value in a file of torch.save from before torch 1.6, or of its old format since.

    Five pickles (a magic number, a version, the sort of machine, the value, the keys of its storages), then
    each storage: its length and its bytes. The value is read twice, as the places come after it.
    Raises: ModelError.
    """
    magic, at = unpickle(data, 0, {}, budget=budget)
    version, at = unpickle(data, at, {}, budget=budget)
    machine, begin = unpickle(data, at, {}, budget=budget)
    little = isinstance(machine, dict) and machine.get("little_endian") is True
    if type(magic) is not int or magic != MAGIC or version != 1001 or not little:
        raise ModelError("is no torch file of a kind that is known; save it with a newer torch")
    found: dict[str, Storage] = {}

    def note(dtype: torch.dtype, key: str, numel: int) -> Storage:
        storage = found.setdefault(key, Storage(dtype, numel, None))
        if storage != Storage(dtype, numel, None):
            raise ModelError("gives one storage two sizes; do not trust this file")
        return storage

    _, at = unpickle(data, begin, table, _storages(note), budget)
    keys, at = unpickle(data, at, {}, budget=budget)
    if not isinstance(keys, list) or any(type(key) is not str or key not in found for key in keys):
        raise ModelError("does not list its storages; get it again")
    for key in keys:
        storage, size = found[key], found[key].numel * found[key].dtype.itemsize
        stored = int.from_bytes(data[at : at + 8], "little")
        begin_data, at = at + 8, at + 8 + size
        if stored != storage.numel or at > len(data) or storage.data is not None:
            raise ModelError("is cut short or damaged (a storage without its bytes); get it again")
        found[key] = Storage(storage.dtype, storage.numel, data[begin_data:at])
    if any(storage.data is None for storage in found.values()):
        raise ModelError("is cut short or damaged (a storage is missing); get it again")
    value, _ = unpickle(data, begin, table, _storages(lambda dtype, key, numel: found[key]), budget)
    return value


def rebuild(
    storage: Storage, offset: int, size: Sequence[int], stride: Sequence[int], *rest: Any
) -> Tensor | None:
    """The view of a storage that a file describes, if it lies inside; None where its bytes are not known.

    Raises: ModelError when more numbers are claimed than there are.
    """
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Storage) or any(type(n) is not int or n < 0 for n in numbers):
        raise TypeError
    if len(size) != len(stride) or len(size) > MAX_AXES:
        raise ValueError
    count = math.prod(size)
    reach = sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1 if count else 0
    if count > storage.numel or offset + reach > storage.numel:
        raise ModelError(
            f"claims more numbers for a tensor {str(list(size))[:40]} than it holds; do not trust it"
        )
    if storage.data is None:
        return None
    if not count:
        return torch.empty(size, dtype=storage.dtype)
    with warnings.catch_warnings():  # of a buffer that must not be written: takers copy it
        warnings.simplefilter("ignore")
        start = offset * storage.dtype.itemsize
        flat = torch.frombuffer(storage.data, dtype=storage.dtype, count=reach, offset=start)
    return flat.as_strided(size, stride)


def _storages(find: Callable[[torch.dtype, str, int], Storage]) -> Callable[[Any], Storage]:
    """What a persistent id of torch stands for: ("storage", dtype, key, device, numel[, None])."""

    def persistent(given: Any) -> Storage:
        what, dtype, key, _, numel, *view = given
        if what != "storage" or not isinstance(dtype, torch.dtype) or any(part is not None for part in view):
            raise ModelError("holds something else than tensors; save a plain state dict")
        if type(key) is not str or type(numel) is not int or numel < 0:
            raise TypeError
        return find(dtype, key, numel)

    return persistent


def _read_zip(data: bytes, table: Mapping[str, Any]) -> Any:
    members = _members(data)
    pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise ModelError("is a zip, but no torch file; unpack it and name the model in it")
    folder = pickles[0].removesuffix("data.pkl")
    if bytes(members.get(f"{folder}byteorder", b"little")) != b"little":
        raise ModelError("was written on a machine of the other byte order; save it again on this one")

    def find(dtype: torch.dtype, key: str, numel: int) -> Storage:
        if (place := members.get(f"{folder}data/{key}")) is None or len(place) != numel * dtype.itemsize:
            raise ModelError(f"lacks bytes of storage {key[:20]!r}; get it again")
        return Storage(dtype, numel, place)

    return unpickle(members[pickles[0]], 0, table, _storages(find))[0]


def _members(data: bytes) -> dict[str, memoryview]:
    """The bytes of each member, in place; they must be stored, apart from each other, and sound."""
    if data.count(ZIP_ENTRY) > MAX_MEMBERS:
        raise ModelError(f"has more than {MAX_MEMBERS} members; do not trust this file")
    try:
        infos = zipfile.ZipFile(io.BytesIO(data)).infolist()
        infos = [info for info in infos if "/code/" not in info.filename]  # TorchScript's text, never read
    except Exception:  # zipfile raises at least six types, all of them for a bad file
        raise ModelError("is cut short or damaged (a zip without its end); get it again") from None
    if len({info.filename for info in infos}) != len(infos):
        raise ModelError("has two members of one name; do not trust this file")
    if any(
        (info.compress_type, info.compress_size) != (zipfile.ZIP_STORED, info.file_size) for info in infos
    ):
        raise ModelError("has compressed members, which torch.save never writes; do not trust this file")
    if any(info.flag_bits & 0x1 for info in infos):
        raise ModelError("is encrypted; decrypt it first")
    view, found, end = memoryview(data), {}, 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        at = info.header_offset
        head = data[at : at + 30]
        if at < end or head[:4] != ZIP or len(head) < 30:
            raise ModelError("has members that overlap or lie outside of it; do not trust this file")
        begin = at + 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        end = begin + info.file_size
        if end > len(data):
            raise ModelError("claims more bytes than it has; do not trust this file")
        if zlib.crc32(view[begin:end]) != info.CRC:
            raise ModelError(f"is damaged: the checksum of {info.filename[-30:]!r} differs; get it again")
        found[info.filename] = view[begin:end]
    return found


def _empty(*arguments: Any) -> dict[Any, Any]:
    """Stands for classes whose objects are dictionaries, filled by later opcodes, or of no use here."""
    if arguments:
        raise ValueError
    return {}


def _empty_set(items: Any = ()) -> set[Any]:
    """Their sets (names of buffers that are not saved) are of no use here."""
    return set()


def _numpy_type(name: str, *rest: Any) -> str:
    if type(name) is not str:  # a tensor would be printed, which makes torch import more of itself
        raise TypeError
    if name not in NUMPY_TYPES:
        raise ModelError(f"holds a numpy value of type {name[:20]!r}; save plain numbers")
    return name


def _numpy_scalar(name: str, raw: memoryview | bytes) -> Any:
    return np.frombuffer(raw, np.dtype(_numpy_type(name)).newbyteorder("<"), 1)[0].item()


def _latin(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError
    return text.encode("latin1")


STORAGES = {
    "Float": torch.float32, "Double": torch.float64, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool,
}  # fmt: skip
TABLE: dict[str, Any] = {
    **{f"torch.{name}Storage": dtype for name, dtype in STORAGES.items()},
    "torch.storage.UntypedStorage": torch.uint8,
    "torch._utils._rebuild_tensor_v2": rebuild,
    "torch._utils._rebuild_parameter": lambda tensor, *rest: tensor,
    "collections.OrderedDict": _empty,
    "argparse.Namespace": _empty,
    "builtins.set": _empty_set,
    "__builtin__.set": _empty_set,
    "numpy.dtype": _numpy_type,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "_codecs.encode": _latin,
}
