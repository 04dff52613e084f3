"""Editing by text measured: what judges that no edit was trained on say of it, as JSON.

    python benchmarks/text_edits.py [--word sad --word angry --word happy] [--engine mapper ...]
        [--seeds 0-199] [--style storybook --style avatar] [--ready] [--steps N] [--groups LIST]
        [--clip NAME|FILE]
    python benchmarks/text_edits.py --table RESULT.json ...     # the table of docs/text.md

Every engine learns "a really WORD face" on the source, against the same sentence with the other moods;
--ready takes the edit called WORD instead. It is applied at its own strength to faces of seeds (for optimize
to --optimized of them), drawn by the source and each style.

- rises, rise: the share of faces whose probability of the expression rises by the emotion network, which is
  in no loss, and the median rise.
- found: the share of faces found by YuNet before that are found after.
- landmarks: the median distance that eyes and nose tip move, in distances of the eyes: the points that YuNet
  marks outside mouth and brows.
- first_of_50: how often MobileFace finds the unedited face, drawn by the source, first among 50 for a
  mirrored picture of the face, before and after. MobileFace is also the loss of identity where ArcFace is not
  here.
- control: the same of a random step: of a direction every number with a random sign, of other engines as long
  for each face and layer.

Intervals are of 95 %: bootstrap over faces.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan_toon.faces.detect import find_faces
from stylegan_toon.features.emotion import EXPRESSIONS, load_emotion
from stylegan_toon.features.mobileface import load_mobileface
from stylegan_toon.images import to_uint8
from stylegan_toon.pipelines.codes import Codes, Family
from stylegan_toon.pipelines.models import find_edit
from stylegan_toon.pipelines.moods import mood_of
from stylegan_toon.pipelines.styleclip import ENGINES, Order, Student
from stylegan_toon.stylegan2.edits import Edit, apply_edit, load_edit, save_edit
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import keep_colours

GALLERY = 50
MOODS = ("sad", "angry", "happy", "surprised")


def interval(values: list[float], of: Callable[[np.ndarray], float]) -> list[float]:
    """of(values), and its 95 % bootstrap interval."""
    array, draw = np.array(values, float), np.random.default_rng(0)
    again = [of(array[draw.integers(0, len(array), len(array))]) for _ in range(1000)]
    return [round(float(x), 4) for x in (of(array), *np.quantile(again, [0.025, 0.975]))]


def points(picture: Tensor) -> np.ndarray | None:
    """The five landmarks of the face in a picture [1, 3, R, R], in pixels; None without one."""
    faces = find_faces(Image.fromarray(to_uint8(picture)[0]))
    return faces[0].points if faces else None


class Judges:
    """Emotion network, MobileFace and YuNet, and what they say of the unedited faces."""

    def __init__(self, family: Family, codes: Codes):
        self.emotion, self.face, self.family, self.codes = load_emotion(), load_mobileface(), family, codes
        self.gallery = self.embed(family.draw(codes.w_plus, family.source))
        self.networks = {family.source_name: family.source, **family.styles}
        self.before = {name: self.look(family.draw(codes.w_plus, g)) for name, g in self.networks.items()}

    @torch.no_grad()
    def embed(self, pictures: Tensor) -> Tensor:
        return torch.cat([self.face(part)[0] for part in pictures.split(16)])

    @torch.no_grad()
    def look(self, pictures: Tensor) -> dict[str, Any]:
        """Of each face: probabilities, landmarks, and whether it is found first among GALLERY, mirrored."""
        queries, n = self.embed(pictures.flip(3)), len(pictures)
        first = []
        for i in range(n):
            others = [j % len(self.gallery) for j in range(i + 1, i + min(GALLERY, len(self.gallery)))]
            mine = queries[i] @ self.gallery[i]
            first.append(float(all(queries[i] @ self.gallery[j] < mine for j in others)))
        return {
            "moods": torch.cat([self.emotion(part)[0] for part in pictures.split(16)]),
            "points": [points(one) for one in pictures.split(1)],
            "first": first,
        }

    def compare(self, mood: str, draw: Callable[[Generator], Tensor], count: int) -> dict[str, Any]:
        """By network: what became of the first count faces."""
        out = {}
        for name, g in self.networks.items():
            before, after = self.before[name], self.look(draw(g))
            k = EXPRESSIONS.index(mood)
            rise = (after["moods"][:count, k] - before["moods"][:count, k]).tolist()
            pairs = [
                (a, b)
                for a, b in zip(before["points"][:count], after["points"], strict=True)
                if a is not None
            ]
            kept = [(a, b) for a, b in pairs if b is not None]
            moved = [
                float(np.linalg.norm((b - a)[:3], axis=1).mean() / np.linalg.norm(a[1] - a[0]))
                for a, b in kept
            ]
            out[name] = {
                "faces": count,
                "rises": interval([float(r > 0) for r in rise], np.mean),  # type: ignore[arg-type]
                "rise": interval(rise, np.median),  # type: ignore[arg-type]
                "found_before": len(pairs),
                "found": round(len(kept) / len(pairs), 4) if pairs else None,
                "landmarks": interval(moved, np.median) if moved else None,  # type: ignore[arg-type]
                "first_of_50": [round(float(np.mean(side["first"][:count])), 4) for side in (before, after)],
            }
        return out


def applied(family: Family, w_plus: Tensor, edit: Edit) -> Callable[[Generator], Tensor]:
    """Draws the edited faces, at the edit's own strength, by a network."""

    def draw(g: Generator) -> Tensor:
        drawn_by, moved = apply_edit(g, w_plus, edit, edit.strength)
        return family.draw(moved, drawn_by)

    return draw


def random_signs(edit: Edit) -> Edit:
    """The direction with a random sign for every number."""
    draw = torch.Generator().manual_seed(1)
    tensors = {
        name: part.abs() * torch.randn(part.shape, generator=draw).sign()
        for name, part in edit.tensors.items()
    }
    return Edit("control", "random", tensors, edit.strength, edit.meta)


def random_step(before: Tensor, after: Tensor) -> Tensor:
    """Codes moved as far as those of after, face by face and layer by layer, somewhere else."""
    if after.shape != before.shape:  # toRGB layers stay
        before = keep_colours(before, before)
    way = torch.randn(before.shape, generator=torch.Generator().manual_seed(1)).to(before)
    return before + way / way.norm(dim=2, keepdim=True) * (after - before).norm(dim=2, keepdim=True)


def neutral(given: argparse.Namespace, word: str) -> tuple[str, ...]:
    """What was given, or the other moods."""
    others = tuple(f"a really {mood} face" for mood in MOODS if mood != word)
    return tuple(given.neutral) or others


def measure(given: argparse.Namespace, judges: Judges, word: str, engine: str, out: Path) -> dict[str, Any]:
    family, codes, text = judges.family, judges.codes, f"a really {word} face"
    mood = mood_of(text)
    if mood is None:
        raise SystemExit(f"{word!r} is no expression that the emotion network knows")
    edit = moved = None
    report: dict[str, Any] = {"text": text, "engine": engine}
    if given.ready:
        path = find_edit(word)
        edit = load_edit(path)
        report |= {"edit": path.name, "bytes": path.stat().st_size, "engine": edit.kind}
    else:
        order = Order(text, engine, neutral(given, word), given.steps, given.groups, clip=given.clip)
        student = Student(family, order)
        count = given.optimized if engine == "optimize" else len(codes.names)
        codes = Codes(codes.names[:count], codes.w_plus[:count])
        learnt = student.learn(codes, out, "auto")
        edit, moved = learnt.edit, learnt.moved
        report |= {"steps": learnt.steps, "seconds": round(learnt.seconds, 1)}
    w_plus, count = codes.w_plus, len(codes.names)
    if edit is not None:
        if not given.ready:
            path = out / f"{word}-{engine}.safetensors"
            save_edit(path, edit, family.checkpoint)
            report["bytes"] = path.stat().st_size
        began = time.perf_counter()
        apply_edit(family.source, w_plus[:1], edit, edit.strength)
        report["apply_seconds"] = round(time.perf_counter() - began, 4)
        report["strength"] = edit.strength
        report["networks"] = judges.compare(mood, applied(family, w_plus, edit), count)
        if edit.mapper is None:
            report["control"] = judges.compare(mood, applied(family, w_plus, random_signs(edit)), count)
            return report
        moved = apply_edit(family.source, w_plus, edit, edit.strength)[1]
    assert moved is not None
    if edit is None:
        report["networks"] = judges.compare(mood, lambda g: family.draw(moved, g), count)
    other = random_step(w_plus, moved)
    report["control"] = judges.compare(mood, lambda g: family.draw(other, g), count)
    return report


COLUMNS = ("text, engine", "rises", "rise", "found", "moved", "first of 50", "rises on styles", "control",
           "file", "learnt in")  # fmt: skip


def table(files: list[Path]) -> str:
    """The results of several runs, a line for each text and engine."""
    rows = [COLUMNS, ["---"] * len(COLUMNS)]
    for one in (one for file in files for one in json.loads(file.read_text())["measured"]):
        (_, own), *styles = one["networks"].items()
        control = next(iter(one["control"].values()))
        name = f"ready edit `{one['edit'].split('.')[0]}`" if "edit" in one else one["engine"]
        values = [f"{one['text']}, {name}"]
        values += [f"{own['rises'][0]:.2f}", f"{own['rise'][0]:.2f}", f"{own['found']:.2f}"]
        values += [f"{own['landmarks'][0]:.3f}", " to ".join(f"{share:.2f}" for share in own["first_of_50"])]
        values += [", ".join(f"{style} {found['rises'][0]:.2f}" for style, found in styles)]
        values += [f"{control['rises'][0]:.2f}, {control['rise'][0]:.2f}"]
        values += [f"{one['bytes'] / 1000:.0f} kB" if "bytes" in one else ""]
        rows.append([*values, f"{one['seconds']:.0f} s" if "seconds" in one else ""])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="faces")
    parser.add_argument("--style", action="append", default=[])
    parser.add_argument("--word", action="append", default=[])
    parser.add_argument("--engine", action="append", default=[], choices=ENGINES)
    parser.add_argument("--ready", action="store_true", help="measure the ready edits called as the words")
    parser.add_argument("--seeds", default="0-199")
    parser.add_argument("--optimized", type=int, default=24, help="faces for optimize")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--groups", help="default: as styleclip chooses them")
    parser.add_argument("--neutral", action="append", default=[])
    parser.add_argument("--clip")
    parser.add_argument("--run", type=Path, help="where mappers' runs go; a run there is gone on with")
    parser.add_argument(
        "--table", type=Path, nargs="+", help="results to make a table of; nothing is measured"
    )
    given = parser.parse_args()
    if given.table:
        print(table(given.table))
        return
    family = Family(given.source, given.style, device="cpu", report=lambda text: print(text, file=sys.stderr))
    judges = Judges(family, family.gather([given.seeds]))
    engines = ["ready"] if given.ready else given.engine or list(ENGINES)
    report: dict[str, Any] = {
        "torch": torch.__version__,
        "seeds": given.seeds,
        "neutral": given.neutral or "others",
    }
    report |= {"threads": torch.get_num_threads(), "groups": given.groups or "default", "measured": []}
    with tempfile.TemporaryDirectory() as folder:
        for word in given.word or ["sad", "angry", "happy"]:
            for engine in engines:
                report["measured"].append(measure(given, judges, word, engine, given.run or Path(folder)))
                print(json.dumps(report["measured"][-1]), file=sys.stderr)
    print(json.dumps(report, indent=1, allow_nan=False))


if __name__ == "__main__":
    main()
