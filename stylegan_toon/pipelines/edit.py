"""Apply an edit file to faces: strips of before | after, on the source and on its children."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from stylegan_toon.errors import UsageError
from stylegan_toon.images import grid, save_png
from stylegan_toon.metadata import chunks, file_entry
from stylegan_toon.pipelines.codes import Family, latent_path
from stylegan_toon.stylegan2.blend import Recipe
from stylegan_toon.stylegan2.edits import apply_edit, load_edit
from stylegan_toon.stylegan2.latent_files import save_latents
from stylegan_toon.stylegan2.latents import parse_layers

ROWS = 16  # strips in grid.png


def edit_faces(
    file: str | Path,
    faces: Sequence[str],
    strengths: Sequence[float] = (),
    layers: str = "all",
    source: str = "faces",
    styles: Sequence[str] = (),
    blend: int | Recipe | None = None,
    psi: float | None = None,
    refine: int = 1,
    out: str | Path = "out",
    save: str | Path | None = None,
    device: str = "auto",
    report: Callable[[str], None] = lambda text: None,
    metadata: bool = True,
    raw: bool = False,
) -> list[Path]:
    """Write a strip for every face: before | after by source, then the same by every style.

    Args:
        file: an edit or mapper file, made on source or one of its family.
        faces: as Family.gather takes them.
        strengths: one picture each; none takes the edit's own.
        layers: which w_plus layers may change, as latents.parse_layers.
        blend, psi, refine, raw: as Family and gather.
        out: the folder.
        save: also write the edited codes there: a latent file.
    Returns: OUT/NAME-edit.png for every face, grid.png with the first ROWS of them, and the latent file.
    Raises: UsageError (strength, layers; save of what is no code), InputError, ModelError, DiskError.
    """
    edit = load_edit(file)
    strengths = list(strengths) or [edit.strength]
    if not all(math.isfinite(strength) for strength in strengths):
        raise UsageError("a strength is no finite number; 1 is the edit as it was made, 0 is none of it")
    if save is not None and (len(strengths) > 1 or not edit.moves_codes):
        why = "several strengths" if len(strengths) > 1 else "an edit of styles, which are no codes"
        raise UsageError(f"a latent file cannot hold {why}; leave --save out")
    family = Family(source, styles, blend, device, report, raw)
    family.check(edit.meta, file)
    chosen = parse_layers(layers, family.source.config.n_layers)
    codes = family.gather(faces, psi, refine, "f/w+")
    about = {"command": "edit", "models": family.files, "edit": file_entry(file), "layers": chosen}
    about |= {"strengths": strengths}
    strips: list[Tensor] = []
    written: list[Path] = []
    for k, (name, w_plus, shift) in enumerate(codes.rows()):
        row, plain = [], list[Tensor]()
        for style, network in [(source, family.source), *family.styles.items()]:
            for i, strength in enumerate([0.0, *strengths]):
                drawn_by, moved = apply_edit(network, w_plus, edit, strength, chosen)
                drawn = family.draw(moved, drawn_by, shift)
                plain += [drawn] if style == source else []
                row.append(family.shown(plain[i], drawn, style, codes.photos[k : k + 1], plain[0]))
        strip, path = torch.cat(row), Path(out) / f"{name}-edit.png"  # not over a photo there
        save_png(path, grid(strip, len(strip)), chunks({**about, "face": name}) if metadata else {})
        written.append(path)
        strips += [strip] * (len(strips) < ROWS)
    path = Path(out) / "grid.png"
    about["faces"] = codes.names[:ROWS]
    save_png(path, grid(torch.cat(strips), len(strips[0])), chunks(about) if metadata else {})
    written.append(path)
    if save is not None:
        moved = apply_edit(family.source, codes.w_plus, edit, strengths[0], chosen)[1]
        made = {"edit": edit.name, "strength": strengths[0]}
        save_latents(latent_path(save), moved, family.checkpoint, codes.names, meta=made, shift=codes.shift)
        written.append(latent_path(save))
    return written
