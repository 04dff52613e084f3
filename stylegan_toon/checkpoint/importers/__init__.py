"""Model files of any kind that is known, recognised by what is in them and never by their suffix."""

from pathlib import Path

from stylegan_toon.checkpoint import format
from stylegan_toon.checkpoint.format import Checkpoint, read_regular
from stylegan_toon.checkpoint.importers import nvidia, torch_file
from stylegan_toon.checkpoint.importers.irse import from_arcface, is_arcface
from stylegan_toon.checkpoint.importers.rosinality import from_rosinality
from stylegan_toon.checkpoint.importers.vgg import from_vgg, is_vgg
from stylegan_toon.errors import ModelError, shown

READ = "read are safetensors of stylegan-toon, .pt of rosinality's family, .pkl of NVIDIA"
MAX_FOREIGN_BYTES = 4 << 30  # a 1024 px checkpoint with both optimisers has about 0.7 GB


def read_any(path: str | Path) -> dict[str, Checkpoint]:
    """Everything in a model file, under its kind ("generator", "discriminator", "generator_raw", ...).

    Raises: ModelError, one line naming the file, for whatever cannot be read.
    """
    data = read_regular(path)
    foreign = torch_file.is_torch_file(data)
    if foreign or nvidia.is_nvidia_file(data):
        try:
            if len(data) > MAX_FOREIGN_BYTES:
                raise ModelError(f"is above the limit of {MAX_FOREIGN_BYTES} bytes for such a file")
            if foreign:
                state = torch_file.read(data)
                if is_vgg(state):
                    return from_vgg(state)
                return from_arcface(state) if is_arcface(state) else from_rosinality(state)
            return nvidia.from_nvidia(nvidia.read(data))
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
    return "no model file"
