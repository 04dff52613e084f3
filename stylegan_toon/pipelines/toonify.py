"""Photo in, cartoon out: detect, align, invert, draw with the blended generator, put back."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from stylegan_toon.config import to_json
from stylegan_toon.errors import InputError, UsageError
from stylegan_toon.faces.align import side
from stylegan_toon.faces.detect import Face
from stylegan_toon.images import list_images, save_png
from stylegan_toon.metadata import chunks, file_entry
from stylegan_toon.pipelines.invert import free
from stylegan_toon.pipelines.toonifier import AROUND, STROKES, Toonifier, toon
from stylegan_toon.stylegan2.blend import Recipe

LARGE = 4  # by eye: as far as the upscaler goes, and enough for an avatar


@dataclass
class Result:
    """What became of one photo. Either path (one of its pictures) or error is set."""

    photo: Path
    path: Path | None = None
    error: str | None = None
    faces: list[dict[str, object]] = field(default_factory=list)
    seconds: float = 0.0  # for the photo, from opening it to its last picture


def toonify_files(
    photos: Sequence[str] = (),
    style: str = "storybook",
    source: str = "faces",
    blend: int | Recipe | None = None,
    refine: int | None = None,
    refine_steps: int | None = None,
    faces: str | int = "all",
    size: int | None = None,
    crop_only: bool | None = None,
    out: str = "out",
    detector: str = "yunet",
    insightface_root: str | Path | None = None,
    device: str = "auto",
    seed: int = 0,
    report: Callable[[str], None] = lambda text: None,
    exact: bool = False,
    batch: int = 1,
    metadata: bool = True,
    encoder: str | None = None,
    upscale: str = "auto",
    strokes: float = STROKES,
    around: float = AROUND,
    finish: str | None = None,
    eyes: float | None = None,
    detail: float | None = None,
    edit: str | None = None,
    strength: float | None = None,
) -> Iterator[Result]:
    """Turn the faces of photos (files and folders) into cartoons: a Result a picture or failed photo.

    Without photos one grid of source | cartoon pairs is drawn from codes of seed.
    Args:
        refine: as Toonifier.steps; refine_steps overrides it.
        crop_only: save the faces alone; None does so where the style's shapes are its own.
        size: edge of the crop with crop_only; None is the model's, of a style with own shapes LARGE times it.
        out: the folder; folders among photos are mirrored in it. No input is overwritten.
        detector, insightface_root: what finds the faces, as choose_detector.
        exact: the same bytes on every machine, in float64.
        batch: how many photos go through the networks together.
        metadata: write into every picture how it was made.
        encoder: its name or file; None takes the source's.
        upscale, strokes: how faces and crops grow that are larger than the model, as Toonifier.
        around, finish, eyes, detail: how the photo is painted around them, what is drawn then, how much
            larger eyes become, and how much of the photo's detail comes back, likewise.
        edit, strength: what becomes of the faces before they are drawn, likewise; of photos alone.
    Raises: ModelError, UsageError, MissingPartError, DiskError; a photo's own failure is its Result's error.
    """
    toonifier = Toonifier(
        style, source, blend, device, report, exact, detector, insightface_root, encoder, upscale, strokes,
        around, finish, eyes, detail, edit, strength,
    )  # fmt: skip
    if edit is not None and not photos:
        raise UsageError("--edit needs a photo; on random faces styleclip --edit shows it")

    if crop_only is None:
        crop_only = toonifier.own_shapes
    if size is not None and not crop_only:
        raise UsageError(f"--size is the edge of the crop, and {style[:40]} is put back; give --crop-only")
    if crop_only and size is None and toonifier.own_shapes:
        size = LARGE * toonifier.source.config.resolution

    def save(path: Path, picture: Any, **more: Any) -> None:
        about = {"command": "toonify", "seed": seed, "blend": to_json(toonifier.recipe), "exact": exact}
        about |= {"models": toonifier.files, **more}
        save_png(path, picture, chunks(about) if metadata else {})

    about: dict[str, Any]
    if not photos:
        path = Path(out) / f"{Path(style).stem}-pairs.png"
        pairs = toonifier.pairs(seed)
        about = {"strokes": strokes, "finish": toonifier.finish, "eyes": toonifier.eyes}
        if toonifier.upscaler:
            about["models"] = {**toonifier.files, "upscaler": toonifier.upscaler_entry}
        save(path, pairs, **about, detail=toonifier.detail)
        yield Result(Path(), path)
        return
    files = list_images(photos)
    for group in (files[i : i + batch] for i in range(0, len(files), batch)):
        began = time.perf_counter()
        opened: list[tuple[Image.Image, list[Face]] | InputError] = []
        for file, _ in group:
            try:
                opened.append(toonifier.faces_of(file, faces))
            except InputError as error:
                opened.append(error)
        good = [one for one in opened if not isinstance(one, InputError)]
        steps = refine_steps
        if good and steps is None:
            steps = toonifier.steps(refine)
        drawings = iter(toon(toonifier, good, steps or 0))
        for (file, relative), one in zip(group, opened, strict=True):
            if isinstance(one, InputError):
                yield Result(file, error=str(one), seconds=(time.perf_counter() - began) / len(group))
                continue
            photo, found = one
            base = free(Path(out) / relative.with_suffix(".png"), file, "toon")
            about = {"photo": file_entry(file), "faces": faces, "refine_steps": steps} if metadata else {}
            about |= {"strength": toonifier.strength} if edit is not None else {}
            if metadata and detector != "yunet":
                about["detector"] = detector
            drawn = next(drawings)
            edge = drawn.cartoons.shape[3]
            edges = [float(size or edge) if crop_only else side(face.points) for face in found]
            squares = toonifier.enlarged(drawn, edges)
            notes: list[dict[str, object]] = [
                {"box": [round(float(v), 1) for v in f.box], "score": round(f.score, 3),
                 "upscaled": square.shape[2] // edge} for f, square in zip(found, squares, strict=True)
            ]  # fmt: skip
            for note, shares in zip(notes, drawn.moods.tolist(), strict=True):
                if mood := {name: round(x, 2) for name, x in zip(toonifier.moods, shares, strict=True) if x}:
                    note["mood"] = mood
            if any(square.shape[2] > edge for square in squares):
                about["models"] = {**toonifier.files, "upscaler": toonifier.upscaler_entry}
                about["strokes"] = strokes
            about |= {"finish": toonifier.finish, "eyes": toonifier.eyes, "detail": toonifier.detail}
            if crop_only:
                for i, square in enumerate(squares):
                    path = base if i == 0 else base.with_name(f"{base.stem}-face{i + 1}.png")
                    save(path, toonifier.crop(square, size), **about, crop=i + 1, size=size)
                    seconds = (time.perf_counter() - began) / len(group)
                    yield Result(file, path, faces=[notes[i]], seconds=seconds)
            else:
                about["around"] = around
                save(base, toonifier.whole(photo, found, squares, exact), **about)
                seconds = (time.perf_counter() - began) / len(group)
                yield Result(file, base, faces=notes, seconds=seconds)
