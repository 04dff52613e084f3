"""The bytes of a picture file as 8-bit sRGB, upright, whatever they are; and limits for hostile ones."""

import io
import logging
import os
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from stylegan_toon.errors import InputError

# Pillow logs remarks on broken files to stderr, where an error is one line.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Formats are named: the rest of Pillow's list is rarely needed and often attacked (EPS, FITS, PSD ...).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
MAX_PIXELS = 64_000_000
READS = "JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, AVIF"

# What takes hours in small files. Each is far above what cameras and programs write.
MAX_READS = 300_000  # by a decoder from one file; a PNG in chunks of 8 KB needs 100,000
MAX_SCAN_PIXELS = 4_000_000_000  # pixels times scans of a progressive JPEG; 12 million pixels have ten scans
MAX_SLOW_PIXELS = 4_000_000  # of run-length BMP and of PPM in decimal digits, which Pillow reads in Python
MAX_TAGS = 1000  # of a TIFF or of EXIF, and fractions in one tag
ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(data: bytes, name: str) -> Image.Image:
    """A picture file's bytes as 8-bit sRGB, upright.

    The EXIF orientation is applied, an ICC profile converted (a broken one is ignored), alpha laid on white;
    grey of 16 bit, 32 bit or float is scaled to 0..255; of an animation or a TIFF of many pages the first
    picture is taken.
    Args:
        name: how a message calls it.
    Returns: mode RGB, loaded, without file or metadata.
    Raises: InputError, one line of at most 200 characters, for what is empty, cut short, no picture, larger
        than MAX_PIXELS, or made to keep a decoder busy.
    """
    head = data[:32]
    if not head:
        raise InputError(f"{name} is empty; copy or download it again")
    formats = list(FORMATS)
    brands = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
    if head[4:8] == b"ftyp" and head[8:12] in brands and b"avif" not in head:
        try:
            import pillow_heif
        except ImportError:
            remedy = "pip install 'stylegan-toon[heif]', or save it as JPEG"
            raise InputError(f"{name} is HEIC, which needs one more package: {remedy}") from None
        pillow_heif.register_heif_opener()
        formats.append("HEIF")
    try:
        _check_tags(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on size and odd EXIF
            with Image.open(_Metered(data), formats=formats) as picture:
                _check_work(picture, data, name)
                with _mute() if picture.format == "TIFF" else nullcontext():
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


def is_transparent(data: bytes) -> bool:
    """Whether any place of a picture that read_image has read is transparent, wholly or in part."""
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(_Metered(data)) as picture:
            if picture.has_transparency_data or picture.mode in ("La", "RGBa", "PA"):
                return bool((np.asarray(picture.convert("RGBA"))[..., 3] < 255).any())
    return False


class _Metered(io.BytesIO):
    """A file in memory that stops a decoder which reads it over and over."""

    def __init__(self, data: bytes):
        super().__init__(data)
        self.reads, self.left = MAX_READS, 16_000_000 + 4 * len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self.reads -= 1
        self.left -= len(piece)
        if self.reads < 0 or self.left < 0:
            raise ValueError("this file is made to be read for ever")
        return piece


@contextmanager
def _mute() -> Iterator[None]:
    """Nothing comes through to stderr, where libtiff itself remarks on broken files."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _check_work(picture: Image.Image, data: bytes, name: str) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        limit = f"more than {MAX_PIXELS // 1_000_000} million pixels"
        raise InputError(f"{name} has {width}x{height}, {limit}; make it smaller first")
    scans = data.count(b"\xff\xda") if picture.info.get("progressive") else 1
    if scans * width * height > MAX_SCAN_PIXELS:
        raise InputError(f"{name} has {width}x{height} in {scans} scans, too much to decode; save it anew")
    tiles = getattr(picture, "tile", [])
    if any(tile[0] in ("bmp_rle", "ppm_plain") for tile in tiles) and (
        width * height > MAX_SLOW_PIXELS or (picture.format == "PPM" and data.count(b"#") > 1000)
    ):
        raise InputError(f"{name} has {width}x{height} in a slow encoding; save it as PNG")


def _check_tags(data: bytes) -> None:
    """Raises: ValueError for TIFF or EXIF bytes whose first directory takes Pillow minutes to read."""
    if data[:3] == b"\xff\xd8\xff" and data.count(b"Exif\0\0") > 16:  # Pillow joins them
        raise ValueError("too many EXIF segments")
    data = data.removeprefix(b"Exif\0\0")
    kinds = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}
    if (order := kinds.get(data[:4])) is None:
        return
    big = b"+" in data[:4]
    start = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)[0]
    number, entry = (f"{order}Q", f"{order}HHQ8x") if big else (f"{order}H", f"{order}HHI4x")
    if start + struct.calcsize(number) > len(data):
        return
    entries = struct.unpack_from(number, data, start)[0]
    if entries > MAX_TAGS:
        raise ValueError("too many tags")
    start += struct.calcsize(number)
    table = data[start : start + entries * struct.calcsize(entry)]
    whole = len(table) - len(table) % struct.calcsize(entry)
    if any(
        kind in (5, 10) and count > MAX_TAGS for _, kind, count in struct.iter_unpack(entry, table[:whole])
    ):
        raise ValueError("too many fractions in a tag")


def _guess(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html")):
        return "is a web page, not a picture; download the picture itself"
    if start.startswith(b"%pdf"):
        return "is a PDF, not a picture; export the page as PNG"
    return f"is not a picture this program reads ({READS}); save it as PNG"


def _upright(picture: Image.Image) -> Image.Image:
    with suppress(Exception):  # broken EXIF: better a picture as stored than none
        _check_tags(picture.info.get("exif") or b"")
        method = ORIENTATION.get(picture.getexif().get(0x0112, 1))
        if method is not None:
            info, picture = picture.info, picture.transpose(method)
            picture.info = info
    return picture


def _to_rgb(picture: Image.Image, white: float | None) -> Image.Image:
    """As read_image; in bands, so that a large picture exists twice and not five times."""
    bands, profile = partial(_bands, picture), picture.info.get("icc_profile")
    clear = picture.has_transparency_data or picture.mode in ("La", "RGBa", "PA")
    if picture.mode == "RGB" and not clear and not profile:
        out = picture.copy()  # leaves the file behind
        out.info = {}
        return out
    out = Image.new("RGB", picture.size, "white")
    if picture.mode.startswith(("I", "F")):
        white = _white(bands(), picture.mode) if white is None else white
        for top, part in bands():
            out.paste(Image.fromarray(_grey_to_uint8(part, white)), (0, top))
        return out
    to_srgb = _srgb_converter(profile)
    for top, part in bands():
        if part.mode == "La":
            part = part.convert("LA")
        if clear:
            part = part.convert("RGBA")
            out.paste(to_srgb(part.convert("RGB")), (0, top), part.getchannel("A"))
        else:
            out.paste(to_srgb(part if part.mode in ("RGB", "L", "CMYK") else part.convert("RGB")), (0, top))
    return out


def _bands(picture: Image.Image, pixels: int = 4_000_000) -> Iterator[tuple[int, Image.Image]]:
    """The picture from top to bottom: (row, part of at most so many pixels, or one row)."""
    rows = max(1, pixels // max(1, picture.width))
    if rows >= picture.height:
        yield 0, picture
        return
    for top in range(0, picture.height, rows):
        yield top, picture.crop((0, top, picture.width, min(picture.height, top + rows)))


def _srgb_converter(profile: bytes | None) -> Callable[[Image.Image], Image.Image]:
    """What takes RGB, L or CMYK by an ICC profile to RGB; it returns a picture as it is where there is no
    profile, or one that does not fit."""
    made: dict[str, ImageCms.ImageCmsTransform] = {}

    def convert(picture: Image.Image) -> Image.Image:
        if not profile:
            return picture
        with suppress(ImageCms.PyCMSError, OSError, TypeError, ValueError):
            if picture.mode not in made:
                source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
                if "sRGB" in ImageCms.getProfileDescription(source):
                    return picture
                made[picture.mode] = ImageCms.buildTransform(
                    source,
                    ImageCms.createProfile("sRGB"),
                    picture.mode,
                    "RGB",
                    ImageCms.Intent.RELATIVE_COLORIMETRIC,
                    ImageCms.Flags.BLACKPOINTCOMPENSATION,
                )
            return ImageCms.applyTransform(picture, made[picture.mode]) or picture
        return picture

    return convert


def _values(picture: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(picture, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def _white(bands: Iterable[tuple[int, Image.Image]], mode: str) -> float:
    """The white of deep grey that does not say it: 65535 for 16 bit; for 32 bit and float the first of 1
    (float alone), 255, 65535 that no value exceeds, else the largest value."""
    if mode.startswith("I;16"):
        return 65535.0
    top = max(float(_values(part).max(initial=0.0)) for _, part in bands)
    steps = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
    return next((step for step in steps if top <= step), top)


def _grey_to_uint8(picture: Image.Image, white: float) -> np.ndarray:
    """Deep grey to uint8 [H, W], 0 to 0 and white to 255."""
    return np.rint(_values(picture).clip(0.0, white) * (255.0 / white)).astype(np.uint8)
