"""Edits: directions of latent codes and of styles, as small files that apply to a generator and its children.

An edit file is of kind "edit". Its tensors are w_plus [L, D], or w [D] for every layer alike, or s.NAME [C]:
what is added to the styles of the convolution NAME (S-space: Wu et al. 2021, arXiv 2011.12799), such as
s.blocks.3.conv0 or s.blocks.3.to_rgb. meta has name, kind (how it was made), strength (what shows it well),
and parent and mapping, the digests of the generator whose codes it changes, as in latent files. A file of
kind "mapper" (stylegan2/mapper.py) is an edit, too: its network makes a direction for each face.
"""

import copy
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_toon.checkpoint.format import Checkpoint, loads, read_regular, save
from stylegan_toon.config import to_json
from stylegan_toon.errors import ModelError, shown
from stylegan_toon.nn.equalized import EqualLinear
from stylegan_toon.stylegan2.adapters import weights_digest
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latent_files import belongs, mapping_digest
from stylegan_toon.stylegan2.latents import keep_colours
from stylegan_toon.stylegan2.mapper import KIND as MAPPER
from stylegan_toon.stylegan2.mapper import Mapper, build_mapper

KIND = "edit"
SUFFIX = ".edit.safetensors"
MAPPER_SUFFIX = ".mapper.safetensors"
MAX_BYTES = 64 << 20  # a direction of 18 layers of 512 has 19 kB, a mapper of three groups 6.3 MB


@dataclass(frozen=True)
class Edit:
    """A direction: w_plus [L, D], or w [D], or s.NAME [C] of some convolutions, in tensors; or a mapper.

    name: for a person. kind: how it was made, "sefa", "mean", "svm" ... strength: how much of it shows well.
    meta: of a file also parent and mapping, and what else its maker wrote.
    """

    name: str
    kind: str
    tensors: Mapping[str, Tensor]
    strength: float = 1.0
    meta: Mapping[str, Any] = field(default_factory=dict)
    mapper: Mapper | None = None

    @property
    def moves_codes(self) -> bool:
        """Whether it changes codes, and no styles."""
        if self.mapper is not None:
            return self.mapper.config.colours
        return not {"w", "w_plus"}.isdisjoint(self.tensors)


def save_edit(path: str | Path, edit: Edit, generator: Checkpoint) -> None:
    """Write an edit of a generator's codes, in float16: three digits of a direction, in half the bytes.

    With a mapper the file is of kind "mapper".

    Raises: DiskError; NotFiniteError; ValueError if load_edit would refuse it.
    """
    about = {"name": edit.name, "kind": edit.kind, "strength": edit.strength, **parentage(generator)}
    if why := _problem(edit, about):
        raise ValueError(why)
    meta = {**edit.meta, **about}
    checkpoint = Checkpoint(KIND, {}, meta, dict(edit.tensors))
    if edit.mapper is not None:
        checkpoint = Checkpoint(MAPPER, to_json(edit.mapper.config), meta, edit.mapper.state_dict())
    save(path, checkpoint, half=True)


def load_edit(path: str | Path) -> Edit:
    """The edit or mapper in a file, float32; whether it fits a generator, apply_edit sees.

    Raises: ModelError, one line, for a file that is missing, broken, of another kind or not as it should be.
    """
    checkpoint = loads(read_regular(path, MAX_BYTES), path)
    if checkpoint.kind not in (KIND, MAPPER):
        raise ModelError(f"{shown(path)} holds a {checkpoint.kind[:40]}, not an edit; name another file")
    try:
        mapper = build_mapper(checkpoint) if checkpoint.kind == MAPPER else None
        found, meta = {} if mapper else checkpoint.tensors, checkpoint.meta
        if why := _problem(Edit("", "", found, 0.0, meta, mapper), meta):
            raise ModelError(f"{why}; make it again")
    except ModelError as error:
        raise ModelError(f"{shown(path, 60)} is no sound edit file: {error}"[:200]) from None
    tensors = {name: tensor.float() for name, tensor in found.items()}
    return Edit(meta["name"], meta["kind"], tensors, float(meta["strength"]), meta, mapper)


def apply_edit(
    g: Generator, w_plus: Tensor, edit: Edit, strength: float, layers: Iterable[int] | None = None
) -> tuple[Generator, Tensor]:
    """Generator and codes that draw the edited faces; one of the two is the one that was given.

    Args:
        g: the generator that edit was made on, or a child of it.
        w_plus: [N, L, D].
        strength: how much of the direction is added; below 0 the other way, 0 nothing.
        layers: which w_plus layers, and styles made of them, may change; None is all.
    Returns: the generator, which shares all but the changed biases with g; codes [N, L, D], or of a mapper
        that leaves colours alone those of latents.keep_colours.
    Raises: ModelError if the edit is of another number of layers or width, or has styles that g lacks.
    """
    allowed = {*range(g.config.n_layers)} if layers is None else {*layers}
    lock = torch.tensor([[float(i in allowed)] for i in range(g.config.n_layers)])
    if edit.mapper is not None:
        made, here = edit.mapper.config, g.config
        if (made.layers, made.w_dim) != (here.n_layers, here.w_dim):
            raise ModelError(
                f"the mapper {edit.name[:40]!r} is for {made.layers} layers of {made.w_dim}, but codes here "
                f"are {here.n_layers} of {here.w_dim}; name the generator it was made on"
            )
        with torch.no_grad():
            step = edit.mapper.to(w_plus)(w_plus)
        moved = w_plus + strength * lock.to(w_plus) * step
        return g, moved if made.colours else keep_colours(moved, w_plus)
    if "w" in edit.tensors or "w_plus" in edit.tensors:
        direction = edit.tensors.get("w_plus", edit.tensors.get("w"))
        assert direction is not None
        wanted = [g.config.n_layers, g.config.w_dim][2 - direction.ndim :]
        if [*direction.shape] != wanted:
            raise ModelError(f"the edit {edit.name[:40]!r} is {[*direction.shape]}, "
                             f"but codes here are {wanted}; name the generator it was made on")  # fmt: skip
        return g, w_plus + strength * (lock * direction).to(w_plus)
    ours = affines(g)
    biases: dict[str, Tensor] = {}
    for key, offset in edit.tensors.items():
        layer, affine = ours.get(key.removeprefix("s."), (0, None))
        if affine is None or affine.bias.shape != offset.shape:
            raise ModelError(f"the edit {edit.name[:40]!r} changes {[*offset.shape]} styles of {key[2:42]}, "
                             "which this generator lacks; name the one it was made on")  # fmt: skip
        if layer in allowed:
            biases[key] = strength / affine.lr_mul * offset.to(affine.bias)
    kept = {id(tensor): tensor for tensor in (*g.parameters(), *g.buffers())}
    edited = copy.deepcopy(g, kept)  # its own modules, the same tensors
    theirs = affines(edited)
    for key, offset in biases.items():
        affine = theirs[key.removeprefix("s.")][1]
        affine.bias = torch.nn.Parameter(affine.bias.detach() + offset, requires_grad=False)
    return edited, w_plus


def affines(g: Generator) -> dict[str, tuple[int, EqualLinear]]:
    """The styles of a generator: name of the convolution -> w_plus layer, and what makes the style of it."""
    found = {}
    for k, block in enumerate(g.synthesis.blocks):
        for name, layer in (("conv0", 2 * k - 1), ("conv1", 2 * k), ("to_rgb", 2 * k + 1)):
            if hasattr(block, name):
                found[f"blocks.{k}.{name}"] = (layer, getattr(block, name).conv.affine)
    return found


def parentage(generator: Checkpoint) -> dict[str, str]:
    """What an edit's meta says of the generator whose codes it changes."""
    return {"parent": weights_digest(generator), "mapping": mapping_digest(generator)}


def is_child(child: Checkpoint, meta: Mapping[str, Any]) -> bool:
    """Whether codes with this meta (of a latent or edit file) are such as child was trained to draw.

    They are if it has the mapping they came from, as its own, or beside its own, or before training moved it.
    """
    mapping = {name.removeprefix("source_"): tensor for name, tensor in child.tensors.items()
               if name.startswith("source_mapping.")}  # fmt: skip
    before = mapping_digest(Checkpoint("generator", {}, {}, mapping)) if mapping else None
    return belongs(meta, child) or meta["mapping"] in (before, child.meta.get("source_mapping"))


def _problem(edit: Edit, meta: Mapping[str, Any]) -> str | None:
    """What is wrong with an edit that is to have this meta, or None."""
    tensors = edit.tensors
    if not all(isinstance(meta.get(key), str) and 0 < len(meta[key]) <= 100 for key in ("name", "kind")):
        return "it has no name or kind"
    strength = meta.get("strength")
    if not isinstance(strength, int | float) or isinstance(strength, bool) or not math.isfinite(strength):
        return "its strength is no number"
    if any(not re.fullmatch("[0-9a-f]{64}", str(meta.get(key))) for key in ("parent", "mapping")):
        return "it names no generator"
    if edit.mapper is not None:
        return "it has a direction beside its mapper" if tensors else None
    names = {*tensors}
    kinds = {"w": 1, "w_plus": 2}
    if not names or (names not in ({"w"}, {"w_plus"}) and not all(name.startswith("s.") for name in names)):
        return "its tensors are not w, or w_plus, or s.NAME"
    for name, tensor in tensors.items():
        if tensor.ndim != kinds.get(name, 1) or not tensor.numel() or not tensor.is_floating_point():
            return f"{name[:40]} is {tensor.dtype} {list(tensor.shape)[:4]}"
    return None
