"""Files that are written whole or not at all: aside in the same folder, then renamed over what was there."""

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from stylegan_toon.errors import DiskError, shown


def write_aside(path: str | Path, parts: Sequence[Any]) -> None:
    """Write parts (buffers of bytes) so that path holds what it held or all of them, even after a crash.

    The folder is made if need be; what a link points to is written.
    Raises: DiskError, leaving no half-written file behind.
    """
    try:
        target = Path(path).resolve()
        if target.exists() and not target.is_file():
            raise DiskError(f"{shown(path)} is not a regular file; name a file to write")
        with _aside(target) as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        if sys.platform != "win32":  # a folder cannot be opened there
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise _failed(path, error, f"{sum(memoryview(part).nbytes for part in parts)}") from None


@contextmanager
def open_aside(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of path, or of a link there, where the block ends without an error.

    The folder is made if need be; nothing waits for the disk.
    Raises: DiskError, leaving no half-written file behind.
    """
    written = 0
    try:
        with _aside(path) as file:
            try:
                yield file
            finally:
                with suppress(OSError, ValueError):
                    written = file.tell()
    except OSError as error:
        raise _failed(path, error, f"more than {written}") from None


@contextmanager
def _aside(target: Path) -> Iterator[BinaryIO]:
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f".{os.getpid()}-{secrets.token_hex(6)}.part"
    try:
        with aside.open("xb") as file:
            yield file
        aside.replace(target)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise


def _failed(path: str | Path, error: Exception, wanted: str) -> DiskError:
    """The error for what could not be written, with the bytes wanted and free where a disk is full."""
    number = error.errno if isinstance(error, OSError) else None
    why = (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:60]
    remedy = "choose another place"
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        why, remedy = f"{why[:30]}: {wanted} bytes wanted", "free some space"
    if number in (errno.ENOSPC, errno.EDQUOT):
        with suppress(OSError):
            why += f", {shutil.disk_usage(Path(path).resolve().parent).free} free"
    return DiskError(f"{shown(path)} could not be written ({why}); {remedy}")
