"""Pictures in and out: files, PIL, uint8, float [N, 3, H, W] in [-1, 1]. The only uint8 <-> float borders."""

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from stylegan_toon.decoding import read_image
from stylegan_toon.errors import InputError, shown
from stylegan_toon.files import open_aside

SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif",
}  # fmt: skip
MAX_BYTES = 300_000_000  # of a file: decoding.MAX_PIXELS without compression, and 44 MB for what cameras add


def load_image(path: str | Path) -> Image.Image:
    """Read a picture file as read_image does.

    Raises: InputError, also for what is missing or no regular file.
    """
    path = Path(path)
    name = shown(path)
    try:
        return read_image(read_file(path), name)
    except FileNotFoundError:
        raise InputError(f"{name} does not exist; check the spelling") from None
    except (PermissionError, NotADirectoryError) as error:
        raise InputError(f"{name} cannot be opened ({error.strerror}); check path and rights") from None
    except (OSError, ValueError) as error:  # a null byte, a name too long, a broken disk
        why = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(f"{name} cannot be read ({why[:40]}); check path and disk") from None


def read_file(path: Path) -> bytes:
    """The bytes of a regular file of at most MAX_BYTES.

    Raises: InputError for another kind of file or a larger one; OSError, ValueError as open does.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{shown(path)} is a folder, not a picture; name a picture file")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe or a device may wait for ever
        raise InputError(f"{shown(path)} is a pipe or device, not a picture; save it to a file first")
    if status.st_size > MAX_BYTES:
        limit = f"{MAX_BYTES // 1_000_000} million bytes"
        raise InputError(f"{shown(path)} has more than {limit}; save it as JPEG or PNG")
    return path.read_bytes()


def to_tensor(image: Image.Image) -> Tensor:
    """A picture as float32 [1, 3, H, W] in [-1, 1]; any mode is converted to RGB."""
    pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None]
    return pixels.contiguous().float() / 127.5 - 1.0


def to_levels(tensor: Tensor) -> np.ndarray:
    """Float [N, 3, H, W] to float32 [N, H, W, 3] in 0..255: clamped to [-1, 1], NaN black, not rounded.

    Raises: ValueError for another shape.
    """
    if tensor.ndim != 4 or tensor.shape[1] != 3:
        raise ValueError(f"expected pictures [N, 3, H, W], got {list(tensor.shape)}")
    scaled = (tensor.detach().float().nan_to_num(nan=-1.0).clamp(-1.0, 1.0) + 1.0) * 127.5
    return scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def to_uint8(tensor: Tensor) -> np.ndarray:
    """Float [N, 3, H, W] to uint8 [N, H, W, 3], as to_levels, rounded."""
    return np.rint(to_levels(tensor)).astype(np.uint8)


def save_png(
    path: str | Path, picture: np.ndarray | Tensor | Image.Image, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a PNG: aside in the same folder (made if need be), then renamed over what was there.

    Args:
        picture: uint8 [H, W, 3], a float tensor [3, H, W] or [1, 3, H, W] in [-1, 1], or a PIL picture.
        metadata: text chunks, keyword -> text; a keyword has 1 to 79 Latin-1 characters.
    Raises: DiskError when the disk is full or the place not writable; ValueError for another shape or type.
    """
    image = _to_pil(picture)
    chunks = PngInfo()
    for key, text in (metadata or {}).items():
        chunks.add_text(key, text)
    with open_aside(Path(path)) as file:
        # Level 3 takes less than half the time of 6 for 5 % more bytes (1350x1350 portrait).
        image.save(file, "PNG", pnginfo=chunks, compress_level=3)


def _to_pil(picture: np.ndarray | Tensor | Image.Image) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, Tensor):
        batch = to_uint8(picture if picture.ndim == 4 else picture[None])
        if len(batch) != 1:
            raise ValueError(f"expected one picture, got {len(batch)}")
        return Image.fromarray(batch[0])
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"expected uint8 [H, W, 3], got {picture.dtype} {list(picture.shape)}")
    return Image.fromarray(picture)


def grid(pictures: Tensor, columns: int) -> Tensor:
    """Pictures [N, 3, H, W] row by row as one [3, ceil(N / columns) * H, columns * W]; empty cells are white.

    Raises: ValueError for another shape, no picture, or fewer than one column.
    """
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not len(pictures) or columns < 1:
        raise ValueError(f"expected [N, 3, H, W] and columns > 0, got {list(pictures.shape)} and {columns}")
    n, _, height, width = pictures.shape
    rows = -(-n // columns)
    cells = pictures.new_ones(rows * columns, 3, height, width)
    cells[:n] = pictures
    cells = cells.reshape(rows, columns, 3, height, width).permute(2, 0, 3, 1, 4)
    return cells.reshape(3, rows * height, columns * width)


def list_images(paths: Iterable[str | Path]) -> list[tuple[Path, Path]]:
    """Expand files and folders to pairs (file, its relative path below the output folder).

    A file stands for itself, whatever its name, and goes to the top of the output folder; a folder is
    searched to any depth, in sorted order, for the names in SUFFIXES (hidden ones and links to folders left
    out), and mirrored. No two relative paths are equal or differ in suffix alone, so that the suffix may be
    replaced: a later one gets _2, _3 ... after its stem. A file given twice is taken once.
    Raises: InputError when folders were given and nothing was found at all.
    """
    found: list[tuple[Path, Path]] = []
    folders: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            folders.append(path)
            found.extend((file, file.relative_to(path)) for file in _walk(path))
        else:
            found.append((path, Path(path.name)))
    if folders and not found:
        raise InputError(f"no picture in folder {shown(folders[0])}; their names must end in .jpg, .png ...")
    return _distinct(found)


def _walk(folder: Path) -> Iterable[Path]:
    for here, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            file = Path(here, name)
            if not name.startswith(".") and file.suffix.lower() in SUFFIXES and file.is_file():
                yield file


def _distinct(found: Sequence[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    pairs, files, taken = [], set(), set()
    for file, relative in found:
        if (where := file.absolute()) in files:
            continue
        files.add(where)
        free, number = relative, 1
        while (key := str(free.with_suffix("")).casefold()) in taken:
            number += 1
            free = relative.with_name(f"{relative.stem}_{number}{relative.suffix}")
        taken.add(key)
        pairs.append((file, free))
    return pairs
