"""Train the text model clip-faces on labelled pictures, or pack it. Only for those who make it again.

    python tools/make_clip_faces.py pool DATA AVATARS POOL [photos] [paintings] [samples] [avatars]
    python tools/make_clip_faces.py train POOL RUN [--start RUN] [--steps N] [--paintings none|train|FOLD]
    python tools/make_clip_faces.py pack RUN pretrained/clip-faces.safetensors

AVATARS is what tools/draw_avatars.mjs drew; DATA holds compact/faces128_train.zip, faces_synth/faces128.zip (whose
manifest tells men from women) and toon_painted/painted128.zip; samples of faces-128 and its styles are drawn beside
them. No label comes from the emotion network, which judges what the text model does: drawn pictures say their mood,
photos and samples get one from their mouth corners or by having their features moved (faces.expression). Pictures
whose number ends in 9 are left out. FOLD 0 to 4 also holds back the captioned paintings of one fifth.
"""

import argparse
import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from stylegan_toon.archives import pictures
from stylegan_toon.checkpoint.format import Checkpoint, save
from stylegan_toon.checkpoint.importers.clip import KIND, used
from stylegan_toon.config import to_json
from stylegan_toon.data import leaves_out
from stylegan_toon.faces.detect import find_faces
from stylegan_toon.faces.expression import resample
from stylegan_toon.features import clip
from stylegan_toon.features.clip_words import PIECE, Words
from stylegan_toon.features.compat import clip_module
from stylegan_toon.images import read_image
from stylegan_toon.methods import clip_faces
from stylegan_toon.pipelines.models import load_generator
from stylegan_toon.stylegan2.latents import truncate
from stylegan_toon.training.loop import Run, train

SIZE = 80  # of the pool; the network sees 64, cut out at random
STYLES = {
    "photo": ("photo", "photograph", "portrait photo"),
    "painting": ("painting", "digital painting", "painted portrait"),
    "cartoon": ("cartoon", "cartoon drawing", "comic"),
    "ink": ("ink drawing", "line drawing", "drawing"),
}
MOODS = {
    "happy": ("happy", "smiling", "joyful", "cheerful", "glad", "laughing"),
    "sad": ("sad", "unhappy", "upset", "sorrowful", "gloomy", "crying", "depressed"),
    "angry": ("angry", "mad", "furious", "annoyed", "grumpy", "enraged"),
    "surprised": ("surprised", "shocked", "amazed", "astonished", "startled"),
    "neutral": ("neutral", "calm", "serious", "expressionless", "relaxed"),
}
NOUNS = {
    "happy": ("happiness", "joy", "a smile", "a big smile"),
    "sad": ("sadness", "grief", "sorrow"),
    "angry": ("anger", "rage"),
    "surprised": ("surprise", "an open mouth"),
    "neutral": ("no expression",),
}
HAIR = {
    "black": ("black",),
    "brown": ("brown", "brunette"),
    "auburn": ("auburn", "reddish brown"),
    "blond": ("blond", "blonde", "yellow", "golden"),
    "red": ("red", "ginger", "orange"),
    "gray": ("gray", "grey", "silver"),
    "white": ("white",),
    "blue": ("blue",),
    "purple": ("purple", "violet"),
    "green": ("green",),
    "pink": ("pink",),
}
GLASSES = {
    "none": ("no glasses", "no eyeglasses"),
    "glasses": ("glasses", "eyeglasses", "spectacles"),
    "sunglasses": ("sunglasses", "dark glasses"),
}
BEARD = {
    "none": ("no beard", "a shaved chin"),
    "beard": ("a beard", "a mustache", "a moustache", "facial hair"),
}
PERSON = {"man": ("man", "guy", "male person"), "woman": ("woman", "lady", "female person")}
GROUPS = {"mood": MOODS, "hair": HAIR, "glasses": GLASSES, "beard": BEARD, "person": PERSON, "style": STYLES}
INK = ("lorelei", "open-peeps")
WEIGHTS = (1.0, 0.5, 0.3, 0.2, 0.3, 0.2)  # of the groups' losses
SHAPE = clip.Config(embed=128, size=64, patch=8, width=128, layers=3, text_width=128, text_layers=2)
MIDDLE = (
    torch.arange(64).reshape(8, 8)[2:7, 1:7].flatten()
)  # patches round eyes and mouth: half the time a step
CAPTIONS = 24  # of a batch, whole captions
ADVERBS = ("", "", "", "really", "really", "very", "extremely", "so", "truly", "quite")
PREFIXES = (
    "",
    "",
    "a photo of ",
    "a picture of ",
    "a portrait of ",
    "an image of ",
    "a painting of ",
    "a cartoon of ",
    "a drawing of ",
)
CORES = ("face", "face", "person", "head", "character")
PROMPTS = {
    "mood": ("a {adverb} {word} {core}", "a {adverb} {word} {core}", "a {core} that looks {adverb} {word}", "a {core} who is {adverb} {word}",
             "a {core} with a {adverb} {word} expression", "the {core} is {adverb} {word}", "someone {adverb} {word}", "{word}"),
    "hair": ("a {core} with {word} hair", "{word} hair", "a {word} haired {core}", "the hair is {word}"),
    "glasses": ("a {core} with {word}", "a {core} wearing {word}", "{word}"),
    "beard": ("a {core} with {word}", "a {core} who has {word}", "{word}"),
    "person": ("a {word}", "the {word}", "the face of a {word}"),
    "style": ("a {word} of a {core}", "a {word}", "this is a {word}"),
}  # fmt: skip
TEMPLATES = tuple(text for texts in PROMPTS.values() for text in texts)
EXTRA = ("and with wearing of a an the . , !",)
FACE_WORDS = frozenset(
    re.findall(
        "[a-z]+",
        """
a an and with the of in is has no not very really old young elderly aged middle teenage adult man men woman women male female
person face head portrait hair haired long short medium curly wavy straight messy spiky bald balding thick thin black brown
brunette blonde blond red ginger auburn gray grey silver white blue green purple violet pink orange yellow golden dark light pale
tan tanned fair skin skinned eyes eyed eye lips nose ears cheeks chin jaw mouth teeth forehead beard bearded mustache moustache
goatee stubble glasses sunglasses freckles freckled wrinkles wrinkled smile smiling laughing grinning grin happy sad angry serious
grumpy crying surprised scared afraid tired sleepy neutral calm stern frowning big small large sharp round square wide chubby slim
handsome pretty beautiful cute strong makeup bun braids braided ponytail bangs mohawk afro hat earrings painting painted cartoon
drawing photo looking looks expression smirk joyful cheerful furious melancholic gloomy shocked worried
""",
    )
)
# Paintings: the words of a caption that say something of a group.
MALE = {
    "man",
    "men",
    "guy",
    "male",
    "king",
    "prince",
    "lord",
    "wizard",
    "gentleman",
    "duke",
    "emperor",
    "boyfriend",
    "father",
    "grandfather",
    "uncle",
    "businessman",
    "cowboy",
    "dude",
    "sorcerer",
}
FEMALE = {
    "woman",
    "women",
    "female",
    "lady",
    "princess",
    "queen",
    "witch",
    "goddess",
    "girl",
    "duchess",
    "mother",
    "grandmother",
    "aunt",
    "sorceress",
    "empress",
}
MOOD_WORDS = {"smiling": "happy", "happy": "happy", "laughing": "happy", "grinning": "happy", "joyful": "happy", "cheerful": "happy",
              "sad": "sad", "crying": "sad", "melancholic": "sad", "gloomy": "sad", "angry": "angry", "furious": "angry",
              "grumpy": "angry", "surprised": "surprised", "shocked": "surprised"}  # fmt: skip


def index(group: str, name: str | None) -> int:
    return list(GROUPS[group]).index(name) if name in GROUPS[group] else -1


def labels(**known: str | None) -> list[int]:
    """The place of each known name in its group; -1 where nothing is known."""
    return [index(group, known.get(group)) for group in GROUPS]


def of_caption(caption: str) -> dict[str, str]:
    """What a painting's caption says of the groups."""
    words = re.findall("[a-z]+", caption)
    found = {"style": "painting"}
    for colour, names in HAIR.items():
        if re.search(rf"\b({'|'.join(names)})( \w+)? hair(ed)?\b|\b({'|'.join(names)}) ?haired\b", caption):
            found["hair"] = colour
    if {"blonde", "blond"} & set(words):
        found["hair"] = "blond"
    if {"redhead", "ginger", "redheaded"} & set(words):
        found["hair"] = "red"
    if "brunette" in words:
        found["hair"] = "brown"
    moods = {MOOD_WORDS[word] for word in words if word in MOOD_WORDS}
    if len(moods) == 1:
        found["mood"] = moods.pop()
    if set(words) & {"beard", "bearded", "mustache", "moustache", "goatee"}:
        found["beard"] = "beard"
    if "sunglasses" in words or "glasses" in words:
        found["glasses"] = "sunglasses" if "sunglasses" in words else "glasses"
    male, female = bool(set(words) & MALE), bool(set(words) & FEMALE)
    if male != female:
        found["person"] = "man" if male else "woman"
    return found


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


class Texts:
    """Captions and prompts with the words of the groups, and the numbers of their words."""

    def __init__(self, captions: list[str]):
        self.pair = clip_module("simple_tokenizer").SimpleTokenizer()
        said = [*captions, *TEMPLATES, *ADVERBS, *PREFIXES, *CORES, *EXTRA]
        said += [word for group in (*GROUPS.values(), NOUNS) for names in group.values() for word in names]
        spoken = " ".join(said)
        words = sorted(set(PIECE.findall(re.sub("{.*?}", " ", spoken).lower())))
        self.known = {word: self.pair.encode(word) for word in words}
        self.words = Words(self.known)

    def tokens(self, texts: list[str]) -> torch.Tensor:
        rows = [[self.words.begin, *self.words.encode(text), self.words.end] for text in texts]
        out = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for i, row in enumerate(rows):
            out[i, : len(row)] = torch.tensor(row)
        return out


def face_words(caption: str) -> str:
    """A painting's caption without the words that say nothing of a face: the small model has no use for wizards."""
    return " ".join(word for word in re.findall("[a-z]+", caption) if word in FACE_WORDS)


def an(text: str) -> str:
    return re.sub(r"\ba (?=[aeio]|unhappy|upset)", "an ", re.sub(" +", " ", text)).strip()


def prompts(rng: np.random.Generator) -> list[str]:
    """One text for each member of each group; those of a group differ in that member alone."""

    def pick(options):
        return options[rng.integers(len(options))]

    out = []
    for group, members in GROUPS.items():
        adverb, core, prefix = pick(ADVERBS), pick(CORES), pick(PREFIXES)
        template = pick(PROMPTS[group])
        noun = group == "mood" and rng.random() < 0.15
        for name, names in members.items():
            word = pick(NOUNS[name]) if noun else names[0] if rng.random() < 0.5 else pick(names)
            text = "a {core} with {word}" if noun else template
            out.append(an(prefix + text.format(word=word, adverb=adverb, core=core)))
    return out


def caption(row: np.ndarray, said: str, rng: np.random.Generator) -> tuple[str, list[bool]]:
    """A text that is true of a picture with these labels, and which groups it mentions."""

    def pick(options):
        return options[rng.integers(len(options))]

    names = {g: list(GROUPS[g])[k] if k >= 0 else None for g, k in zip(GROUPS, row, strict=True)}
    use = {g: name is not None and rng.random() < (0.9 if g == "mood" else 0.45) for g, name in names.items()}
    word = {g: pick(GROUPS[g][names[g]]) for g in GROUPS if use[g]}
    if said:
        known = of_caption(said)
        mood = f"{word['mood']} " if use["mood"] and "mood" not in known else ""
        use = {g: (g == "mood" and bool(mood)) or g in known for g in GROUPS}
        return an(pick(("", "", "a painting of ")) + mood + said), [use[g] for g in GROUPS]
    core = word["person"] if use["person"] else pick(CORES)
    text = f"a {core}"
    if use["mood"]:
        text = pick(PROMPTS["mood"][:6]).format(word=word["mood"], adverb=pick(ADVERBS), core=core)
    rest = [f"with {word['hair']} hair"] if use["hair"] else []
    rest += [f"{pick(('with', 'wearing'))} {word['glasses']}"] if use["glasses"] else []
    rest += [f"with {word['beard']}"] if use["beard"] else []
    rng.shuffle(rest)
    prefix = f"a {word['style']} of " if use["style"] else pick(PREFIXES)
    return an(f"{prefix}{text} {' and '.join(rest)}"), [use[g] for g in GROUPS]


class Pictures:
    """The pool by what can be asked of it; batch i depends on the loop's seed of step i alone."""

    def __init__(self, path: Path, paintings: str):
        files = [np.load(path / f"{source}.npz") for source in ("photos", "paintings", "samples", "avatars")]
        stored = {key: np.concatenate([file[key] for file in files]) for key in files[0]}
        self.pictures, self.points = torch.from_numpy(stored["picture"]), torch.from_numpy(stored["points"])
        self.labels, self.names = stored["label"].astype(np.int64), stored["name"]
        self.captions = [face_words(str(c)) for c in stored["caption"]]
        kind = np.array([str(name).split("/")[0] for name in self.names])
        real = np.isin(kind, ["synth", "lfw", "congress", "sample-photo"])
        smile, turn = smiles(self.pictures.numpy(), self.points.numpy())
        frontal = np.isfinite(smile) & (turn < 0.25) & (self.labels[:, 0] < 0)
        self.lists = {}
        for name, those in (("photo", real), ("painting", np.isin(kind, ["sample-painting", "painted"]))):
            where = those & frontal & ~self._held(kind, paintings)
            low, middle, high = np.quantile(smile[where], [0.25, 0.5, 0.7])
            self.lists[name, "smiling"] = np.flatnonzero(where & (smile > high))
            self.lists[name, "still"] = np.flatnonzero(where & (smile < low))
            self.lists[name, "movable"] = np.flatnonzero(where & (smile < middle))
        said = np.array([bool(c) for c in self.captions])
        self.lists["said"] = np.flatnonzero((kind == "painted") & said & ~self._held(kind, paintings))
        drawn = ~real & ~np.isin(kind, ["sample-painting", "painted"])
        for mood in range(5):
            self.lists["drawn", mood] = np.flatnonzero(drawn & (self.labels[:, 0] == mood))
        print({str(k): len(v) for k, v in self.lists.items()}, flush=True)

    def _held(self, kind: np.ndarray, paintings: str) -> np.ndarray:
        """Which paintings are not for training."""
        own = kind == "painted"
        if paintings == "none":
            return own
        number = np.array([int(Path(str(n)).stem) if p else 0 for n, p in zip(self.names, own, strict=True)])
        return own & (fold(number) == int(paintings)) if paintings.isdigit() else np.zeros_like(own)

    def draw(
        self, shares: dict[str, int], rng: np.random.Generator
    ) -> tuple[list[int], list[int], list[float]]:
        """Pictures, the mood each gets (-1: what its label says), and how far its features are moved."""
        rows = []
        for mood in rng.integers(5, size=shares["drawn"]):  # of each mood as many: few styles draw all five
            rows.append((int(rng.choice(self.lists["drawn", int(mood)])), -1, 0.0))
        for sort in ("photo", "painting"):
            for mood in rng.integers(5, size=shares[sort]):
                natural = mood == 4 or (mood == 0 and rng.random() < 0.5)
                there = self.lists[sort, "movable" if not natural else "still" if mood == 4 else "smiling"]
                far = 0.0 if natural else rng.uniform(0.45, 1.25)
                rows.append((int(rng.choice(there)), int(mood), far))
        if len(self.lists["said"]):
            rows += [(int(k), -1, 0.0) for k in rng.choice(self.lists["said"], shares["said"])]
        picked, moods, far = zip(*(rows[k] for k in rng.permutation(len(rows))), strict=True)
        return list(picked), list(moods), list(far)


def smiles(pictures: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much each face smiles (how wide the mouth is, and how white between its corners), and how far it is turned.

    Both are NaN without points. Looked at on 150 pictures, nearly all above the quantile 0.7 smile, and nearly none
    below 0.25.
    """
    eye = points[:, 1, 0] - points[:, 0, 0]
    wide = np.linalg.norm(points[:, 4] - points[:, 3], axis=1) / eye
    turn = np.abs((points[:, 2, 0] - points[:, :2, 0].mean(1)) / eye)
    white = np.full(len(points), np.nan)
    for i in np.flatnonzero(np.isfinite(wide)):
        place, e = points[i] * SIZE, eye[i] * SIZE
        low, high = place[3, 0] + 0.15 * e, place[4, 0] - 0.15 * e
        middle, nose = place[3:, 1].mean(), place[2, 1]
        mouth = pictures[i, :, int(middle - 0.14 * e) : int(middle + 0.14 * e) + 1, int(low) : int(high) + 1]
        cheeks = pictures[i, :, int(nose - 3) : int(nose + 3), int(place[0, 0] - 3) : int(place[1, 0] + 3)]
        if mouth.size and cheeks.size:
            blue, skin = (part[2].astype(float) - 0.6 * part[0] for part in (mouth, cheeks))
            white[i] = (np.percentile(blue, 92) - np.median(skin)) / max(np.median(cheeks[0]), 1)
    both = [(v - np.nanmean(v)) / np.nanstd(v) for v in (wide, white)]
    return both[0] + both[1], turn


def fold(numbers: np.ndarray) -> np.ndarray:
    """The fifth that each painting belongs to, by its number: unrelated to what it shows."""
    return numbers * 7919 % 10007 % 5


def augment(
    x: torch.Tensor, points: torch.Tensor, moods: torch.Tensor, far: torch.Tensor, hard: float
) -> torch.Tensor:
    """Pictures of the pool as the network sees them: moved, turned, expressions pushed, lit, blurred, compressed.

    hard: 0 to 1, how much of that.
    """
    n = len(x)
    turn, size = torch.randn(n) * 0.07 * hard, torch.exp(torch.randn(n) * 0.08 * hard) * 0.95
    flip = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    shift = torch.randn(n, 2) * 0.05 * hard
    rows = [torch.stack([turn.cos() * size * flip, -turn.sin() * size, shift[:, 0]], 1),
            torch.stack([turn.sin() * size * flip, turn.cos() * size, shift[:, 1]], 1)]  # fmt: skip
    grid = F.affine_grid(torch.stack(rows, 1), [n, 3, 64, 64], align_corners=False)
    x, moved = x.float() / 127.5 - 1, far > 0
    y = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    y[moved] = resample(x[moved], grid[moved], points[moved] * 2 - 1, moods[moved], far[moved])

    def some(p: float) -> torch.Tensor:
        return (torch.rand(n, 1, 1, 1) < p).float()

    light = F.interpolate(torch.randn(n, 1, 3, 3), (64, 64), mode="bicubic") * 0.12 * some(0.5)
    gain = torch.exp(torch.randn(n, 1, 1, 1) * 0.15 + torch.randn(n, 3, 1, 1) * 0.04)
    y = (y + 1) * gain * (1 + light) - 1 + torch.randn(n, 1, 1, 1) * 0.07
    grey = y.mean(1, keepdim=True)
    y = grey + (y - grey) * (1 + torch.randn(n, 1, 1, 1) * 0.15).clamp(0.5, 1.4)
    for part in y.split(16):
        if torch.rand([]) < 0.65 * hard:
            small = int(torch.randint(22, 60, []))
            soft = F.interpolate(part, (small, small), mode="bilinear", antialias=True)
            part.copy_(F.interpolate(soft, (64, 64), mode="bilinear"))
    y = (y + torch.randn_like(y) * 0.05 * some(0.3 * hard) * torch.rand(n, 1, 1, 1)).clamp(-1, 1)
    for k in torch.nonzero(torch.rand(n) < 0.15 * hard)[:, 0].tolist():
        buffer = io.BytesIO()
        pixels = ((y[k] + 1) * 127.5).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=int(torch.randint(30, 90, [])))
        y[k] = torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).float() / 127.5 - 1
    return y


def waves(side: int, width: int) -> torch.Tensor:
    """[side^2, width]: sines and cosines of each patch's row and column, to begin from."""
    rate = 1 / 100 ** (torch.arange(width // 4) / (width // 4))
    angle = torch.arange(side)[:, None] * rate
    line = torch.cat([angle.sin(), angle.cos()], 1)
    down, across = line[:, None].expand(-1, side, -1), line[None].expand(side, -1, -1)
    return torch.cat([down, across], 2).reshape(side * side, width) * 0.3


def train_model(
    pool_file: Path, run: Run, start: Path | None, paintings: str, lr: float, hard: float, middle: bool
) -> None:
    stored = Pictures(pool_file, paintings)
    texts = Texts(stored.captions)
    shares = {"drawn": 30, "photo": 26, "painting": 8, "said": 0}
    if paintings != "none":
        shares = {"drawn": 20, "photo": 20, "painting": 10, "said": 14}
    config = clip_faces.Config(tuple(map(len, GROUPS.values())), WEIGHTS, sum(shares.values()), run.steps, lr)
    torch.manual_seed(run.seed)
    net = clip.CLIP(replace(SHAPE, tokens=len(used(texts.known))))
    net.visual.positional_embedding.data[1:] = waves(SHAPE.size // SHAPE.patch, SHAPE.width)
    if start:
        net = clip.build_clip(clip.read_clip(start / "last.safetensors"))
    method = clip_faces.ClipTraining(config, net)

    def stream(i: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([run.seed, i])
        picked, moods, far = stored.draw(shares, rng)
        label = stored.labels[picked].copy()
        given = np.array(moods)
        label[:, 0] = np.where(given >= 0, given, label[:, 0])
        told, mentions = zip(
            *(caption(label[k], stored.captions[picked[k]], rng) for k in range(CAPTIONS)), strict=True
        )
        said, mention = label[:CAPTIONS], np.array(mentions)
        clash = (said[:, None] >= 0) & (said[None] >= 0) & (said[:, None] != said[None]) & mention[None]
        wrong = clash.any(2)
        free = np.array([bool(stored.captions[k]) for k in picked[:CAPTIONS]])
        wrong |= free[None] & (np.array(told)[:, None] != np.array(told)[None])
        np.fill_diagonal(wrong, False)
        tokens = texts.tokens([*prompts(rng), *told])
        x = augment(
            stored.pictures[picked], stored.points[picked], torch.tensor(moods), torch.tensor(far), hard
        )
        return {
            "picture": x,
            "label": torch.from_numpy(label),
            "text": tokens,
            "wrong": torch.from_numpy(wrong),
        }

    def look(done: int) -> dict[str, float]:
        about = {"network": clip.NAME, "words": texts.known, "step": done, "pictures": done * config.batch}
        save(
            run.out / "last.safetensors",
            Checkpoint(KIND, to_json(net.config), about, method.average.state_dict()),
        )
        return {}

    train(method, stream, run, look, {"pool": str(pool_file), "paintings": paintings})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("pool")
    for name in ("data", "avatars", "out"):
        one.add_argument(name, type=Path)
    one.add_argument("only", nargs="*")
    one = commands.add_parser("train")
    one.add_argument("pool", type=Path)
    one.add_argument("run", type=Path)
    one.add_argument("--start", type=Path)
    one.add_argument("--steps", type=int, default=2000)
    one.add_argument("--lr", type=float, default=0.002)
    one.add_argument("--hard", type=float, default=1.0, help="how much pictures are moved, blurred and so on")
    one.add_argument("--middle", action="store_true", help="look at the patches round eyes and mouth alone")
    one.add_argument("--paintings", default="none")
    one = commands.add_parser("pack")
    one.add_argument("run", type=Path)
    one.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.command == "pool":
        pool(given.data, given.avatars, given.out, given.only)
    elif given.command == "train":
        run = Run(given.run, given.steps, save_every=100, look_every=100)
        train_model(given.pool, run, given.start, given.paintings, given.lr, given.hard, given.middle)
    else:
        save(given.out, clip.read_clip(given.run / "last.safetensors"), half=True)


if __name__ == "__main__":
    main()
