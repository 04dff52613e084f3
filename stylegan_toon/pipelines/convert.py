"""Any model file that is read, into the project's own format."""

from pathlib import Path

from stylegan_toon.checkpoint.format import save
from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.errors import ModelError, shown
from stylegan_toon.pipelines.models import sibling
from stylegan_toon.stylegan2.files import build_discriminator, build_generator

BUILD = {"generator": build_generator, "discriminator": build_discriminator}


def convert(source: str | Path, dest: str | Path, half: bool = False) -> list[Path]:
    """Write the networks in source to dest; every one is built and compared before anything is written.

    Args:
        source: any kind that checkpoint.importers reads, recognised by its content.
        dest: X.safetensors for the generator (or whatever single network there is), and beside it
            X.discriminator.safetensors; a folder takes the source's name.
        half: store float16.
    Returns: the files written, the generator's first.
    Raises: ModelError for a source that cannot be read; DiskError.
    """
    source, dest = Path(source), Path(dest)
    if dest.is_dir():
        dest = dest / f"{source.name.removesuffix('.safetensors').removesuffix('.pt')}.safetensors"
    found = read_any(source)
    found.pop("generator_raw", None)  # g beside g_ema: what training went on from, worse pictures
    for kind, checkpoint in found.items():
        if build := BUILD.get(kind):
            try:
                build(checkpoint)
            except ModelError as error:
                raise ModelError(f"{shown(source, 60)}: {error}"[:200]) from None
    written = []
    for kind, checkpoint in found.items():
        path = dest if len(found) == 1 else sibling(dest, kind)
        save(path, checkpoint, half)
        written.append(path)
    return written
