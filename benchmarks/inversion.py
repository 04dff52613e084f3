"""How near each stop of `invert --refine` comes to held-out photos, and how often a further one is worse.

    python benchmarks/inversion.py PHOTOS... [--source faces] [--stops 0,1,2,3,3+pti] [--limit N]
        [--part 1/1] [--batch 1] [--work FOLDER] [--out FILE]

PHOTOS are folders and ZIPs of aligned faces that nothing was trained on. For every photo and stop: PSNR, the
distance of features (LPIPS where its files are, else MobileFace's), the cosine of identity embeddings
(MobileFace, which the optimisation uses too), the distance of five landmarks in eye distances (YuNet's, in
no loss), and seconds for the photo alone, or with --batch its share of those of so many together. Pictures
are compared as they are saved, at the generator's size.
Every figure is a line of FOLDER/part-I-of-N.jsonl as soon as it is there; a stopped run goes on, and N
processes may share the photos. Printed is a table over all parts in FOLDER: means with 95 % intervals over
photos, and for every pair of neighbouring stops on how many photos the further one is worse.
"""

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan_toon import __version__
from stylegan_toon.data import load_pictures
from stylegan_toon.faces.detect import find_faces
from stylegan_toon.features.look import load_look
from stylegan_toon.images import to_uint8
from stylegan_toon.losses.perceptual import map_distance
from stylegan_toon.methods.invert import STEPS, tune
from stylegan_toon.metrics.structure import landmark_distance
from stylegan_toon.pipelines.evaluate import as_saved
from stylegan_toon.pipelines.invert import PTI_STEPS, Inverter

FIGURES = {"psnr": 1, "feature": -1, "identity": 1, "landmarks": -1}  # 1: more is better
STOPS = ("0", "1", "2", "3", "3+pti")


def points(picture: Tensor) -> Tensor | None:
    """[1, 5, 2]: the landmarks of the largest face in a picture [1, 3, R, R], if there is one."""
    found = find_faces(Image.fromarray(to_uint8(picture)[0]), min_score=0.3)
    return torch.from_numpy(found[0].points)[None] if found else None


def measure(inverter: Inverter, photos: Tensor, stop: str) -> tuple[Tensor, float]:
    """The inversions of photos [N, 3, R, R] at a stop, as saved, and the seconds one took."""
    began = time.perf_counter()
    refine, _, pti = stop.partition("+")
    found, g = inverter.fit(photos, STEPS[int(refine)], noise=True), inverter.source
    if pti:
        torch.manual_seed(0)
        g = tune(g, photos, found, PTI_STEPS, inverter.look)
    with torch.no_grad():
        made = found.draw(g)
    return as_saved(made), (time.perf_counter() - began) / len(photos)


def summary(rows: Sequence[Mapping[str, object]], stops: Sequence[str]) -> dict[str, object]:
    """Means with bootstrap intervals a stop, and worse photos a pair of stops, over photos that have all."""
    by = {(row["photo"], row["stop"]): row for row in rows}
    photos = sorted({row["photo"] for row in rows if all((row["photo"], stop) in by for stop in stops)})
    draw = np.random.default_rng(0).integers(len(photos), size=(2000, len(photos)))
    out: dict[str, object] = {"photos": len(photos), "stops": {}, "worse": {}}

    def column(name: str, stop: str) -> np.ndarray:
        return np.array([np.nan if by[p, stop][name] is None else by[p, stop][name] for p in photos], float)

    for stop in stops:
        figures = {}
        for name in (*FIGURES, "seconds"):
            values = column(name, stop)
            low, high = np.nanpercentile(np.nanmean(values[draw], 1), [2.5, 97.5])
            figures[name] = {"mean": float(np.nanmean(values)), "low": float(low), "high": float(high)}
        figures["no_face"] = int(np.isnan(column("landmarks", stop)).sum())
        out["stops"][stop] = figures
    for before, after in pairwise(stops):
        gaps = {name: (column(name, after) - column(name, before)) * FIGURES[name] for name in FIGURES}
        out["worse"][f"{before} to {after}"] = {name: int((gap < 0).sum()) for name, gap in gaps.items()}
    return out


def as_markdown(found: Mapping[str, dict], network: str) -> str:
    """The summary as two tables."""
    names = {"psnr": "PSNR, dB", "feature": f"features ({network})", "identity": "identity cosine",
             "landmarks": "landmarks", "seconds": "seconds"}  # fmt: skip
    lines = ["| `--refine` | " + " | ".join(names.values()) + " | no face found |", "| --- " * 7 + "|"]
    for stop, figures in found["stops"].items():
        cells = []
        for name in names:
            digits = 2 if name in ("psnr", "seconds") else 3
            mean, low, high = (f"{value:.{digits}f}" for value in figures[name].values())
            cells.append(f"{mean} ({low} to {high})")
        stop = stop.replace("+pti", " --pti")
        lines.append(f"| {stop} | " + " | ".join(cells) + f" | {figures['no_face']} |")
    lines += ["", f"| worse, of {found['photos']} | " + " | ".join(FIGURES) + " |", "| --- " * 5 + "|"]
    lines += [
        f"| {pair} | " + " | ".join(map(str, worse.values())) + " |" for pair, worse in found["worse"].items()
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--source", default="faces")
    parser.add_argument("--stops", default=",".join(STOPS))
    parser.add_argument("--limit", type=int, default=10**9)
    parser.add_argument("--part", default="1/1", help="I/N: photos I, I + N, ... of all")
    parser.add_argument(
        "--batch", type=int, default=1, help="photos together; 1 with --pti, which tunes for all"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/inversion"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    stops, (part, parts) = args.stops.split(","), map(int, args.part.split("/"))
    inverter = Inverter(args.source, "cpu", lpips=True)
    size = inverter.source.config.resolution
    look, network, _ = load_look(size)
    pictures = load_pictures(args.photos, size)[: args.limit]
    args.work.mkdir(parents=True, exist_ok=True)
    log = args.work / f"part-{part}-of-{parts}.jsonl"
    done = {(row["photo"], row["stop"]) for row in read(args.work)}
    inverter.fit(inverter.like(pictures[:1].float() / 127.5 - 1), 1)  # nothing is loaded while the clock runs
    mine = range(part - 1, len(pictures), parts)
    for stop in stops:
        left = [number for number in mine if (number, stop) not in done]
        for some in (left[i : i + args.batch] for i in range(0, len(left), args.batch)):
            photos = inverter.like(pictures[some].float() / 127.5 - 1)
            made, seconds = measure(inverter, photos, stop)
            (known, maps), (embeddings, own) = look(photos), look(made)
            apart = map_distance(own, maps)
            for i, number in enumerate(some):
                there, found = points(photos[i : i + 1]), points(made[i : i + 1])
                both = there is not None and found is not None
                row = {
                    "photo": number, "stop": stop, "seconds": seconds,
                    "psnr": -10 * math.log10(float(((made[i] - photos[i]) / 2).square().mean())),
                    "feature": float(apart[i]),
                    "identity": float((embeddings[i] * known[i]).sum()),
                    "landmarks": float(landmark_distance(there, found)) if both else None,
                }  # fmt: skip
                with log.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    found = summary(read(args.work), stops)
    about = {"program": __version__, "torch": torch.__version__, "threads": torch.get_num_threads(),
             "source": args.source, "features": network, **found}  # fmt: skip
    text = json.dumps(about, indent=1)
    if args.out:
        args.out.write_text(text + "\n")
    print(text + "\n\n" + as_markdown(found, network))


def read(folder: Path) -> list[dict]:
    """The rows of all parts."""
    return [
        json.loads(line)
        for path in sorted(folder.glob("part-*.jsonl"))
        for line in path.read_text().splitlines()
    ]


if __name__ == "__main__":
    main()
