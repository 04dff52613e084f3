"""Training pictures: folders, ZIPs and TARs read in place, decoded once, drawn in an order that is a function
of (seed, step)."""

import fnmatch
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan_toon.archives import pictures
from stylegan_toon.decoding import read_image
from stylegan_toon.errors import InputError, shown
from stylegan_toon.images import SUFFIXES, to_tensor


def centred(picture: Image.Image, size: int) -> Image.Image:
    """The centre square of an RGB picture as size x size, antialiased."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return picture.resize((size, size), Image.Resampling.LANCZOS, box=box)


def leaves_out(exclude: Sequence[str]) -> Callable[[str], bool]:
    """Whether a picture's name is excluded.

    Args:
        exclude: names or patterns such as "*9.jpg"; an entry that is an existing file holds one such name a
            line, and lines from # on are comments.
    Raises: InputError for a file that is no text.
    """
    patterns: list[str] = []
    for entry in exclude:
        path = Path(entry)
        try:
            lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else [entry]
        except (OSError, ValueError):
            raise InputError(
                f"--exclude {shown(entry)} is no list of names; give a pattern or text"
            ) from None
        patterns += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    exact = {p for p in patterns if not any(c in p for c in "*?[")}
    globs = [p for p in patterns if p not in exact]
    return lambda name: name in exact or any(fnmatch.fnmatch(name, g) for g in globs)


def load_pairs(source: str | Path, size: int, exclude: Sequence[str] = ()) -> tuple[Tensor, Tensor]:
    """Photos and their cartoons, two [N, 3, size, size] uint8 in one order.

    Args:
        source: a folder or archive with two folders, photo/ and toon/ (or cartoon/), in which a pair has one
            name (its suffix may differ).
        exclude: as leaves_out takes it, for names within the two folders.
    Raises: InputError, also for a picture without its other half.
    """
    sides: dict[str, dict[str, np.ndarray]] = {"photo": {}, "toon": {}}
    left_out = leaves_out(exclude)
    for name, read in pictures(Path(source)):
        folder, _, rest = name.rpartition("/")
        side = folder.rpartition("/")[2].lower().replace("cartoon", "toon")
        if side not in sides or left_out(name) or left_out(rest):
            continue
        try:
            picture = read_image(read(), name)
        except InputError:
            raise InputError(f"{shown(source, 60)}: {shown(name, 60)} is not a readable picture; leave it "
                             "out by --exclude") from None  # fmt: skip
        sides[side][Path(rest).stem] = np.asarray(centred(picture, size)).transpose(2, 0, 1)
    photos, toons = sides.values()
    if not (photos or toons):
        raise InputError(f"{shown(source)}: no pairs; wanted a folder or archive with photo/ and toon/ in it")
    if alone := sorted(photos.keys() ^ toons.keys()):
        where = "toon" if alone[0] in photos else "photo"
        raise InputError(f"{shown(source)}: {shown(alone[0], 40)} has no other half in {where}/ "
                         f"({len(alone)} such); add or exclude it")  # fmt: skip
    names = sorted(photos)
    photo, toon = (torch.from_numpy(np.stack([side[name] for name in names])) for side in (photos, toons))
    return photo, toon


def load_pictures(
    sources: Sequence[str | Path],
    size: int,
    exclude: Sequence[str] = (),
    see: Callable[[str, bytes, Image.Image], None] = lambda name, data, picture: None,
) -> Tensor:
    """All pictures of the sources, [N, 3, size, size] uint8, as read_pictures orders them.

    Args:
        sources, exclude: as read_pictures.
        see: is shown every file's name, bytes and the RGB picture in them, before it is brought to size.
    Raises: as read_pictures.
    """

    def make(name: str, data: bytes, picture: Image.Image) -> np.ndarray:
        see(name, data, picture)
        return np.asarray(centred(picture, size)).transpose(2, 0, 1)

    return torch.from_numpy(np.stack(read_pictures(sources, make, exclude)))


def read_pictures(
    sources: Sequence[str | Path],
    make: Callable[[str, bytes, Image.Image], np.ndarray],
    exclude: Sequence[str] = (),
) -> list[np.ndarray]:
    """What make makes of all pictures of the sources, those of a source in the order of their names.

    Args:
        sources: folders and archives, as archives.pictures reads them.
        make: is given a picture's name, its file's bytes and the RGB picture in them.
        exclude: as leaves_out takes it.
    Raises: InputError if a source cannot be read, a picture is broken, or nothing is left.
    """
    left_out = leaves_out(exclude)
    out = []
    for source in map(Path, sources):
        found = []
        for name, read in pictures(source):
            if left_out(name):
                continue
            try:
                data = read()
                picture = read_image(data, name)
            except InputError:
                name = shown(name, 60)
                raise InputError(
                    f"{shown(source, 40)}: {name} is not a readable picture; leave it out by --exclude {name}"
                ) from None
            found.append((name, make(name, data, picture)))
        out += [array for _, array in sorted(found, key=lambda pair: pair[0])]
    if not out:
        raise InputError(
            f"{shown(', '.join(map(str, sources)))}: no pictures; wanted a folder, ZIP or TAR with "
            f"{', '.join(sorted(SUFFIXES)[:6])} ..."
        )
    return out


def load_large(sources: Sequence[str | Path], least: int, exclude: Sequence[str] = ()) -> list[np.ndarray]:
    """All pictures of the sources at their own size, uint8 [H, W, 3]; sources and exclude as read_pictures.

    Raises: InputError, also for a picture with an edge below least.
    """

    def make(name: str, data: bytes, picture: Image.Image) -> np.ndarray:
        if min(picture.size) < least:
            name = shown(name, 60)
            raise InputError(
                f"{name} is {picture.width}x{picture.height}, smaller than the cuts of {least} px; "
                f"leave it out by --exclude {name}"
            )
        return np.asarray(picture)

    return read_pictures(sources, make, exclude)


class Sampler:
    """Endless batches of pictures; batch i depends on (seed, i) alone, so a run can start anywhere."""

    def __init__(self, pictures: Tensor, batch: int, seed: int, mirror: bool = True, crop: int | None = None):
        """Two samplers of one seed and number of pictures show the same places of the same pictures.

        Args:
            pictures: [N, 3, H, W] uint8.
            mirror: flip every picture left to right with probability 1/2.
            crop: cut a square of so many pixels out of each, at a random place; None takes it whole.
        """
        self.pictures, self.size, self.seed, self.mirror, self.crop = pictures, batch, seed, mirror, crop

    def indices(self, i: int) -> list[int]:
        """The pictures of batch i: each epoch is a new permutation, and batches run on over its end."""
        return shuffled(len(self.pictures), self.size, self.seed, i)

    def batch(self, i: int) -> Tensor:
        """[batch, 3, H, W] float32 in [-1, 1]."""
        x = self.pictures[self.indices(i)]
        if self.crop and self.crop < x.shape[3]:
            n, c = x.shape[3] - self.crop + 1, self.crop
            places = np.random.default_rng([self.seed, i, 2]).integers(n, size=(self.size, 2)).tolist()
            x = torch.stack([y[:, at : at + c, to : to + c] for y, (at, to) in zip(x, places, strict=True)])
        if self.mirror:
            coin = np.random.default_rng([self.seed, i, 1]).random(self.size) < 0.5
            x = torch.where(torch.from_numpy(coin)[:, None, None, None], x.flip(3), x)
        return x.float() / 127.5 - 1


class Cuts:
    """Endless batches of square cuts of pictures of any size; batch i depends on (seed, i) alone."""

    MOST = 3  # times the cut's edge that a place is wide at most, before it is shrunk to it

    def __init__(self, pictures: Sequence[np.ndarray], edge: int, batch: int, seed: int, mirror: bool = True):
        """pictures: uint8 [H, W, 3], no edge below edge. mirror: as Sampler."""
        self.pictures, self.edge, self.size, self.seed, self.mirror = pictures, edge, batch, seed, mirror

    def batch(self, i: int) -> Tensor:
        """[batch, 3, edge, edge] float32 in [-1, 1]: places of all sizes, shrunk with antialiasing."""
        draw = np.random.default_rng([self.seed, i, 2])
        chosen = shuffled(len(self.pictures), self.size, self.seed, i)
        return torch.cat([self._cut(self.pictures[k], draw) for k in chosen])

    def _cut(self, picture: np.ndarray, draw: np.random.Generator) -> Tensor:
        height, width = picture.shape[:2]
        most = min(height, width, self.MOST * self.edge)
        side = round(self.edge * (most / self.edge) ** draw.random())
        top, left = (int(draw.integers(length - side + 1)) for length in (height, width))
        place = Image.fromarray(picture[top : top + side, left : left + side])
        x = to_tensor(place.resize((self.edge, self.edge), Image.Resampling.LANCZOS))
        return x.flip(3) if self.mirror and draw.random() < 0.5 else x


def shuffled(n: int, batch: int, seed: int, i: int) -> list[int]:
    """Batch i of n things: each epoch is a new permutation, and batches run on over its end."""
    places = range(i * batch, (i + 1) * batch)
    orders = {e: np.random.default_rng([seed, e]).permutation(n) for e in {p // n for p in places}}
    return [int(orders[p // n][p % n]) for p in places]
