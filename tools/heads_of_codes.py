#!/usr/bin/env python3
"""Say which head tools/draw_heads.mjs should draw for each code: a row of JSON for every code and mood.

  stylegan-toon invert PHOTOS --aligned --refine 0 --space w+ --out CODES
  python3 tools/heads_of_codes.py CODES ROWS && node tools/draw_heads.mjs ROWS 128 HEADS
  stylegan-toon finetune --target HEADS --codes CODES --pairs 10 --moods ...

A head has the skin, hair, clothes and background of what the source draws of the code (the right half of
the PNG that invert writes), so that whatever varies in the drawings varies in the codes. Whether it has hair,
long hair, a fringe or a beard is told by colours where aligned faces have them, and often wrong where the
background is dark or the face turned. Every code has a calm head, and one in a mood of ALSO.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 128
MOODS = {
    "": ("smile", "neutral"),
    "-happy": ("laugh", "neutral"),
    "-sad": ("sad", "sad"),
    "-angry": ("angry", "angry"),
}
ALSO = ("-happy", "-sad", "-happy", "-angry")  # beside the calm one, by turns
SKIN = ("4a2c20", "5c3829", "7d4f38", "a36b4f", "c28a68", "e0ac8a", "f1c3a5", "f8d9c2")  # from dark to light
BROWN = ("161212", "2c1b18", "4a312c", "724133", "955a34", "b58143", "d6b370", "ecdcbf")
GREY = ("161414", "242222", "3c3a3a", "5c5858", "807c7c", "a4a0a0", "c6c2c2", "e8e4e2")
LIGHT = np.array([0.299, 0.587, 0.114])

Y, X = np.mgrid[:SIZE, :SIZE]
BESIDE = np.abs(X - 63.5)  # px from the middle
CHEEKS = (BESIDE > 12) & (BESIDE < 22) & (Y > 66) & (Y < 82)
FOREHEAD = (BESIDE < 12) & (Y > 39) & (Y < 47)
CROWN = (BESIDE < 18) & (Y > 13) & (Y < 27)
CHIN = (BESIDE < 12) & (Y > 99) & (Y < 110)
BY_THE_JAW = (BESIDE > 29) & (BESIDE < 38) & (Y > 84) & (Y < 102)
BY_THE_NECK = (BESIDE > 24) & (BESIDE < 36) & (Y > 110) & (Y < 124)
FRINGE = (BESIDE < 14) & (Y > 36) & (Y < 45)
COLLAR = (BESIDE < 8) & (Y > 121)
SHOULDERS = (BESIDE > 30) & (BESIDE < 56) & (Y > 121)
BACKGROUND = (BESIDE > 54.5) & (Y < 60)


def ramp(colours: tuple[str, ...], at: float) -> np.ndarray:
    """The colour at 0 to 1 along some, in 0..255."""
    stops = np.array([[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for colour in colours], float)
    place = np.clip(at, 0, 1) * (len(stops) - 1)
    low = min(int(place), len(stops) - 2)
    return stops[low] + (place - low) * (stops[low + 1] - stops[low])


def said(colour: np.ndarray) -> str:
    """#rrggbb"""
    return "#" + "".join(f"{round(float(x)):02x}" for x in colour.clip(0, 255))


def hair_colour(seen: np.ndarray) -> np.ndarray:
    """Grey or brown as light as the hair that is seen, as warm as it is."""
    light = seen @ LIGHT
    warm = np.clip(((seen[0] - seen[2]) / max(light, 12) - 0.12) / 0.3, 0, 1)
    at = (light - 22) / 178
    return ramp(GREY, at) * (1 - warm) + ramp(BROWN, at) * warm


def vivid(colour: np.ndarray, times: float) -> np.ndarray:
    """A colour times as far from grey."""
    light = colour @ LIGHT
    return light + times * (colour - light)


def head(face: np.ndarray) -> tuple[str, dict[str, str]]:
    """Background and ToonHead's options for an aligned face [128, 128, 3] in 0..255."""
    seen = {
        name: np.median(face[place], 0)
        for name, place in (
            ("skin", CHEEKS),
            ("forehead", FOREHEAD),
            ("hair", CROWN),
            ("chin", CHIN),
            ("collar", COLLAR),
            ("shoulders", SHOULDERS),
            ("back", BACKGROUND),
        )
    }
    hair, light = seen["hair"], seen["skin"] @ LIGHT
    to_skin, to_forehead, to_back = (
        np.linalg.norm(hair - seen[name]) for name in ("skin", "forehead", "back")
    )
    gap = to_skin / max(light, 60)
    grey = hair.max() - hair.min() < 30 and gap > 0.45
    bare = gap < 0.16 or (gap < 0.35 and to_forehead < 0.15 * max(light, 60))
    above = to_back < 30 and seen["back"] @ LIGHT > 90  # the head ends below, and it is no dark hair on dark
    bald = bare or above or (hair @ LIGHT > 1.06 * light and not grey)
    away = [np.linalg.norm(face - seen[name], axis=2) for name in ("hair", "skin", "back")]
    is_hair = away[0] < np.minimum(away[1], away[2])
    long = not bald and to_back > 40 and is_hair[BY_THE_JAW].mean() > 0.5
    colour = ramp(BROWN, 0.3 + 0.4 * (light - 55) / 157) if bald else hair_colour(hair)
    options = {"skinColor": said(ramp(SKIN, (light - 52) / 152)), "hairColor": said(colour)}
    if not bald:
        options["hair"] = "bun" if long and is_hair[FRINGE].mean() < 0.35 else "sideComed"
    if long:
        options["rearHair"] = "longStraight" if is_hair[BY_THE_NECK].mean() > 0.5 else "neckHigh"
    elif seen["chin"] @ LIGHT < 0.7 * light:
        options["beard"] = "fullBeard"
    clothes = seen["shoulders"]
    suit = clothes @ LIGHT < 90 and seen["collar"] @ LIGHT > clothes @ LIGHT + 50
    options |= {"clothesColor": said(vivid(clothes, 1.4) + 8), "clothes": "openJacket" if suit else "tShirt"}
    return said(vivid(seen["back"], 1.1))[1:], options


def main(codes: str, out: str) -> None:
    """One row a code and mood, for the PNGs in the folder codes."""
    rows = []
    for i, file in enumerate(sorted(Path(codes).glob("*.png"))):
        with Image.open(file) as opened:
            both = opened.convert("RGB")
        square = both.crop((both.width - both.height, 0, both.width, both.height)).resize((SIZE, SIZE))
        background, options = head(np.asarray(square, float))
        for mood in ("", ALSO[i % len(ALSO)]):
            mouth, eyebrows = MOODS[mood]
            more = {"eyes": "wide", "mouth": mouth, "eyebrows": eyebrows}
            rows.append(
                {
                    "file": f"{file.stem}{mood}.png",
                    "background": background,
                    "lips": True,
                    "options": options | more,
                }
            )
    Path(out).write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} CODES ROWS")
    main(*sys.argv[1:])
