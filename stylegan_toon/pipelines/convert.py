"""Any model file that is read, into the project's own format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylegan_toon.checkpoint.format import save
from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.errors import DiskError, ModelError, UsageError, shown
from stylegan_toon.pipelines.models import sibling
from stylegan_toon.stylegan2.files import build_discriminator, build_encoder, build_generator

BUILD = {"generator": build_generator, "discriminator": build_discriminator, "encoder": build_encoder}


def convert(
    source: str | Path, dest: str | Path, half: bool = False, meta: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write the networks in source to dest; every one is built and compared before anything is written.

    Args:
        source: any kind that checkpoint.importers reads, recognised by its content.
        dest: X.safetensors for the generator (or whatever single network there is), and beside it
            X.discriminator.safetensors; a folder (one there, or with / at its end) takes the source's name.
        half: store float16.
        meta: entries for the header, such as blend, beside those the source has.
    Returns: the files written, the generator's first.
    Raises: ModelError for a source that cannot be read; UsageError if dest is source; DiskError.
    """
    source, target = Path(source), Path(dest)
    found = read_any(source)
    try:
        if str(dest).endswith("/") or target.is_dir():
            name = source.name.removesuffix(".safetensors").removesuffix(".pt")
            target = target / f"{name}.safetensors"
        same = target.exists() and target.samefile(source)
    except OSError as error:  # a name too long, a folder that may not be read
        raise DiskError(f"{shown(dest)} cannot be written ({error.strerror}); name another place") from None
    if same:
        raise UsageError(f"{shown(target)} is the source itself; name another file to write")
    found.pop("generator_raw", None)  # g beside g_ema: what training went on from, worse pictures
    for kind, checkpoint in found.items():
        if build := BUILD.get(kind):
            try:
                build(checkpoint)
            except ModelError as error:
                raise ModelError(f"{shown(source, 60)}: {error}"[:200]) from None
    written = []
    for kind, checkpoint in found.items():
        checkpoint.meta |= meta or {}
        path = target if len(found) == 1 else sibling(target, kind)
        save(path, checkpoint, half)
        written.append(path)
    return written
