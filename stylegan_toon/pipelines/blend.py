"""Blend two generator files by resolutions."""

from collections.abc import Callable, Sequence
from pathlib import Path

from stylegan_toon.checkpoint.format import save
from stylegan_toon.config import to_json
from stylegan_toon.errors import shown
from stylegan_toon.pipelines.models import find_model, load_generator, locate
from stylegan_toon.stylegan2.blend import Recipe, blend, same_mapping, shared_resolutions
from stylegan_toon.stylegan2.files import generator_checkpoint


def blend_files(
    source: str | Path,
    child: str | Path,
    how: int | Recipe,
    out: str | Path,
    half: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> Path:
    """Save blend(source, child, how) as an ordinary generator file, whose header says how it was made.

    Args:
        source, child: names or files, as for load_generator.
        how: a recipe, or how many resolutions, from 4x4 up, come from source.
        report: is told when the blend changes nothing, because both hold the same layers there.
    Returns: out.
    Raises: ModelError, UsageError naming the range, DiskError.
    """
    recipe = Recipe(how) if isinstance(how, int) else how
    parents = [find_model(source)]
    a, b = load_generator(source), load_generator(child, parents=parents)
    mixed = blend(a, b, recipe)
    shares, shared = recipe.shares(a.config.n_resolutions), shared_resolutions(a, b)
    if nothing_changes(shares, shared):
        report(
            f"{recipe} is the same as --blend 0: {Path(child).name} shares these resolutions with the source"
        )
    if not same_mapping(a, b):
        report(other_codes(child, source))
    meta = {
        # toonify takes so many resolutions from the source again: right for a hard swap alone
        "blend": 0 if recipe.weights or recipe.width or recipe.keep != "low" else recipe.k,
        "source": Path(source).name,
        "child": Path(child).name,
        "recipe": to_json(recipe),
        "shares": shares,
        "shared_resolutions": [4 * 2**j for j, same in enumerate(shared) if same],
    }
    known = locate(child, parents=parents)[1].meta
    meta |= {name: known[name] for name in ("finish", "eyes", "detail", "shapes", "moods") if name in known}
    save(out, generator_checkpoint(mixed, meta), half)
    return Path(out)


def other_codes(child: str | Path, source: str | Path) -> str:
    """What is said where both mappings differ."""
    names = shown(child, 50), shown(source, 50)
    return (
        f"{names[0]} has a mapping of its own, so the codes of {names[1]} are not quite those it learnt; "
        "styles made with finetune --freeze-mapping share them"
    )


def nothing_changes(shares: Sequence[float], shared: Sequence[bool]) -> bool:
    """Whether a blend that asks for something of the source is the child after all."""
    return any(shares) and all(same for share, same in zip(shares, shared, strict=True) if share)
