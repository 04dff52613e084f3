"""Measure the models of pretrained/ and write their cards: tools/make_cards.py DATA PHOTO...

DATA holds the packs that tools/make_models.sh names, toonhead128.zip as tools/redraw_heads.py makes it, and
compact/faces128_heldout.zip; PHOTOs are public pictures for
the strips and the contact sheet. Writes pretrained/figures/*.json, pretrained/*.md and docs/images/*.png.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from card_texts import (
    ALONE,
    BEGAN,
    BY_DRAWINGS,
    DRAWN,
    GATES,
    HISTORY,
    LIMITS,
    OTHERS,
    PHOTO_DATA,
    SHEET,
    SMALL,
    STYLES,
    TAUGHT,
)

TOON = [sys.executable, "-m", "stylegan_toon.cli"]
ROOT = Path(__file__).resolve().parent.parent
PRETRAINED, FIGURES = ROOT / "pretrained", ROOT / "pretrained" / "figures"


def toon(*args: object) -> dict:
    """Run a command with --json and return its document."""
    done = subprocess.run([*TOON, *map(str, args), "--json"], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def header(name: str) -> dict:
    """The header of a model that ships."""
    from stylegan_toon.checkpoint.format import load

    made = load(PRETRAINED / f"{name}.safetensors")
    numbers = sum(tensor.numel() for key, tensor in made.tensors.items() if "noise_const" not in key)
    return {"config": made.config, "meta": made.meta, "numbers": numbers}


def interval(one: dict) -> str:
    return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


def kid_of_paintings(data: Path, held: Path, train: Path) -> list[float]:
    """KID of painted128 to the held-out photos in both spaces, as evaluate takes it."""
    from stylegan_toon.data import load_pictures
    from stylegan_toon.features.mobileface import load_mobileface
    from stylegan_toon.features.untrained import Untrained
    from stylegan_toon.metrics.kid import kid, statistics
    from stylegan_toon.pipelines.evaluate import features, parts

    face, cpu = load_mobileface(), torch.device("cpu")
    packs = [load_pictures([pack], 128) for pack in (held, data / "toon_painted/painted128.zip")]
    packs.append(load_pictures([train], 128, [str(PRETRAINED / "faces-exclude.txt")]))
    found = []
    for net in (lambda x: face(x)[1], Untrained()):
        real, drawn, photos = (features(net, parts(pack, 32), cpu) for pack in packs)
        found.append(kid(real, drawn, *statistics(photos), resamples=0).value)
    return found


def faces_card(data: Path) -> None:
    held, train = data / "compact/faces128_heldout.zip", data / "compact/faces128_train.zip"
    figures = toon("evaluate", "faces", "--real", held, "--train", train, "--exclude",
                   PRETRAINED / "faces-exclude.txt", "--encoder", "faces")  # fmt: skip
    figures["model"] = "faces"
    (FIGURES / "faces-128.json").write_text(json.dumps(figures, indent=1) + "\n")
    drawn = toon("generate", "faces", "--seeds", "0-31", "--out", "out/faces-card")["paths"]
    grid = next(path for path in drawn if path.endswith("grid.png"))
    Path(grid).replace(PRETRAINED / "faces-128.png")
    made, d, encoder = (header(f"faces-128.{kind}") for kind in ("generator", "discriminator", "encoder"))
    painted = "; ".join(f"{value:.2f}" for value in kid_of_paintings(data, held, train))

    def manifold(space: str) -> str:
        return "; ".join(f"{figures['manifold'][space][name]:.2f}" for name in ("precision", "recall"))

    kid, floor, near = figures["kid"], figures["floor"], figures["nearest"]
    (PRETRAINED / "faces-128.md").write_text(f"""# faces-128

A small StyleGAN2 that draws photo-like faces at 128 px, its discriminator, and an encoder from photos to its codes.

![Samples at psi 0.7, seeds 0 to 31](faces-128.png)

- **Data.** {PHOTO_DATA}
- **Licence.** Research and personal use: [LICENSE-WEIGHTS.md](LICENSE-WEIGHTS.md).
- **Networks.** Generator {made["numbers"]:,} numbers, channels {made["config"]["channels"]} from 4x4 up, w
  {made["config"]["w_dim"]}, mapping of {made["config"]["mapping_layers"]} layers; discriminator {d["numbers"]:,};
  encoder {encoder["numbers"]:,}.
- **Training.** `tools/make_models.sh`: 32 px, grown to 64 and 128 px; {made["meta"]["pictures"]:,} pictures seen in
  all; encoder 16,160, after 28,800 with all places alike and more before; its head for shifts, of
  {encoder["config"]["shift_width"]} channels, 15,600 photos, and then 2,400 at a third of the rate; the second head, of
  {encoder["config"]["fine_width"]} and half as many, 6,000, and then {encoder["meta"]["pictures"]:,} at a quarter of it. Noise inputs were learnt in training; in this file their strengths are 0,
  so pictures are smooth ([why](../docs/training.md)).

| figure (`tools/make_cards.py`, {figures["samples"]:,} samples) | value |
| --- | --- |
| faces found by YuNet at 0.7, 1,000 samples, psi 0.7 | {figures["faces"]["share"]:.1%} |
| KID to {figures["held_out"]:,} held-out photos, MobileFace features (95 %) | {interval(kid["mobileface"])} |
| the same of as many training photos (floor) | {interval(floor["mobileface"])} |
| KID, features of an untrained network (95 %) | {interval(kid["untrained"])} |
| the same of as many training photos (floor) | {interval(floor["untrained"])} |
| precision and recall, {figures["manifold"]["pictures"]} pictures, k = 5, MobileFace (wanted 0.6, 0.3) | {manifold("mobileface")} |
| the same, untrained network | {manifold("untrained")} |
| KID of the pack painted128 to the same photos, MobileFace; untrained (wanted: ten times the samples') | {painted} |
| distance to the nearest training picture, as a multiple of that of held-out photos | {near["ratio"]:.3f} |
| samples nearer to one than 99 % of the held-out photos are | {near["closer"]:.1%} |
| MobileFace cosine between held-out photos and what the encoder's codes and shift draw, mean | {figures["identity"]["mean"]:.3f} |

How the figures are taken: [docs/metrics.md](../docs/metrics.md). In MobileFace's space two photos of one person have a
cosine of about 0.74, two people 0.17.

**Limits.** Faces only, nearly frontal, mostly of adults in press and studio portraits; glasses, hands, hats and
turned heads are drawn badly. The encoder's codes keep pose, colours, hair and expression better than likeness;
its shift brings most of that, but softly, and dark shapes on a face (shadows, hands) stay stains.
""")


def style_card(style: str, data: Path, photos: list[Path], gates: dict) -> None:
    pack, credit = STYLES[style]
    held = data / "compact/faces128_heldout.zip"
    out = FIGURES / f"{style}-128"
    some = [part for photo in photos[:3] for part in ("--shown", photo)]
    figures = toon("blends", style, "--photos", held, "--pictures", data / pack, "--out", out, *some)
    out.with_suffix(".png").replace(PRETRAINED / f"{style}-128.png")
    made = header(f"{style}-128.generator")
    rows = [("photos", figures["photos"]), *figures["blends"].items()]
    table = "\n".join(
        f"| {k} | {interval(row['mobileface'])} | {interval(row['untrained'])} | "
        + (f"{row['identity']:.3f} |" if "identity" in row else "|")
        for k, row in rows
    )
    (PRETRAINED / f"{style}-128.md").write_text(
        f"""# {style}-128

A style for `stylegan-toon toonify --style {style}`: a child of [faces-128](faces-128.md){BEGAN.get(style, "")}, by FreezeSG
with structure, identity and low-pass losses and ADA, its mapping and 4x4 block frozen.

![Photo, its inversion, and the cartoon at K = 0 upwards]({style}-128.png)

- **Data.** {credit}
- **Licence.** Research and personal use: [LICENSE-WEIGHTS.md](LICENSE-WEIGHTS.md).
- **Training.** `tools/make_models.sh`; {made["meta"]["pictures"]:,} pictures seen; every second batch was drawn as the
  blend at K = 3, and three quarters of the codes were those of some 400 training photos, with shifted features
  ([why](../docs/training.md)).{DRAWN[style]}
- **Best K** (used when `--blend` is not given): {made["meta"]["blend"]}. **Eyes, finish** (likewise): {made["meta"]["eyes"]}, {made["meta"]["finish"]};
  of the figures below the gates have them, and the photo's own detail ([how](../docs/upscaling.md#the-photos-own-detail)), but for the
  dial and random samples, which are the model's own, as are the picture and the table by K.
- **Limits.** {LIMITS[style]}
- **Not blind.** {HISTORY[style]} The last runs and the shift of features were settled by eye on training photos and the bundled
  portrait, that its finer parts help on six demo portraits, first runs on nine demo portraits, of two of whose people four photos are in the second table. How much eyes
  and mouth count in refinement, and how long the encoder was trained, was settled with 34 of the pairs there in sight, judged by
  the emotion network, too. MobileFace, which finds the person there, was also in the losses of refinement and of the style.
  Eyes, finish and detail were set by eye on nine demo portraits, of two of whose people photos are in the table of gates.

| K: resolutions from the photo generator | KID to the style, MobileFace | KID, untrained network | identity cosine |
| --- | --- | --- | --- |
{table}

Of {figures["photo_count"]} held-out photos against {figures["picture_count"]} pictures of the style; the row `photos`
is the photos themselves, the last row their inversions. Figures: `tools/make_cards.py`. K 0 and K 1 are the same
because the 4x4 block is shared.

| of {gates["photos"]} photos of the London and Canada sets, at K = {made["meta"]["blend"]} | wanted | measured |
| --- | --- | --- |
{gate_rows(gates["styles"][style])}

How: `benchmarks/gates.py`. Of {gates["pairs"]} pairs of a neutral and a smiling photo, the photos themselves are judged happier
in {gates["photo"]["happier"][0]:.0%}, their inversions in {gates["inversion"]["happier"][0]:.0%}; the person is found first of 50 for
{gates["photo"]["first_of_50"][0]:.0%} of the photos, and {gates["inversion"]["first_of_50"][0]:.0%} of the inversions.
"""
    )


def draw_goals(data: Path, count: int = 200) -> dict[str, Path]:
    """Folders with the drawings of public photos, evenly spaced, by the filters that taught the small styles."""
    photos = Path("out/goals/photos")
    photos.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(data / "faces_congress/faces256.zip") as pack:
        names = sorted(name for name in pack.namelist() if name.endswith(".jpg"))
        for name in (names[i * len(names) // count] for i in range(count)):
            (photos / Path(name).name).write_bytes(pack.read(name))
    for look in SMALL:
        drawing = [
            sys.executable,
            ROOT / "tools/make_drawings.py",
            photos,
            photos.parent / look,
            "--look",
            look,
        ]
        subprocess.run([str(part) for part in drawing], check=True)
    return {look: photos.parent / look for look in SMALL}


def small_card(style: str, photos: list[Path], gates: dict) -> None:
    """The card of a style taught by drawings alone, one of SMALL, or of one of TAUGHT."""
    from stylegan_toon.checkpoint.format import load
    from stylegan_toon.images import grid, save_png, to_tensor
    from stylegan_toon.pipelines.models import find_model
    from stylegan_toon.pipelines.toonifier import STROKES, Toonifier

    file, toonifier = find_model(style), Toonifier(style, upscale="auto", strokes=STROKES)
    made = load(file)
    opened = [toonifier.faces_of(photo, "largest") for photo in photos]
    crops = torch.cat([toonifier.crops(*one) for one in opened])
    found = toonifier.fit(crops, toonifier.steps(None))
    drawn = toonifier.drawings(opened, crops, found)
    pairs = torch.cat([crops, toonifier.draw(found.w_plus, toonifier.source, found.shift)])
    plain = torch.nn.functional.interpolate(pairs, (256, 256), mode="bicubic")
    cartoons = [to_tensor(toonifier.crop(toonifier.enlarged(one, [256.0])[0], 256)) for one in drawn]
    save_png(PRETRAINED / f"{style}-128.png", grid(torch.cat([plain, *cartoons]), len(photos)))
    about = TAUGHT.get(style) or {key: text.format(style=style) for key, text in BY_DRAWINGS.items()}
    rows = gate_rows(gates["styles"][style])
    rows = rows if style in TAUGHT else rows.replace("to the style", "to such drawings")
    size = f"{file.stat().st_size:,} bytes"
    kind = f"A child of [faces-128](faces-128.md) of {size}, all of it trained but the mapping."
    if "rank" in made.config:
        kind = f"A [style file](../docs/styles.md) of\n{size}, a LoRA of rank {made.config['rank']} of [faces-128](faces-128.md)."
    (PRETRAINED / f"{style}-128.md").write_text(
        f"""# {style}-128

A style for `stylegan-toon toonify --style {style}`: {about.get("what") or SMALL[style]}. {kind}

![Photos, their inversions, and the cartoons]({style}-128.png)

- **Data.** {about["data"]}
- **Licence.** Research and personal use: [LICENSE-WEIGHTS.md](LICENSE-WEIGHTS.md).
- **Training.** `tools/make_models.sh`; {made.meta["pictures"]:,} {about["training"]}
- **Best K** (used when `--blend` is not given): {made.meta["blend"]}. **Eyes, finish** (likewise): {made.meta["eyes"]}, {made.meta["finish"]};
  {about["shown"]}
- **Limits.** {LIMITS[style]}{about["random"]}
- **Not blind.** {about["blind"]}

| of {gates["photos"]} photos of the London and Canada sets, at K = {made.meta["blend"]}; {about["goal"]} | wanted | measured |
| --- | --- | --- |
{rows}

How: `benchmarks/gates.py`, by `tools/make_cards.py`.
"""
    )


def measure_gates(data: Path) -> dict:
    """What benchmarks/gates.py says of all styles; also in figures/gates.json. The siblings there are the first six."""
    photos = data / "faces_consent/faces256.zip"
    packs = {name: data / pack for name, (pack, _) in STYLES.items()} | draw_goals(data)
    found = []
    heads = {name: data / pack for name, pack in OTHERS.items()}
    for part in (packs, *({name: pack} for name, pack in heads.items())):
        pairs = [word for name, pack in part.items() for word in ("--style", f"{name}={pack}")]
        command = [sys.executable, ROOT / "benchmarks/gates.py", photos, *pairs]
        done = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(done.stdout))
    for more in found[1:]:
        found[0]["styles"] |= more["styles"]
    (FIGURES / "gates.json").write_text(json.dumps(found[0], indent=1) + "\n")
    return found[0]


def gate_rows(row: dict) -> str:
    lines = []
    for what, (gate, path) in GATES.items():
        value = row
        for key in path:
            value = value[key]
        share = "first" in path[0] or path[0] in ("by_skin", "happier")
        figures = [
            f"{x:.0%}" if share else f"{x:.2f}" for x in (value if isinstance(value, list) else [value])
        ]
        text = figures[0] + (f" ({figures[1]} to {figures[2]})" if len(figures) > 1 else "")
        lines.append(f"| {what.strip()} | {gate} | {text} |")
    return "\n".join(lines)


def sheet(photos: list[Path]) -> None:
    """docs/images/quickstart.png and contact-sheet.png: each photo and its cartoon in every style."""
    from stylegan_toon.faces.align import side
    from stylegan_toon.faces.detect import find_faces
    from stylegan_toon.images import grid, load_image, save_png, to_tensor
    from stylegan_toon.pipelines.blends import largest_face
    from stylegan_toon.pipelines.toonifier import Toonifier
    from stylegan_toon.pipelines.toonify import toonify_files

    rows = []
    for photo in photos:
        whole = [load_image(photo)]
        whole += [
            load_image(next(iter(toonify_files([photo], style, out=f"out/{style}"))).path) for style in SHEET
        ]
        (face,) = find_faces(whole[0])
        (x, y), edge = face.points.mean(0), side(face.points)
        cut = round(min(1.4 * edge, *whole[0].size))
        left, top = (
            int(np.clip(at - share * cut, 0, most - cut))
            for at, share, most in zip((x, y), (0.5, 0.54), whole[0].size, strict=True)
        )
        box = (left, top, left + cut, top + cut)
        cuts = [
            picture if style in ALONE else picture.crop(box)
            for style, picture in zip(("", *SHEET), whole, strict=True)
        ]
        rows += [to_tensor(picture.resize((256, 256))) for picture in cuts]
    save_png(ROOT / "docs/images/contact-sheet.png", grid(torch.cat(rows), 1 + len(SHEET)))
    toonifier = Toonifier("storybook")
    face = largest_face(toonifier, photos[0], toonifier.find)
    code, shift = (found := toonifier.fit(face, toonifier.steps(None))).w_plus, found.shift  # as toonify does
    steps = torch.cat(
        [face, toonifier.draw(code, toonifier.source, shift), toonifier.draw(code, shift=shift)]
    )
    steps = torch.nn.functional.interpolate(steps, (256, 256), mode="bilinear")
    save_png(
        ROOT / "docs/images/quickstart.png",
        grid(torch.cat([rows[0], steps, rows[1 + SHEET.index("storybook")]]), 5),
    )


if __name__ == "__main__":
    STYLES = {
        name: about
        for name, about in STYLES.items()
        if (PRETRAINED / f"{name}-128.generator.safetensors").is_file()
    }
    data, photos = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    FIGURES.mkdir(exist_ok=True)
    (ROOT / "docs" / "images").mkdir(exist_ok=True)
    measured = measure_gates(data)
    for style in STYLES:
        style_card(style, data, photos, measured)
    for style in (*SMALL, *TAUGHT):
        small_card(style, photos, measured)
    faces_card(data)
    sheet(photos)
