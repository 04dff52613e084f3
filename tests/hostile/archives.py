"""Archives made to lead out, lie, fill or hang a reader, and odd ones that must be read right."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tests.hostile.pictures import png, quarters, saved

PICTURE = saved(quarters(), "PNG")
OTHER = png(8, 8)


@dataclass(frozen=True)
class Archive:
    """A file's bytes, and what must come of it.

    good: names to be read as PICTURE or OTHER, in this order; None where the whole is refused.
    refused: how many members are named and refused.
    """

    name: str
    data: bytes
    good: tuple[str, ...] | None
    refused: int = 0


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], packed: int = zipfile.ZIP_STORED) -> bytes:
    """Members as a ZIP."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packed) as pack:
        for name, data in members:
            pack.writestr(name, data)
    return file.getvalue()


def tarred(*members: tuple[str | tarfile.TarInfo, bytes], kind: int = tarfile.PAX_FORMAT) -> bytes:
    """Members as a TAR."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as pack:
        for member, data in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if isinstance(member, str):
                info.size = len(data)
            pack.addfile(info, io.BytesIO(data))
    return file.getvalue()


def _unix(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def _entry(name: str, kind: bytes, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def _patched(data: bytes, mark: bytes, at: int, new: bytes, last: bool = True) -> bytes:
    start = (data.rfind(mark) if last else data.find(mark)) + at
    return data[:start] + new + data[start + len(new) :]


def _signed(block: bytes) -> bytes:
    """A TAR header block with its sum."""
    block = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _header(name: str, size: int, kind: bytes = b"0") -> bytes:
    info = _entry(name, kind)
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT)[:512])
    block[124:136] = (
        b"\x80" + size.to_bytes(11, "big")
        if size >= 0
        else b"\xff" * 3 + size.to_bytes(9, "big", signed=True)
    )
    return _signed(bytes(block))


def overlapping(count: int) -> bytes:
    """A ZIP whose many members are the same bytes."""
    whole = zipped(("00000.png", PICTURE))
    start = whole.rfind(b"PK\1\2")
    entry = whole[start : whole.rfind(b"PK\5\6")]
    entries = entry * count
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, len(entries), start, 0)
    return whole[:start] + entries + end


def _zips() -> Iterator[Archive]:
    fine = zipped(("b.png", PICTURE), ("a/c.png", OTHER))
    both = ("a/c.png", "b.png")
    deflated = zipped(("b.png", PICTURE), packed=zipfile.ZIP_DEFLATED)
    yield Archive("stored.zip", fine, both)
    yield Archive("deflated.zip", deflated, ("b.png",))
    yield Archive("called otherwise.tar", fine, both)
    yield Archive("nothing.zip", zipped(), ())
    yield Archive("texts.zip", zipped(("a.txt", b"a"), ("b.py", b"import os")), ())
    hidden = zipped((".a.png", b"x"), ("__MACOSX/._b.png", b"x"), ("b.png", PICTURE), ("d.png/", b""))
    yield Archive("hidden.zip", hidden, ("b.png",))
    for number, name in enumerate(
        ("../a.png", "a/../../a.png", "/a.png", "C:/a.png", "..\\a.png", "\\\\pc\\a.png")
    ):
        yield Archive(f"leads out {number}.zip", zipped((name, PICTURE), ("b.png", PICTURE)), ("b.png",), 1)
    yield Archive("times.zip", zipped(("12:30.png", PICTURE)), ("12:30.png",))
    yield Archive("windows.zip", zipped(("folder\\b.png", PICTURE)), ("folder/b.png",))
    yield Archive(
        "odd names.zip",
        zipped(("a\nb.png", OTHER), ("\x1b[31m.png", OTHER), ("\u202egnp.png", OTHER)),
        ("\u202egnp.png",),
        2,
    )
    yield Archive("long name.zip", zipped(("a" * 5000 + ".png", OTHER)), (), 1)
    yield Archive(
        "link.zip", zipped((_unix("a.png", 0o120777), b"/etc/passwd"), ("b.png", OTHER)), ("b.png",), 1
    )
    yield Archive("device.zip", zipped((_unix("a.png", 0o020666), b"")), (), 1)
    locked = _patched(
        _patched(zipped(("b.png", OTHER)), b"PK\1\2", 8, b"\1"), b"PK\3\4", 6, b"\1", last=False
    )
    yield Archive("locked.zip", locked, (), 1)
    for kind in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield Archive(f"packed by {kind}.zip", zipped(("b.png", PICTURE), packed=kind), (), 1)
    bomb = zipped(("a.bmp", bytes(20_000_000)), ("b.png", OTHER), packed=zipfile.ZIP_DEFLATED)
    yield Archive("zeros.zip", bomb, ("b.png",), 1)
    yield Archive("says less.zip", _patched(deflated, b"PK\1\2", 24, struct.pack("<I", 9)), (), 1)
    yield Archive("says more.zip", _patched(deflated, b"PK\1\2", 24, struct.pack("<I", 9000)), (), 1)
    yield Archive("says far more.zip", _patched(deflated, b"PK\1\2", 24, struct.pack("<I", 2**31)), (), 1)
    yield Archive("wrong sum.zip", _patched(fine, b"PK\1\2", 16, b"\0\0\0\0"), ("b.png",), 1)
    yield Archive("other name inside.zip", _patched(fine, b"b.png", 0, b"x", last=False), ("a/c.png",), 1)
    yield Archive(
        "starts elsewhere.zip", _patched(fine, b"PK\1\2", 42, struct.pack("<I", 2**31)), ("b.png",), 1
    )
    yield Archive("overlap.zip", overlapping(3000), None)
    twice = zipped(("a.png", PICTURE), ("b.png", OTHER))
    yield Archive("twice.zip", twice.replace(b"b.png", b"a.png"), ("a.png",), 1)
    yield Archive(
        "archives inside.zip",
        zipped(("a.zip", bomb), ("b.tar.gz", gzip.compress(tarred(), mtime=0)), ("c.png", OTHER)),
        ("c.png",),
    )
    many = zipped(*((f"{i}.txt", b"") for i in range(3000)), ("c.png", OTHER))
    yield Archive("many.zip", many, ("c.png",))
    yield Archive("remark.zip", fine[:-2] + struct.pack("<H", 22) + fine[-22:], None)
    yield Archive("half a.zip", fine[: len(fine) // 2], None)
    yield Archive("no list.zip", fine[: fine.rfind(b"PK\1\2")], None)
    yield Archive("list nowhere.zip", _patched(fine, b"PK\5\6", 12, b"\xff\xff\xff\x7f"), None)
    yield Archive("not a picture.zip", zipped(("b.png", OTHER), ("a.png", b"import os")), ("b.png",), 1)


def _tars() -> Iterator[Archive]:
    fine = tarred(("b.png", PICTURE), ("a/c.png", OTHER))
    both = ("b.png", "a/c.png")
    yield Archive("plain.tar", fine, both)
    yield Archive("old.tar", tarred(("b.png", PICTURE), kind=tarfile.USTAR_FORMAT), ("b.png",))
    packers: tuple[Callable[[bytes], bytes], ...] = (
        partial(gzip.compress, mtime=0),
        bz2.compress,
        lzma.compress,
    )
    for number, pack in enumerate(packers):
        yield Archive(f"packed {number}.tar", pack(fine), both)
        yield Archive(f"half packed {number}.tar", pack(fine)[: len(pack(fine)) // 2], None)
    yield Archive("nothing.tar", tarred(), ())
    yield Archive(
        "zip at the end.tar", tarred(("c.png", OTHER), ("x.bin", zipped(("b.png", OTHER)))), ("c.png",)
    )
    for number, name in enumerate(("../a.png", "/a.png", "a/../../b.png")):
        yield Archive(f"leads out {number}.tar", tarred((name, PICTURE), ("b.png", OTHER)), ("b.png",), 1)
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE):
        link = _entry("a.png", kind, linkname="/etc/passwd", devmajor=1, devminor=5)
        yield Archive(f"type {kind.decode()}.tar", tarred((link, b""), ("b.png", OTHER)), ("b.png",), 1)
    by_pax = _entry("a.png", tarfile.REGTYPE, size=len(OTHER), pax_headers={"path": "../../b.png"})
    yield Archive("leads out by header.tar", tarred((by_pax, OTHER)), (), 1)
    lies = _entry("a.png", tarfile.REGTYPE, size=len(OTHER), pax_headers={"size": "99999999999"})
    yield Archive("says more by header.tar", tarred((lies, OTHER)), None)
    holes = _entry(
        "a.png", tarfile.REGTYPE, pax_headers={"GNU.sparse.size": "300000000", "GNU.sparse.map": "0,0"}
    )
    yield Archive("holes.tar", tarred((holes, b""), ("b.png", OTHER)), ("b.png",), 1)
    wide = _entry("a.png", tarfile.REGTYPE, size=len(OTHER), pax_headers={"comment": "x" * 3_000_000})
    yield Archive("wide header.tar", tarred((wide, OTHER)), None)
    keys = _entry("a.png", tarfile.REGTYPE, pax_headers={f"k{i}": "" for i in range(3000)})
    yield Archive("many headers.tar", tarred((keys, b"")), None)
    header = b"13 path=x.png\n".ljust(512, b"\0")
    nested = (_header("x", 14, b"x") + header) * 3000
    yield Archive("headers of headers.tar", nested + _header("a.png", 0) + bytes(1024), None)
    yield Archive("backwards.tar", _header("a.png", 0) + _header("b.png", -1024) + bytes(1024), None)
    yield Archive("beyond.tar", _header("a.png", 2**40) + bytes(1024), None)
    yield Archive("half a.tar", fine[:600], None)
    yield Archive("broken later.tar", fine[:1024] + b"?" * 512 + fine[1536:], None)
    yield Archive("twice.tar", tarred(("a.png", OTHER), ("a.png", PICTURE)), ("a.png",), 1)
    latin = tarred(("a\udce4.png", OTHER), kind=tarfile.GNU_FORMAT)
    yield Archive("latin.tar", latin, ("a\\xe4.png",))
    zeros = gzip.compress(bytes(10_000_000), mtime=0)
    yield Archive("zeros.tar", gzip.compress(_header("a.txt", 2_000_000_000), mtime=0) + zeros * 200, None)
    yield Archive("a picture.tar", PICTURE, None)
    yield Archive("text.tar", b"import os\n" * 200, None)
    yield Archive("zero bytes.tar", b"", None)
    yield Archive("zeros alone.tar", bytes(20_480), ())


def archives() -> list[Archive]:
    """All of them, each with another name."""
    made = [*_zips(), *_tars()]
    return [Archive(f"{i:02d} {one.name}", one.data, one.good, one.refused) for i, one in enumerate(made)]


def seeds() -> list[bytes]:
    """Small good archives, to be mutated."""
    return [one.data for one in archives() if one.good and not one.refused and len(one.data) < 40_000]
