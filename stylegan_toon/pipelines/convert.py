"""Any model file that is read, into the project's own format or that of others; styles into generators."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from stylegan_toon.checkpoint.format import Checkpoint, save
from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.checkpoint.importers.clip import KIND as CLIP
from stylegan_toon.checkpoint.importers.clip import to_clip
from stylegan_toon.checkpoint.importers.rosinality import to_rosinality
from stylegan_toon.errors import DiskError, ModelError, UsageError, shown
from stylegan_toon.features.clip import build_clip
from stylegan_toon.files import write_aside
from stylegan_toon.pipelines.models import read_model, sibling
from stylegan_toon.stylegan2.adapters import KIND as STYLE
from stylegan_toon.stylegan2.adapters import read_style
from stylegan_toon.stylegan2.edits import MAPPER, parentage
from stylegan_toon.stylegan2.files import (
    build_discriminator,
    build_encoder,
    build_generator,
    build_upscaler,
)
from stylegan_toon.stylegan2.mapper import build_mapper

BUILD: dict[str, Callable[[Checkpoint], object]] = {
    "generator": build_generator, "generator_raw": build_generator, "discriminator": build_discriminator,
    "encoder": build_encoder, STYLE: read_style, MAPPER: build_mapper, CLIP: build_clip,
    "upscaler": build_upscaler,
}  # fmt: skip
LAYOUTS = {"stylegan-toon": ".safetensors", "style": ".safetensors", "rosinality": ".pt", "clip": ".pt"}

FOREIGN = {"rosinality": "rosinality's", "clip": "OpenAI's"}  # written by torch.save


def convert(
    source: str | Path,
    dest: str | Path,
    half: bool = False,
    meta: Mapping[str, Any] | None = None,
    to: str = "stylegan-toon",
    report: Callable[[str], None] = lambda text: None,
    no_noise: bool = False,
) -> list[Path]:
    """Write the networks in source to dest; every one is built and compared before anything is written.

    Args:
        source: any kind that checkpoint.importers reads, recognised by its content.
        dest: X.safetensors for the generator (or whatever single network there is), and beside it
            X.discriminator.safetensors; a folder (one there, or with / at its end) takes the source's name.
        half: store float16.
        meta: entries for the header, such as blend, beside those the source has.
        to: "style" leaves a style file one instead of folding it into its parent;
            "rosinality" writes one .pt with g_ema, and with g, d and latent_avg where source has them; a
            discriminator in a file beside source is taken along; "clip" writes a text model as OpenAI's
            `clip.load` opens it, with a table of all words.
        report: is told what of source was not read.
        no_noise: set the noise strengths to 0, so that every noise mode draws as none does.
    Returns: the files written, the generator's first.
    Raises: ModelError for a source that cannot be read or expressed; UsageError if dest is source; DiskError.
    """
    source, target = Path(source), Path(dest)
    if to not in LAYOUTS:
        raise UsageError(f"no layout is called {to[:40]!r}; known: {', '.join(LAYOUTS)}")
    if to in FOREIGN and (half or meta):
        raise UsageError(f"{FOREIGN[to]} layout has no place for --half and --meta; leave them out")
    found = read_any(source) if to == "style" else read_model(source)[1]
    if to == "style" and STYLE not in found:
        raise UsageError(f"{shown(source)} is no style file; leave --to style out")
    try:
        if str(dest).endswith("/") or target.is_dir():
            name = source.name if source.suffix not in (*LAYOUTS.values(), ".pkl", ".pth") else source.stem
            target = target / f"{name}{LAYOUTS[to]}"
        same = target.exists() and target.samefile(source)
        beside = sibling(source, "discriminator")
        if to == "rosinality" and list(found) == ["generator"] and beside != source and beside.is_file():
            found |= read_any(beside)
    except OSError as error:  # a name too long, a folder that may not be read
        raise DiskError(f"{shown(dest)} cannot be written ({error.strerror}); name another place") from None
    if same:
        raise UsageError(f"{shown(target)} is the source itself; name another file to write")
    if to != "rosinality":
        found.pop("generator_raw", None)  # g beside g_ema: what training went on from, worse pictures
    for kind, checkpoint in found.items():
        for name, tensor in checkpoint.tensors.items() if no_noise else ():
            if name.endswith("noise_strength"):
                checkpoint.tensors[name] = torch.zeros_like(tensor)
        if build := BUILD.get(kind):
            try:
                build(Checkpoint(kind.removesuffix("_raw"), checkpoint.config, {}, checkpoint.tensors))
            except ModelError as error:
                raise ModelError(f"{shown(source, 60)}: {error}"[:200]) from None
        if parts := checkpoint.meta.get("not_read"):
            names = ", ".join(str(part)[:20] for part in parts)
            report(f"{shown(source)}: the {kind} is read; its {names} is of a kind that is not used here")
    if to in FOREIGN:
        for kind in ("encoder", MAPPER) if to == "rosinality" else ():
            if kind in found:
                report(f"{shown(source)}: the {kind} is left out; rosinality's layout has no place for it")
        return [_write_foreign(source, target, found, to)]
    written = []
    if MAPPER in found and "generator" in found:
        found[MAPPER].meta |= {"name": target.stem[:100], **parentage(found["generator"])}
    for kind, checkpoint in found.items():
        checkpoint.meta |= meta or {}
        path = target if len(found) == 1 else sibling(target, kind)
        save(path, checkpoint, half)
        written.append(path)
    return written


def _write_foreign(source: Path, target: Path, found: Mapping[str, Checkpoint], to: str) -> Path:
    try:
        state = to_rosinality(found) if to == "rosinality" else to_clip(next(iter(found.values())))
    except ModelError as error:
        raise ModelError(f"{shown(source, 60)}: {error}"[:200]) from None
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_aside(target, [buffer.getbuffer()])
    return target
