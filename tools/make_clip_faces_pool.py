"""Gather the labelled pictures that tools/make_clip_faces.py trains on. Only for those who make clip-faces again.

    python tools/make_clip_faces_pool.py DATA AVATARS POOL [photos] [paintings] [samples] [avatars]

AVATARS is what tools/draw_avatars.mjs drew; DATA holds compact/faces128_train.zip, faces_synth/faces128.zip (whose
manifest tells men from women) and toon_painted/painted128.zip; samples of faces-128 and its styles are drawn beside
them. Pictures whose number ends in 9 are left out.
"""

import argparse
import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from make_clip_faces_words import labels, of_caption
from PIL import Image

from stylegan_toon.archives import pictures
from stylegan_toon.data import leaves_out
from stylegan_toon.decoding import read_image
from stylegan_toon.faces.detect import find_faces
from stylegan_toon.pipelines.models import load_generator
from stylegan_toon.stylegan2.latents import truncate

SIZE = 80  # edge of a picture; the network sees 64, cut out at random
INK = ("lorelei", "open-peeps")


def manifest(pack: Path) -> list[dict[str, str]]:
    with zipfile.ZipFile(pack) as opened:
        return list(csv.DictReader(io.StringIO(opened.read("manifest.csv").decode())))


def points_of(picture: Image.Image) -> np.ndarray:
    """[5, 2] in shares of the side, pixel edges at 0 and 1; NaN where no face is found."""
    faces = find_faces(picture)
    return (faces[0].points + 0.5) / picture.width if faces else np.full((5, 2), np.nan)


def photos(data: Path, each: int) -> Iterator[tuple]:
    exclude = leaves_out(["pretrained/faces-exclude.txt"])
    people = {
        f"synth/{Path(row['file']).stem}.webp": row["source"]
        for row in manifest(data / "faces_synth/faces128.zip")
    }
    count: dict[str, int] = {}
    for name, read in pictures(data / "compact/faces128_train.zip"):
        folder = name.split("/")[0]
        if exclude(name) or Path(name).stem.endswith("9") or count.get(folder, 0) >= each:
            continue
        count[folder] = count.get(folder, 0) + 1
        source = people.get(name, "")
        person = "woman" if source.startswith("female") else "man" if source.startswith("male") else None
        yield name, read_image(read(), name), labels(style="photo", person=person), ""


def paintings(data: Path) -> Iterator[tuple]:
    pack = data / "toon_painted/painted128.zip"
    captions = {row["file"]: row["caption"].lower() for row in manifest(pack)}
    for name, read in pictures(pack):
        if not Path(name).stem.endswith("9"):
            yield (
                f"painted/{name}",
                read_image(read(), name),
                labels(**of_caption(captions[name])),
                captions[name],
            )


def avatars(folder: Path) -> Iterator[tuple]:
    for line in (folder / "labels.jsonl").read_text().splitlines():
        row = json.loads(line)
        style = "ink" if row["style"] in INK else "cartoon"
        glasses, beard = row["glasses"] or "none", "beard" if row["beard"] else "none"
        known = labels(mood=row["mood"], hair=row["hair"], glasses=glasses, beard=beard, style=style)
        yield row["file"], Image.open(folder / row["file"]).convert("RGB"), known, ""


@torch.inference_mode()
def samples(count: int) -> Iterator[tuple]:
    """Pictures of the networks that ship, from seeds far from those that are shown; a style's from the same w."""
    g, other = load_generator("faces-128"), load_generator("storybook-128")
    for i in range(count):
        z = torch.randn(1, g.config.z_dim, generator=torch.Generator().manual_seed(3_000_000 + i))
        w = truncate(g.broadcast(g.mapping(z)), g.w_mean, 0.6 + 0.4 * (i % 5) / 4)
        for net, style in ((g, "photo"), (other, "painting"))[: 2 if i % 2 else 1]:
            x = net.synthesis(w, "none")[-1][0].clamp(-1, 1)
            pixels = ((x + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
            yield f"sample-{style}/{i}", Image.fromarray(pixels), labels(style=style), ""


def pool(data: Path, drawn: Path, out: Path, only: list[str]) -> None:
    """Write OUT/SOURCE.npz: pictures, small, with labels and the five points of those that are no avatars."""
    sources = {
        "photos": photos(data, 800),
        "paintings": paintings(data),
        "samples": samples(500),
        "avatars": avatars(drawn),
    }
    out.mkdir(parents=True, exist_ok=True)
    for source in only or sources:
        rows = []
        for name, picture, known, said in sources[source]:
            place = np.full((5, 2), np.nan) if source == "avatars" else points_of(picture)
            small = np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
            rows.append((name, small, known, said, place))
        names, small, known, said, places = zip(*rows, strict=True)
        np.savez(out / f"{source}.npz", name=names, picture=np.stack(small), label=np.array(known, np.int8), caption=said,
                 points=np.array(places, np.float32))  # fmt: skip
        print(source, len(rows), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "avatars", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("only", nargs="*")
    given = parser.parse_args()
    pool(given.data, given.avatars, given.out, given.only)


if __name__ == "__main__":
    main()
