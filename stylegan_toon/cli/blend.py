"""`stylegan-toon blend`: two generators into one."""

import click

from stylegan_toon.cli.common import Common, toon_command


@toon_command(
    "stylegan-toon blend faces storybook --blend 4 --out mixed.safetensors",
    "stylegan-toon generate mixed.safetensors --seeds 0-7",
)
@click.argument("source")
@click.argument("child")
@click.option("--blend", "k", type=int, metavar="K", required=True, help="Resolutions of SOURCE, from 4x4.")
@click.option("--half", is_flag=True, help="Store float16: half the size.")
@click.option("--out", type=click.Path(), required=True, help="The safetensors file to write.")
def blend(common: Common, source: str, child: str, k: int, half: bool, out: str) -> None:
    """Save a generator with the K lowest resolutions of SOURCE and the others of CHILD. Prints its path.

    The mapping is always that of SOURCE. K = 0 is CHILD; K = the number of resolutions is SOURCE.
    """
    from stylegan_toon.pipelines.blend import blend_files  # torch loads here, not for --help

    path = blend_files(source, child, k, out, half, common.report)
    common.result(path)
    common.document({"path": str(path)})
