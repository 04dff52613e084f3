"""Training pictures: folders and ZIPs read in place, decoded once, drawn in an order that is a function of
(seed, step)."""

import fnmatch
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan_toon.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FORMATS = ["PNG", "JPEG", "WEBP", "BMP"]


def members(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of the pictures in a folder (searched deeply) or ZIP, in name order.

    Raises: InputError if source is neither, or not readable as a ZIP.
    """
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES):
            yield path.relative_to(source).as_posix(), path.read_bytes()
        return
    try:
        with zipfile.ZipFile(source) as pack:
            for name in sorted(n for n in pack.namelist() if n.lower().endswith(SUFFIXES)):
                yield name, pack.read(name)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{source}: not a folder or ZIP of pictures ({type(error).__name__}); name one"
        ) from None


def decode(data: bytes, size: int) -> Image.Image:
    """A picture as RGB of size x size: centre square, antialiased."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
        picture = opened.convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return picture.resize((size, size), Image.Resampling.LANCZOS, box=box)


def load_pictures(sources: Sequence[str | Path], size: int, exclude: Sequence[str] = ()) -> Tensor:
    """All pictures of the sources, [N, 3, size, size] uint8.

    Args:
        exclude: names or patterns such as "*9.jpg" that are left out; an entry that is an existing file
            holds one such name a line.
    Raises: InputError if a source cannot be read, a picture is broken, or nothing is left.
    """
    patterns: list[str] = []
    for entry in exclude:
        path = Path(entry)
        lines = path.read_text().split("\n") if path.is_file() else [entry]
        patterns += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    exact = {p for p in patterns if not any(c in p for c in "*?[")}
    globs = [p for p in patterns if p not in exact]
    out = []
    for source in map(Path, sources):
        for name, data in members(source):
            if name in exact or any(fnmatch.fnmatch(name, g) for g in globs):
                continue
            try:
                out.append(np.asarray(decode(data, size)).transpose(2, 0, 1))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                raise InputError(
                    f"{source}: {name} is not a readable picture; leave it out by --exclude {name}"
                ) from None
    if not out:
        raise InputError(
            f"{', '.join(map(str, sources))}: no pictures; wanted a folder or ZIP with {', '.join(SUFFIXES)}"
        )
    return torch.from_numpy(np.stack(out))


class Sampler:
    """Endless batches of pictures; batch i depends on (seed, i) alone, so a run can start anywhere."""

    def __init__(self, pictures: Tensor, batch: int, seed: int, mirror: bool = True):
        """pictures: [N, 3, H, W] uint8. mirror: flip every picture left to right with probability 1/2."""
        self.pictures, self.size, self.seed, self.mirror = pictures, batch, seed, mirror

    def indices(self, i: int) -> list[int]:
        """The pictures of batch i: each epoch is a new permutation, and batches run on over its end."""
        n = len(self.pictures)
        places = range(i * self.size, (i + 1) * self.size)
        orders = {e: self._order(e) for e in {p // n for p in places}}
        return [int(orders[p // n][p % n]) for p in places]

    def batch(self, i: int) -> Tensor:
        """[batch, 3, H, W] float32 in [-1, 1]."""
        x = self.pictures[self.indices(i)]
        if self.mirror:
            coin = np.random.default_rng([self.seed, i, 1]).random(self.size) < 0.5
            x = torch.where(torch.from_numpy(coin)[:, None, None, None], x.flip(3), x)
        return x.float() / 127.5 - 1

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.pictures))
