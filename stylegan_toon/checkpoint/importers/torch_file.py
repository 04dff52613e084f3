"""Reading a foreign `.pt` without running anything in it, and believing nothing it says about its tensors.

weights_only=True alone is not enough: it has had holes (hence the floor torch>=2.10), inflates deflated
members before it refuses them, and loads tensors of 2^40 elements that lie on four bytes. So the archive is
checked before torch sees it, and every tensor after.
"""

import io
import re
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from stylegan_toon.checkpoint.format import not_finite
from stylegan_toon.errors import ModelError

ZIP = b"PK\x03\x04"
LEGACY = torch.serialization.MAGIC_NUMBER.to_bytes(10, "little")  # how files before torch 1.6 begin
OPTIMISERS = ("g_optim", "d_optim", "optimizer", "optim")  # never used, so not walked through
FLOATS = (torch.float16, torch.bfloat16, torch.float32)


class Namespace:
    """Stands for argparse.Namespace, the `args` in rosinality's files: keeps fields, does nothing."""


def is_torch_file(data: bytes) -> bool:
    """Whether the bytes begin as a file of torch.save, new (zip) or old."""
    return data.startswith(ZIP) or LEGACY in data[:32]


def read(data: bytes) -> dict[str, Any]:
    """The dictionary in a file of torch.save, its tensors checked by check_tensor.

    Raises: ModelError, its message without the file's name (the caller knows it).
    """
    if data.startswith(ZIP):
        _check_archive(data)
    allowed: list[Any] = [(Namespace, "argparse.Namespace")]
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises at least six types here, all of them for a bad file
        raise ModelError(_explain(error)) from None
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise ModelError("holds no dictionary of networks; save a state dict with torch.save")
    for key, value in state.items():
        if key in OPTIMISERS:
            continue
        for name, item in value.items() if isinstance(value, Mapping) else [("", value)]:
            if isinstance(item, Tensor):
                check_tensor(f"{key}.{name}" if name else key, item, len(data))
    return state


def check_tensor(name: str, tensor: Tensor, file_size: int) -> None:
    """Dense, on the CPU, half to single precision, inside its storage, which fits the file, and finite.

    Raises: ModelError naming the tensor.
    """
    what = f"tensor {name[:60]!r}"
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise ModelError(f"{what} is not a dense tensor on the CPU; save a plain state dict")
    if not tensor.is_floating_point():
        return  # a counter; where a network's tensor is wanted, the importer refuses it
    if tensor.dtype not in FLOATS:
        raise ModelError(f"{what} is {tensor.dtype}; save it as float32")
    size = tensor.untyped_storage().nbytes()
    reach = (
        tensor.storage_offset()
        + 1
        + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    )
    inside = tensor.numel() * tensor.itemsize <= size and reach * tensor.itemsize <= size <= file_size
    if tensor.numel() and not inside:
        raise ModelError(f"{what} claims more numbers than the file holds; do not trust this file")
    if not_finite({name: tensor.detach().contiguous()}):
        raise ModelError(f"{what} holds NaN or infinity; take an earlier checkpoint")


def _check_archive(data: bytes) -> None:
    try:
        members = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError):
        raise ModelError("is cut short or damaged (a zip without its end); get it again") from None
    if len({member.filename for member in members}) != len(members):
        raise ModelError("has two members of one name; do not trust this file")
    if any(m.compress_type != zipfile.ZIP_STORED or m.file_size != m.compress_size for m in members):
        raise ModelError("has compressed members, which torch.save never writes; do not trust this file")
    if any(member.flag_bits & 0x1 for member in members):
        raise ModelError("is encrypted; decrypt it first")
    if sum(member.file_size for member in members) > len(data):
        raise ModelError("claims more bytes than it has; do not trust this file")
    if not any(member.filename.endswith("/data.pkl") for member in members):
        raise ModelError("is a zip, but no torch file; unpack it and name the model in it")


def _explain(error: Exception) -> str:
    text = str(error)
    if found := re.search(r"GLOBAL ([\w.]+)", text) or re.search(r"(?:function|class) (\w+\.[\w.]+)", text):
        return f"asks to load {found[1][:60]}, which is never done; do not trust it, or save only tensors"
    if "TorchScript" in text:
        return "is a TorchScript program; save its state dict instead"
    return f"is damaged, or no plain torch file ({type(error).__name__}); get it again"
