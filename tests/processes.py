"""Several processes of one training run, forked, with the variables that torchrun sets.

As under torchrun, the store by which they find each other is not theirs and outlives them.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch.distributed as dist


class Ended(NamedTuple):
    """One process: its exit code, minus the signal that killed it, and what it printed."""

    code: int
    out: str
    err: str


def meeting_place() -> dist.TCPStore:
    """What torchrun keeps while its processes come and go."""
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def together(
    work: Callable[[int], int | None],
    folder: Path,
    count: int = 2,
    limit: float = 120,
    store: dist.TCPStore | None = None,
    restarts: int = 0,
) -> list[Ended]:
    """Call work(rank) in count processes, in folder; after limit seconds those that still run are killed.

    store: of an earlier call, where the processes are started again, as by torchrun --max-restarts.
    """
    store = store or meeting_place()
    children = [_forked(work, folder, rank, count, store.port, restarts) for rank in range(count)]
    codes: dict[int, int] = {}
    end = time.monotonic() + limit
    while len(codes) < count:
        for pid in children:
            if pid not in codes:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    codes[pid] = os.waitstatus_to_exitcode(status)
                elif time.monotonic() > end:
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    said = [[(folder / f".{name}{rank}").read_text() for name in ("out", "err")] for rank in range(count)]
    return [Ended(codes[pid], *texts) for pid, texts in zip(children, said, strict=True)]


def _forked(
    work: Callable[[int], int | None], folder: Path, rank: int, count: int, port: int, restarts: int
) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        os.chdir(folder)
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
        where["TORCHELASTIC_RESTART_COUNT"] = str(restarts)
        os.environ.update(where, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count))
        with Path(f".out{rank}").open("w", 1) as out, Path(f".err{rank}").open("w", 1) as err:
            sys.stdout, sys.stderr = out, err
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = work(rank) or 0
    finally:
        os._exit(code)
