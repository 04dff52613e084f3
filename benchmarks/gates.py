"""Do the cartoons of held-out photos keep the person, the mood and the style? As JSON.

    python benchmarks/gates.py faces256.zip --style NAME=PICTURES.zip ... [--refine N] [--out FILE]

faces256.zip holds the pictures of the Face Research Lab London set and of others, aligned, with manifest.csv,
on which nothing is trained. Of every style, at the style's own K:

- first_of_50: how often MobileFace finds a cartoon's own photo first of those of 50 people, with a template
  10 % larger than the one that losses use; by_skin, for thirds of the photos by lightness; and for_smiling,
  with cartoons of neutral faces among smiling photos. "photo" has the neutral photos among smiling ones.
- happier: of the pairs of neutral and smiling photos, how often the emotion network, which is in no loss,
  finds the smiling one's cartoon happier.
- kid: of the cartoons at K = 4 to PICTURES, as a multiple of that of the photos' inversions, in two spaces.
- target: of 1,000 samples of the child at psi 1 to PICTURES, as a part of that of its source's samples.
- nearest: the median distance of these samples to the nearest of PICTURES or its mirror image, as a multiple
  of that of PICTURES among themselves, in MobileFace's features; near 0 are copies.
- dial: from photo to cartoon in 21 stops, in which the shares of the resolutions above K fall evenly: the
  largest step as a multiple of the mean, of pixels and of MobileFace's features, over 20 photos; Spearman's
  correlation of the stop and how far features have gone from the photos' mean to the style's; and whether
  both ends are exact.
- siblings: how far the cartoons of two styles disagree about YuNet's five points, in eye distances, over 100
  random codes; and across, how often the same person is found first of 100 in another style. As toonify shows
  them, the source's picture being the photo, and as the models draw them ("siblings_drawn").

Cartoons are judged as toonify shows them, with the photo's detail and the style's eyes and finish, but for
the dial and samples, which are the models' own. Intervals are of 95 %, bootstrap over photos.
"""

import argparse
import csv
import io
import json
import zipfile
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stylegan_toon import __version__
from stylegan_toon.data import load_pictures
from stylegan_toon.faces.detect import find_faces
from stylegan_toon.features.emotion import EXPRESSIONS, load_emotion
from stylegan_toon.features.mobileface import load_mobileface
from stylegan_toon.features.untrained import Untrained
from stylegan_toon.images import to_uint8
from stylegan_toon.metrics.kid import kid, statistics
from stylegan_toon.metrics.memorise import nearest_among
from stylegan_toon.metrics.structure import landmark_distance
from stylegan_toon.pipelines.evaluate import as_saved, draw_samples
from stylegan_toon.pipelines.generate import seed_z
from stylegan_toon.pipelines.toonifier import Toonifier
from stylegan_toon.stylegan2.blend import Recipe
from stylegan_toon.stylegan2.latents import truncate

GALLERY, BATCH = 50, 16
FOLDERS = ("neutral_front", "smiling_front", "canada")  # one person each, but for London's pairs
LARGER = 1.1  # of the template that tells people apart
MIDDLE = (0.5, 0.6)  # of the face in an aligned square; it stays where it is when the face grows
HAPPY = EXPRESSIONS.index("happy")


class Judges:
    """What looks at pictures [N, 3, R, R] in [-1, 1], sixteen at a time."""

    def __init__(self) -> None:
        self._face, self._emotion, self._plain = load_mobileface(), load_emotion(), Untrained()

    @torch.inference_mode()
    def who(self, pictures: Tensor) -> Tensor:
        x, y = (2 * m - 1 for m in MIDDLE)
        scale = 1 / LARGER
        theta = torch.tensor([[scale, 0, x - x * scale], [0, scale, y - y * scale]])
        out = []
        for part in pictures.split(BATCH):
            grid = F.affine_grid(theta.expand(len(part), 2, 3), list(part.shape), align_corners=False)
            larger = F.grid_sample(part, grid, "bicubic", "reflection", align_corners=False)
            out.append(self._face(larger)[0])
        return torch.cat(out)

    @torch.inference_mode()
    def happy(self, pictures: Tensor) -> Tensor:
        return torch.cat([self._emotion(part)[0][:, HAPPY] for part in pictures.split(BATCH)])

    @torch.inference_mode()
    def spaces(self, pictures: Tensor) -> dict[str, Tensor]:
        parts = pictures.split(BATCH)
        return {
            "mobileface": torch.cat([self._face(part)[1] for part in parts]),
            "untrained": torch.cat([self._plain(part) for part in parts]),
        }


def share(hits: Sequence[float]) -> list[float]:
    """The mean, and its 95 % bootstrap interval; nothing of nothing."""
    if not len(hits):
        return []
    array = np.asarray(hits, float)
    again = array[np.random.default_rng(0).integers(0, len(array), (2000, len(array)))].mean(1)
    return [round(float(v), 3) for v in (array.mean(), *np.quantile(again, [0.025, 0.975]))]


def first(queries: Tensor, own: Tensor, people: Sequence[str], count: int = GALLERY) -> list[float]:
    """For each query [N, F], whether own[i] is nearer than the next count - 1 rows that show others."""
    likeness, out = queries @ own.T, []
    for i in range(len(queries)):
        others = [j % len(own) for j in range(i + 1, i + len(own)) if people[j % len(own)] != people[i]]
        out.append(float(all(likeness[i, i] > likeness[i, j] for j in others[: count - 1])))
    return out


def to_pictures(levels: Tensor) -> Tensor:
    return levels.float() / 127.5 - 1


def points(pictures: Tensor) -> list[Tensor | None]:
    found = [find_faces(Image.fromarray(one), min_score=0.3) for one in to_uint8(pictures)]
    return [torch.from_numpy(faces[0].points)[None] if faces else None for faces in found]


def ratios(near: Tensor, far: Tensor, wanted: dict[str, Tensor], judges: Judges) -> dict[str, float]:
    """KID of near to wanted over that of far, on the scale of wanted, in each space."""
    a, b = judges.spaces(near), judges.spaces(far)
    values = {}
    for space, goal in wanted.items():
        scale = statistics(goal)
        pair = (kid(goal, made[space], *scale, resamples=0).value for made in (a, b))
        values[space] = round(next(pair) / next(pair), 3)
    return values


def rank(values: np.ndarray) -> np.ndarray:
    return values.argsort().argsort().astype(float)


def dial(
    toon: Toonifier, codes: Tensor, shift: Tensor | None, axes: dict[str, Tensor], judges: Judges
) -> dict[str, object]:
    """21 stops from the source's picture to the cartoon, as models draw them.

    axes: [F] of each space, from the photos' mean to the style's.
    """
    own, n, k = toon.recipe, toon.source.config.n_resolutions, toon.recipe.k
    stops = []
    for step in range(21):
        weights = (1.0,) * k + (1 - step / 20,) * (n - k)
        toon.set_blend(Recipe(weights=weights))
        stops.append(toon.draw(codes, shift=shift))
    toon.set_blend(own)
    ends = toon.draw(codes, toon.source, shift), toon.draw(codes, shift=shift)
    exact = torch.equal(stops[0], ends[0]) and torch.equal(stops[-1], ends[1])
    spaces = [judges.spaces(stop) for stop in stops]
    looks = {name: torch.stack([one[name] for one in spaces]) for name in axes}
    found: dict[str, object] = {"ends_exact": exact}
    for name, of in (("pixels", torch.stack(stops).flatten(2)), ("features", looks["mobileface"])):
        steps = (of[1:] - of[:-1]).norm(dim=2)
        found[name] = share((steps.amax(0) / steps.mean(0)).tolist())
    places = np.arange(21.0)
    for name, axis in axes.items():
        gone = (looks[name] @ axis).numpy()
        rows = [float(np.corrcoef(places, rank(column))[0, 1]) for column in gone.T]
        found["spearman" if name == "mobileface" else f"spearman_{name}"] = share(rows)
    return found


def siblings(drawn: dict[str, Tensor], judges: Judges) -> dict[str, object]:
    """How far styles agree about the faces of the same codes; drawn: [N, 3, R, R] of each style."""
    marks = {name: points(made) for name, made in drawn.items()}
    faces = {name: judges.who(made) for name, made in drawn.items()}
    gaps = [
        float(landmark_distance(p, q))
        for x, y in permutations(drawn, 2) if x < y
        for p, q in zip(marks[x], marks[y], strict=True) if p is not None and q is not None
    ]  # fmt: skip
    number = [str(i) for i in range(len(next(iter(drawn.values()))))]
    across = permutations(drawn, 2)
    hits = [hit for x, y in across for hit in first(faces[x], faces[y], number, len(number))]
    return {
        "styles": len(drawn), "five_points": share(gaps), "across": share(hits),
        "without_a_face": sum(p is None for row in marks.values() for p in row),
    }  # fmt: skip


def thirds(hits: Sequence[float], lightness: np.ndarray) -> dict[str, list[float]]:
    parts = zip(("dark", "middle", "light"), np.array_split(lightness.argsort(), 3), strict=True)
    return {name: share([hits[i] for i in part]) for name, part in parts}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--style", action="append", default=[], metavar="NAME=PICTURES", required=True)
    parser.add_argument("--refine", type=int, help="of the photos' codes, as in toonify")
    parser.add_argument("--limit", type=int, default=10**9, help="photos; fewer tell less")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    styles = dict(one.split("=", 1) for one in given.style)
    judges, toons = Judges(), {name: Toonifier(name) for name in styles}
    some = next(iter(toons.values()))
    size = some.source.config.resolution

    with zipfile.ZipFile(given.photos) as pack:
        rows = list(csv.DictReader(io.TextIOWrapper(pack.open("manifest.csv"), "utf-8")))
    chosen = [i for i, row in enumerate(rows) if row["source"].split("/")[0] in FOLDERS]
    chosen = chosen[:: max(1, len(chosen) // given.limit)]
    names = [rows[i]["source"] for i in chosen]
    people = [Path(name).stem.split("_")[0] for name in names]
    photos = to_pictures(load_pictures([given.photos], size)[chosen])
    parts = photos.split(8)
    steps = some.steps(given.refine)
    found = [some.fit(part, steps) for part in parts]
    codes = torch.cat([one.w_plus for one in found])
    shifts = [one.shift for one in found if one.shift is not None]
    shift = torch.cat(shifts) if shifts else None  # --refine 0 has none
    few = [*range(0, len(codes), max(1, len(codes) // 20))][:20]

    def draw(toon: Toonifier) -> Tensor:
        made = [toon.cartoons(part, one)[0] for part, one in zip(parts, found, strict=True)]
        return torch.cat([as_saved(toon.shown(*each)) for each in zip(made, parts, plain, strict=True)])

    plain = [some.draw(one.w_plus, some.source, one.shift) for one in found]
    inverted = torch.cat([as_saved(one) for one in plain])
    cheeks = photos[:, :, size * 9 // 16 : size * 11 // 16, size * 3 // 8 : size * 5 // 8]
    grey = (cheeks * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    lightness = grey.flatten(1).median(1).values.numpy()
    known = judges.who(photos)
    neutral = {people[i]: i for i, name in enumerate(names) if name.startswith("neutral_front")}
    smiling = {people[i]: i for i, name in enumerate(names) if name.startswith("smiling_front")}
    both = sorted(neutral.keys() & smiling.keys())
    a, b = [neutral[p] for p in both], [smiling[p] for p in both]
    base = judges.spaces(photos)
    of_source = torch.cat(list(draw_samples(some.source, 1000, 1.0, 0, BATCH)))
    z = seed_z(list(range(100)), some.source.config.z_dim)
    with torch.no_grad():
        seeds = truncate(some.source.codes(z), some.source.centre(), 0.7)

    def happier(pictures: Tensor) -> list[float]:
        happy = judges.happy(pictures)
        return share([float(happy[j] > happy[i]) for i, j in zip(a, b, strict=True)])

    report: dict[str, object] = {
        "program": __version__, "torch": torch.__version__, "photos": len(photos), "pairs": len(both),
        "refine_steps": steps,
        "photo": {"first_of_50": share(first(known[a], known[b], both)), "happier": happier(photos)},
        "inversion": {
            "first_of_50": share(first(judges.who(inverted), known, people)), "happier": happier(inverted),
            "cosine": share((judges.who(inverted) * known).sum(1).tolist()),
        },
        "styles": {},
    }  # fmt: skip
    drawn, shown = {}, {}
    of_seeds = some.draw(seeds, some.source)
    for name, pictures in styles.items():
        toon, levels = toons[name], load_pictures([pictures], size)
        wanted = judges.spaces(to_pictures(levels))
        made = draw(toon)
        queries = judges.who(made)
        hits = first(queries, known, people)
        axes = {space: (of.mean(0) - base[space].mean(0)).float() for space, of in wanted.items()}
        row = {
            "blend": toon.recipe.k,
            "first_of_50": share(hits), "by_skin": thirds(hits, lightness),
            "for_smiling": share(first(queries[a], known[b], both)), "happier": happier(made),
            "dial": dial(toon, codes[few], None if shift is None else shift[few], axes, judges),
        }  # fmt: skip
        drawn[name] = as_saved(cartoons := toon.draw(seeds))
        shown[name] = as_saved(toon.shown(cartoons, of_seeds, of_seeds))
        own = toon.recipe
        toon.set_blend(4)
        four = draw(toon)
        toon.set_blend(0)
        child = torch.cat(list(draw_samples(toon.cartoon, 1000, 1.0, 0, BATCH)))
        toon.set_blend(own)
        row["kid"] = ratios(four, inverted, wanted, judges)
        row["target"] = ratios(child, of_source, wanted, judges)
        mirrored = judges.spaces(to_pictures(levels.flip(3)))["mobileface"]
        near = wanted["mobileface"], mirrored, *statistics(wanted["mobileface"])
        row["nearest"] = round(nearest_among(judges.spaces(child)["mobileface"], *near).ratio, 3)
        report["styles"][name] = row  # type: ignore[index]
    if len(drawn) > 1:
        report |= {"siblings": siblings(shown, judges), "siblings_drawn": siblings(drawn, judges)}
    text = json.dumps(report, indent=1)
    if given.out:
        given.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
