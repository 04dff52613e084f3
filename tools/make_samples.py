#!/usr/bin/env python3
"""Make stylegan_toon/samples/ anew, the pictures that `finetune --target NAME` finds: tools/make_samples.py DATA

DATA holds toon_painted/, toon_avatars/ and faces_congress/ as the card says. The same packs and versions of Pillow
and NumPy give the same bytes: entries are stored, in order, with a fixed date. Pictures whose number ends in 9 are
held out from all training and stay out. Names, captions and labels of the packs are left behind.
"""

import csv
import io
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

SAMPLES = Path(__file__).resolve().parent.parent / "stylegan_toon" / "samples"
SIZE = 128
LOSSLESS = {"lossless": True, "quality": 60, "method": 4}  # of flat drawings it is also the smaller file


@dataclass(frozen=True)
class Sample:
    """A pack and what is taken of it: at most `most` pictures, evenly spaced where spaced, else the first."""

    name: str
    pack: str
    title: str
    licence: str
    credit: str
    encoding: dict[str, object]
    most: int = 10_000
    spaced: bool = False
    also_held: tuple[str, ...] = ()  # packs of which no held-out picture may be among these
    comic: bool = False


ALL = (
    Sample(
        "storybook",
        "toon_painted/storybook256.zip",
        "digital paintings in the manner of animation films (made by a machine)",
        "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
        "artflow.ai (creator and copyright holder), collected by initiative-sh (github.com/initiative-sh/"
        "artflow-portraits). Changes: selected, corner mark removed, aligned, resized, compressed again.",
        {"quality": 90, "method": 6},
        also_held=("toon_painted/painted128.zip", "toon_painted/painted256.zip"),
    ),
    Sample(
        "avatar",
        "toon_avatars/avataaars128.zip",
        "flat avatars of many moods",
        "free for personal and commercial use",
        "Avataaars by Pablo Stanley; drawn with DiceBear 9.4.3 (MIT).",
        LOSSLESS,
        most=600,
    ),
    Sample(
        "toonhead",
        "toon_avatars/toonhead128.zip",
        "flat drawn heads of many moods",
        "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
        "ToonHead by Johan Melin; drawn with DiceBear 9.4.3 (MIT), open mouths by tools/redraw_heads.py, compressed.",
        {"quality": 83, "method": 6},
    ),
    Sample(
        "ink",
        "toon_avatars/lorelei128.zip",
        "ink drawings on plain colours, three-quarter view",
        "CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/",
        "Lorelei by Lisa Wischofsky; drawn with DiceBear 9.4.3 (MIT).",
        LOSSLESS,
    ),
    Sample(
        "comic",
        "faces_congress/faces256.zip",
        "photos through a comic filter: few tones, dark lines",
        "public domain in the United States (works of its federal government); the filter adds no right",
        "official portraits of members of the US Congress, a few by courtesy of the member; no endorsement is "
        "implied. Changes: aligned, filtered, resized, compressed again.",
        {"quality": 85, "method": 6},
        most=200,
        spaced=True,
        comic=True,
    ),
)
# Not a target: photos as they are, whose codes and shifts a style is shown where nobody gives any.
PORTRAITS = replace(
    ALL[-1],
    name="portraits",
    title="photos as they are; `finetune` shows a style their codes",
    licence="public domain in the United States (works of its federal government)",
    credit=ALL[-1].credit.replace("filtered, ", ""),
    encoding={"quality": 82, "method": 6},
    most=60,
    comic=False,
)


def held_out(name: str) -> bool:
    return Path(name).stem.endswith("9")


def names(pack: zipfile.ZipFile) -> list[str]:
    return sorted(name for name in pack.namelist() if name.endswith((".jpg", ".png")))


def origins(path: Path) -> Iterator[tuple[str, str]]:
    """(file, source) of a pack's manifest."""
    with zipfile.ZipFile(path) as pack, pack.open("manifest.csv") as file:
        yield from ((row["file"], row["source"]) for row in csv.DictReader(io.TextIOWrapper(file, "utf-8")))


def chosen(sample: Sample, data: Path, pack: zipfile.ZipFile) -> list[str]:
    """The names that are taken, in order."""
    held = {s for other in sample.also_held for f, s in origins(data / other) if held_out(f)}
    twins = {f for f, s in origins(data / sample.pack) if s in held} if held else set()
    left = [name for name in names(pack) if not held_out(name) and name not in twins]
    if sample.spaced:
        left = [left[i * len(left) // sample.most] for i in range(min(sample.most, len(left)))]
    return left[: sample.most]


def notice(sample: Sample, count: int) -> str:
    """The LICENSE.txt of a ZIP."""
    more = ", and so are those that a larger pack of the same source holds out" if sample.also_held else ""
    return (
        f"{sample.name}: {count} pictures, {SIZE} x {SIZE}, {sample.title}.\n"
        f"Licence: {sample.licence}.\n"
        f"Credit: {sample.credit}\n"
        f"These are training pictures alone: those whose number in their pack ends in 9 are held out{more}.\n"
    )


def comic(picture: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] as a comic: smooth, in few tones, more colourful, dark lines where it is darker."""
    smooth = picture
    for _ in range(5):
        smooth = bilateral(smooth, radius=4, tone=22, space=7)
    lab = to_lab(smooth)
    lab[..., 0] = in_tones(lab[..., 0], 12, 6)
    lab[..., 1:] *= 1.25
    grey = picture @ np.array([0.299, 0.587, 0.114])
    darker = blurred(grey, 1.0) - 0.98 * blurred(grey, 2.2)
    line = np.clip(1 + np.tanh((darker + 1.5) * 0.35), 0, 1)
    return (to_rgb(lab) * (0.25 + 0.75 * line[..., None]) * 255).round().astype(np.uint8)


def in_tones(light: np.ndarray, step: float, edge: float) -> np.ndarray:
    """Lightness 0 to 100 in tones step apart, and 2 lighter; a larger edge makes the way between them steeper."""
    tone = np.floor(light / step)
    within = light / step - tone - 0.5
    return step * (tone + 0.5 + 0.5 * np.tanh(edge * within) / np.tanh(edge / 2)) + 2


def bilateral(picture: np.ndarray, radius: int, tone: float, space: float) -> np.ndarray:
    """uint8 [H, W, 3], each pixel the mean of a disc, near and like ones counting more.

    Likeness is the sum of the channels' differences. Source: Tomasi and Manduchi 1998.
    """
    height, width, _ = picture.shape
    planes = picture.transpose(2, 0, 1).astype(np.int16)
    wide = np.pad(planes, ((0, 0), (radius, radius), (radius, radius)), mode="reflect")
    like = np.exp(-(np.arange(3 * 255 + 1, dtype=np.float32) ** 2) / (2 * tone**2))
    total, weight = np.zeros(planes.shape, np.float32), np.zeros((height, width), np.float32)
    for y in range(-radius, radius + 1):
        for x in range(-radius, radius + 1):
            if y * y + x * x > radius * radius:
                continue
            other = wide[:, radius + y : radius + y + height, radius + x : radius + x + width]
            share = like[sum(np.abs(plane) for plane in other - planes)]
            share *= np.float32(np.exp(-(y * y + x * x) / (2 * space**2)))
            total += share * other
            weight += share
    return (total / weight).round().astype(np.uint8).transpose(1, 2, 0)


def blurred(grey: np.ndarray, sigma: float) -> np.ndarray:
    """[H, W] through a Gaussian of three sigmas, mirrored at the border."""
    reach = int(3 * sigma + 0.5)
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    wide = np.pad(grey, reach, mode="reflect")
    rows = np.apply_along_axis(np.convolve, 1, wide, kernel, "valid")
    return np.apply_along_axis(np.convolve, 0, rows, kernel, "valid")


# sRGB (IEC 61966-2-1) to XYZ, white D65, and CIE 1976 L*a*b*.
XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
WHITE = XYZ.sum(1)


def to_lab(picture: np.ndarray) -> np.ndarray:
    """uint8 RGB [H, W, 3] to L 0 to 100, a, b."""
    x = picture / 255
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    t = linear @ XYZ.T / WHITE
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def to_rgb(lab: np.ndarray) -> np.ndarray:
    """The inverse, RGB 0 to 1, clipped."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    t = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    linear = np.clip((t * WHITE) @ np.linalg.inv(XYZ).T, 0, 1)
    return np.clip(np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055), 0, 1)


def made(sample: Sample, data: bytes) -> bytes:
    """A picture of the pack as it is shipped: WebP without metadata."""
    with Image.open(io.BytesIO(data)) as opened:
        picture = opened.convert("RGB")
    if sample.comic:
        picture = Image.fromarray(comic(np.asarray(picture)))
    if picture.size != (SIZE, SIZE):
        picture = picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    Image.fromarray(np.asarray(picture)).save(file, "WEBP", **sample.encoding)
    return file.getvalue()


def write(sample: Sample, data: Path, out: Path) -> int:
    """Write out/NAME.zip and return how many pictures are in it."""
    with (
        zipfile.ZipFile(data / sample.pack) as pack,
        zipfile.ZipFile(out / f"{sample.name}.zip", "w") as zipped,
    ):
        taken = chosen(sample, data, pack)
        entries = {"LICENSE.txt": notice(sample, len(taken)).encode()}
        entries |= {f"{i:05d}.webp": made(sample, pack.read(name)) for i, name in enumerate(taken)}
        for name, content in entries.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o100644 << 16
            zipped.writestr(info, content)
    return len(taken)


def card(counts: dict[str, int], out: Path) -> str:
    """README.md: what the ZIPs are."""
    rows = "\n".join(
        f"| `{s.name}` | {counts[s.name]} | {(out / f'{s.name}.zip').stat().st_size:,} | {s.title} | {s.licence} |"
        for s in (*ALL, PORTRAITS)
    )
    credits = "\n".join(f"- `{s.name}`: {s.credit}" for s in (*ALL, PORTRAITS))
    return f"""# Pictures that ship, for `finetune --target NAME`; and portraits, which are no target

| name | pictures | bytes | what | licence |
| --- | --- | --- | --- | --- |
{rows}

{SIZE} x {SIZE}, WebP, in ZIPs with stored entries; `LICENSE.txt` in each says the same. They are the training part of
larger packs: pictures whose number there ends in 9 are held out (of `storybook` also those that a larger pack of the
same paintings holds out), so that figures can be taken on pictures that nothing was trained on. Captions, labels and
names are left behind. Made by `tools/make_samples.py`.

{credits}
"""


def main(data: Path, out: Path = SAMPLES) -> None:
    out.mkdir(parents=True, exist_ok=True)
    counts = {sample.name: write(sample, data, out) for sample in (*ALL, PORTRAITS)}
    (out / "README.md").write_text(card(counts, out), encoding="utf-8")
    for name, count in counts.items():
        print(f"{name}: {count} pictures, {(out / f'{name}.zip').stat().st_size:,} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
