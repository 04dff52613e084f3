"""Photos or drawings in folders and archives to a training set: one ZIP of squares and a manifest."""

import hashlib
import io
import json
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from stylegan_toon import __version__
from stylegan_toon.archives import Read, pictures
from stylegan_toon.data import centred, leaves_out
from stylegan_toon.decoding import read_image
from stylegan_toon.errors import InputError, UsageError, shown
from stylegan_toon.faces.align import align, move, side, square, to_photo
from stylegan_toon.faces.detect import Face, select_faces
from stylegan_toon.faces.detectors import choose_detector
from stylegan_toon.files import open_aside

MAX_BROKEN = 0.1
FORMATS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP", "quality": 95, "method": 4},
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
}
HASH_SIDE, HASH_WAVES = 64, 16
# Drawn faces lie alike if their points are, in the middle, so many eye distances from the middle ones, of so
# many pictures. With fewer faces found nothing is known; with more each is levelled, as those of photos are.
ALIKE, LOOKED_AT, LEAST_FOUND, MOST_FOUND = 0.25, 100, 0.1, 0.95
REASONS = ("broken", "excluded", "exact", "no face", "small", "outside", "near")


@dataclass(frozen=True)
class Config:
    """How a training set is made.

    size: edge of a picture in pixels.
    align: the level square of a face, as every model here is trained on; else the centre square.
    faces: all, largest, or the N largest of each photo.
    min_score: of a face, 0 to 1.
    min_size: shortest side of the square in pixels of the source; None is half of size.
    max_outside: largest part of a face's square that may lie outside the photo and be mirrored there.
    near: photos, or their squares, whose perceptual hashes differ in so many of 255 bits or fewer are the
        same, and the first stays; 0 keeps all.
    format: png, webp or jpg.
    detector: what finds the faces, as choose_detector.
    centre: take the centre square of a picture, too, that holds no face, or one too far outside; or, where
        common_place knows one, the same square of all.
    """

    size: int = 256
    align: bool = True
    faces: str | int = "largest"
    min_score: float = 0.75
    min_size: int | None = None
    max_outside: float = 0.15
    near: int = 12
    format: str = "png"
    detector: str = "yunet"
    centre: bool = False


@dataclass
class Prepared:
    """What became of the sources: as much as the manifest in the ZIP says."""

    path: Path
    read: int = 0  # files that were looked at, good or bad
    pictures: list[dict[str, object]] = field(default_factory=list)
    dropped: list[dict[str, object]] = field(default_factory=list)
    place: np.ndarray | None = None  # of all faces, as common_place has it, where all were cut alike

    def counts(self) -> dict[str, int]:
        """How many were dropped, by reason."""
        found = Counter(str(entry["why"]) for entry in self.dropped)
        return {why: found[why] for why in REASONS if found[why]}


def prepare(
    sources: Sequence[str | Path],
    out: str | Path,
    config: Config,
    exclude: Sequence[str] = (),
    problem: Callable[[str], None] = lambda text: None,
    quiet: bool = False,
    insightface_root: str | Path | None = None,
    device: str = "cpu",
    report: Callable[[str], None] = lambda text: None,
) -> Prepared:
    """Write a ZIP of stored pictures 00000.png ... and manifest.json.

    The same sources, options and program give the same bytes. The ZIP is written aside and renamed.
    Args:
        sources: folders and archives, as archives.pictures reads them.
        exclude: as data.leaves_out takes it.
        problem: told of each picture that cannot be read.
        insightface_root, device, report: for the detector, as choose_detector.
    Raises: UsageError for an out that is no .zip or one of the sources; InputError when a source cannot be
        read, more than a tenth of the pictures are broken, or none is left; DiskError; ModelError
        and MissingPartError (detector).
    """
    out = Path(out)
    if out.suffix.lower() != ".zip":
        raise UsageError(f"{shown(out)} does not end in .zip; name the ZIP to write after the sources")
    if any(os.path.exists(out) and os.path.exists(s) and os.path.samefile(s, out) for s in sources):  # noqa: PTH110, PTH121
        raise UsageError(f"{shown(out)} is one of the sources; name another ZIP to write")
    find = choose_detector(config.detector, insightface_root, device, report)
    place = common_place(sources, leaves_out(exclude), find) if config.align and config.centre else None
    with open_aside(out) as file, zipfile.ZipFile(file, "w") as pack:
        made = Prepared(out, place=place)
        made = _fill(pack, sources, made, config, leaves_out(exclude), find, problem, quiet)
        broken, read = made.counts().get("broken", 0), made.read
        if broken > MAX_BROKEN * read:
            raise InputError(f"{broken} of {read} pictures are broken, more than a tenth; remove them first")
        if not made.pictures:
            raise InputError(f"no picture is left ({_in_words(made.counts())}); see the options of prepare")
        _write(pack, "manifest.json", _manifest(made, config))
    return made


def common_place(
    sources: Sequence[str | Path], left_out: Callable[[str], bool], find: Callable[..., list[Face]]
) -> np.ndarray | None:
    """Where faces lie in drawings that are all laid out alike, [5, 2] in parts of width and height.

    None where pictures have several shapes, or faces are at different places, or are found in nearly all
    pictures, or in next to none.
    """
    names = [name for _, name, _ in _all(sources) if not left_out(name)]
    chosen, shapes, points = {*names[:: len(names) // LOOKED_AT + 1]}, list[float](), list[np.ndarray]()
    for _, name, read in _all(sources):
        if name in chosen:
            with suppress(InputError):
                photo = read_image(read(), shown(name, 60))
                shapes.append(photo.width / photo.height)
                points += [face.points / photo.size for face in select_faces(find(photo), "largest")]
    share = len(points) / max(1, len(shapes))
    if not (LEAST_FOUND <= share < MOST_FOUND and len(points) > 3 and max(shapes) < 1.02 * min(shapes)):
        return None
    place = np.median(points, 0)
    apart = np.abs(np.array(points) - place).max((1, 2)) / np.linalg.norm(place[1] - place[0])
    return place if np.median(apart) < ALIKE else None


def _fill(
    pack: zipfile.ZipFile,
    sources: Sequence[str | Path],
    made: Prepared,
    config: Config,
    left_out: Callable[[str], bool],
    find: Callable[..., list[Face]],
    problem: Callable[[str], None],
    quiet: bool,
) -> Prepared:
    seen: dict[str, str] = {}
    photos: dict[str, int] = {}
    squares: dict[str, int] = {}
    for where, name, read in tqdm(_all(sources), unit="picture", disable=True if quiet else None):
        origin: dict[str, object] = {"source": where, "member": name}

        def drop(why: str, **more: object) -> None:
            made.dropped.append({**origin, "why": why, **more})  # noqa: B023 - used within this round alone

        if left_out(name):
            drop("excluded")
            continue
        made.read += 1
        try:
            data = read()
            origin["sha256"] = digest = hashlib.sha256(data).hexdigest()
            if digest in seen:
                drop("exact", of=seen[digest])
                continue
            photo = read_image(data, shown(name, 60))
        except InputError as error:
            problem(str(error))
            drop("broken", error=str(error))
            continue
        seen[digest] = name
        # Two sizes of one photo are aligned a little differently: the whole photo tells more than the square.
        whole = perceptual_hash(photo)
        if twin := _twin(whole, photos, config.near):
            drop("near", of=twin)
            continue
        first = f"{len(made.pictures):05d}.{config.format}"
        for cut, face in _squares(photo, config, find, drop, made.place):
            code = perceptual_hash(cut)
            if twin := _twin(code, squares, config.near):
                drop("near", of=twin, **face)
                continue
            file = f"{len(made.pictures):05d}.{config.format}"
            squares[file], photos[first] = code, whole
            _write(pack, file, _encoded(cut, config.format))
            made.pictures.append({"file": file, **origin, **face, "hash": f"{code:064x}"})
    return made


def _all(sources: Sequence[str | Path]) -> Iterator[tuple[str, str, Read]]:
    for source in map(Path, sources):
        for name, read in pictures(source):
            yield source.resolve().name, name, read


def _squares(
    photo: Image.Image,
    config: Config,
    find: Callable[..., list[Face]],
    drop: Callable[..., None],
    place: np.ndarray | None,
) -> Iterator[tuple[Image.Image, dict[str, object]]]:
    """The squares of a photo at their size, each with what the manifest says of its face."""
    smallest = config.size / 2 if config.min_size is None else config.min_size
    if place is not None:
        found = [
            Face(np.array([0.0, 0.0, *photo.size]), 1.0, _into(place * photo.size, np.array(photo.size)))
        ]
    else:
        found = select_faces(find(photo, min_score=config.min_score), config.faces) if config.align else []
    if config.centre:
        found = [face for face in found if _outside(photo, face) <= config.max_outside]
    if not config.align or (config.centre and not found):
        if min(photo.size) < smallest:
            drop("small", side=min(photo.size))
        else:
            yield centred(photo, config.size), {}
        return
    if not found:
        drop("no face")
    for face in found:
        about: dict[str, object] = {}
        if place is None:
            about["face"] = {"score": round(face.score, 3), "box": [round(float(v), 1) for v in face.box]}
        if (wide := side(face.points)) < smallest:
            drop("small", side=round(wide, 1), **about)
        elif (part := _outside(photo, face)) > config.max_outside:
            drop("outside", part=round(part, 3), **about)
        else:
            yield align(photo, face.points, config.size), about


def _into(points: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """A face's points, moved so that its square lies in a picture [2], or over its middle if it is larger."""
    middle, half = square(points)[0] + 0.5, side(points) / 2  # from the picture's corner
    return points - middle + middle.clip(np.minimum(half, edges / 2), np.maximum(edges - half, edges / 2))


def _outside(photo: Image.Image, face: Face, steps: int = 32) -> float:
    """The part of a face's square that lies outside the photo, 0 to 1."""
    grid = np.stack(np.meshgrid(np.arange(steps), np.arange(steps)), axis=-1)
    at = move(to_photo(face.points, steps), grid)
    inside = (at >= -0.5).all(-1) & (at <= np.array(photo.size) - 0.5).all(-1)
    return 1.0 - float(inside.mean())


@cache
def _waves() -> np.ndarray:
    """The DCT-II of HASH_SIDE samples, its HASH_WAVES slowest waves: [HASH_WAVES, HASH_SIDE]."""
    places, waves = np.arange(HASH_SIDE), np.arange(HASH_WAVES)
    return np.cos(np.pi * (2 * places[None] + 1) * waves[:, None] / (2 * HASH_SIDE))


def perceptual_hash(picture: Image.Image) -> int:
    """255 bits that hardly change when a picture is compressed, resized, or made brighter.

    Grey, 64x64, the 16x16 slowest waves of the cosine transform without the mean; a bit is set where a wave
    is above their median.
    Source: Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", with 16x16
    waves for its 8x8: among aligned faces 63 bits take different people for one.
    """
    grey = picture.convert("L").resize((HASH_SIDE, HASH_SIDE), Image.Resampling.LANCZOS)
    waves = (_waves() @ np.asarray(grey, np.float64) @ _waves().T).ravel()[1:].round(6)
    return int("".join("01"[int(bit)] for bit in waves > np.median(waves)), 2)


def _twin(code: int, others: dict[str, int], near: int) -> str | None:
    """The first of the others that is the same but for near bits, if near is not 0."""
    if not near:
        return None
    return next((name for name, other in others.items() if (code ^ other).bit_count() <= near), None)


def _encoded(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, **FORMATS[kind])
    return file.getvalue()


def _write(pack: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, 0o100644 << 16
    pack.writestr(info, data)


def _manifest(made: Prepared, config: Config) -> bytes:
    about: dict[str, object] = {
        "version": 1,
        "program": f"stylegan-toon {__version__}",
        "options": asdict(config),
    }
    if made.place is not None:
        about["place"] = made.place.round(4).tolist()
    text = json.dumps({**about, "pictures": made.pictures, "dropped": made.dropped}, indent=1)
    return text.encode()


def _in_words(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {why}" for why, number in counts.items()) or "none was there"
