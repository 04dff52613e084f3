"""`stylegan-toon generate`: pictures from a model."""

from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command


@toon_command(
    "stylegan-toon generate storybook",
    "stylegan-toon generate faces --seeds 0-7,42 --psi 0.5 --out drawn",
    "stylegan-toon generate last.safetensors --latents codes.npz --npz images.npz",
    "stylegan-toon generate storybook --latents me.latent.safetensors",
)
@click.argument("model")
@click.option("--seeds", metavar="LIST", help="Such as 0-7,42. Default: eight from --seed on.")
@click.option("--psi", type=click.FloatRange(-2, 2), help="Truncation; 1 is none. Default: 0.7, latents 1.")
@click.option("--cutoff", type=click.IntRange(0), metavar="N", help="Truncate only the first N layers.")
@click.option("--latents", type=click.Path(), help="An .npz with z, w or w_plus, or a latent file.")
@click.option("--noise", type=click.Choice(("const", "random", "none")), default="const", show_default=True)
@click.option("--npz", type=click.Path(), help="Also write the floats [N, 3, H, W], not clamped.")
@click.option("--batch", type=click.IntRange(1), default=4, show_default=True, help="Pictures at a time.")
@click.option("--exact", is_flag=True, help="The same bytes on every machine; up to 4 times slower.")
@click.option("--metadata/--no-metadata", default=True, help="Write into every PNG how it was made, or not.")
@click.option("--out", type=click.Path(), default="out", show_default=True, help="Folder for the results.")
def generate(common: Common, seeds: str | None, latents: str | None, **options: Any) -> None:
    """Draw pictures with MODEL, a known name, a run or a file. Prints one path a line.

    A seed gives the same picture in any list; the last picture, grid.png, shows them together.
    """
    if seeds is not None and latents is not None:
        raise click.UsageError("--seeds and --latents are two sources of codes; give one")
    from stylegan_toon.pipelines.generate import generate as draw  # torch loads here, not for --help

    options |= {"seeds": seeds or f"{common.seed}-{common.seed + 7}", "latents": latents}
    written = draw(**options, device=common.device)
    for path in written:
        common.result(path)
    common.document({"paths": [str(path) for path in written]})
