"""Do memory, open files or the time of a round grow? Prints JSON; exits with 1 above 1 MB per 1,000 rounds.

python benchmarks/leaks.py train [--rounds 2000]
python benchmarks/leaks.py toonify [--rounds 500] [--photo FILE]

One process trains a tiny network, with states, looks and models as any run, or turns one photo into a cartoon
again and again, with the loaded models. Memory is the resident set of /proc/self/status; the slope is fitted
by least squares to what comes after the first quarter. ms_early and ms_late are a round's, of the first and
the last tenth, without what loading takes.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[1]


def resident() -> float:
    """This process's resident memory in MB."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def train(rounds: int, note: Callable[[int], None]) -> None:
    from stylegan_toon.methods.gan import GanConfig
    from stylegan_toon.methods.scratch import Scratch
    from stylegan_toon.pipelines.networks import gan_look
    from stylegan_toon.stylegan2.config import Config
    from stylegan_toon.stylegan2.discriminator import Discriminator
    from stylegan_toon.stylegan2.generator import Generator
    from stylegan_toon.training import loop

    network = Config(16, (8, 8, 8), 8, 8, 2)
    method = Scratch(
        GanConfig(batch=4, ada_p=0.2, ada_images=1000), Generator(network), Discriminator(network)
    )
    with tempfile.TemporaryDirectory() as folder:
        look = gan_look(method.gan, Path(folder), {})

        def noted(done: int) -> dict[str, float]:
            figures = look(done)
            note(done)
            return figures

        def stream(i: int) -> dict[str, torch.Tensor]:
            return {"photo": torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(i)) * 2 - 1}

        run = loop.Run(Path(folder), rounds, 100, max(1, rounds // 40), quiet=True)
        loop.train(method, stream, run, noted, {})


def toonify(rounds: int, note: Callable[[int], None], photo: str) -> None:
    from stylegan_toon.pipelines.toonify import toonify_files

    with tempfile.TemporaryDirectory() as folder:
        photos = [Path(folder) / f"{i}{Path(photo).suffix}" for i in range(rounds)]
        for path in photos:  # one path named twice would be drawn once
            path.symlink_to(Path(photo).absolute())
        out = str(Path(folder) / "out")
        for done, result in enumerate(toonify_files([str(p) for p in photos], out=out, device="cpu"), 1):
            assert not result.error, result.error
            if done % max(1, rounds // 40) == 0:
                note(done)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=["train", "toonify"])
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--photo", default=str(ROOT / "samples" / "nasa_astronaut.png"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rounds = options.rounds or {"train": 2000, "toonify": 500}[options.what]
    rows: list[tuple[int, float, int, int]] = []
    clock: list[float] = []

    def note(done: int) -> None:
        gc.collect()
        clock.append(time.monotonic())
        rows.append((done, resident(), len(os.listdir("/proc/self/fd")), threading.active_count()))  # noqa: PTH208

    began = time.monotonic()
    if options.what == "train":
        train(rounds, note)
    else:
        toonify(rounds, note, options.photo)
    warm = rows[len(rows) // 4 :]
    slope = float(np.polyfit([row[0] for row in warm], [row[1] for row in warm], 1)[0]) * 1000
    tenth, each = max(1, len(clock) // 10), 1000 / max(1, rounds // 40)
    early, late = clock[tenth] - clock[0], clock[-1] - clock[-1 - tenth]
    files, threads = ({row[i] for row in warm} for i in (2, 3))
    report = {
        "what": options.what,
        "rounds": rounds,
        "mb_first": round(warm[0][1], 2),
        "mb_last": round(warm[-1][1], 2),
        "mb_per_1000": round(slope, 3),
        "open_files": sorted(files),
        "threads": sorted(threads),
        "ms_early": round(early / tenth * each, 1),
        "ms_late": round(late / tenth * each, 1),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(report, indent=1))
    return int(slope > 1 or len(files) > 1 or len(threads) > 1)


if __name__ == "__main__":
    sys.exit(main())
