"""Train the text model clip-faces on labelled pictures, or pack it. Only for those who make it again.

    python tools/make_clip_faces.py train POOL RUN [--start RUN] [--steps N] [--paintings none|train|FOLD]
    python tools/make_clip_faces.py pack RUN pretrained/clip-faces.safetensors

POOL is what tools/make_clip_faces_pool.py gathered. No label comes from the emotion network, which judges what
the text model does: drawn pictures say their mood, photos and samples get one from their mouth corners or by having
their features moved (faces.expression). FOLD 0 to 4 also holds back the captioned paintings of one fifth.
"""

import argparse
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from make_clip_faces_pool import SIZE
from make_clip_faces_words import GROUPS, Texts, caption, face_words, prompts
from PIL import Image
from torch.nn import functional as F

from stylegan_toon.checkpoint.format import Checkpoint, save
from stylegan_toon.checkpoint.importers.clip import KIND, used
from stylegan_toon.config import to_json
from stylegan_toon.faces.expression import resample
from stylegan_toon.features import clip
from stylegan_toon.methods import clip_faces
from stylegan_toon.training.loop import Run, train

WEIGHTS = (1.0, 0.5, 0.3, 0.2, 0.3, 0.2)  # of the groups' losses
SHAPE = clip.Config(
    embed=128, size=64, patch=32, width=16, layers=0, stages=(2, 2, 2, 1), text_width=128, text_layers=2
)
CAPTIONS = 24  # of a batch, whole captions


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


def train_model(
    pool_file: Path, run: Run, start: Path | None, paintings: str, lr: float, hard: float, moods: bool
) -> None:
    stored = Pictures(pool_file, paintings)
    texts = Texts(stored.captions)
    shares = {"drawn": 30, "photo": 26, "painting": 8, "said": 0}
    if paintings != "none":
        shares = {"drawn": 20, "photo": 20, "painting": 10, "said": 14}
    sizes = tuple(map(len, GROUPS.values()))
    config = clip_faces.Config(sizes, WEIGHTS, sum(shares.values()), run.steps, lr)
    if (
        moods
    ):  # the hardest words: what they look like is found first where it is plain, and nothing else asked
        shares = {"drawn": 62, "photo": 1, "painting": 1, "said": 0}
        config = replace(config, weights=(1.0,) + (0.0,) * (len(sizes) - 1), caption_weight=0.0)
    torch.manual_seed(run.seed)
    net = clip.CLIP(replace(SHAPE, tokens=len(used(texts.known))))
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
    one = commands.add_parser("train")
    one.add_argument("pool", type=Path)
    one.add_argument("run", type=Path)
    one.add_argument("--start", type=Path)
    one.add_argument("--steps", type=int, default=2000)
    one.add_argument("--lr", type=float, default=0.002)
    one.add_argument("--hard", type=float, default=1.0, help="how much pictures are moved, blurred and so on")
    one.add_argument(
        "--moods", action="store_true", help="drawn pictures and their moods alone, to begin with"
    )
    one.add_argument("--paintings", default="none")
    one = commands.add_parser("pack")
    one.add_argument("run", type=Path)
    one.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.command == "train":
        run = Run(given.run, given.steps, save_every=100, look_every=100)
        train_model(given.pool, run, given.start, given.paintings, given.lr, given.hard, given.moods)
    else:
        save(given.out, clip.read_clip(given.run / "last.safetensors"), half=True)


if __name__ == "__main__":
    main()
