"""Pictures in and out: files, PIL, uint8, float [N, 3, H, W] in [-1, 1]. The only uint8 <-> float borders."""

import io
import os
import secrets
import stat
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from stylegan_toon.errors import DiskError, InputError, shown

# Formats are named: the rest of Pillow's list is rarely needed and often attacked (EPS, FITS, PSD ...).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif",
}  # fmt: skip
MAX_PIXELS = 64_000_000
READS = "JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, AVIF"


def load_image(path: str | Path) -> Image.Image:
    """Read a picture file as 8-bit sRGB, upright.

    The EXIF orientation is applied, an ICC profile converted, alpha laid on white; grey of 16 bit, 32 bit or
    float is scaled to 0..255; of an animation or a TIFF of many pages the first picture is taken.
    Returns: mode RGB, loaded, without file or metadata.
    Raises: InputError, one line of at most 200 characters, for what is missing, not a regular file, empty,
        cut short, no picture, or larger than MAX_PIXELS.
    """
    path = Path(path)
    name = shown(path)
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise InputError(f"{name} is a folder, not a picture; name a picture file")
        if not stat.S_ISREG(kind):  # opening a pipe or a device may wait for ever
            raise InputError(f"{name} is a pipe or device, not a picture; save it to a file first")
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on size and odd EXIF
            return _decode(file, name)
    except FileNotFoundError:
        raise InputError(f"{name} does not exist; check the spelling") from None
    except (PermissionError, NotADirectoryError) as error:
        raise InputError(f"{name} cannot be opened ({error.strerror}); check path and rights") from None
    except (OSError, ValueError) as error:  # a null byte, a name too long, a broken disk
        why = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(f"{name} cannot be read ({why[:40]}); check path and disk") from None


def _decode(file: io.BufferedReader, name: str) -> Image.Image:
    head = file.read(32)
    file.seek(0)
    if not head:
        raise InputError(f"{name} is empty; copy or download it again")
    formats = list(FORMATS)
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"):
        try:
            import pillow_heif
        except ImportError:
            remedy = "pip install 'stylegan-toon[heif]', or save it as JPEG"
            raise InputError(f"{name} is HEIC, which needs one more package: {remedy}") from None
        pillow_heif.register_heif_opener()
        formats.append("HEIF")
    try:
        with Image.open(file, formats=formats) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                limit = f"more than {MAX_PIXELS // 1_000_000} million pixels"
                raise InputError(f"{name} has {width}x{height}, {limit}; make it smaller first")
            picture.load()
            white = 65535.0 if picture.format == "PPM" else None  # such files say what their white is
            return _to_rgb(_upright(picture), white)
    except (InputError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise InputError(f"{name} {_guess(head)}") from None
    except Image.DecompressionBombError:
        limit = f"{MAX_PIXELS // 1_000_000} million pixels"
        raise InputError(f"{name} is far larger than {limit}; make it smaller first") from None
    except Exception as error:  # decoders meet hostile bytes with every kind of exception
        why = f"damaged or cut short ({type(error).__name__})"
        raise InputError(f"{name} is {why}; copy or download it again") from error


def _guess(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html")):
        return "is a web page, not a picture; download the picture itself"
    if start.startswith(b"%pdf"):
        return "is a PDF, not a picture; export the page as PNG"
    return f"is not a picture this program reads ({READS}); save it as PNG"


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # broken EXIF: better a picture as stored than none
        return picture


def _to_rgb(picture: Image.Image, white: float | None) -> Image.Image:
    profile = picture.info.get("icc_profile")
    if picture.mode.startswith(("I", "F")):
        return Image.fromarray(_grey_to_uint8(picture, white)).convert("RGB")
    if picture.mode == "La":
        picture = picture.convert("LA")
    if picture.has_transparency_data or picture.mode in ("RGBa", "PA"):
        rgba = picture.convert("RGBA")
        colour = _to_srgb(rgba.convert("RGB"), profile)
        return Image.composite(colour, Image.new("RGB", rgba.size, "white"), rgba.getchannel("A"))
    if picture.mode not in ("RGB", "L", "CMYK"):
        picture = picture.convert("RGB")
    out = Image.new("RGB", picture.size)  # leaves metadata and file behind
    out.paste(_to_srgb(picture, profile))
    return out


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB, L or CMYK by its ICC profile to RGB; as it is where there is none, or one that does not fit."""
    if not profile:
        return picture
    with suppress(ImageCms.PyCMSError, OSError, TypeError, ValueError):
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return picture
        converted = ImageCms.profileToProfile(
            picture,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return converted or picture
    return picture


def _grey_to_uint8(picture: Image.Image, white: float | None) -> np.ndarray:
    """Deep grey to uint8 [H, W], 0 to 0 and white to 255.

    An unknown white is 65535 for 16 bit; for 32 bit and float the first of 1 (float alone), 255, 65535 that
    no value exceeds, else the largest value.
    """
    values = np.nan_to_num(np.asarray(picture, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    if white is None and picture.mode.startswith("I;16"):
        white = 65535.0
    elif white is None:
        top = float(values.max(initial=0.0))
        steps = (1.0, 255.0, 65535.0) if picture.mode == "F" else (255.0, 65535.0)
        white = next((step for step in steps if top <= step), top)
    return np.rint(values.clip(0.0, white) * (255.0 / white)).astype(np.uint8)


def to_tensor(image: Image.Image) -> Tensor:
    """A picture as float32 [1, 3, H, W] in [-1, 1]; any mode is converted to RGB."""
    pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None]
    return pixels.contiguous().float() / 127.5 - 1.0


def to_uint8(tensor: Tensor) -> np.ndarray:
    """Float [N, 3, H, W] to uint8 [N, H, W, 3]: clamped to [-1, 1], rounded, NaN black.

    Raises: ValueError for another shape.
    """
    if tensor.ndim != 4 or tensor.shape[1] != 3:
        raise ValueError(f"expected pictures [N, 3, H, W], got {list(tensor.shape)}")
    scaled = (tensor.detach().float().nan_to_num(nan=-1.0).clamp(-1.0, 1.0) + 1.0) * 127.5
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


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
    path = Path(path)
    aside = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("xb") as file:
                # Level 3 takes less than half the time of 6 for 5 % more bytes (1350x1350 portrait).
                image.save(file, "PNG", pnginfo=chunks, compress_level=3)
            os.replace(aside, path)  # noqa: PTH105
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        why = (error.strerror or str(error) or "write failed")[:40]
        raise DiskError(f"cannot write {shown(path)} ({why}); free space or choose another place") from None


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
