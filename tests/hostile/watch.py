"""What a reader of hostile files must not do, seen through Python's audit events."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

RUNS = (
    "exec", "compile", "subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork",
    "os.startfile", "ctypes.", "socket.", "pickle.", "marshal.", "import",
)  # fmt: skip
OPTIONAL = "pillow_heif"
CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "shutil.")
_seen: list[str] = []
_inside: list[Path | None] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _inside:
        return
    if event == "import" and args[0] == OPTIONAL:
        return  # where it is not installed, it is looked for again for every HEIC picture
    if event.startswith(RUNS):
        _seen.append(f"{event} {args!r:.100}")
    elif event == "open" and len(args) == 3:
        path, mode, flags = args
        writes = any(c in mode for c in "wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and not _allowed(path):
            _seen.append(f"open {args!r:.100}")
    elif event.startswith(CHANGES) and not _allowed(args[0]):
        _seen.append(f"{event} {args!r:.100}")


def _allowed(path: object) -> bool:
    if path == os.devnull:
        return True
    folder = _inside[-1]
    if folder is None or not isinstance(path, str | bytes | os.PathLike):
        return False
    return Path(os.path.abspath(os.fsdecode(path))).is_relative_to(folder.absolute())  # noqa: PTH100


sys.addaudithook(_hook)


@contextlib.contextmanager
def watched(folder: Path | None = None) -> Iterator[list[str]]:
    """What was run or imported, and what was changed outside folder, while the block ran.

    What the program imports late must have been imported before.
    """
    Image.init()  # imports the decoders
    _seen.clear()
    _inside.append(folder)
    try:
        yield _seen
    finally:
        _inside.pop()
