"""Pictures in folders, ZIPs and TARs, read in place: nothing is ever extracted, and hostile archives end in
one line."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import BinaryIO, cast

from stylegan_toon.errors import InputError, shown
from stylegan_toon.images import MAX_BYTES, SUFFIXES, list_images, read_file

MAX_MEMBERS = 500_000
MAX_DIRECTORY = 32_000_000  # bytes of a ZIP's list of members
MAX_HEADER = 65_536  # bytes of a TAR's extended header, and what is read of a member at once
MAX_RATIO = 200  # unpacked to packed, beyond SLACK; pictures hardly shrink, blank BMP and TIFF shrink much
SLACK = 64_000_000
MAX_NAME = 1000

Read = Callable[[], bytes]
OPENERS: dict[bytes, Callable[[BinaryIO], BinaryIO]] = {
    b"\x1f\x8b": lambda file: cast(BinaryIO, gzip.GzipFile(fileobj=file)),
    b"BZh": lambda file: cast(BinaryIO, bz2.BZ2File(file)),
    b"\xfd7zXZ\0": lambda file: cast(BinaryIO, lzma.LZMAFile(file)),  # noqa: SIM115
}
BROKEN = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    KeyError,
    IndexError,
    OverflowError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
)


def pictures(source: Path) -> Iterator[tuple[str, Read]]:
    """Yield (name, read) of the pictures of a source: what is called like one (images.SUFFIXES).

    read() gives the file's bytes, and works until the next picture is asked for. Folders (searched to any
    depth) and ZIPs come in the order of names, a TAR (plain, gzip, bzip2, xz) as it is packed. Hidden files
    and archives in archives are left out.
    Raises: InputError for what is neither, is damaged as a whole, or is made to fill memory or time.
        read() raises InputError for a member that is a link, encrypted, too large, packed too well, has a
        name that leads out of the archive, or is there twice.
    """
    if source.is_dir():
        return _folder(source)
    return _archive(source)


def picture_name(name: str) -> bool:
    """Whether a member with / in its name is to be read: called like a picture, and not hidden."""
    last = name.rsplit("/", 1)[-1]
    return not last.startswith(".") and Path(last).suffix.lower() in SUFFIXES


def _folder(source: Path) -> Iterator[tuple[str, Read]]:
    files = [file for file, _ in list_images([source])]
    named = sorted((_text(file.relative_to(source).as_posix()), file) for file in files)
    for name, file in named:
        yield name, partial(_read_file, file)


def _read_file(file: Path) -> bytes:
    try:
        return read_file(file)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(f"{shown(file)} cannot be read ({why[:40]}); check path and disk") from None


def _archive(source: Path) -> Iterator[tuple[str, Read]]:
    try:
        if not source.is_file():
            raise InputError(f"{shown(source)} is no folder or file; name a folder, ZIP or TAR of pictures")
        with source.open("rb") as file:
            head = file.read(6)
            file.seek(0)
            opener = next((made for magic, made in OPENERS.items() if head.startswith(magic)), None)
            size = source.stat().st_size
            if opener:
                stream = _Unpacked(opener(file), SLACK + MAX_RATIO * size)
                yield from _tar(source, stream)
            elif head.startswith(b"PK"):
                yield from _zip(source, file, size)
            else:
                yield from _tar(source, _Unpacked(file, size))
    except RecursionError:
        raise InputError(f"{shown(source)} is nested without end; pack it again") from None
    except BROKEN as error:
        why = f"is not a folder, ZIP or TAR of pictures, or damaged ({type(error).__name__})"
        raise InputError(f"{shown(source)} {why}; name another or pack it again") from None


class _Unpacked(io.RawIOBase):
    """A stream that gives no more than a limit in all, and no more than MAX_DIRECTORY at once."""

    def __init__(self, stream: BinaryIO, limit: int):
        self.stream, self.limit, self.most = stream, limit, MAX_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self.most + 1 if size is None or size < 0 else size
        if wanted > self.most + 1 or len(piece := self.stream.read(wanted)) > self.most:
            raise ValueError("a header of the archive is too large")
        if self.stream.tell() > self.limit:
            raise ValueError("the archive unpacks to far more than it is")
        return piece

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence == 0 and offset > self.limit:
            raise ValueError("the archive ends before its members do")
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def _zip(source: Path, file: BinaryIO, size: int) -> Iterator[tuple[str, Read]]:
    with zipfile.ZipFile(cast(BinaryIO, _Unpacked(file, size))) as pack:
        infos = pack.infolist()
        if len(infos) > MAX_MEMBERS:
            raise InputError(f"{shown(source)} has more than {MAX_MEMBERS:,} members; split it")
        if sum(info.compress_size for info in infos) > size:
            raise InputError(f"{shown(source)} has members that overlap; pack it again")
        seen: set[str] = set()
        for name, info in sorted(((_tidy(info.filename), info) for info in infos), key=lambda pair: pair[0]):
            if info.is_dir() or not picture_name(name):
                continue
            why, opened = _why_not_zip(info, name, seen), partial(pack.open, info)
            yield name, partial(_checked, source, name, why, opened, info.file_size)
            seen.add(name)


def _why_not_zip(info: zipfile.ZipInfo, name: str, seen: set[str]) -> str | None:
    kind = info.external_attr >> 28  # the upper half holds st_mode where the archive comes from Unix
    if info.create_system == 3 and kind not in (0, 8):
        return "is a link or device"
    if info.flag_bits & 0x41:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is not packed by deflate"
    if info.file_size > 1_000_000 + MAX_RATIO * info.compress_size:
        return "is packed too well for a picture"
    return _why_not(name, info.file_size, seen)


def _tar(source: Path, stream: _Unpacked) -> Iterator[tuple[str, Read]]:
    stream.most = MAX_HEADER
    seen: set[str] = set()
    with tarfile.open(fileobj=cast(BinaryIO, stream), mode="r:", errorlevel=0) as pack:
        place = count = -1
        for count, info in enumerate(iter(pack.next, None)):
            if count >= MAX_MEMBERS:
                raise InputError(f"{shown(source)} has more than {MAX_MEMBERS:,} members; split it")
            if info.offset <= place or info.size < 0 or len(info.pax_headers) > 100:  # would go on for ever
                raise InputError(f"{shown(source)} has a header that makes no sense; pack it again")
            place = info.offset
            pack.members.clear()  # type: ignore[attr-defined]  # it would keep them all
            name = _tidy(info.name)
            if info.isdir() or not picture_name(name):
                continue
            why = _why_not(name, info.size, seen)
            if not info.isreg() or info.sparse is not None:
                why = "is a link, device or sparse"
            yield name, partial(_checked, source, name, why, partial(pack.extractfile, info), info.size)
            seen.add(name)
        stream.seek(pack.offset)
        if stream.read(512).strip(b"\0"):  # tarfile takes a broken header for the end
            raise InputError(f"{shown(source)} is damaged after {count + 1} members; pack it again")


def _why_not(name: str, size: int, seen: set[str]) -> str | None:
    if name.startswith("/") or ".." in name.split("/") or PureWindowsPath(name).drive:
        return "has a name that leads elsewhere"
    if len(name) > MAX_NAME:
        return f"has a name of more than {MAX_NAME:,} characters"
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        return "has control characters in its name"
    if name in seen:
        return "is there twice"
    return f"has more than {MAX_BYTES // 1_000_000} million bytes" if size > MAX_BYTES else None


def _checked(source: Path, name: str, why: str | None, opened: Callable[[], object], size: int) -> bytes:
    """The bytes of a member, unless there is a reason why not."""
    if why is None:
        try:
            with cast(BinaryIO, opened()) as file:
                data = b"".join(iter(partial(file.read, MAX_HEADER), b""))
            if len(data) == size:
                return data
            why = "is cut short"
        except BROKEN as error:
            why = f"is damaged ({type(error).__name__})"
    raise InputError(f"{shown(name, 60)} in {shown(source, 60)} {why}; leave it out")


def _tidy(name: str) -> str:
    """A member's name with / between folders, as Windows programs do not always write it."""
    return _text(name.replace("\\", "/").removeprefix("./"))


def _text(name: str) -> str:
    """A name whose bytes were no UTF-8, written with escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
