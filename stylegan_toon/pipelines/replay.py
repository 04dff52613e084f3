"""Make a picture again from what it says of itself (docs/replay.md)."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_toon import __version__
from stylegan_toon.config import from_json
from stylegan_toon.errors import InputError, ModelError, ToonError, shown
from stylegan_toon.exact import double
from stylegan_toon.faces.align import side
from stylegan_toon.faces.detect import select_faces
from stylegan_toon.images import load_image, save_png, to_uint8
from stylegan_toon.metadata import chunks, read, sha256
from stylegan_toon.nn.finish import FINISHES
from stylegan_toon.pipelines.generate import draw_numbers, map_latents, read_latents, read_shift, square_grid
from stylegan_toon.pipelines.models import find_edit, find_model, load_generator, locate, sibling
from stylegan_toon.pipelines.toonifier import MOST_EYES, MOST_STROKES, Toonifier, toon
from stylegan_toon.stylegan2.blend import Recipe
from stylegan_toon.stylegan2.generator import NOISE_MODES

MOST = 100_000  # a file that asks for more steps, pictures or pixels of an edge is not one of this program


@dataclass(frozen=True)
class Replay:
    """path: the new file. differing: the share of its bytes that are not the old picture's; most: by how many
    grey levels of 255 at most."""

    path: Path
    differing: float
    most: int


def replay(
    file: str | Path,
    photo: str | Path | None = None,
    latents: str | Path | None = None,
    models: str | Path | None = None,
    out: str | Path = "out",
    device: str = "auto",
    report: Callable[[str], None] = lambda text: None,
) -> Replay:
    """Make a PNG of toonify or generate again, from the same models and the same photo, seeds or latents.

    Args:
        photo, latents: where the input is now; None looks where the picture says, then beside the picture.
        models: a folder to look for the models in, after the usual places.
        out: the folder; the file itself is never overwritten.
    Raises: InputError for a picture that does not say how it was made, and for an input that is missing or
        another; ModelError for a model that is missing or another.
    """
    file, about = Path(file), read(file)
    note = _Note(file, about)
    if (version := note.get("version", str)) != __version__:
        report(f"{shown(file)} was made by version {version[:20]}; this is {__version__}")
    folders = [Path(folder) for folder in (models, file.parent) if folder is not None]
    command = note.get("command", str)
    if command == "generate":
        made = _generate(note, latents, folders, device)
    elif command == "toonify":
        made = _toonify(note, photo, folders, device)
    else:
        raise InputError(
            f"{shown(file)} is of {command[:20]!r}; pictures of toonify and generate can be replayed"
        )
    old = np.asarray(load_image(file), np.int16)
    if old.shape != made.shape:
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (made.shape, old.shape)]
        raise InputError(
            f"{shown(file)} was {sizes[0]} when it was made, now it is {sizes[1]}; take the original"
        )
    path = Path(out) / file.name
    if path.absolute() == file.absolute():
        path = path.with_name(f"{path.stem}-replay.png")
    save_png(path, made, chunks({key: value for key, value in about.items() if key != "version"}))
    gap = np.abs(old - made)
    return Replay(path, float((gap > 0).mean()), int(gap.max()))


class _Note:
    """What a picture says, read with suspicion: everything in it may have been changed."""

    def __init__(self, file: Path, about: Mapping[str, Any]):
        self.file, self.about = file, about

    def get(self, key: str, *kinds: type) -> Any:
        value = self.about.get(key)
        if type(value) not in kinds:  # bool is an int to isinstance
            raise self.damaged(key)
        return value

    def count(self, key: str, least: int = 0) -> int:
        if not least <= (value := self.get(key, int)) <= MOST:
            raise self.damaged(key)
        return int(value)

    def damaged(self, key: str) -> InputError:
        return InputError(
            f"{shown(self.file)}: {key!r} in its note on how it was made is damaged; take the original"
        )

    def entry(self, group: str, key: str) -> tuple[str, str, str]:
        """name, file and SHA-256 of a file that was used."""
        found = self.about if group == key else self.get(group, dict)
        entry = found.get(key)
        entry = entry if isinstance(entry, dict) else {}
        name, called, digest = (str(entry.get(part, "")) for part in ("name", "file", "sha256"))
        if not (name and called and digest):
            raise self.damaged(key)
        return name, Path(called).name, digest

    def digests(self, role: str) -> list[str]:
        """SHA-256 of the model that was used and, if it was a style file, of its parent."""
        parent = self.get("models", dict)[role].get("parent", {})
        if not isinstance(parent, dict):
            raise self.damaged(role)
        return [self.entry("models", role)[2], *(str(parent[key]) for key in parent if key == "sha256")]

    def model(
        self, role: str, folders: Sequence[Path], parents: Sequence[Path] = (), what: str = "generator"
    ) -> str:
        """The name or file of the network that was used; parents as for it. Raises: ModelError."""
        name, called, digest = self.entry("models", role)
        wanted = self.digests(role)
        missing: ToonError | None = None
        other = ""
        for candidate in (
            name,
            re.sub(r"\.(generator|style)\.safetensors$", "", called),
            *(str(f / called) for f in folders),
        ):
            try:
                path = find_model(candidate, what)
                if what != "generator" and (beside := sibling(path, what)).is_file():
                    path = beside
                files = [path]
                if sha256(path) == digest:
                    files, _ = locate(candidate, what, parents)
            except ModelError as error:
                missing = missing or error
                continue
            if [sha256(file) for file in files] == wanted:
                return candidate
            other = other or shown(files[-1], 50)
        if other:
            raise ModelError(
                f"{shown(self.file, 40)} was made with {called[:40]} (SHA-256 {digest[:12]}); "
                f"{other} is another; name the right one's folder with --models"
            )
        raise ModelError(f"the {role} of {shown(self.file, 40)} is missing: {str(missing)[:110]}")

    def edit(self, folders: Sequence[Path]) -> str:
        """The name or file of the edit that was used. Raises: ModelError."""
        name, called, digest = self.entry("models", "edit")
        for candidate in (name, *(str(folder / called) for folder in folders)):
            try:
                if sha256(find_edit(candidate)) == digest:
                    return candidate
            except ModelError:
                continue
        raise ModelError(
            f"the edit of {shown(self.file, 40)}, {called[:40]} (SHA-256 {digest[:12]}), is not here; name "
            "its folder with --models"
        )

    def input(self, key: str, given: str | Path | None) -> Path:
        """The photo or the latents that were used. Raises: InputError."""
        name, called, digest = self.entry(key, key)
        places = (
            [Path(given)]
            if given is not None
            else [Path(name), *(self.file.parent / n for n in (name, called))]
        )
        try:
            there = [path for path in places if path.is_file()]
            if any(sha256(good := path) == digest for path in there):
                return good
        except (OSError, ValueError) as error:
            raise InputError(
                f"{shown(places[0])} cannot be read ({error}); check path and rights"[:200]
            ) from None
        if there:
            raise InputError(
                f"{shown(there[0])} is not the one {shown(self.file, 40)} was made from (SHA-256 differs)"
                f"; name it with --{key}"
            )
        raise InputError(
            f"{shown(places[0])}, from which {shown(self.file, 40)} was made, is not there; "
            f"name it with --{key}"
        )


def _generate(note: _Note, latents: str | Path | None, folders: Sequence[Path], device: str) -> np.ndarray:
    exact, noise = note.get("exact", bool), note.get("noise", str)
    psi, cutoff = float(note.get("psi", int, float)), note.get("cutoff", int, type(None))
    if noise not in NOISE_MODES:
        raise note.damaged("noise")
    generator = load_generator(note.model("generator", folders), device)
    if exact:
        double(generator)
    codes, shift, key, top = None, None, "seeds", 2**32
    if "latents" in note.about:
        kind, codes = read_latents(file := note.input("latents", latents), generator)
        codes, key, top = map_latents(generator, kind, codes), "rows", len(codes)
        shift = read_shift(file, generator)
    numbers = note.get(key, list)
    if not 0 < len(numbers) <= MOST or not all(type(n) is int and 0 <= n < top for n in numbers):
        raise note.damaged(key)
    pictures = draw_numbers(generator, numbers, codes, psi, cutoff, noise, exact, shift)
    return to_uint8(square_grid(pictures)[None] if note.about.get("grid") else pictures[:1])[0]


def _toonify(note: _Note, photo: str | Path | None, folders: Sequence[Path], device: str) -> np.ndarray:
    exact, seed = note.get("exact", bool), note.get("seed", int)
    try:
        recipe = from_json(Recipe, note.get("blend", dict))
    except ModelError:
        raise note.damaged("blend") from None
    source = note.model("source", folders)
    style = note.model("style", folders, [find_model(source)])
    detector = note.get("detector", str) if "detector" in note.about else "yunet"
    encoder, used = None, note.get("models", dict)
    if "encoder" in used and note.entry("models", "encoder")[0] != note.entry("models", "source")[0]:
        encoder = note.model("encoder", folders, what="encoder")
    upscale = note.model("upscaler", folders, what="upscaler") if "upscaler" in used else "none"
    edit = note.edit(folders) if "edit" in used else None
    sizes = {}
    most_of = {"strokes": MOST_STROKES, "around": MOST_STROKES, "eyes": MOST_EYES, "detail": 1.0}
    for key, most in most_of.items():
        sizes[key] = float(note.get(key, int, float)) if key in note.about else 0.0
        if not 0 <= sizes[key] <= most:
            raise note.damaged(key)
    finish = note.get("finish", str) if "finish" in note.about else "paint"
    if finish not in FINISHES:
        raise note.damaged("finish")
    toonifier = Toonifier(
        style, source, recipe, device, exact=exact, detector=detector, encoder=encoder, upscale=upscale,
        strokes=sizes["strokes"], around=sizes["around"], finish=finish, eyes=sizes["eyes"],
        detail=sizes["detail"], edit=edit, strength=float(note.get("strength", int, float)) if edit else None,
    )  # fmt: skip
    if "photo" not in note.about:
        return to_uint8(toonifier.pairs(seed)[None])[0]
    path, steps = note.input("photo", photo), note.count("refine_steps")
    opened = load_image(path)
    try:
        faces = select_faces(toonifier.find(opened), note.get("faces", int, str))
    except ValueError:
        raise note.damaged("faces") from None
    crop = note.count("crop", 1) if "crop" in note.about else 0
    if len(faces) < max(crop, 1):
        raise InputError(
            f"{shown(path)} shows {len(faces)} faces now, not the {max(crop, 1)} that are needed"
        )
    (drawn,) = toon(toonifier, [(opened, faces)], steps)
    for role, entry in toonifier.files.items():  # encoder, detector and the like come with the source
        _, called, digest = note.entry("models", role)
        if entry["sha256"] != digest:
            raise ModelError(f"{shown(note.file, 40)} was made with another {role}, {called[:40]} "
                             f"(SHA-256 {digest[:12]}); the one here is {entry['file'][:40]}")  # fmt: skip
    if not crop:
        edges = [side(face.points) for face in faces]
        return toonifier.whole(opened, faces, toonifier.enlarged(drawn, edges), exact)
    size = None if note.about.get("size") is None else note.count("size", 16)
    (square,) = toonifier.enlarged(drawn.only(crop - 1), [size or 0])
    return np.asarray(toonifier.crop(square, size))
