"""Style mixing: a grid of faces, some layers from the face of the row and the rest from the column's."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from stylegan_toon.errors import UsageError
from stylegan_toon.images import grid, save_png
from stylegan_toon.metadata import chunks
from stylegan_toon.pipelines.codes import Family, latent_path
from stylegan_toon.stylegan2.blend import Recipe
from stylegan_toon.stylegan2.latent_files import save_latents
from stylegan_toon.stylegan2.latents import parse_layers, pick

MAX_CELLS = 1024


def mix(
    rows: Sequence[str],
    columns: Sequence[str],
    layers: str = "coarse",
    source: str = "faces",
    style: str | None = None,
    blend: int | Recipe | None = None,
    psi: float | None = None,
    refine: int = 1,
    out: str | Path = "mix.png",
    save: str | Path | None = None,
    device: str = "auto",
    report: Callable[[str], None] = lambda text: None,
    metadata: bool = True,
    raw: bool = False,
) -> list[Path]:
    """A grid: the faces of rows down the left side, those of columns along the top, between them the mixed.

    Args:
        rows, columns: faces, as Family.gather takes them.
        layers: which w_plus layers are the row's, as latents.parse_layers.
        style: draws columns and mixed faces; the rows are then drawn by source, as photos. None is source.
        blend, psi, refine, raw: as Family and gather.
        save: also write the mixed codes, row by row, there: a latent file.
        metadata: write into the picture how it was made.
    Returns: out, and the latent file.
    Raises: UsageError, InputError, ModelError, MissingPartError (device), DiskError.
    """
    family = Family(source, [style] if style else [], blend, device, report, raw)
    chosen = parse_layers(layers, family.source.config.n_layers)
    a, b = family.gather(rows, psi, refine), family.gather(columns, psi, refine)
    if len(a.names) * len(b.names) > MAX_CELLS:
        size = f"{len(a.names)} rows and {len(b.names)} columns"
        raise UsageError(f"{size} are more than {MAX_CELLS} faces; mix fewer at a time")
    network = next(iter(family.networks.values()))
    n = len(b.names)
    mixed = torch.cat([pick(one.expand(n, -1, -1), b.w_plus, chosen) for one in a.w_plus.split(1)])
    every = torch.cat([b.w_plus, mixed])
    drawn = family.shown(family.draw(every, family.source), family.draw(every, network), style)
    heads, top = family.shown(family.draw(a.w_plus, family.source)), drawn[:n]
    cells = drawn[n:].unflatten(0, (len(a.names), n))
    sheet = [torch.ones_like(heads[:1]), top]
    for head, line in zip(heads.split(1), cells, strict=True):
        sheet += [head, line]
    about = {"command": "mix", "models": family.files, "layers": chosen, "rows": a.names, "columns": b.names}
    save_png(out, grid(torch.cat(sheet), n + 1), chunks(about) if metadata else {})
    if save is None:
        return [Path(out)]
    names = [f"{row} x {column}" for row in a.names for column in b.names]
    save_latents(latent_path(save), mixed, family.checkpoint, names, meta={"layers": chosen})
    return [Path(out), latent_path(save)]
