"""Model files of any kind that is known, recognised by what is in them and never by their suffix."""

from pathlib import Path

from stylegan_toon.checkpoint import format
from stylegan_toon.checkpoint.format import Checkpoint, read_regular
from stylegan_toon.checkpoint.importers import torch_file
from stylegan_toon.checkpoint.importers.rosinality import from_rosinality
from stylegan_toon.errors import ModelError, shown

READ = "read are stylegan-toon's safetensors and rosinality's or Cartoon-StyleGAN's .pt"
MAX_TORCH_BYTES = 4 << 30  # a 1024 px checkpoint with both optimisers has about 0.7 GB


def read_any(path: str | Path) -> dict[str, Checkpoint]:
    """Everything in a model file, under its kind ("generator", "discriminator", "generator_raw", ...).

    Raises: ModelError, one line naming the file, for whatever cannot be read.
    """
    data = read_regular(path)
    if torch_file.is_torch_file(data):
        try:
            if len(data) > MAX_TORCH_BYTES:
                raise ModelError(f"is above the limit of {MAX_TORCH_BYTES} bytes for a torch file")
            return from_rosinality(torch_file.read(data))
        except ModelError as error:
            raise ModelError(f"{shown(path, 60)}: {error}"[:200]) from None
    if data[8:9] == b"{":
        checkpoint = format.loads(data, path)
        return {checkpoint.kind: checkpoint}
    raise ModelError(f"{shown(path)} is {_describe(data)}; {READ}")


def _describe(data: bytes) -> str:
    start = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not data:
        return "empty"
    if start.startswith((b"<!", b"<html", b"<head", b"<?xml")):
        return "a web page, probably a failed download"
    if data[:1] == b"\x80" and 2 <= data[1] <= 5:
        return "a Python pickle, which could run code"
    return "no model file"
