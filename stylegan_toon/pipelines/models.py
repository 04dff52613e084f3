"""Models by name or file: a file, a run's name, a name in pretrained/, or a fetched file's.

A style file is opened together with its parent, and is a generator from then on.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.device import CHOICES, choose_device
from stylegan_toon.errors import ModelError, shown
from stylegan_toon.metadata import told
from stylegan_toon.nn.upscaler import Upscaler
from stylegan_toon.paths import pretrained_dirs, pretrained_file
from stylegan_toon.pipelines import catalogue
from stylegan_toon.stylegan2.adapters import KIND, Style, is_plain, merge, read_style, weights_digest
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.edits import MAPPER_SUFFIX, SUFFIX, is_child
from stylegan_toon.stylegan2.encoder import Config as EncoderConfig
from stylegan_toon.stylegan2.files import (
    AnyEncoder,
    build_discriminator,
    build_encoder,
    build_generator,
    build_upscaler,
)
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latent_files import belongs

EDITS = "edits"  # the folder of ready edits, in each of pretrained_dirs()
RUNS = Path("runs")  # below the working folder
UPSCALER = "upscale-x4"  # in pretrained/, without a kind in its file's name
Net = TypeVar("Net", bound=nn.Module)


def load_generator(
    name_or_file: str | Path, device: str | torch.device = "cpu", parents: Sequence[Path] = ()
) -> Generator:
    """The generator of a file of any kind that is read, of a run, or in pretrained/.

    It is in eval mode, float32, without gradients, its weights in channels_last.
    Args:
        parents: files in which the parent of a style file is looked for first.
    Raises: ModelError (exit 4) when nothing has this name or the file holds no sound generator.
    """
    return load_network(name_or_file, "generator", build_generator, device, parents)[0]


def load_discriminator(name_or_file: str | Path, device: str | torch.device = "cpu") -> Discriminator:
    """As load_generator; X.discriminator.safetensors is found beside a generator X.safetensors."""
    return load_network(name_or_file, "discriminator", build_discriminator, device)[0]


def load_encoder(name_or_file: str | Path, device: str | torch.device = "cpu") -> AnyEncoder:
    """As load_generator; X.encoder.safetensors is found beside a generator X.safetensors."""
    return load_network(name_or_file, "encoder", build_encoder, device)[0]


def load_upscaler(name_or_file: str | Path, device: str | torch.device = "cpu") -> Upscaler:
    """As load_generator; of a run last.upscaler.safetensors."""
    return load_network(name_or_file, "upscaler", build_upscaler, device)[0]


def check_codes(
    meta: Mapping[str, Any],
    file: str | Path,
    source: str,
    checkpoint: Checkpoint,
    children: Mapping[str, Checkpoint],
) -> None:
    """That codes or an edit with this meta are of the source, and that its children draw them.

    Args:
        file, source: as they are called in the error. checkpoint: the source's. children: theirs by name.
    Raises: ModelError naming the file and the network.
    """
    if not belongs(meta, checkpoint):
        raise ModelError(
            f"{shown(file, 60)} was made with a generator of weights {meta['parent'][:8]}, and "
            f"{shown(source, 40)} is another; name it with --source"
        )
    for name, child in children.items():
        if not is_child(child, meta):
            raise ModelError(
                f"{shown(file, 50)} is of {shown(source, 30)}, and {shown(name, 40)} is no "
                "child of it: it learnt other codes; name another --style"
            )


def check_encoder(encoder: AnyEncoder, generator: Generator) -> None:
    """Raises: ModelError if the codes of the encoder are not those that the generator takes."""
    made, taken = encoder.config, generator.config
    if (made.n_layers, made.w_dim) != (taken.n_layers, taken.w_dim):
        raise ModelError(
            f"the encoder gives {made.n_layers} codes of {made.w_dim}, the generator takes {taken.n_layers} "
            f"of {taken.w_dim}; name an encoder that was trained for it"
        )
    if isinstance(made, EncoderConfig) and made.shift:
        wanted, above = taken.channels[taken.shift_block :][:3], len(made.fine)
        if (made.shift, *made.fine) != wanted[: 1 + above] or made.resolution != taken.resolution:
            given = ", ".join(map(str, (made.shift, *made.fine)))
            raise ModelError(
                f"the encoder shifts {given} channels at {made.resolution} px, the generator has "
                f"{', '.join(map(str, wanted))} at {taken.resolution}; name one that was trained for it"
            )


def open_model(name_or_file: str | Path, what: str = "generator") -> Checkpoint:
    """The checkpoint of kind what that find_model finds.

    Raises: ModelError.
    """
    return locate(name_or_file, what)[1]


def locate(
    name_or_file: str | Path, what: str = "generator", parents: Sequence[Path] = ()
) -> tuple[list[Path], Checkpoint]:
    """As open_model, with the files that the checkpoint was read from; parents as in load_generator.

    The files are one, or a style file and its parent. Raises: ModelError.
    """
    path = find_model(name_or_file, what)
    files, found = read_model(path, parents)
    if what not in found and (beside := sibling(path, what)) != path and beside.is_file():
        files, found = read_model(beside, parents)
    if what not in found:
        kinds = " and ".join(kind[:30] for kind in found)
        raise ModelError(f"{shown(files[0])} holds a {kinds}, not a {what}; name another file")
    return files, found[what]


def read_model(path: Path, parents: Sequence[Path] = ()) -> tuple[list[Path], dict[str, Checkpoint]]:
    """As checkpoint.importers.read_any, with the files; a style has become the generator it stands for.

    Raises: ModelError, also for a style whose parent is missing or another.
    """
    found = read_any(path)
    if KIND not in found:
        return [path], found
    try:
        file, parent = _parent(path, read_style(found[KIND]), parents)
        return [path, file], {"generator": merge(found[KIND], parent)}
    except ModelError as error:
        raise ModelError(f"{shown(path, 50)}: {error}"[:200]) from None


def _parent(path: Path, style: Style, parents: Sequence[Path]) -> tuple[Path, Checkpoint]:
    """The generator that a style at path was made of, and its file. Raises: ModelError."""
    name, other = shown(style.name, 25), ""
    for file in _places(path, style.name, parents):
        try:
            generator = read_any(file).get("generator")
        except ModelError:
            other = other or f"{shown(file, 45)} is broken"
            continue
        if generator and (found := weights_digest(generator)) == style.parent:
            return file, generator
        if generator:
            other = other or f"{shown(file, 45)} has {found[:8]}"
    if other:
        raise ModelError(
            f"its parent {name} has weights {style.parent[:8]}, but {other}; put the right one beside it"
        )
    last = Path(name).name
    raise ModelError(f"its parent {name} is not here; put {last}.safetensors beside it")


def _places(path: Path, name: str, parents: Sequence[Path]) -> Iterator[Path]:
    """Files that may be the parent called name of a style at path."""
    last = Path(name).name
    known = pretrained().get(last), catalogue.find(last)
    ends = ("", ".safetensors", ".generator.safetensors", "/last.safetensors", "/best.safetensors")
    places = [f"{folder}{name}{end}" for folder in ("", f"{RUNS}/") for end in ends]
    tried = [*parents, *(path.parent / f"{last}{end}" for end in ends), *known, *map(Path, places)]
    yield from dict.fromkeys(file for file in tried if file and file.is_file() and file != path)


def parent_name(file: Path) -> str:
    """What a style made of the generator in file calls it: one of the names that are tried to find it."""
    file = file.with_name(file.name.removesuffix(".safetensors").removesuffix(".generator"))
    place = file.absolute().parent if file.name in ("last", "best") else file
    name = place.name if place.parent in pretrained_dirs() else told(place)
    return name if is_plain(name) else "parent"


def find_model(name_or_file: str | Path, what: str = "generator") -> Path:
    """Where the model is: the file itself, a run's best, or pretrained/NAME[-SIZE].WHAT.safetensors.

    Args:
        name_or_file: a file; a run, by its folder or its name in runs/; or a name in pretrained/, with its
            size (faces-128) or without, which takes the largest (faces); or what `models get` fetched.
        what: "generator", "discriminator", "encoder", "upscaler".
    Raises: ModelError naming those that are known.
    """
    name, path = str(name_or_file), Path(name_or_file)
    try:
        if path.is_file():
            return path
        for run in (path, RUNS / name):
            for best in ("best", "last"):  # a run has no best before its first evaluation
                if (file := sibling(run / f"{best}.safetensors", what)).is_file():
                    return file
        there = path.exists()
    except OSError as error:  # a name too long, a folder that may not be read
        raise ModelError(f"{shown(path)} cannot be read ({error.strerror}); check the path") from None
    models = pretrained(what)
    if name in models:
        return models[name]
    if name in catalogue.BY_NAME or catalogue.find(name):
        return catalogue.where(name)
    if there or len(path.parts) > 1 or path.suffix in (".safetensors", ".pt", ".pkl", ".pth"):
        raise ModelError(f"{shown(path)} is no file or run folder with a {what}; check the path")
    runs = sorted(file.parent.name for file in RUNS.glob("*/best.safetensors"))
    short = [key for key in models if f"{key}-" in " ".join(models)] or list(models)
    known = ", ".join([*short, *runs])[:80] or "none"
    raise ModelError(f"no {what} is called {shown(name, 40)!r}; known: {known}; or name a file")


def find_edit(name_or_file: str) -> Path:
    """A file, or edits/NAME of a model folder. Raises: ModelError naming those that are known."""
    if Path(name_or_file).is_file():
        return Path(name_or_file)
    known: dict[str, Path] = {}
    for folder in pretrained_dirs():
        for end in (MAPPER_SUFFIX, SUFFIX):
            for file in sorted((folder / EDITS).glob(f"*{end}")):
                known.setdefault(file.name.removesuffix(end), file)
    if name_or_file in known:
        return known[name_or_file]
    names = ", ".join(known)[:60] or "none"
    raise ModelError(f"no edit is called {shown(name_or_file, 40)!r}; known: {names}; or name a file")


def pretrained(what: str = "generator") -> dict[str, Path]:
    """The models that ship or were added: NAME-SIZE, and NAME for the largest of them, to their files.

    NAME.style.safetensors counts as a generator.
    """
    files: dict[str, Path] = {}
    sizes: dict[str, int] = {}
    kinds = (what, KIND) if what == "generator" else (what,)
    for folder in pretrained_dirs():
        for kind in kinds:
            for file in sorted(folder.glob(f"*.{kind}.safetensors")):
                files.setdefault(file.name.removesuffix(f".{kind}.safetensors"), file)
    if what == "upscaler" and (found := pretrained_file(f"{UPSCALER}.safetensors")):
        files.setdefault(UPSCALER, found)
    for full in sorted(files):
        if (match := re.fullmatch(r"(.+)-(\d{1,6})", full)) and int(match[2]) > sizes.get(match[1], 0):
            sizes[match[1]] = int(match[2])
            files[match[1]] = files[full]
    return files


def sibling(file: Path, what: str) -> Path:
    """The file for another kind beside it: X.safetensors for the generator, else X.WHAT.safetensors.

    In pretrained/ the generator's file says so, too: X.generator.safetensors, or X.style.safetensors.
    """
    stem = file.name.removesuffix(".safetensors")
    if stem.endswith((".generator", f".{KIND}")):
        return file.with_name(f"{stem.rpartition('.')[0]}.{what}.safetensors")
    return file if what == "generator" else file.with_name(f"{stem}.{what}.safetensors")


def load_network(
    name_or_file: str | Path,
    what: str,
    build: Callable[[Checkpoint], Net],
    device: str | torch.device,
    parents: Sequence[Path] = (),
) -> tuple[Net, list[Path], Checkpoint]:
    """The network that build makes of what locate finds, and that. Raises: ModelError naming it."""
    where = choose_device(device) if isinstance(device, str) and device in CHOICES else torch.device(device)
    files, checkpoint = locate(name_or_file, what, parents)
    try:
        return build(checkpoint).to(where), files, checkpoint
    except ModelError as error:
        raise ModelError(f"{shown(name_or_file, 60)}: {error}"[:200]) from None
