"""Edit faces by a text: learn the edit, or take a ready one, and show it before | after with scores."""

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from stylegan_toon.errors import UsageError
from stylegan_toon.features import irse
from stylegan_toon.features.clip import Clip
from stylegan_toon.features.emotion import EXPRESSIONS, load_emotion
from stylegan_toon.features.identity import choose_identity
from stylegan_toon.images import grid, save_png
from stylegan_toon.metadata import chunks
from stylegan_toon.methods.mapper import Config, MapperTraining, new_mapper
from stylegan_toon.methods.text_direction import SPACES, find_direction
from stylegan_toon.methods.text_goal import Goal, Weights
from stylegan_toon.methods.text_optimize import optimize
from stylegan_toon.paths import pretrained_file
from stylegan_toon.pipelines.clip import open_clip
from stylegan_toon.pipelines.codes import Codes, Family
from stylegan_toon.pipelines.models import find_edit
from stylegan_toon.pipelines.moods import mood_of, opposites
from stylegan_toon.stylegan2.adapters import weights_digest
from stylegan_toon.stylegan2.blend import Recipe
from stylegan_toon.stylegan2.edits import MAPPER_SUFFIX, SUFFIX, Edit, apply_edit, load_edit, save_edit
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latent_files import SUFFIX as LATENT
from stylegan_toon.stylegan2.latent_files import save_latents
from stylegan_toon.stylegan2.latents import GROUPS, parse_layers
from stylegan_toon.training.loop import Run, train

ENGINES = ("mapper", "optimize", "direction")
STEPS = {"mapper": (350, 2000), "optimize": (60, 200), "direction": (40, 100)}  # on a CPU, on a GPU
BATCH = 8
LAYERS = "coarse,medium"  # of an expression: what is finer is colour and texture
SAME = 0.63  # by MobileFace two photos of one person have a mean cosine of 0.74, sd 0.11 (docs/metrics.md)
FIRST = 0.97  # of faces that must still be found first among all
FINE, LEAST = 20, 0.3  # steps of a strength, and the smallest one that is chosen
MOST = 2.0  # the largest one, of an expression; of other texts it is 1
IDENTITY = 1.0  # the weight of an expression that a strength is chosen for; else that of Weights
STYLE = "storybook"  # also drawn with, where no style is named and the source is its own
ROWS = 16  # faces in the grid


@dataclass(frozen=True)
class Order:
    """What is to be learnt, and how.

    neutral: what the text is compared to, the mean of several; "" is left out; None is opposites. steps: None
    is what fits. layers: which of w_plus may change; None is LAYERS for an expression, else all. step: what
    a mapper's networks are multiplied by. space, threshold: as find_direction. clip: as open_clip. identity:
    as choose_identity; None takes what is here. identity_weight: None is IDENTITY or that of Weights.
    """

    text: str
    engine: str = "mapper"
    neutral: tuple[str, ...] | None = None
    steps: int | None = None
    layers: str | None = None
    step: float = 0.1
    space: str = "s"
    threshold: float = 0.1
    clip: str | None = None
    identity: str | None = None
    identity_weight: float | None = None
    step_weight: float = Weights.step


@dataclass
class Learnt:
    """What learning gave: an edit, or moved codes [N, L, D]. steps and seconds: what it took."""

    edit: Edit | None
    moved: Tensor | None
    steps: int
    seconds: float


class Student:
    """A family of generators, and a CLIP that tells what a text asks of them."""

    def __init__(self, family: Family, order: Order, seed: int = 0, psi: float | None = None):
        """Open CLIP and the identity network, and read the texts.

        Raises: UsageError (engine, space, layers, what CLIP cannot read), ModelError, MissingPartError.
        """
        if order.engine not in ENGINES:
            raise UsageError(f"no engine is called {order.engine[:40]!r}; known: {', '.join(ENGINES)}")
        if order.space not in SPACES:
            raise UsageError(f"no space is called {order.space[:40]!r}; known: {', '.join(SPACES)}")
        if order.identity == "arcface":
            raise UsageError("insightface's network passes no gradients; take mobileface or arcface-ir-se50")
        self.family, self.order, self.seed, self.psi = family, order, seed, psi
        self.expression = mood_of(order.text) is not None
        self.groups = order.layers or (LAYERS if self.expression else "all")
        self.layers = parse_layers(self.groups, family.source.config.n_layers)
        device = family.source.w_mean.device
        self.clip: Clip = open_clip(order.clip, device, family.report)
        here = irse.NAME if pretrained_file(irse.FILE) else "mobileface"
        self.identity = order.identity or here
        self._embed = embed = choose_identity(self.identity, device=device)
        given = opposites(order.text, self.clip) if order.neutral is None else order.neutral
        self.neutral = tuple(text for text in given if text)
        weight = IDENTITY if self.expression and order.engine != "optimize" else Weights.identity
        if order.identity_weight is not None:
            weight = order.identity_weight
        self.weights = Weights(weight, order.step_weight)
        self.goal = Goal(self.clip, order.text, self.neutral, embed, self.weights)
        self.steps = STEPS[order.engine][device.type != "cpu"] if order.steps is None else order.steps

    def learn(self, codes: Codes, out: Path, resume: str = "auto", trained_on: Sequence[str] = ()) -> Learnt:
        """Learn the edit; a mapper's run is in OUT/NAME.run, and is gone on with.

        Args:
            codes: what is edited by "optimize".
            trained_on: codes that a mapper or direction learns from, as Family.gather takes them; none are
                random ones.
        Raises: those of training.loop.train.
        """
        order, began = self.order, time.perf_counter()
        of = len(codes.names) if order.engine == "optimize" else BATCH
        steps = f"{self.steps} steps of {of} on {self.family.source.w_mean.device.type}"
        self.family.report(f"{order.engine}: {steps}, identity by {self.identity}")
        against = ", ".join(repr(text) for text in self.neutral) or "nothing"
        self.family.report(f"{order.text!r} against {against}, in layers {self.groups}")
        edit = moved = None
        if order.engine == "optimize":
            moved = self._optimize(codes)
        else:
            known = self.family.gather(trained_on, self.psi).w_plus if trained_on else None
            how = self._mapper if order.engine == "mapper" else self._direction
            edit = how(known, out, resume, trained_on)
            edit = replace(edit, strength=self.strength(edit, known))
        return Learnt(edit, moved, self.steps, time.perf_counter() - began)

    def batch(self, i: int, known: Tensor | None) -> Tensor:
        """w_plus [BATCH, L, D] of step i, of known codes or random ones: a function of i and the seed."""
        draw = torch.Generator().manual_seed((self.seed << 20) + i)
        if known is not None:
            return known[torch.randint(len(known), [BATCH], generator=draw)]
        g = self.family.source
        z = torch.randn(BATCH, g.config.z_dim, generator=draw)
        return self.family.mapped(z.to(g.w_mean), self.psi)

    def strength(self, edit: Edit, known: Tensor | None) -> float:
        """The largest strength at which faces are still told from others: see _same, of 64 faces.

        Up to 1, or MOST of an expression, which a heavy identity loss holds back. 1 where identity is not
        MobileFace's, whose cosines SAME is of. Report is told of another than 1.
        """
        if self.identity != "mobileface":
            return 1.0
        most = MOST if self.expression else 1.0
        codes = torch.cat([self.batch(self.steps + i, known) for i in range(8)])
        before = self._embedded(self.family.source, codes)
        if self._same(edit, codes, before, most):
            return most
        low, high = round(LEAST * FINE), round(most * FINE)
        while high - low > 1:  # faces are taken to be less alike the stronger it is
            middle = (low + high) // 2
            low, high = (middle, high) if self._same(edit, codes, before, middle / FINE) else (low, middle)
        self.family.report(f"strength {low / FINE}: at more most faces would be somebody else's (--strength)")
        return low / FINE

    def _same(self, edit: Edit, codes: Tensor, before: Tensor, strength: float) -> bool:
        """Whether edited faces are the same people, by the embeddings before [N, F].

        Half of them have a cosine of SAME or more with what they were, and FIRST, mirrored, are as near
        to it as to any.
        """
        drawn_by, moved = apply_edit(self.family.source, codes, edit, strength)
        after, mirrored = (self._embedded(drawn_by, moved, mirror) for mirror in (False, True))
        if float((after * before).sum(1).median()) < SAME:
            return False
        near = mirrored @ before.T
        first = near.diagonal() >= near.max(1).values - 1e-5  # the same face may be among them twice
        return float(first.float().mean()) >= FIRST

    def _embedded(self, g: Generator, codes: Tensor, mirror: bool = False) -> Tensor:
        """[N, F]: the identity embeddings of the faces that g draws."""
        with torch.no_grad():
            drawn = (g.synthesis(part, "none")[-1] for part in codes.split(BATCH))
            return torch.cat([self._embed(x.flip(3) if mirror else x) for x in drawn])

    def _mapper(self, known: Tensor | None, out: Path, resume: str, trained_on: Sequence[str]) -> Edit:
        order, g = self.order, self.family.source
        numbers = range(g.config.n_layers)
        groups = tuple(name for name, part in GROUPS.items() if {*numbers[part]} & {*self.layers})
        torch.manual_seed(self.seed)
        colours = len(self.layers) == len(numbers) or "fine" in groups  # as they go with the fine layers
        network = new_mapper(g, groups, order.step, colours).to(self.family.source.w_mean.device)
        weights = self.weights
        config = Config(
            order.text, self.neutral, BATCH, clip=order.clip or "", identity=self.identity,
            identity_weight=weights.identity, step_weight=weights.step, views=weights.views, step=order.step,
            layers=tuple(self.layers), parent=weights_digest(self.family.checkpoint), psi=self.psi,
            trained_on=tuple(trained_on), colours=colours,
        )  # fmt: skip
        module = MapperTraining(config, network, g, self.goal, self.layers).to(g.w_mean.device)
        run = Run(out / f"{slug(order.text)}.run", self.steps, 100, self.steps, 20, self.seed, resume)
        about = {"command": "styleclip", "models": self.family.files}
        train(module, lambda i: {"w_plus": self.batch(i, known)}, run, lambda done: {}, about)
        network.eval().requires_grad_(False)
        return Edit(slug(order.text), "mapper", {}, 1.0, self._about(), network)

    def _direction(self, known: Tensor | None, *_: object) -> Edit:
        torch.manual_seed(self.seed)
        batches = (self.batch(i, known) for i in range(self.steps))
        with tqdm(total=self.steps, unit="step") as bar:
            found = find_direction(
                self.family.source, batches, self.goal, self.order.space, self.order.threshold,
                self.layers, tell=bar.update,
            )  # fmt: skip
        return Edit(slug(self.order.text), "direction", found, 1.0, self._about())

    def _optimize(self, codes: Codes) -> Tensor:
        torch.manual_seed(self.seed)
        parts = codes.w_plus.split(BATCH)
        shifts = [None] * len(parts) if codes.shift is None else codes.shift.split(BATCH)
        with tqdm(total=self.steps * len(parts), unit="step") as bar:
            moved = [
                optimize(self.family.source, *part, self.goal, self.steps, self.layers, tell=bar.update)
                for part in zip(parts, shifts, strict=True)
            ]
        return torch.cat(moved)

    def _about(self) -> dict[str, Any]:
        order, weights = self.order, self.weights
        about = {
            "text": order.text,
            "neutral": list(self.neutral),
            "steps": self.steps,
            "layers": self.layers,
        }
        about |= {"clip": str(order.clip or ""), "identity": self.identity}
        return about | {"identity_weight": weights.identity, "step_weight": weights.step}


def edit_by_text(
    order: Order | None,
    faces: Sequence[str],
    ready: str | None = None,
    strength: float | None = None,
    layers: str | None = None,
    trained_on: Sequence[str] = (),
    save_pairs: bool = False,
    source: str = "faces",
    styles: Sequence[str] = (),
    blend: int | Recipe | None = None,
    psi: float | None = None,
    refine: int = 1,
    out: str | Path = "out",
    resume: str = "auto",
    device: str = "auto",
    seed: int = 0,
    report: Callable[[str], None] = lambda text: None,
    metadata: bool = True,
    raw: bool = False,
) -> tuple[list[Path], dict[str, Any]]:
    """Learn an edit, or take a ready one, and apply it to faces: before | after by source and styles.

    Args:
        order: what to learn; None applies ready.
        faces, blend, psi, refine, raw: as Family and Family.gather take them.
        ready: an edit or mapper file, or the name of one in edits/ of a model folder.
        strength: how much of it, which a learnt edit keeps; None is its own, 1 for moved codes.
        layers: which of w_plus a ready edit may change; None is all. Learning has those of the order.
        styles: none draws with STYLE, too, if source is the one it came from.
        save_pairs: also write OUT/before/NAME.png and OUT/after/NAME.png, of styles OUT/before-STYLE/ ...
        out: the folder.
    Returns: the files written, the edit or the moved codes first, and scores by network (see scored).
    Raises: UsageError, InputError, ModelError, MissingPartError, DiskError; those of training.loop.train.
    """
    if (order is None) == (ready is None):
        raise UsageError('give --text "a really sad face" to learn an edit, or --edit NAME for a ready one')
    if strength is not None and not math.isfinite(strength):
        raise UsageError("the strength is no finite number; 1 is the edit as it was made, 0 is none of it")
    path = find_edit(ready) if ready is not None else None
    edit = load_edit(path) if path else None
    if not styles and source in ("faces", "faces-128"):
        styles = (STYLE,)
    family, out = Family(source, styles, blend, device, report, raw), Path(out)
    student = Student(family, order, seed, psi) if order else None
    if edit and path:
        family.check(edit.meta, path)
    chosen = parse_layers(layers or "all", family.source.config.n_layers)
    codes = family.gather(faces, psi, refine, "f/w+")
    about: dict[str, Any] = {"command": "styleclip", "models": family.files}
    written: list[Path] = []
    moved = None
    if student and order:
        learnt = student.learn(codes, out, resume, trained_on)
        edit, moved, chosen = learnt.edit, learnt.moved, student.layers
        if edit and strength is not None:
            edit = replace(edit, strength=strength)
        about |= {"engine": order.engine, "steps": learnt.steps, "seconds": round(learnt.seconds, 1)}
    text = order.text if order else str(edit.meta.get("text", edit.name)) if edit else ""
    strength = strength if strength is not None else edit.strength if edit else 1.0
    about |= {"text": text, "strength": strength, "layers": chosen}
    stem = slug(order.text) if order else edit.name if edit else ""
    if moved is not None:
        moved = codes.w_plus + strength * (moved - codes.w_plus)
        written.append(out / f"{stem}{LATENT}")
        save_latents(
            written[0], moved, family.checkpoint, codes.names, meta={"text": text}, shift=codes.shift
        )
    elif order and edit:
        written.append(out / f"{stem}{MAPPER_SUFFIX if edit.mapper else SUFFIX}")
        save_edit(written[0], edit, family.checkpoint)
    pairs = {}
    for name, g in {source: family.source, **family.styles}.items():
        after = moved
        drawn_by = g
        if edit:
            drawn_by, after = apply_edit(g, codes.w_plus, edit, strength, chosen)
        assert after is not None
        pairs[name] = family.draw(codes.w_plus, g, codes.shift), family.draw(after, drawn_by, codes.shift)
        if save_pairs:
            written += _save_pairs(
                out, "" if name == source else f"-{Path(name).name}", codes.names, pairs[name]
            )
    goal = student.goal if student else None
    scores = {name: scored(*pair, text, goal, family.source.w_mean.device) for name, pair in pairs.items()}
    faces_before, photos = pairs[source][0][:ROWS], codes.photos[:ROWS]
    shown = [
        family.shown(plain[:ROWS], side[:ROWS], name, photos, faces_before)
        for name, pair in pairs.items()
        for plain, side in zip(pairs[source], pair, strict=True)
    ]
    sheet = torch.stack(shown, 1).flatten(0, 1)
    picture = out / f"{stem}.png"
    note = {**about, "faces": codes.names[:ROWS]}
    save_png(picture, grid(sheet, 2 * len(pairs)), chunks(note) if metadata else {})
    for name, found in scores.items():
        report(f"{name}: {in_words(found)}")
    return [*written, picture], {**about, "names": codes.names, "scores": scores}


def scored(
    before: Tensor, after: Tensor, text: str, goal: Goal | None, device: torch.device
) -> dict[str, dict[str, list[float]]]:
    """What judges say of each face, before and after: lists of N.

    "text": CLIP's cosine, of the text that goal was made of. "identity": the cosine of both pictures by
    MobileFace. "sad" ...: the emotion network's probability of the expression that the text names.
    """
    found: dict[str, dict[str, list[float]]] = {}

    def note(name: str, of: Callable[[Tensor], Tensor]) -> None:
        sides = [
            [round(float(x), 4) for part in side.split(BATCH) for x in of(part.to(device))]
            for side in (before, after)
        ]
        found[name] = {"before": sides[0], "after": sides[1]}

    with torch.no_grad():
        if goal:
            note("text", goal.similarity)
        embed = choose_identity("mobileface", device=device)
        same = [
            (embed(a) * embed(b)).sum(1) for a, b in zip(before.split(BATCH), after.split(BATCH), strict=True)
        ]
        found["identity"] = {"after": [round(float(x), 4) for x in torch.cat(same)]}
        if mood := mood_of(text):
            judge, place = load_emotion(device=device), EXPRESSIONS.index(mood)
            note(mood, lambda part: judge(part)[0][:, place])
    return found


def in_words(scores: dict[str, dict[str, list[float]]]) -> str:
    """Means over faces, as one line."""
    words = []
    for name, sides in scores.items():
        means = [f"{sum(side) / len(side):.3f}" for side in sides.values()]
        words.append(f"{name if name in ('text', 'identity') else f'judged {name}'} {' -> '.join(means)}")
    return ", ".join(words)


def slug(text: str) -> str:
    """A file name for a text."""
    return re.sub("[^a-z0-9]+", "-", text.lower())[:60].strip("-") or "text"


def _save_pairs(out: Path, style: str, names: Sequence[str], pair: Sequence[Tensor]) -> list[Path]:
    """Write the pictures of both sides under the same names."""
    written = []
    for side, pictures in zip(("before", "after"), pair, strict=True):
        for name, picture in zip(names, pictures, strict=True):
            written.append(out / f"{side}{style}" / f"{name}.png")
            save_png(written[-1], picture, {})
    return written
