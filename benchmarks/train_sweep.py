"""A short sweep of how a photo generator is trained from scratch, one setting changed at a time, as JSON.

    python benchmarks/train_sweep.py PHOTOS.zip HELDOUT.zip [--exclude FILE] [--pictures 16000] [--out WORK]

Every run shows as many pictures at 64 px. KID is of 1,000 samples (psi 1) of the average to the held-out
photos; the unchanged settings are run with three seeds, so that one knows what a difference is worth. A
stopped sweep goes on; what is there already is not run again, so several may share the work by --only.
"""

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path

import torch

from stylegan_toon.data import load_pictures
from stylegan_toon.pipelines.judge import kid_judge
from stylegan_toon.pipelines.models import load_generator
from stylegan_toon.training.log import entries

SIZE, BATCH = 64, 16
SETTINGS: dict[str, tuple[str, ...]] = {
    "as it is": (), "as it is, seed 1": ("--seed", "1"), "as it is, seed 2": ("--seed", "2"),
    "R1 0.1": ("--r1", "0.1"), "R1 1.6": ("--r1", "1.6"),
    "no ADA": ("--ada-target", "0"), "ADA target 0.4": ("--ada-target", "0.4"),
    "path length 2": ("--path-length", "2"),
    "mapping of 2": ("--mapping-layers", "2"), "mapping of 8": ("--mapping-layers", "8"),
    "batch 8": ("--batch", "8"), "batch 32": ("--batch", "32"),
}  # fmt: skip


def trained(photos: Path, exclude: list[str], pictures: int, how: tuple[str, ...], out: Path) -> Path:
    batch = int(how[1]) if how[:1] == ("--batch",) else BATCH
    steps = pictures // batch
    given = {"--out": out, "--resolution": SIZE, "--steps": steps, "--batch": batch, "--look-every": steps,
             "--save-every": max(steps // 8, 1)}  # fmt: skip
    options = [str(part) for pair in given.items() for part in pair] + exclude
    command = [sys.executable, "-m", "stylegan_toon.cli", "train", str(photos), *options]
    subprocess.run(
        [*command, *(how if how[:1] != ("--batch",) else ())], check=True, stdout=subprocess.DEVNULL
    )
    return out / "last.safetensors"


def seconds(out: Path) -> float:
    """How long the steps took, over all starts of the run."""
    past = last = 0.0
    for entry in entries(out):
        if "seconds" in entry:
            past, last = past + (last if entry["seconds"] < last else 0.0), entry["seconds"]
    return past + last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("heldout", type=Path)
    parser.add_argument("--exclude", action="append", default=[], help="as train")
    parser.add_argument("--pictures", type=int, default=16_000)
    parser.add_argument("--out", type=Path, default=Path("runs/train-sweep"))
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=[*SETTINGS], metavar="SETTING")
    options = parser.parse_args()
    where = torch.device("cpu")
    judge = kid_judge(load_pictures([options.heldout], SIZE, options.exclude), where, count=1000)
    assert judge, "too few pictures are held out"
    exclude = [part for given in options.exclude for part in ("--exclude", given)]
    rows = []
    for name in options.only:
        how = SETTINGS[name]
        out = options.out / name.replace(" ", "-").replace(",", "")
        kept = out / "kid.json"
        if not kept.is_file():
            file = trained(options.photos, exclude, options.pictures, how, out)
            kept.write_text(json.dumps(judge(load_generator(file, where))))
        rows.append(
            {"setting": name, "options": how, "seconds": round(seconds(out)), **json.loads(kept.read_text())}
        )
        print(f"{name}: {rows[-1]}", file=sys.stderr, flush=True)
    about = {"torch": torch.__version__, "machine": platform.machine(), "threads": torch.get_num_threads(),
             "photos": options.photos.name, "resolution": SIZE, "pictures": options.pictures}  # fmt: skip
    print(json.dumps({**about, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
