"""The split of a comparison, OUT/data: what every method trains on, and what is held out from all."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan_toon.archives import pictures
from stylegan_toon.data import load_pictures
from stylegan_toon.errors import InputError, UsageError, shown
from stylegan_toon.images import save_png, to_uint8
from stylegan_toon.paths import sample_file
from stylegan_toon.pipelines.compare.suite import Suite
from stylegan_toon.pipelines.evaluate import draw_samples, parts
from stylegan_toon.pipelines.models import load_generator
from stylegan_toon.pipelines.toonifier import Toonifier
from stylegan_toon.pipelines.untrained import toonified

BATCH = 8
DRAWN_PSI = 0.7
SETS = ("photos", "cartoons", "photos-held-out", "cartoons-held-out")


def split(
    suite: Suite,
    folder: Path,
    photos: str | None,
    cartoons: str | None,
    report: Callable[[str], None] = lambda text: None,
) -> None:
    """Fill OUT/data with the sets that every method trains and is measured on, if they are not there.

    The pictures' bytes are copied as they are; which are held out depends on their order alone.
    """
    data = folder / "data"
    if all((data / name).is_dir() for name in SETS):
        return
    if cartoons is None and not sample_file(suite.cartoons).is_file():
        raise UsageError(f"no cartoons {suite.cartoons[:30]!r} ship; give --cartoons")
    for name, given, held, most in (
        ("photos", photos, suite.held_out, suite.train_photos),
        ("cartoons", cartoons or sample_file(suite.cartoons), suite.reference, suite.train_cartoons),
    ):
        source = _drawn(suite, data / ".drawn", report) if given is None else Path(given)
        names = sorted(name for name, _ in pictures(source))
        if len(names) < held + 2:
            raise InputError(
                f"{shown(source)} has {len(names)} pictures, too few to hold {held} out and train on the rest"
            )
        order = np.random.default_rng(7).permutation(len(names)).tolist()
        ends = held + (most or len(names))
        place = {names[i]: (f"{name}-held-out", i) for i in order[:held]}
        place |= {names[i]: (name, i) for i in order[held:ends]}
        for kind in (name, f"{name}-held-out"):
            shutil.rmtree(data / f".{kind}", ignore_errors=True)
            (data / f".{kind}").mkdir(parents=True)
        for file, read in pictures(source):
            if file in place:
                kind, i = place[file]
                (data / f".{kind}" / f"{i:06d}{Path(file).suffix.lower()}").write_bytes(read())
        for kind in (name, f"{name}-held-out"):
            shutil.rmtree(data / kind, ignore_errors=True)
            (data / f".{kind}").rename(data / kind)
    shutil.rmtree(data / ".drawn", ignore_errors=True)


def _drawn(suite: Suite, folder: Path, report: Callable[[str], None]) -> Path:
    """A folder of faces of nobody, drawn by the generator that ships: what stands for photos."""
    report(f"no --photos: {suite.drawn} faces are drawn by the generator that ships; real photos tell more")
    number = 0
    for batch in draw_samples(load_generator("faces"), suite.drawn, DRAWN_PSI, 0, BATCH):
        for picture in to_uint8(batch):
            save_png(folder / f"{number:06d}.png", picture)
            number += 1
    return folder


def draw_pairs(folder: Path, style: str, device: str, report: Callable[[str], None]) -> Path:
    """OUT/data/pairs: training photos and what toonify makes of them, for methods that learn from pairs."""
    place = folder / "data" / "pairs"
    if place.is_dir():
        return place
    report(f"pairs of photo and cartoon are drawn by toonify --style {shown(style, 40)}")
    aside = folder / "data" / ".pairs"
    shutil.rmtree(aside, ignore_errors=True)
    toonifier = Toonifier(style, device=device, report=report)
    photos = load_pictures([folder / "data" / "photos"], toonifier.source.config.resolution)
    made = translated(lambda x: toonified(toonifier, x), photos, toonifier.device)
    number = 0
    for photo, cartoon in zip(photos.split(BATCH), made, strict=True):
        for sides in zip(photo, cartoon, strict=True):
            for kind, one in zip(("photo", "toon"), sides, strict=True):
                save_png(aside / kind / f"{number:06d}.png", to_image(one))
            number += 1
    aside.rename(place)
    return place


def translated(
    translate: Callable[[Tensor], Tensor], photos: Tensor, where: torch.device
) -> Iterator[Tensor]:
    """Photos [N, 3, S, S] uint8 through a translator, as if saved, batch by batch."""
    for part in parts(photos, BATCH):
        with torch.inference_mode():
            made = translate(part.to(where))
        yield torch.from_numpy(to_uint8(made)).permute(0, 3, 1, 2).contiguous()


def to_image(picture: Tensor) -> Image.Image:
    """[3, H, W] uint8 as a PIL picture."""
    return Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
