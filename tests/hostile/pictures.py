"""Pictures made to confuse, crash, fill or hang a reader, and odd ones that must be read right."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, features

SIZE = 48, 32  # width, height
RED, GREEN, BLUE, YELLOW = (200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)


@dataclass(frozen=True)
class Picture:
    """A file's bytes, and what must come of it.

    wanted: uint8 [H, W, 3] to be read, None for an InputError, "either" where both will do.
    gap: how far nine tenths of the pixels may be from wanted (formats that lose), all of them where it is 0.
    """

    name: str
    data: bytes
    wanted: np.ndarray | str | None
    gap: int = 0


def quarters() -> np.ndarray:
    """A picture of four colours, red at the top left: uint8 [H, W, 3]."""
    width, height = SIZE
    out = np.empty((height, width, 3), np.uint8)
    out[: height // 2, : width // 2], out[: height // 2, width // 2 :] = RED, GREEN
    out[height // 2 :, : width // 2], out[height // 2 :, width // 2 :] = BLUE, YELLOW
    return out


def saved(picture: Image.Image | np.ndarray, kind: str, **settings: object) -> bytes:
    """A picture as the bytes of a file."""
    file = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(file, kind, **settings)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, pixels: bytes | None = None, mode: int = 2) -> bytes:
    """A PNG of 8 bit with chunks before its pixels."""
    rows = bytes(height * (1 + width * 3)) if pixels is None else pixels
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, mode, 0, 0, 0))
    body = b"".join(chunks) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def tiff(tags: dict[int, tuple[int, int, int]], data: bytes = bytes(64)) -> bytes:
    """A little-endian TIFF of one grey pixel with data at 8; tags are number -> type, count, value."""
    own = {256: (3, 1, 1), 257: (3, 1, 1), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8)}
    own |= {277: (3, 1, 1), 278: (3, 1, 1), 279: (4, 1, 1)} | tags
    table = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(own.items()))
    return (
        struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + struct.pack("<H", len(own)) + table + bytes(4)
    )


def bmp(width: int, height: int, compression: int, data: bytes) -> bytes:
    """A BMP of 8 bit with a grey palette."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, 0, 0, 0, 256, 0)
    palette = b"".join(bytes([i, i, i, 0]) for i in range(256))
    start = 14 + len(head) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(data), 0, 0, start) + head + palette + data


def scans(side: int, count: int) -> bytes:
    """A black progressive JPEG whose last scan comes count times."""
    data = saved(Image.new("L", (side, side)), "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    start = max(data.rfind(b"\xff\xc4", 0, last), data.rfind(b"\xff\xda", 0, last) + 2)
    return data[:-2] + data[start:-2] * count + data[-2:]


def linear_profile() -> bytes:
    """An ICC profile of linear light: 128 in it is 188 in sRGB."""
    source = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for i in range(struct.unpack(">I", source[128:132])[0]):
        tag, offset, size = struct.unpack(">4sII", source[132 + 12 * i : 144 + 12 * i])
        if tag in (b"rTRC", b"gTRC", b"bTRC"):
            source[offset : offset + 16] = b"para" + bytes(4) + struct.pack(">HHi", 0, 0, 1 << 16)
        elif tag == b"desc":
            text = source[offset : offset + size].replace(b"\0s\0R\0G\0B", b"\0l\0i\0n\0r")
            source[offset : offset + size] = text
    return bytes(source)


def exif(orientation: int) -> bytes:
    """EXIF with an orientation alone."""
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + bytes(4)


def _fractions(count: int) -> bytes:
    """EXIF whose orientation is a list of fractions."""
    return (
        b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 5, count, 26) + bytes(4 + 8 * count)
    )


def _turned() -> Iterator[Picture]:
    upright = quarters()
    stored = (
        upright,
        upright[:, ::-1],
        upright[::-1, ::-1],
        upright[::-1],
        upright.swapaxes(0, 1),
        np.rot90(upright, 1),
        np.rot90(upright, 2).swapaxes(0, 1),
        np.rot90(upright, -1),
    )
    for number, pixels in enumerate(stored, start=1):
        data = saved(np.ascontiguousarray(pixels), "JPEG", quality=95, subsampling=0, exif=exif(number))
        yield Picture(f"orientation {number}.jpg", data, upright, 12)
    for number in (0, 9, 65535):
        yield Picture(f"orientation {number}.png", saved(upright, "PNG", exif=exif(number)), upright)


def _modes() -> Iterator[Picture]:
    upright = quarters()
    rgb = Image.fromarray(upright)
    grey = np.asarray(rgb.convert("L"))
    three = np.stack([grey] * 3, axis=2)
    clear = np.dstack([upright, np.zeros(upright.shape[:2], np.uint8)])
    white = np.full_like(upright, 255)
    deep = (grey.astype(np.uint16) * 257).astype(np.uint16)
    inks = rgb.convert("CMYK")
    yield Picture("grey.png", saved(grey, "PNG"), three)
    yield Picture("one bit.png", saved(Image.new("1", SIZE, 1), "PNG"), white)
    yield Picture("palette.png", saved(rgb.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), upright)
    yield Picture("grey and clear.png", saved(Image.new("LA", SIZE, (9, 0)), "PNG"), white)
    yield Picture("clear.png", saved(clear, "PNG"), white)
    yield Picture("clear.webp", saved(clear, "WEBP", lossless=True, exact=True), white)
    yield Picture("clear colour.png", saved(Image.new("RGB", SIZE, RED), "PNG", transparency=RED), white)
    yield Picture("deep.png", saved(deep, "PNG"), three)
    yield Picture("deep.tif", saved(deep, "TIFF"), three)
    yield Picture("deep.pgm", saved(deep, "PPM"), three)
    yield Picture("float.tif", saved((grey / 255).astype(np.float32), "TIFF"), three)
    yield Picture("integers.tif", saved(grey.astype(np.int32), "TIFF"), three)
    yield Picture("not a number.tif", saved(np.full((4, 4), np.nan, np.float32), "TIFF"), np.zeros((4, 4, 3)))
    yield Picture("infinite.tif", saved(np.full((4, 4), np.inf, np.float32), "TIFF"), np.zeros((4, 4, 3)))
    for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield Picture(f"{kind}.tif", saved(rgb, "TIFF", compression=kind), upright)
    yield Picture("inside jpeg.tif", saved(rgb, "TIFF", compression="jpeg", quality=95), upright, 40)
    yield Picture("big.tif", saved(rgb, "TIFF", big_tiff=True), upright)
    pages = saved(rgb, "TIFF", save_all=True, append_images=[Image.new("RGB", SIZE)])
    yield Picture("pages.tif", pages, upright)
    yield Picture("inks.tif", saved(inks, "TIFF"), upright, 3)
    yield Picture("inks.jpg", saved(inks, "JPEG", quality=95), upright, 40)
    yield Picture("grey.jpg", saved(grey, "JPEG", quality=95), three, 12)
    yield Picture("progressive.jpg", saved(rgb, "JPEG", progressive=True, quality=95), upright, 40)
    yield Picture("restarts.jpg", saved(rgb, "JPEG", restart_marker_blocks=1, quality=95), upright, 40)
    yield Picture("more after the end.jpg", saved(rgb, "JPEG", quality=95) + b"\xff\xda" * 999, upright, 40)
    two = saved(rgb, "MPO", save_all=True, append_images=[Image.new("RGB", SIZE)], quality=95)
    yield Picture("two in one.jpg", two, upright, 40)
    yield Picture(
        "film.gif", saved(rgb, "GIF", save_all=True, append_images=[Image.new("RGB", SIZE)]), upright
    )
    yield Picture(
        "film.png", saved(rgb, "PNG", save_all=True, append_images=[Image.new("RGB", SIZE)]), upright
    )
    film = saved(rgb, "WEBP", save_all=True, append_images=[Image.new("RGB", SIZE)], lossless=True)
    yield Picture("film.webp", film, upright)
    yield Picture("plain.webp", saved(rgb, "WEBP", quality=95), upright, 60)
    if features.check("avif"):
        yield Picture("plain.avif", saved(rgb, "AVIF", quality=95), upright, 60)
    yield Picture("plain.bmp", saved(rgb, "BMP"), upright)
    yield Picture(
        "runs.bmp", bmp(4, 2, 1, b"\4\x40\0\0\4\x80\0\1"), np.repeat([128, 64], 12).reshape(2, 4, 3)
    )
    yield Picture("plain.ppm", saved(rgb, "PPM"), upright)
    yield Picture(
        "digits.ppm", b"P3 2 1 255\n# remark\n255 0 0  0 0 255\n", np.array([[[255, 0, 0], [0, 0, 255]]])
    )
    yield Picture("bits.pbm", b"P1 2 1\n0 1\n", np.array([[[255] * 3, [0] * 3]]))
    yield Picture("a png.jpg", saved(rgb, "PNG"), upright)
    light = np.full((4, 4, 3), 188, np.uint8)
    flat = Image.new("RGB", (4, 4), (128, 128, 128))
    yield Picture("linear light.png", saved(flat, "PNG", icc_profile=linear_profile()), light, 1)
    yield Picture("linear light.tif", saved(flat, "TIFF", icc_profile=linear_profile()), light, 1)
    for name, profile in (("no", b"none"), ("half a", linear_profile()[:300]), ("a zero", bytes(3000))):
        yield Picture(f"{name} profile.jpg", saved(rgb, "JPEG", icc_profile=profile, quality=95), upright, 40)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    yield Picture("a profile that does not fit.png", saved(rgb, "PNG", icc_profile=lab), upright)
    for name, tags in (("cut", exif(6)[:12]), ("far", b"Exif\0\0MM\0*\xff\xff\xff\xff"), ("zero", bytes(40))):
        yield Picture(f"exif {name}.png", saved(rgb, "PNG", exif=tags), upright)


def _no_pictures() -> Iterator[Picture]:
    upright = quarters()
    contents = {
        "empty": b"",
        "one byte": b"\xff",
        "text": b"no picture\n",
        "web page": b"<!DOCTYPE html><html>",
        "drawing": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "document": b"%PDF-1.7\n",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch x) (w) file\n",
        "photoshop": b"8BPS\0\1" + bytes(60),
        "stars": b"SIMPLE  =                    T" + b" " * 2850,
        "icon": saved(upright, "ICO"),
        "archive": b"PK\3\4" + bytes(60),
        "packed": b"\x1f\x8b\x08" + bytes(60),
        "program": b"\x7fELF" + bytes(60),
        "pickle": b"cposix\nsystem\n(S'touch x'\ntR.",
        "zeros": bytes(5000),
        "cut phone picture": b"\0\0\0\x18ftypheic" + bytes(64),
        "cut avif": b"\0\0\0\x18ftypavif" + bytes(64),
    }
    yield from (Picture(f"{name}.png", data, None) for name, data in contents.items())
    kinds = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
    noise = np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)
    for kind in kinds:
        data = saved(noise, kind)
        yield Picture(f"half a {kind}", data[: len(data) // 2], None)
        yield Picture(f"head of a {kind}", data[:20], None)
        yield Picture(
            f"{kind} with zeros", data[: len(data) // 3] + bytes(len(data) - len(data) // 3), "either"
        )


def _sizes() -> Iterator[Picture]:
    for side in (8001, 60_000, 2**31 - 1, 2**32 - 1):
        yield Picture(f"{side} wide.png", png(side, side, pixels=b""), None)
    yield Picture("wide.gif", b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\0\0;", None)
    yield Picture("wide.bmp", bmp(2**30, 2**30, 0, b""), None)
    yield Picture("upside down.bmp", bmp(8, -(2**31), 0, b""), None)
    yield Picture("backwards.bmp", bmp(-8, 8, 0, bytes(64)), None)
    yield Picture("wide.ppm", b"P6 999999999 999999999 255\n", None)
    yield Picture("less than nothing.ppm", b"P6 -5 -5 255\n" + bytes(75), None)
    yield Picture("wide.tif", tiff({256: (4, 1, 2**31), 257: (4, 1, 2**31)}), None)
    black = saved(Image.new("L", (8, 8)), "JPEG")
    at = black.index(b"\xff\xc0") + 5
    yield Picture("wide.jpg", black[:at] + b"\xff\xdc\xff\xdc" + black[at + 4 :], None)
    yield Picture("nothing.png", png(0, 0), None)
    yield Picture("nothing.bmp", bmp(0, 0, 0, b""), None)
    yield Picture("nothing.ppm", b"P6 0 0 255\n", None)
    yield Picture("nothing.tif", tiff({256: (3, 1, 0), 257: (3, 1, 0)}), None)
    yield Picture("nothing.gif", b"GIF89a\0\0\0\0\0\0\0,\0\0\0\0\0\0\0\0\0\2\0\0;", None)


def _broken() -> Iterator[Picture]:
    good = png(8, 8)
    yield Picture("wrong sum.png", good[:30] + b"\0\0\0" + good[33:], None)
    yield Picture("no pixels.png", good[:33] + chunk(b"IEND", b""), None)
    yield Picture("no palette.png", png(8, 8, mode=3, pixels=bytes(72)), "either")
    yield Picture("too few pixels.png", png(8, 8, pixels=bytes(20)), None)
    yield Picture("no zlib.png", good.replace(good[41:43], b"??", 1), None)
    yield Picture("two heads.png", png(8, 8, good[8:33]), "either")
    yield Picture("length.png", good[:33] + b"\xff\xff\xff\xffIDAT" + bytes(40), None)
    yield Picture("strips nowhere.tif", tiff({273: (4, 1, 2**31)}), None)
    yield Picture("bits.tif", tiff({258: (3, 1, 77)}), None)
    yield Picture("samples.tif", tiff({277: (3, 1, 60_000)}), None)
    yield Picture("unknown packing.tif", tiff({259: (3, 1, 4711)}), None)
    yield Picture("circle.tif", tiff({})[:-4] + struct.pack("<I", 72), "either")
    yield Picture("head alone.tif", b"II*\0\xff\xff\xff\x7f", None)
    yield Picture("white of none.pgm", b"P5 2 2 0\n" + bytes(4), None)
    yield Picture("letters.ppm", b"P3 2 2 255\n" + b"x " * 12, None)
    yield Picture("runs of nothing.bmp", bmp(8, 8, 1, b"\0\0" * 99), "either")
    yield Picture(
        "codes.gif",
        b"GIF89a\x08\0\x08\0\0\0\0,\0\0\0\0\x08\0\x08\0\0\x0c\xff" + b"\xff" * 255 + b"\0;",
        "either",
    )


def _bombs() -> Iterator[Picture]:
    small = saved(Image.new("L", (4, 4)), "JPEG")
    frame = saved(Image.new("P", (4, 4)), "GIF")
    at = frame.rfind(b",")
    zeros = zlib.compress(bytes(100_000_000))
    yield Picture("text.png", png(4, 4, chunk(b"zTXt", b"a\0\0" + zeros)), None)
    yield Picture("profile.png", png(4, 4, chunk(b"iCCP", b"a\0\0" + zeros)), "either")
    yield Picture("pixels.png", png(4, 4, pixels=bytes(50_000_000)), "either")
    yield Picture("chunks.png", png(4, 4, chunk(b"teSt", b"") * 200_000), None)
    yield Picture("comments.gif", frame[:at] + b"!\xfe\x01x\0" * 400_000 + frame[at:], None)
    yield Picture("markers.jpg", small[:2] + b"\xff\xe5\0\2" * 400_000 + small[2:], None)
    yield Picture("scans.jpg", scans(4000, 400), None)
    yield Picture("many exif.jpg", small[:2] + (b"\xff\xe1\0\x0aExif\0\0II") * 99 + small[2:], None)
    yield Picture("ends of lines.bmp", bmp(8000, 7900, 1, b"\1\0\0\0" * 7900 + b"\0\1"), None)
    yield Picture("remarks.ppm", b"P3 10 10 255\n" + b"#a\n" * 400_000 + b"1 " * 300, None)
    yield Picture("remarks first.ppm", b"P6 " + b"#a\n" * 400_000 + b"10 10 255\n" + bytes(300), None)
    yield Picture("digits.ppm", b"P3 9000 7000 255\n" + b"1 " * 99, None)
    tags = {40_000 + i: (1, 1_000_000, 8) for i in range(20_000)}
    yield Picture("tags.tif", tiff(tags, bytes(1_000_000)), None)
    yield Picture("fractions.tif", tiff({282: (5, 125_000, 8)}, bytes(1_000_000)), None)
    black = np.zeros((4, 4, 3), np.uint8)
    yield Picture("fractions.png", saved(black, "PNG", exif=_fractions(200_000)), black)


def pictures() -> list[Picture]:
    """All of them, each with another name."""
    made = [*_turned(), *_modes(), *_no_pictures(), *_sizes(), *_broken(), *_bombs()]
    return [
        Picture(f"{number:03d} {one.name}", one.data, one.wanted, one.gap) for number, one in enumerate(made)
    ]


def seeds() -> list[bytes]:
    """Small good pictures of every format, to be mutated."""
    fine = (one.data for one in (*_turned(), *_modes()) if not isinstance(one.wanted, str))
    return [data for data in fine if len(data) < 20_000]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """data with a few seeded changes: bytes, bits, cuts, repeats, and numbers that mean trouble."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        at, kind = int(rng.integers(len(out) or 1)), int(rng.integers(7))
        span = int(rng.integers(1, 33))
        if kind == 0:
            out[at : at + 1] = bytes([int(rng.integers(256))])
        elif kind == 1 and out:
            out[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            del out[at : at + span]
        elif kind == 3:
            out[at:at] = out[at : at + span]
        elif kind == 4:
            number = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)[int(rng.integers(8))]
            order = "big" if rng.integers(2) else "little"
            out[at : at + 4] = number.to_bytes(4, order)
        elif kind == 5:
            del out[at + 1 :]
        else:
            out[at : at + span] = rng.integers(256, size=span, dtype=np.uint8).tobytes()
    return bytes(out)
