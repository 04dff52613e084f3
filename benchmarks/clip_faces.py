"""What the text model clip-faces tells of pictures that it never saw, by prompts alone, as JSON.

    python benchmarks/clip_faces.py DATA [--clip FILE] [--folds RUNS]

DATA holds the packs: toon_avatars/{avataaars,toonhead,lorelei}128.zip, whose labels.jsonl tell how each
picture was drawn (none is trained on, all are asked); faces_consent/faces256.zip, the Face Research Lab
London Set, 102 people neutral and smiling; toon_painted/painted128.zip with captions. A picture is
given the prompt of the highest cosine. Intervals are of 95 %: Wilson's for shares; for the London set
from 2,000 resamples of its people. RUNS/0 to RUNS/4 are runs of tools/make_clip_faces.py with
--paintings 0 to 4: each painting is asked of the run that held it back.
"""

import argparse
import csv
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan_toon.features.clip import Clip, load_clip

MOODS = ("happy", "sad", "angry", "surprised", "neutral")
MOOD_PROMPT = "a really {} face"
HAIR = {  # the colours of the packs, by their hexadecimal value, under the names a person would use
    "black": ("1a1a1a", "2c1b18"), "brown": ("4a312c", "724133"), "auburn": ("a55728",), "red": ("c93305",),
    "blond": ("b58143", "d6b370", "ecdcbf"), "gray": ("8c8c8c",), "white": ("e8e1e1",), "blue": ("4b5d8a",),
    "purple": ("6b3f6e",),
}  # fmt: skip
COVERED = re.compile("hijab|turban|hat|sides$", re.IGNORECASE)
PAINTED = {"happy": ("happy", "smiling"), "sad": ("sad",), "angry": ("angry",)}


def wilson(right: int, of: int) -> dict[str, float]:
    """A share with its interval."""
    p, z = right / of, 1.96
    middle, half = p + z * z / (2 * of), z * (p * (1 - p) / of + z * z / (4 * of * of)) ** 0.5
    low, high = ((middle + s * half) / (1 + z * z / of) for s in (-1, 1))
    return {"value": round(p, 3), "low": round(low, 3), "high": round(high, 3), "pictures": of}


def open_pack(path: Path) -> tuple[Tensor, list[dict]]:
    """The pictures [N, 3, H, W] in [-1, 1], and a row of the manifest, or of the labels, for each."""
    with zipfile.ZipFile(path) as pack:
        if "labels.jsonl" in pack.namelist():
            rows = [json.loads(line) for line in pack.read("labels.jsonl").decode().splitlines()]
        else:
            rows = list(csv.DictReader(io.StringIO(pack.read("manifest.csv").decode())))
        arrays = [np.asarray(Image.open(io.BytesIO(pack.read(row["file"]))).convert("RGB")) for row in rows]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1, rows


def named(clip: Clip, pictures: Tensor, prompts: list[str]) -> Tensor:
    """[N], which prompt each picture is nearest to."""
    embedded = torch.cat([clip.image(part) for part in pictures.split(256)])
    return (embedded @ clip.text(prompts).T).argmax(1)


def asked(clip: Clip, pictures: Tensor, truth: list[str], prompt: str, names: tuple[str, ...]) -> dict:
    """The share of pictures that are given their own name out of names; and what each name is taken for."""
    guess = [names[int(k)] for k in named(clip, pictures, [prompt.format(name) for name in names])]
    out = wilson(sum(a == b for a, b in zip(guess, truth, strict=True)), len(truth))
    each = {}
    for name in dict.fromkeys(truth):
        got = [a for a, b in zip(guess, truth, strict=True) if b == name]
        each[name] = {other: round(got.count(other) / len(got), 3) for other in names if other in got}
    return {**out, "named": each}


def glasses(clip: Clip, pictures: Tensor, worn: list[bool]) -> dict:
    """Glasses of any kind or none: the mean of both shares, as most faces wear none."""
    prompts = [f"a face with {what}" for what in ("no glasses", "glasses", "sunglasses")]
    guess = (named(clip, pictures, prompts) > 0).numpy()
    true = np.array(worn)
    with_, without = float(guess[true].mean()), float((~guess[~true]).mean())
    return {
        "balanced": round((with_ + without) / 2, 3),
        "with": wilson(int(guess[true].sum()), int(true.sum())),
        "without": wilson(int((~guess[~true]).sum()), int((~true).sum())),
    }


def drawn(clip: Clip, data: Path) -> dict:
    out: dict[str, object] = {}
    right = total = 0
    for style in ("avataaars", "toonhead", "lorelei"):
        pictures, rows = open_pack(data / f"toon_avatars/{style}128.zip")
        names = ("happy", "sad") if style == "lorelei" else MOODS
        one: dict[str, object] = {
            "mood": asked(clip, pictures, [r["mood"] for r in rows], MOOD_PROMPT, names)
        }
        if style != "lorelei":
            right, total = right + round(one["mood"]["value"] * len(rows)), total + len(rows)
            colours = {value: name for name, values in HAIR.items() for value in values}
            seen = [i for i, r in enumerate(rows) if not COVERED.search(r["options"].get("top", ""))]
            hair = [colours[rows[i]["options"]["hairColor"].lstrip("#")] for i in seen]
            one["hair"] = asked(clip, pictures[seen], hair, "a face with {} hair", tuple(HAIR))
        key = {"avataaars": "accessories", "lorelei": "glasses"}.get(style)
        if key:
            worn = [bool(r["options"].get(key)) for r in rows]
            one["glasses"] = glasses(clip, pictures, worn)
        out[style] = one
    return {"mood_of_five": wilson(right, total), **out}


def london(clip: Clip, data: Path) -> dict:
    """Smiling against neutral: all photos, and pairs of one person whose smile is the more smiling one."""
    pictures, rows = open_pack(data / "faces_consent/faces256.zip")
    keys = {(Path(r["source"]).parent.name, Path(r["source"]).stem[:3]): i for i, r in enumerate(rows)}
    people = sorted(person for folder, person in keys if folder == "neutral_front")
    text = clip.text(["a smiling face", "a neutral face"])
    scores = {}
    for sort in ("neutral_front", "smiling_front"):
        embedded = clip.image(pictures[[keys[sort, person] for person in people]])
        scores[sort] = (embedded @ (text[0] - text[1])).numpy()
    right = np.stack([scores["smiling_front"] > 0, scores["neutral_front"] <= 0], 1)
    rng = np.random.default_rng(0)
    draws = right[rng.integers(len(people), size=(2000, len(people)))].mean((1, 2))
    low, high = np.quantile(draws, [0.025, 0.975])
    both = {"value": right.mean(), "low": low, "high": high}
    return {
        "accuracy": {name: round(float(share), 3) for name, share in both.items()},
        "smiling_right": round(float(right[:, 0].mean()), 3),
        "neutral_right": round(float(right[:, 1].mean()), 3),
        "pairs_in_order": wilson(int((scores["smiling_front"] > scores["neutral_front"]).sum()), len(people)),
    }


def painted(runs: Path, data: Path) -> dict:
    """Mood of the captioned paintings, each asked of the run that held its fifth back."""
    pictures, rows = open_pack(data / "toon_painted/painted128.zip")
    truth = {}
    for i, row in enumerate(rows):
        words = set(re.findall("[a-z]+", row["caption"].lower()))
        moods = [mood for mood, said in PAINTED.items() if words & set(said)]
        if len(moods) == 1:
            truth[i] = moods[0]
    right, guesses = 0, []
    for fold in range(5):
        clip = load_clip(runs / str(fold) / "last.safetensors")
        own = [i for i in truth if int(Path(rows[i]["file"]).stem) * 7919 % 10007 % 5 == fold]
        guess = named(clip, pictures[own], [MOOD_PROMPT.format(name) for name in PAINTED])
        names = [tuple(PAINTED)[int(k)] for k in guess]
        guesses += [(truth[i], name) for i, name in zip(own, names, strict=True)]
    right = sum(a == b for a, b in guesses)
    table = {a: {b: guesses.count((a, b)) for b in PAINTED} for a in PAINTED}
    return {**wilson(right, len(guesses)), "named": table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--clip")
    parser.add_argument("--folds", type=Path)
    given = parser.parse_args()
    clip = load_clip(given.clip)
    out = {"torch": torch.__version__, "drawn": drawn(clip, given.data), "london": london(clip, given.data)}
    if given.folds:
        out["painted"] = painted(given.folds, given.data)
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    with torch.no_grad():
        main()
