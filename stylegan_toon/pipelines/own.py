"""A person's own folder to a training set in the run folder, once; and how many pictures a target has."""

import json
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from stylegan_toon.archives import pictures
from stylegan_toon.data import leaves_out
from stylegan_toon.decoding import read_image
from stylegan_toon.errors import InputError, UsageError, shown
from stylegan_toon.nn.finish import finish_of
from stylegan_toon.pipelines.models import open_model
from stylegan_toon.pipelines.prepare import Config, prepare
from stylegan_toon.pipelines.targets import Target

PACK = "pictures.zip"
SEEN = 60  # pictures that the finish is told from
NEAR = 8  # of 255 bits; among 300 flat avatars 2 to 4 are as near as that, at prepare's 12 up to 8


def origin(pack: Path) -> dict[str, str]:
    """What each picture of a ZIP that prepare made was called before; nothing of any other file or folder."""
    try:
        with zipfile.ZipFile(pack) as opened:
            kept = json.loads(opened.read("manifest.json"))["pictures"]
        return {str(entry["file"]): str(entry["member"]) for entry in kept}
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return {}


class Gathered(NamedTuple):
    """path: where the pictures are read; said: a line about them; resolutions: of the source, from 4x4 up.

    finish: of nn.finish.FINISHES, which they look as if they had.
    """

    path: Path
    number: int
    said: str
    resolutions: int
    finish: str


def gather(
    target: Target,
    out: Path,
    source: str,
    exclude: Sequence[str] = (),
    anew: bool = False,
    problem: Callable[[str], None] = lambda text: None,
    quiet: bool = False,
) -> Gathered:
    """Find, and count, the pictures of a target.

    Of a person's own folder RUN/pictures.zip is made with prepare, at the size that source draws: faces
    levelled where they are found, else the centre square, or all cut alike (prepare.common_place); copies and
    what cannot be read left out. Where it is there already it stays as it is, so that a run that goes on sees
    the same pictures.
    Args:
        out: the run folder.
        anew: make it again.
        problem: told of each picture that cannot be read.
    Raises: UsageError if the run folder lies among the pictures; InputError, ModelError, DiskError.
    """
    size = int(open_model(source).config["resolution"])
    resolutions = size.bit_length() - 2
    if not target.own:
        count, finish = _look(target.path, exclude)
        return Gathered(target.path, count, f"{target.name}: {count} pictures", resolutions, finish)
    if out.resolve().is_relative_to(target.path.resolve()):
        raise UsageError(
            f"the run folder {shown(out, 60)} lies in --target {shown(target.path, 40)}; give --out"
        )
    pack = out / PACK
    if anew or not pack.is_file():
        prepare([target.path], pack, Config(size, near=NEAR, centre=True), exclude, problem, quiet)
    try:
        with zipfile.ZipFile(pack) as opened:
            about = json.loads(opened.read("manifest.json"))
        kept, dropped = about["pictures"], Counter(entry["why"] for entry in about["dropped"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        raise InputError(f"{shown(pack)} is damaged; --resume never makes it again") from None
    if len(kept) == 1 and (copies := dropped["exact"] + dropped["near"]):
        pack.unlink()
        raise InputError(
            f"{shown(target.path)}: all {copies + 1} pictures are alike; a style needs different ones"
        )
    faces = sum("face" in entry for entry in kept)
    how = "cut alike, where most faces lie" if "place" in about else f"{faces} levelled by their face"
    left = ", ".join(f"{number} {why}" for why, number in sorted(dropped.items())) or "none"
    said = f"{target.name}: {len(kept)} pictures, {how}; left out: {left}"
    return Gathered(pack, len(kept), said, resolutions, _look(pack)[1])


def _look(path: Path, exclude: Sequence[str] = ()) -> tuple[int, str]:
    """How many pictures there are, and the finish of SEEN of them, evenly apart, if readable."""
    left_out = leaves_out(exclude)
    names = [name for name, _ in pictures(path) if not left_out(name)]
    chosen, some = {*names[:: len(names) // SEEN + 1]}, []
    for name, read in pictures(path):
        if name in chosen:
            with suppress(InputError):
                some.append(read_image(read(), name))
    return len(names), finish_of(some) if some else "paint"
