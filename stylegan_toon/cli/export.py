"""`stylegan-toon export`: a generator for programs that run ONNX."""

from typing import Any

import click

from stylegan_toon.cli.blending import recipe, shape_options, weights_option
from stylegan_toon.cli.common import Common, toon_command


@toon_command(
    "stylegan-toon export faces faces.onnx",
    "stylegan-toon export storybook cartoon.onnx --source faces",
    "stylegan-toon export storybook draws.onnx --source faces --blend 3 --part synthesis",
)
@click.argument("model")
@click.argument("out", type=click.Path())
@click.option(
    "--part",
    type=click.Choice(["generator", "mapping", "synthesis"]),
    default="generator",
    show_default=True,
    help="z to pictures, z to codes, or codes to pictures.",
)
@click.option("--source", metavar="NAME|FILE", help="Blend MODEL, a style, with this photo generator.")
@click.option(
    "--blend", "k", type=int, metavar="K", help="Resolutions of --source, from 4x4. Default: the style's own."
)
@shape_options
@weights_option
@click.option(
    "--noise",
    type=click.Choice(["none", "const"]),
    default="none",
    show_default=True,
    help="What the picture is drawn with: none as in toonify, or the model's own as in generate.",
)
def export(common: Common, model: str, out: str, k: int | None, **options: Any) -> None:
    """Write MODEL, a known name, a run or a file, to OUT.onnx. Prints its path.

    The file takes any number of faces at once and is written only if onnxruntime draws with it what this
    program draws, within 1e-4; by how much they differ is said. docs/export.md has its inputs and outputs.
    """
    from stylegan_toon.pipelines.export import export as write  # torch loads here, not for --help

    how = recipe(k, options)
    path, gap = write(model, out, **options, how=how, seed=common.seed, report=common.report)
    common.report(f"{options['part']}: onnxruntime differs from torch by {gap:.1e} at most")
    common.result(path)
    common.document({"path": str(path), "part": options["part"], "difference": gap})
