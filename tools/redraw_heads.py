#!/usr/bin/env python3
"""Draw the heads of a pack again with open mouths as they are meant: tools/redraw_heads.py PACK.zip OUT.zip

PACK holds ToonHeads at 128 px, drawn with resvg, to which their open mouths were hardly there (why, says
tools/dicebear.mjs), and labels.jsonl with the options of each. Nothing but the mouths may change, or it ends
with an error. Run it where the node_modules/ of tools/draw_heads.mjs is.
"""

import io
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

DRAW = Path(__file__).with_name("draw_heads.mjs")
SIZE, MOUTH = 128, (slice(78, 96), slice(48, 80))


def levels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB")).copy()


def main() -> None:
    pack, out = map(Path, sys.argv[1:])
    with zipfile.ZipFile(pack) as opened:
        labels = opened.read("labels.jsonl")
        rows = [json.loads(line) for line in labels.splitlines()]
        before = {row["file"]: levels(opened.read(row["file"])) for row in rows}
    changed = 0
    with tempfile.TemporaryDirectory() as work, zipfile.ZipFile(out, "w") as made:
        listed = [
            {
                "background": before[row["file"]][60, 1].tobytes().hex(),
                "file": row["file"],
                "options": row["options"],
            }
            for row in rows
        ]
        (Path(work) / "rows.jsonl").write_text(
            "".join(f"{json.dumps(row)}\n" for row in listed), encoding="utf-8"
        )
        subprocess.run(["node", DRAW, Path(work) / "rows.jsonl", str(SIZE), work], check=True)
        for file, old in before.items():
            data = (Path(work) / file).read_bytes()
            new = levels(data)
            changed += not np.array_equal(old, new)
            new[MOUTH] = old[MOUTH]
            if not np.array_equal(old, new):
                raise SystemExit(f"{file}: more than the mouth differs; is DiceBear of another version?")
            made.writestr(zipfile.ZipInfo(file, (2026, 1, 1, 0, 0, 0)), data)
        made.writestr(zipfile.ZipInfo("labels.jsonl", (2026, 1, 1, 0, 0, 0)), labels)
    print(f"{changed} of {len(before)} heads have other mouths now")


if __name__ == "__main__":
    main()
