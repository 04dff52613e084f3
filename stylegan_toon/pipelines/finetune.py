"""Fine-tune a face generator to a cartoon domain."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from stylegan_toon import __version__
from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.config import to_json
from stylegan_toon.data import Sampler, load_pictures
from stylegan_toon.decoding import is_transparent
from stylegan_toon.device import choose_device
from stylegan_toon.errors import InputError, ModelError, UsageError, shown
from stylegan_toon.features.clip import load_clip
from stylegan_toon.features.look import load_look
from stylegan_toon.methods.expression import Expressions
from stylegan_toon.methods.freezesg import Config, FreezeSG, Known
from stylegan_toon.pipelines.codes import inverted, moods_of, paired, portraits, read_codes
from stylegan_toon.pipelines.copies import find_copies
from stylegan_toon.pipelines.events import Events
from stylegan_toon.pipelines.judge import in_moods, kid_judge, structure_score
from stylegan_toon.pipelines.models import (
    check_encoder,
    find_edit,
    find_model,
    load_encoder,
    load_generator,
    parent_name,
)
from stylegan_toon.pipelines.networks import about_run, fitted, gan_look, open_networks, open_start
from stylegan_toon.pipelines.own import origin
from stylegan_toon.pipelines.report import in_words, write_report
from stylegan_toon.pipelines.targets import Target
from stylegan_toon.pipelines.toonifier import OWN
from stylegan_toon.stylegan2.adapters import fold, style_checkpoint
from stylegan_toon.stylegan2.blend import blend, same_mapping
from stylegan_toon.stylegan2.edits import Edit, apply_edit, load_edit
from stylegan_toon.stylegan2.encoder import Encoder
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.freeze import trained_parameters
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latent_files import belongs, mapping_digest
from stylegan_toon.training import ranks
from stylegan_toon.training.log import log
from stylegan_toon.training.loop import Run, train

PHOTO_CODES = 0.75  # the share of draws with codes as photos have them, where that is known and not given
# The ready edits whose effect a child keeps, unless others are named; and what names of pictures end in.
EXPRESSIONS = ("sad", "angry", "happy")


def whole_generator(name: str) -> tuple[str, Checkpoint]:
    """The file of a generator from which a style can be trained, and what it holds; of a run folder the last.

    Raises: ModelError, also for a style file.
    """
    file = Path(name) / "last.safetensors" if Path(name).is_dir() else find_model(name)
    found = read_any(file)
    if "generator" not in found:
        kinds = " and ".join(kind[:30] for kind in found)
        raise ModelError(
            f"{shown(file)} holds a {kinds}; a style starts from a whole generator: convert it first"
        )
    return str(file), found["generator"]


@dataclass(frozen=True)
class Task:
    """What is fine-tuned, to what.

    target: its path holds the pictures as they are to be taken; exclude: of them, names or patterns.
    source: a run folder, a generator file with its discriminator in or beside it, or a name in pretrained/;
        without a discriminator a new one is made.
    start: a child of source, named alike, that the new one begins as, with its discriminator.
    encoder: what tells how photos' codes are spread; None means the source's own.
    codes: latent files, and folders of them, of photos, for photo_codes instead of the encoder's spread.
        Where pairs count, the picture that bears a file's name is that photo's drawing.
    drawings: a folder or archive of squares, where these are looked for; None means target.
    inverted: the weight of pairs in which target's pictures are the drawings of the people whom the encoder
        sees in them; the style's shapes are its own then. Photos, of codes if there are any, else the
        portraits that ship, are drawn beside them.
    moods: pictures whose names end in one of EXPRESSIONS are drawings of people whom that edit has changed,
        those of inverted, or of pairs of codes without shifts; shapes are the style's own then, too.
    portraits: where no codes are given, the weight of pairs in which the portraits that ship, whose codes are
        taken then, are their own drawings; of an encoder that gives no shifts they are not known.
    edits: the directions, of source, whose effect the expression loss keeps; none means EXPRESSIONS.
    finish, eyes: what toonify makes of its pictures, of nn.finish.FINISHES, and how much larger of eyes.
    """

    target: Target
    source: str = "faces"
    start: str | None = None
    encoder: str | None = None
    codes: Sequence[str] = ()
    drawings: str | None = None
    inverted: float = 0.0
    moods: bool = False
    portraits: float = 0.0
    edits: Sequence[str] = ()
    finish: str = "paint"
    eyes: float = 0.0
    exclude: Sequence[str] = ()
    mirror: bool = True
    device: str = "auto"


@dataclass(frozen=True)
class _Opened:
    """All that a fine-tuning needs, before its first step."""

    module: FreezeSG
    pictures: Tensor  # [N, 3, R, R] uint8
    seen: int  # pictures that the source was trained with
    where: torch.device
    source: str
    parent: Checkpoint | None  # what source holds, where a style file of it is made
    edits: Sequence[Edit]  # of the pictures' moods
    moods: Tensor | None  # [N, M], how much of each the known faces show


def _photo_codes(
    method: Config, source: str, g: Generator, named: str | None
) -> tuple[Encoder | None, Config]:
    """The encoder that tells how photos' codes are spread, and the settings, photo_codes no longer below 0.

    Args:
        named: the encoder, or None for that of source, whose generator is g.
    Raises: ModelError where the settings or named ask for an encoder that knows it, and there is none.
    """
    share = method.photo_codes
    if not (share > 0 or named or (share < 0 and method.freeze_mapping)):
        return None, replace(method, photo_codes=0.0)
    try:
        encoder = load_encoder(named or source)
        check_encoder(encoder, g)
        if isinstance(encoder, Encoder) and encoder.config.spread:
            return encoder, replace(method, photo_codes=PHOTO_CODES if share < 0 else share)
        raise ModelError(
            f"the encoder of {shown(named or source, 60)} does not know how the codes of photos are spread; "
            "train it with train-encoder, or give --photo-codes 0"
        )
    except ModelError:
        if named or share > 0:
            raise
        return None, replace(method, photo_codes=0.0)


def _named(task: Task, config: Config) -> list[str]:
    """The edits that the expression loss goes by; none without it."""
    return list(task.edits or EXPRESSIONS) if config.expression_weight else []


def _edits(named: Sequence[str], g: Generator) -> list[Edit]:
    """The directions of these names. Raises: ModelError for any that is not of g, or none."""
    own, edits = generator_checkpoint(g), []
    for name in named:
        file = find_edit(name)
        edits.append(load_edit(file))
        if edits[-1].mapper is not None:
            raise ModelError(f"{shown(file, 60)} is a mapper, and --edit takes directions; name another edit")
        if not belongs(edits[-1].meta, own):
            raise ModelError(f"{shown(file, 60)} was made with another generator; name one of the source's")
        apply_edit(g, g.broadcast(g.w_mean[None]), edits[-1], 1.0)  # says what does not fit
    return edits


def _open(task: Task, run: Run, method: Config, report: Callable[[str], None]) -> _Opened:
    where, source, start = choose_device(task.device), task.source, task.start
    parent: Checkpoint | None = None
    if method.train != "all":  # a style's parent is a file; a run's state may be ahead of it
        source, parent = whole_generator(source)
    torch.manual_seed(run.seed)
    begun, lacks = None, list[str]()
    _, d, g, seen = open_networks(source, lacks.append if start else report)
    if start:
        begun, d = open_start(start, None if lacks else d, report)
        if begun.config != g.config or not same_mapping(g, begun):
            raise ModelError(
                f"{shown(start, 50)} is no child of {shown(source, 50)}: it has another shape or mapping; "
                "name the source it came from"
            )
    pictures, names = look_at(task.target.path, g.config.resolution, method.batch, task.exclude, report)
    method = fitted(_counted(method, g), g, where)
    codes = read_codes(task.codes, g)
    if task.moods and not (task.inverted or method.pairs_weight):
        raise UsageError(
            "--moods is of pictures that are drawings of people; give --inverted 4, or --pairs 10"
        )
    if task.moods and not task.inverted and codes and codes.shift is not None:
        raise UsageError(
            "--moods is of codes, and a shift shows the mood itself; invert the photos with --space w+"
        )
    if method.pairs_weight and not codes:
        raise UsageError("--pairs needs the codes of the photos that were drawn; give --codes FOLDER")
    encoder: Encoder | None = None
    if codes is None or task.inverted:
        encoder, method = _photo_codes(method, source, g, task.encoder)
    elif method.photo_codes < 0:
        method = replace(method, photo_codes=PHOTO_CODES if method.adversarial_weight else 1.0)
    known: Known | None = None
    if task.inverted and not encoder:
        raise UsageError("--inverted needs an encoder and draws of codes; give --photo-codes 0.95")
    words = EXPRESSIONS if task.moods else ()
    if encoder and task.inverted:
        before = origin(task.target.path)
        shares = moods_of([before.get(name, name) for name in names], words) if words else None
        _check_moods(shares)
        known = inverted(encoder, g, pictures, task.mirror, codes.w_plus if codes else None, shares)
        method = replace(method, pairs_weight=task.inverted)
    elif encoder:
        known = portraits(encoder, g, task.portraits > 0)
        if known and known.drawings is not None:
            method = replace(method, pairs_weight=task.portraits)
    look = (
        load_look(g.config.resolution, where)[0]
        if method.identity_weight or method.perceptual_weight or method.pairs_weight
        else None
    )
    try:
        kept = _edits(_named(task, method), g)
        moods = Expressions(load_clip(device=where), kept) if kept else None
        if codes and not task.inverted:
            known = Known(codes.w_plus, codes.shift)
        if codes and method.pairs_weight and not task.inverted:
            drawings = Path(task.drawings) if task.drawings else task.target.path
            known = paired(codes, drawings, g.config.resolution, report, words)
            _check_moods(known.moods)
        edits = _edits(words, g)
        given = encoder and encoder.to(where), look, begun, moods, known, edits
        module = FreezeSG(method, g, d, *given).to(where)
    except ValueError as error:
        raise UsageError(f"{error}; {shown(source, 60)} has {g.config.resolution} px") from None
    module.source.to(where)
    return _Opened(module, pictures, seen, where, source, parent, edits, known.moods if known else None)


def _check_moods(shares: Tensor | None) -> None:
    """Raises: UsageError of shares [N, M] that are all 0."""
    if shares is not None and not shares.any():
        ends = ", ".join(f"-{word}" for word in EXPRESSIONS)
        raise UsageError(f"no name of a picture ends in {ends}; rename some, or leave --moods out")


def _counted(method: Config, g: Generator) -> Config:
    """The settings with counts below 0, which are of what is trained, turned into what is frozen."""
    n = g.config.n_resolutions
    freeze_g = method.freeze_g if method.freeze_g >= 0 else max(0, n + method.freeze_g)
    freeze_d = method.freeze_d if method.freeze_d >= 0 else max(0, n - 1 + method.freeze_d)
    return replace(method, freeze_g=freeze_g, freeze_d=freeze_d)


def look_at(
    folder: Path, size: int, batch: int, exclude: Sequence[str], report: Callable[[str], None]
) -> tuple[Tensor, list[str]]:
    """The pictures of folder, [N, 3, size, size] uint8, and their names; report gets what is unusual.

    Raises: InputError, also if there are several and all are alike.
    """
    edges: list[int] = []
    names: list[str] = []
    transparent = 0

    def see(name: str, data: bytes, picture: Image.Image) -> None:
        nonlocal transparent
        edges.append(min(picture.size))
        names.append(name)
        transparent += is_transparent(data)

    pictures = load_pictures([folder], size, exclude, see)
    n = len(pictures)
    if n > 1 and bool((pictures == pictures[:1]).all()):
        raise InputError(f"{shown(folder)}: all {n} pictures are alike; a style needs different ones")
    small = [edge for edge in edges if edge < size]
    grey = int((pictures == pictures[:, :1]).flatten(1).all(1).sum())
    for count, text in (
        (n if n < batch else 0, f"they are fewer than a batch of {batch}, so a step shows some again"),
        (
            len(small),
            f"they are below the source's {size} px ({min(edges)} px) and enlarged, so cartoons are soft",
        ),
        (transparent, "they are transparent, and white is laid under them"),
        (grey, "they are grey, and the cartoons will be so, too"),
    ):
        if count:
            report(f"{shown(folder, 40)}: {count} of {n} pictures: {text}")
    return pictures, sorted(names)


def plan_finetuning(
    task: Task, run: Run, method: Config, report: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """What finetune_generator would do with these arguments, as JSON values; nothing is written.

    trained_parameters_g and trained_parameters_d count the numbers that the optimisers move, of the
    parameters_g and parameters_d that there are.
    Raises: as finetune_generator, before its first step.
    """
    opened = _open(task, run, method, report)
    module = opened.module
    optimizers = module.optimizers()
    return {
        "target": task.target.name,
        "pictures": len(opened.pictures),
        "source": task.source,
        "start": task.start,
        "codes": [*task.codes],
        "drawings": task.drawings,
        "moods": task.moods,
        "edits": _named(task, module.config),
        "out": str(run.out),
        "steps": run.steps,
        "seed": run.seed,
        "device": str(opened.where),
        "mirror": task.mirror,
        "network": to_json(module.source.config),
        "method": to_json(module.config),
        "parameters_g": sum(p.numel() for p in module.source.parameters()),
        "parameters_d": sum(p.numel() for p in module.gan.d.parameters()),
        "trained_parameters_g": trained_parameters(optimizers["g"]),
        "trained_parameters_d": trained_parameters(optimizers["d"])
        if module.config.adversarial_weight
        else 0,
    }


def finetune_generator(
    task: Task,
    run: Run,
    method: Config,
    report: Callable[[str], None] = lambda text: None,
    tensorboard: bool = False,
) -> Path:
    """Fine-tune source to the pictures of target with FreezeSG and return the run folder.

    The log's looks have KID and structure (structure_score); at the end come how near samples are to the
    training pictures, and RUN/report.html.
    Args:
        method: as networks.fitted takes it; freeze_g and freeze_d below 0 count what is trained, from the
            highest resolution of the generator and from the head of the discriminator; photo_codes below 0
            takes PHOTO_CODES where the mapping is frozen and an encoder knows their spread.
        report: is told whatever is unusual about pictures and source, and how it went.
        tensorboard: write RUN/tensorboard, too.
    Raises: InputError, UsageError, ModelError, MissingPartError, and those of training.loop.train.
    """
    opened = _open(task, run, method, report)
    module, pictures, where = opened.module, opened.pictures, opened.where
    method = module.config
    sampler = Sampler(pictures, method.batch, run.seed, task.mirror)
    meta = {"program": __version__, "target": task.target.name, "source_pictures": opened.seen}
    if not method.freeze_mapping:  # then this is how a child tells whose codes it learnt to draw
        meta["source_mapping"] = mapping_digest(generator_checkpoint(module.source))

    def pack(g: Generator, about: Mapping[str, Any]) -> Checkpoint:
        config = module.config
        about = {**about, "blend": config.blend, "finish": task.finish, "eyes": task.eyes}  # for toonify
        if task.inverted or task.moods:
            about["shapes"] = OWN
        if task.moods:
            about["moods"] = [*EXPRESSIONS]
        if opened.parent is None:
            return generator_checkpoint(g, about)
        name = parent_name(Path(opened.source))
        return style_checkpoint(g, opened.parent, name, config.lora, config.freeze_g, about)

    def source_row(w_plus: Tensor) -> list[Tensor]:
        return [module.source.synthesis(w_plus, "none")[-1]]

    def as_shipped(g: Generator) -> list[Generator]:
        if method.blend:
            plain = Generator(g.config).to(where)
            plain.load_state_dict(fold(g.state_dict()))
            g = blend(module.source, plain, method.blend)
        return [g] if opened.moods is None else in_moods(g, opened.edits, opened.moods)

    first = ranks.rank() == 0  # it alone looks
    judge = kid_judge(pictures, where, as_shipped) if first else None
    score = structure_score(module.source)
    events = Events(run.out) if tensorboard and first else None
    grids = gan_look(module.gan, run.out, meta, source_row, method.freeze_mapping, judge, pack)

    def look(done: int) -> Mapping[str, float]:
        figures = {**grids(done), "structure": score(module.gan.g_ema)}
        if events:
            events.look(done, figures)
        return figures

    about = about_run(
        module.gan,
        training_pictures=len(pictures),
        source=task.source,
        start=task.start,
        codes=[*task.codes],
        drawings=task.drawings,
        moods=task.moods,
        edits=_named(task, method),
        target=task.target.name,
        pictures=str(task.target.path),
        steps=run.steps,
        patience=run.patience,
        before=judge(module.source) if judge else {},
    )
    done = train(
        module,
        lambda i: {"cartoon": sampler.batch(i).to(where, memory_format=torch.channels_last)},
        run,
        look,
        about,
    )
    if not first:
        return run.out
    best = load_generator(run.out / "best.safetensors", where, [Path(opened.source)])
    log(run.out, {"step": done, **find_copies(best, pictures, run.out, where, method.batch)})
    page = write_report(run.out)
    report(f"{task.target.name}: {in_words(run.out)}; see {shown(page, 60)}")
    return run.out
