"""Find directions of codes and save them as edit files, with strips that show what each does."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_toon.errors import UsageError, shown
from stylegan_toon.images import grid, save_png
from stylegan_toon.metadata import chunks
from stylegan_toon.pipelines.codes import Codes, Family
from stylegan_toon.stylegan2.blend import Recipe
from stylegan_toon.stylegan2.directions import MAKERS, held_out_accuracy, sefa
from stylegan_toon.stylegan2.edits import SUFFIX, Edit, apply_edit, save_edit
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import parse_layers

STEPS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # of a slider
TYPICAL = 2.0  # strength of a SeFa direction, in quarters of the distance of w from its mean


def factorize(
    layers: str = "all",
    count: int = 6,
    faces: Sequence[str] = ("0-3",),
    strengths: Sequence[float] = (),
    source: str = "faces",
    styles: Sequence[str] = (),
    blend: int | Recipe | None = None,
    psi: float | None = None,
    out: str | Path = "sefa",
    device: str = "auto",
    report: Callable[[str], None] = lambda text: None,
    metadata: bool = True,
    raw: bool = False,
) -> list[Path]:
    """Save the strongest directions of some layers by SeFa, a slider each, and all for one face together.

    A strength of 1 is a quarter of the mean distance of w from its mean.
    Args:
        layers: as latents.parse_layers. count: how many directions, at most D.
        faces: for the sliders, as Family.gather takes them. strengths: their columns; none is STEPS.
        styles: that draw the sliders, a row each; none is source. raw: as Family.
        out: the folder.
    Returns: OUT/LAYERS-1.edit.safetensors and OUT/LAYERS-1.png, 2 and on, and OUT/LAYERS.png.
    Raises: UsageError, InputError, ModelError, DiskError.
    """
    family = Family(source, styles, blend, device, report, raw)
    g, stem = family.source, "+".join(part.strip() for part in layers.split(","))
    chosen = parse_layers(layers, g.config.n_layers)
    if not 0 < count <= g.config.w_dim:
        raise UsageError(f"{count} directions: there are 1..{g.config.w_dim} of them")
    codes = family.gather(faces, psi, space="f/w+")
    scale, first, written = distance(g) / 4, [], []
    about = {"command": "factorize", "models": family.files, "layers": chosen}
    for i, direction in enumerate(sefa(g, chosen, count), 1):
        whole = torch.zeros(g.config.n_layers, g.config.w_dim)
        whole[chosen] = (direction * scale).float()
        edit = Edit(f"{stem}-{i}", "sefa", {"w_plus": whole}, TYPICAL, {"layers": chosen})
        rows = slider(family, edit, codes, strengths or STEPS)
        first.append(rows[: len(family.networks)])
        written += _save(family, edit, rows, Path(out) / f"{edit.name}{SUFFIX}", about, metadata)
    path = Path(out) / f"{stem}.png"
    sheet = torch.cat(first).flatten(0, 1)
    save_png(path, grid(sheet, first[0].shape[1]), chunks(about) if metadata else {})
    return [*written, path]


def find_direction(
    positive: Sequence[str],
    negative: Sequence[str],
    how: str = "mean",
    layers: str = "all",
    faces: Sequence[str] = ("0-3",),
    strengths: Sequence[float] = (),
    source: str = "faces",
    styles: Sequence[str] = (),
    blend: int | Recipe | None = None,
    psi: float | None = None,
    refine: int = 1,
    out: str | Path = "direction",
    device: str = "auto",
    report: Callable[[str], None] = lambda text: None,
    metadata: bool = True,
    raw: bool = False,
) -> tuple[list[Path], float]:
    """Save the direction from the faces of negative to those of positive, and a slider of it.

    A strength of 1 is the way between the means of both along it.
    Args:
        positive, negative: two or more faces each, as Family.gather takes them: folders, most often.
        how: a key of MAKERS. layers: which the direction may have, as latents.parse_layers.
        faces, strengths, styles: as in factorize. refine, raw: as Family and gather.
        out: the edit file; its ending may be left out.
    Returns: the edit file and its slider, OUT.png; and held_out_accuracy.
    Raises: UsageError, InputError, ModelError, DiskError.
    """
    if how not in MAKERS:
        raise UsageError(f"no way to a direction is called {how[:40]!r}; known: {', '.join(MAKERS)}")
    family = Family(source, styles, blend, device, report, raw)
    g = family.source
    chosen = parse_layers(layers, g.config.n_layers)
    kinds = [family.gather(given, psi, refine).w_plus[:, chosen].cpu() for given in (positive, negative)]
    for given, codes in zip((positive, negative), kinds, strict=True):
        if len(codes) < 2:
            raise UsageError(
                f"{shown(', '.join(given), 60)} is one face; a direction needs two or more a side"
            )
    a, b = (codes.flatten(1) for codes in kinds)
    direction = MAKERS[how](a, b).reshape(len(chosen), -1).float()
    whole = torch.zeros(g.config.n_layers, g.config.w_dim)
    whole[chosen] = direction
    path = Path(out)
    path = path.with_name(path.name.removesuffix(".safetensors").removesuffix(".edit") + SUFFIX)
    accuracy = held_out_accuracy(a, b, how)
    meta = {"layers": chosen, "faces": [len(a), len(b)], "held_out_accuracy": round(accuracy, 4)}
    edit = Edit(path.name.removesuffix(SUFFIX)[:100], how, {"w_plus": whole}, 1.0, meta)
    rows = slider(family, edit, family.gather(faces, psi, refine, "f/w+"), strengths or STEPS)
    about = {"command": "directions", "models": family.files, "layers": chosen}
    return _save(family, edit, rows, path, about, metadata), accuracy


def slider(family: Family, edit: Edit, codes: Codes, strengths: Sequence[float]) -> Tensor:
    """[N * networks, strengths, 3, S, S]: every face drawn by every network."""

    def drawn(network: Generator) -> list[Tensor]:
        moved = (apply_edit(network, codes.w_plus, edit, strength) for strength in strengths)
        return [family.draw(w_plus, g, codes.shift) for g, w_plus in moved]

    before, plain = family.draw(codes.w_plus, family.source, codes.shift), drawn(family.source)
    pictures = []
    for name, network in family.networks.items():
        pairs = zip(plain, drawn(network), strict=True)
        columns = [family.shown(*pair, name, codes.photos, before) for pair in pairs]
        pictures.append(torch.stack(columns, 1))
    return torch.stack(pictures, 1).flatten(0, 1)


def distance(g: Generator) -> float:
    """The mean distance of w from its mean."""
    z = torch.randn(4096, g.config.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        w = g.mapping(z.to(g.w_mean))
    return float((w - w.mean(0)).norm(dim=1).mean())


def _save(
    family: Family, edit: Edit, rows: Tensor, path: Path, about: dict[str, Any], metadata: bool
) -> list[Path]:
    save_edit(path, edit, family.checkpoint)
    strip = path.with_name(path.name.removesuffix(SUFFIX) + ".png")
    note = chunks({**about, "edit": edit.name}) if metadata else {}
    save_png(strip, grid(rows.flatten(0, 1), rows.shape[1]), note)
    return [path, strip]
