"""`stylegan-toon blend`: two generators into one."""

from typing import Any

import click

from stylegan_toon.cli.blending import recipe, shape_options, weights_option
from stylegan_toon.cli.common import Common, toon_command


@toon_command(
    "stylegan-toon blend faces storybook --blend 4 --out mixed.safetensors",
    "stylegan-toon blend faces storybook --blend 3 --blend-width 0.5 --out soft.safetensors",
    "stylegan-toon blend faces storybook --weights 1,1,.5,0,0,0 --out own.safetensors",
    "stylegan-toon generate mixed.safetensors --seeds 0-7",
)
@click.argument("source")
@click.argument("child")
@click.option("--blend", "k", type=int, metavar="K", help="Resolutions of SOURCE, from 4x4.")
@shape_options
@weights_option
@click.option("--half", is_flag=True, help="Store float16: half the size.")
@click.option("--out", type=click.Path(), required=True, help="The safetensors file to write.")
def blend(
    common: Common, source: str, child: str, k: int | None, half: bool, out: str, **options: Any
) -> None:
    """Save a generator with the K lowest resolutions of SOURCE and the others of CHILD. Prints its path.

    The mapping is always that of SOURCE. K = 0 is CHILD; K = the number of resolutions is SOURCE.
    """
    from stylegan_toon.pipelines.blend import blend_files  # torch loads here, not for --help

    if (how := recipe(k, options)) is None:
        raise click.UsageError("give --blend K, or --weights")
    path = blend_files(source, child, how, out, half, common.report)
    common.result(path)
    common.document({"path": str(path)})
