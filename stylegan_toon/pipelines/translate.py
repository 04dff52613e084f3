"""Photos through a trained picture-to-picture method, and the networks of the originals."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from stylegan_toon.checkpoint import format
from stylegan_toon.checkpoint.format import Checkpoint, read_regular
from stylegan_toon.checkpoint.importers import torch_file
from stylegan_toon.checkpoint.importers.animeganv2 import from_animeganv2
from stylegan_toon.checkpoint.importers.cartoongan import from_cartoongan
from stylegan_toon.checkpoint.importers.cyclegan import from_cyclegan
from stylegan_toon.checkpoint.importers.ganilla import from_ganilla
from stylegan_toon.checkpoint.importers.pix2pix import from_pix2pix
from stylegan_toon.checkpoint.importers.unit import from_unit
from stylegan_toon.config import from_json, to_json
from stylegan_toon.device import choose_device
from stylegan_toon.errors import InputError, ModelError, UsageError, shown
from stylegan_toon.images import list_images, load_image, save_png, to_tensor, to_uint8
from stylegan_toon.metadata import chunks, file_entry
from stylegan_toon.methods.i2i import TRANSLATORS
from stylegan_toon.pipelines.invert import free
from stylegan_toon.pipelines.toonify import Result
from stylegan_toon.training.method import Translator

KIND = "translator"
# Name -> what turns the state dict of the original's file into a checkpoint of ours.
ORIGINALS: Mapping[str, Callable[[Mapping[str, Any]], Checkpoint]] = {
    "cyclegan": from_cyclegan,
    "pix2pix": from_pix2pix,
    "ganilla": from_ganilla,
    "unit": from_unit,
    "cartoongan": from_cartoongan,
    "animeganv2": from_animeganv2,
}
MOST = 1024  # px of the longer edge that a network sees


def translator_checkpoint(name: str, module: Any, meta: Mapping[str, Any]) -> Checkpoint:
    """What a file of weights holds: the networks that translate."""
    tensors = {
        f"{key}.{part}": tensor
        for key, net in module.translators().items()
        for part, tensor in net.state_dict().items()
    }
    return Checkpoint(KIND, to_json(module.config), {**meta, "method": name}, tensors)


def load_translator(name: str, path: str | Path, device: str | torch.device = "cpu") -> Any:
    """The method called name with the weights of a file or run, in eval mode and without gradients.

    Args:
        path: a run folder, a file that `baseline train` wrote, or one of the original's own.
    Raises: UsageError for an unknown name, ModelError for a file that is missing, broken or another's.
    """
    path = Path(path)
    path = path / "last.safetensors" if path.is_dir() else path
    data = read_regular(path)
    if torch_file.is_torch_file(data):
        return _build(_original(name, path, data), path).to(device)
    checkpoint = format.loads(data, path, KIND)
    if (made := str(checkpoint.meta.get("method"))) != name:
        raise ModelError(f"{shown(path)} is of {made[:30]}, not of {name}; name the right one of both")
    return _build(checkpoint, path).to(device)


def load_original(name: str, path: str | Path) -> nn.Module:
    """The network in a file of the original's; it takes and returns exactly what the original's forward does.

    Args:
        name: in ORIGINALS, such as "cyclegan".
    Returns: a module in eval mode, float32 on the CPU, without gradients.
    Raises: UsageError for another name, ModelError (exit 4) naming the file.
    """
    made: nn.Module = _build(_original(name, Path(path), read_regular(path)), path).original()
    return made


def _original(name: str, path: Path, data: bytes) -> Checkpoint:
    if name not in ORIGINALS:
        raise UsageError(f"no original of {name[:30]!r} is read; known: {', '.join(ORIGINALS)}")
    try:
        if not torch_file.is_torch_file(data):
            raise ModelError("is no file of torch.save; name the original's .pth or .pt")
        return ORIGINALS[name](torch_file.read(data))
    except ModelError as error:
        raise ModelError(f"{shown(path, 60)}: {error}"[:200]) from None


def _build(checkpoint: Checkpoint, path: str | Path) -> Any:
    """The method of a checkpoint. Networks that it lacks, as a file of the original's may, are left out."""
    config, cls = TRANSLATORS[checkpoint.meta["method"]]
    try:
        module = cls(from_json(config, checkpoint.config))
        for key, net in module.translators().items():
            own = {
                k.removeprefix(f"{key}."): v for k, v in checkpoint.tensors.items() if k.startswith(f"{key}.")
            }
            if own:
                net.load_state_dict(own)
    except (RuntimeError, ValueError, TypeError):
        raise ModelError(f"{shown(path)} does not fit its own configuration; get or make it again") from None
    return module.eval().requires_grad_(False)


def translate_files(
    name: str,
    photos: Sequence[str],
    weights: str,
    out: str = "out",
    most: int = MOST,
    device: str = "auto",
    report: Callable[[str], None] = lambda text: None,
    metadata: bool = True,
) -> Iterator[Result]:
    """Translate photos (files and folders): a Result each, of the photo's own size.

    Args:
        name, weights: as load_translator.
        out: the folder; folders among photos are mirrored in it. No input is overwritten.
        most: a photo with a longer edge goes through the network at this size, and its picture is enlarged.
    Raises: ModelError, UsageError, MissingPartError, DiskError; a photo's own failure is its Result's error.
    """
    where = choose_device(device)
    translator = load_translator(name, weights, where)
    file = Path(weights) / "last.safetensors" if Path(weights).is_dir() else Path(weights)
    about = {"method": name, "models": {"weights": file_entry(file)}} if metadata else None
    yield from translate_each(translator, photos, about, out, most, where, report)


def translate_each(
    translator: Translator,
    photos: Sequence[str],
    about: Mapping[str, Any] | None,
    out: str,
    most: int,
    where: torch.device,
    report: Callable[[str], None],
) -> Iterator[Result]:
    """As translate_files, by any translator; about is what every PNG says of it, None for nothing."""
    for photo, relative in list_images(photos):
        began = time.perf_counter()
        try:
            picture = load_image(photo)
        except InputError as error:
            yield Result(photo, error=str(error), seconds=time.perf_counter() - began)
            continue
        if max(picture.size) > most:
            report(
                f"{shown(photo, 60)}: {max(picture.size)} px, translated at {most} and enlarged (--max-size)"
            )
        cartoon = translate_picture(translator, picture, where, most)
        path = free(Path(out) / relative.with_suffix(".png"), photo, "toon")
        note = {} if about is None else {"command": "baseline run", **about, "photo": file_entry(photo)}
        save_png(path, cartoon, chunks(note) if note else {})
        yield Result(photo, path, seconds=time.perf_counter() - began)


def translate_picture(
    translator: Translator, photo: Image.Image, where: torch.device, most: int = MOST
) -> Image.Image:
    """The cartoon of an RGB photo, of its size; see translate_files for most."""
    small, size = photo, photo.size
    if max(size) > most:
        scale = most / max(size)
        small = photo.resize(
            (max(1, round(size[0] * scale)), max(1, round(size[1] * scale))), Image.Resampling.LANCZOS
        )
    with torch.inference_mode():
        made = translator.translate(to_tensor(small).to(where))
    cartoon = Image.fromarray(to_uint8(made)[0])
    return cartoon if cartoon.size == size else cartoon.resize(size, Image.Resampling.LANCZOS)
