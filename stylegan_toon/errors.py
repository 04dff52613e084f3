"""Every error a user can meet, each with its exit code: the one table of them. How a message names a path."""

from collections.abc import Mapping
from pathlib import Path


class ToonError(Exception):
    """An error with one line for the user: what was given, what was wanted, what to do next."""

    exit_code = 1


class UsageError(ToonError):
    """A wrong option, argument or combination of them."""

    exit_code = 2


class InputError(ToonError):
    """Some inputs are unreadable, or hold no face."""

    exit_code = 3


class ModelError(ToonError):
    """A model is missing, broken or of the wrong kind."""

    exit_code = 4


class MissingPartError(ToonError):
    """An optional part or a device is missing."""

    exit_code = 5


class MemoryFullError(ToonError):
    """Out of memory, on the CPU or on a GPU."""

    exit_code = 6


class RunBusyError(ToonError):
    """Another process holds the run folder."""

    exit_code = 7


class NotFiniteError(ToonError):
    """A loss or gradient is NaN or infinite."""

    exit_code = 8


class DiskError(ToonError):
    """The disk is full, or a place is not writable."""

    exit_code = 9


class DownloadError(ToonError):
    """A download failed, or its checksum is wrong."""

    exit_code = 10


class RankLostError(ToonError):
    """Another process of a run of several ended, or does not answer."""

    exit_code = 11


class Interrupted(ToonError):
    """Ctrl-C; the state was saved."""

    exit_code = 130


class Terminated(ToonError):
    """SIGTERM; the state was saved."""

    exit_code = 143


EXIT_CODES: Mapping[int, str] = {
    0: "done",
    1: "a bug in the program (use --debug for the traceback)",
    2: "wrong usage",
    3: "some inputs bad or without a face",
    4: "model missing, broken or of the wrong kind",
    5: "optional part or device missing",
    6: "out of memory",
    7: "run folder busy",
    8: "training not finite",
    9: "disk full or not writable",
    10: "download or checksum failed",
    11: "another process of the run ended",
    130: "interrupted, state saved",
    143: "terminated, state saved",
}


def shown(path: str | Path, width: int = 72) -> str:
    """The path for a one-line message: control characters replaced, its beginning cut where it is long."""
    text = "".join(c if c.isprintable() else "?" for c in str(path))
    return text if len(text) <= width else "..." + text[3 - width :]
