"""How well the emotion network names expressions, and how near it is to its original, as JSON.

    python benchmarks/emotion.py faces_consent/faces256.zip [--onnx emotion.onnx]

The ZIP is that of the Face Research Lab London Set: manifest.csv tells neutral_front from smiling_front.
Shares are of 102 people each, for the side of the face's part (features.emotion.BOX) that is used and for six
others. --onnx also compares probabilities with those of the original file, by onnxruntime, on the first 40
photos.
"""

import argparse
import csv
import io
import json
import zipfile

import numpy as np
import onnxruntime
import torch

from stylegan_toon.data import load_pictures
from stylegan_toon.features import emotion
from stylegan_toon.features.emotion import EXPRESSIONS, load_emotion

SIDES = (0.55, 0.6, 0.65, 0.69, 0.74, 0.8, 0.86)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos")
    parser.add_argument("--onnx")
    given = parser.parse_args()
    with zipfile.ZipFile(given.photos) as pack:
        rows = list(csv.DictReader(io.StringIO(pack.read("manifest.csv").decode())))
    rows.sort(key=lambda row: row["file"])  # as load_pictures orders them
    pictures = load_pictures([given.photos], 256).float() / 127.5 - 1
    net, (left, top, used) = load_emotion(), emotion.BOX
    out: dict[str, object] = {"torch": torch.__version__, "used": used, "sides": {}}
    shares = {}
    for side in SIDES:
        emotion.BOX = (left + (used - side) / 2, top + (used - side) / 2, side)
        named = [EXPRESSIONS[int(i)] for i in net(pictures)[0].argmax(1)]
        neutral = [n for n, row in zip(named, rows, strict=True) if "neutral_front" in row["source"]]
        smiling = [n for n, row in zip(named, rows, strict=True) if "smiling_front" in row["source"]]
        shares[side] = {
            "neutral_neutral": round(neutral.count("neutral") / len(neutral), 3),
            "smiling_happy": round(smiling.count("happy") / len(smiling), 3),
            "smiling_neutral": round(smiling.count("neutral") / len(smiling), 3),
            "people": len(neutral),
        }
    emotion.BOX = (left, top, used)
    out["sides"] = shares
    if given.onnx:
        faces = net.crop(pictures[:40])
        wanted = onnxruntime.InferenceSession(given.onnx).run(None, {"input": faces.numpy()})[0]
        out["largest_difference"] = float(np.abs(net.judge(faces)[0].numpy() - wanted).max())
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    with torch.no_grad():
        main()
