"""Kill a download again and again while its server misbehaves; what is on the disk after each kill, as JSON.

    python benchmarks/downloads.py [--kills 200] [--seed 0]

A child process fetches 4 MiB over https from a server in this process, and is killed (SIGKILL) after a random
time of up to twice what an undisturbed download takes, so that kills fall before, into and after the
transfer, the check and the renaming. Each request may be cut, be answered by a page, by an error, without
ranges, or with a changed ETag. After each kill the file must be absent or whole, and nothing but its own
helpers may lie beside it; at the end of each round of ten one child is left alone and must succeed.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from stylegan_toon import downloads  # noqa: E402
from stylegan_toon.errors import ToonError  # noqa: E402
from tests.https import Server, serving  # noqa: E402

FAULTS = ("", "", "", "cut", "cut", "cut", "no range", "no If-Range", "503", "html", "typed html", "chunked")
HELPERS = {".model.bin.part", ".model.bin.json", ".model.bin.lock", "model.bin"}


def child(url: str, path: Path, sha256: str) -> int:
    """The process id of a fork that fetches and ends with 0, 1 for an error that has a line, or 2."""
    if pid := os.fork():
        return pid
    code = 2
    try:
        downloads.fetch(url, path, sha256, timeout=5)
        code = 0
    except ToonError:
        code = 1
    finally:
        os._exit(code)


def round_of(server: Server, folder: Path, draw: random.Random, kills: int, usual: float) -> dict[str, int]:
    """One file, killed so often, then left alone."""
    path, seen = folder / "model.bin", {"killed": 0, "ended_before": 0, "whole": 0, "torn": 0, "strangers": 0}
    server.content = draw.randbytes(4 << 20)
    sha256 = hashlib.sha256(server.content).hexdigest()
    for _ in range(kills):
        server.faults = [draw.choice(FAULTS) for _ in range(3)]
        if draw.random() < 0.1:
            server.etag = f'"{draw.random()}"'
        pid = child(server.url(), path, sha256)
        time.sleep(draw.uniform(0, 2 * usual))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) == 2:
            raise SystemExit("an error without a line")
        seen["killed" if os.WIFSIGNALED(status) else "ended_before"] += 1
        if path.exists():
            seen["whole" if downloads.digest(path) == sha256 else "torn"] += 1
            path.unlink()
        seen["strangers"] += len({file.name for file in folder.iterdir()} - HELPERS)
    server.faults = []
    _, status = os.waitpid(child(server.url(), path, sha256), 0)
    seen["finished"] = int(status == 0 and downloads.digest(path) == sha256)
    seen["left_over"] = len({file.name for file in folder.iterdir()} - {"model.bin", ".model.bin.lock"})
    return seen


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    downloads.PAUSE = 0.01
    draw, total, rounds = random.Random(options.seed), {}, 0
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as server:
        os.environ["SSL_CERT_FILE"] = f"{name}/cert.pem"
        server.content, began = bytes(4 << 20), time.perf_counter()
        os.waitpid(
            child(server.url(), Path(name) / "model.bin", hashlib.sha256(server.content).hexdigest()), 0
        )
        usual = time.perf_counter() - began
        for done in range(0, options.kills, 10):
            folder = Path(name) / str(done)
            folder.mkdir()
            seen = round_of(server, folder, draw, min(10, options.kills - done), usual)
            for key, value in seen.items():
                total[key] = total.get(key, 0) + value
            rounds += 1
        asked = sum("Range" in headers for headers in server.asked)
        total |= {"rounds": rounds, "requests": len(server.asked), "of_them_resumed": asked}
    print(json.dumps({"seed": options.seed, **total}, indent=1))


if __name__ == "__main__":
    main()
