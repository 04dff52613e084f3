"""One process a run folder: an flock on RUN/.lock, which the system frees however its holder dies.

Imports no torch, so that a second run is told within the time that Python takes to start.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stylegan_toon.errors import DiskError, RunBusyError, shown

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder are not kept apart there
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"
_held: set[Path] = set()


@contextmanager
def hold(out: Path) -> Iterator[None]:
    """Hold the run folder out, made if need be; a folder that this call made and nobody filled goes again.

    A process that holds it already goes on at once.
    Raises: RunBusyError, naming the process that holds it; DiskError if it cannot be made or written.
    """
    key = out.resolve()
    if key in _held:
        yield
        return
    made = not out.exists()
    try:
        handle = _take(out)
    except OSError as error:
        raise DiskError(f"{shown(out)} cannot be written ({error.strerror}); choose another --out") from None
    _held.add(key)
    try:
        yield
    finally:
        _held.discard(key)
        with suppress(OSError):
            if made and [path.name for path in out.iterdir()] == [NAME]:
                (out / NAME).unlink()
                out.rmdir()
            else:
                os.truncate(handle, 0)
        os.close(handle)


def _take(out: Path) -> int:
    """A descriptor of the lock file, locked, with this process's name in it."""
    while True:
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out / NAME, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if fcntl:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):  # what we locked may have been removed in between
                if os.path.samestat(os.fstat(handle), (out / NAME).stat()):
                    os.truncate(handle, 0)
                    os.pwrite(handle, f"{os.getpid()} on {socket.gethostname()}\n".encode(), 0)
                    return handle
        except BlockingIOError:
            holder = _holder(handle)
            os.close(handle)
            raise RunBusyError(
                f"{shown(out)} is in use by process {holder}; wait, or choose another --out"
            ) from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _holder(handle: int) -> str:
    """Who holds it; the name is written a moment after the lock is taken."""
    for _ in range(10):
        if name := os.pread(handle, 100, 0).decode(errors="replace").strip():
            return name
        time.sleep(0.02)
    return "?"
