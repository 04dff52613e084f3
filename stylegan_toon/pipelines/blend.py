"""Blend two generator files by resolutions."""

from collections.abc import Callable
from pathlib import Path

from stylegan_toon.checkpoint.format import save
from stylegan_toon.pipelines.models import load_generator
from stylegan_toon.stylegan2.blend import blend, shared_resolutions
from stylegan_toon.stylegan2.files import generator_checkpoint


def blend_files(
    source: str | Path,
    child: str | Path,
    k: int,
    out: str | Path,
    half: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> Path:
    """Save blend(source, child, k) as an ordinary generator file.

    Args:
        source, child: names or files, as for load_generator.
        k: how many resolutions, from 4x4 up, come from source.
        report: is told when k changes nothing, because both hold the same layers there.
    Returns: out.
    Raises: ModelError, UsageError naming the range of k, DiskError.
    """
    a, b = load_generator(source), load_generator(child)
    mixed = blend(a, b, k)
    shared = shared_resolutions(a, b)
    if k and all(shared[:k]):
        report(f"blend {k} is the same as blend 0: {Path(child).name} shares them with the source")
    sizes = [4 * 2**j for j, same in enumerate(shared) if same]
    meta = {"blend": k, "source": Path(source).name, "child": Path(child).name, "shared_resolutions": sizes}
    save(out, generator_checkpoint(mixed, meta), half)
    return Path(out)
