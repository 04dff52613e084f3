"""A style from few pictures, as a style file, against a run four times as long, as JSON.

    python benchmarks/small_style.py PICTURES.zip [--count 100] [--steps 400] [--seeds 0 1 2] [--out WORK]

For each seed `finetune --train lora` learns from COUNT of the pictures for STEPS steps, and then goes on to
four times as many. Both style files draw 1,000 samples, whose KID to the other pictures is taken in three
feature spaces; "ratio" is the short run's KID over the long one's. Seconds are those of the short run's
steps, over all its starts, without the look at its end; nearest and closer are what finetune reports of it.
A stopped benchmark goes on.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from stylegan_toon.archives import pictures as members
from stylegan_toon.data import load_pictures
from stylegan_toon.pipelines.judge import kid_judge
from stylegan_toon.pipelines.models import find_model, load_generator
from stylegan_toon.training.log import entries

TIMES = 4


def split(pictures: Path, count: int, seed: int, work: Path) -> tuple[Path, Path]:
    """Lists of names: what the run leaves out, and what it learns from."""
    names = sorted(name for name, _ in members(pictures))
    order = np.random.default_rng([7, seed]).permutation(len(names))
    chosen = {names[i] for i in order[:count]}
    left_out, learnt = work / "left-out.txt", work / "learnt.txt"
    left_out.write_text("".join(f"{name}\n" for name in names if name not in chosen))
    learnt.write_text("".join(f"{name}\n" for name in sorted(chosen)))
    return left_out, learnt


def seconds(out: Path, steps: int) -> float:
    """How long the first steps of a run took; every start of it counts from 0."""
    past = last = 0.0
    for entry in entries(out):
        if "seconds" in entry and entry["step"] <= steps:
            past, last = past + (last if entry["seconds"] < last else 0.0), entry["seconds"]
    return past + last


def run(pictures: Path, count: int, steps: int, seed: int, work: Path, more: list[str]) -> dict[str, object]:
    work.mkdir(parents=True, exist_ok=True)
    left_out, learnt = split(pictures, count, seed, work)
    short, out = work / "short.safetensors", work / "run"

    def finetune(length: int) -> None:
        given = {"--target": pictures, "--out": out, "--exclude": left_out, "--train": "lora",
                 "--steps": length, "--look-every": steps, "--save-every": 100, "--patience": 0,
                 "--seed": seed}  # fmt: skip
        options = [str(part) for pair in given.items() for part in pair]
        command = [sys.executable, "-m", "stylegan_toon.cli", "finetune", *options, *more]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    if not short.is_file():
        finetune(steps)
        (work / "copies.json").write_text(json.dumps([e for e in entries(out) if "nearest" in e][-1]))
        shutil.copy(out / "last.safetensors", short)
    finetune(TIMES * steps)
    where, parents = torch.device("cpu"), [find_model("faces")]
    source = load_generator("faces", where)
    others = load_pictures([pictures], source.config.resolution, [str(learnt)])
    judge = kid_judge(others, where, count=1000)
    assert judge, "too few pictures are left to judge by"
    files = {"source": find_model("faces"), "short": short, "long": out / "last.safetensors"}
    kid = {name: judge(load_generator(file, where, parents)) for name, file in files.items()}
    copies = json.loads((work / "copies.json").read_text())
    return {
        "seed": seed, "seconds": round(seconds(out, steps)),
        "bytes": short.stat().st_size, "nearest": copies["nearest"], "closer": copies["closer"],
        "kid": kid, "ratio": {space: kid["short"][space] / kid["long"][space] for space in kid["short"]},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/small-style"))
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="further options of finetune")
    options = parser.parse_args()
    runs = [
        run(options.pictures, options.count, options.steps, seed, options.out / str(seed), options.more)
        for seed in options.seeds
    ]
    about = {"torch": torch.__version__, "machine": platform.machine(), "threads": torch.get_num_threads(),
             "pictures": options.pictures.name, "count": options.count, "steps": options.steps,
             "options": options.more}  # fmt: skip
    print(json.dumps({**about, "runs": runs}, indent=1))


if __name__ == "__main__":
    main()
