"""A walk from face to face as a moving picture."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylegan_toon.errors import UsageError
from stylegan_toon.images import grid, to_uint8
from stylegan_toon.pipelines.animation import check_suffix, save_animation
from stylegan_toon.pipelines.codes import Codes, Family, latent_path
from stylegan_toon.stylegan2.blend import Recipe
from stylegan_toon.stylegan2.latent_files import save_latents
from stylegan_toon.stylegan2.latents import slerp

MAX_FRAMES = 3000
SPACES = ("w", "z")


def walk(start: Tensor, end: Tensor, frames: int, space: str) -> Iterator[Tensor]:
    """So many codes from start on, end left out: even steps, straight in w, on the great circle in z."""
    for step in range(frames):
        between = slerp if space == "z" else torch.lerp
        yield between(start, end, step / frames)


def interpolate(
    faces: Sequence[str],
    frames: int = 24,
    fps: float = 24.0,
    space: str = "w",
    loop: bool = False,
    source: str = "faces",
    styles: Sequence[str] = (),
    blend: int | Recipe | None = None,
    psi: float | None = None,
    refine: int = 1,
    out: str | Path = "walk.gif",
    save: str | Path | None = None,
    device: str = "auto",
    report: Callable[[str], None] = lambda text: None,
    raw: bool = False,
) -> list[Path]:
    """Write a moving picture that goes through the faces in their order.

    Args:
        faces: two or more, as Family.gather takes them.
        frames: from one face to the next. fps: shown a second.
        space: "w" goes straight from w_plus to w_plus; "z" on the great circle, of seeds alone.
        loop: go back to the first, too, and play for ever; else the last frame is the last face.
        styles: drawn side by side, in this order; none draws source.
        blend, psi, refine, raw: as Family and gather.
        out: its ending chooses the format, one of animation.SUFFIXES.
        save: also write every frame's code there: a latent file.
    Returns: out, and the latent file.
    Raises: UsageError, InputError, ModelError, MissingPartError, DiskError.
    """
    check_suffix(out)
    if space not in SPACES:
        raise UsageError(f"space must be {' or '.join(SPACES)}, not {space[:40]!r}")
    if not 1 <= frames <= MAX_FRAMES or not 0 < fps <= 1000:
        raise UsageError(
            f"{frames} frames at {fps:g} a second: wanted 1..{MAX_FRAMES}, and up to 1000 a second"
        )
    family = Family(source, styles, blend, device, report, raw)
    codes = family.gather(faces, psi, refine, "f/w+")
    w_plus, shift = _path(codes, family, frames, space, loop, psi)

    def picture(face: tuple[str, Tensor, Tensor | None]) -> np.ndarray:
        plain = family.draw(face[1], family.source, face[2])
        drawn = ((family.draw(face[1], g, face[2]), name) for name, g in family.networks.items())
        shown = [family.shown(plain, *one) for one in drawn]
        return to_uint8(grid(torch.cat(shown), len(shown))[None])[0]

    keys = [picture(face) for face in islice(codes.rows(), 16)]
    names = [f"frame{i:04d}" for i in range(len(w_plus))]
    save_animation(out, map(picture, Codes(names, w_plus, shift=shift).rows()), fps, loop, keys)
    if save is None:
        return [Path(out)]
    about = {"faces": codes.names, "space": space}
    save_latents(latent_path(save), w_plus, family.checkpoint, names, meta=about, shift=shift)
    return [Path(out), latent_path(save)]


def _path(
    codes: Codes, family: Family, frames: int, space: str, loop: bool, psi: float | None
) -> tuple[Tensor, Tensor | None]:
    """w_plus [N, L, D] of every frame, and where faces have a shift, the frames' [N, C, r, r]."""
    if space == "z" and codes.z is None:
        raise UsageError("photos and latent files have no z; give seeds alone, or --space w")
    keys = codes.w_plus if codes.z is None or space == "w" else codes.z
    if len(keys) < 2:
        raise UsageError(f"a walk needs two faces or more, not {len(keys)}; give more seeds, photos or files")
    ways = len(keys) - 1 + loop
    if frames * ways > MAX_FRAMES:
        raise UsageError(f"{frames} frames times {ways} ways are more than {MAX_FRAMES}; take fewer")

    def path(stops: Tensor) -> Tensor:
        stops = torch.cat([stops, stops[:1]]) if loop else stops
        between = [code for a, b in pairwise(stops.split(1)) for code in walk(a, b, frames, space)]
        return torch.cat(between if loop else [*between, stops[-1:]])

    if space == "z":
        return family.mapped(path(keys), psi), None
    return path(keys), None if codes.shift is None else path(codes.shift)
