"""`stylegan-toon evaluate`: figures of a model."""

from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.detector import detector_options


@toon_command(
    "stylegan-toon evaluate faces --real heldout.zip --train photos.zip --exclude '*9.jpg'",
    "stylegan-toon evaluate runs/faces-128 --real heldout.zip --train photos.zip --encoder faces --json",
)
@click.argument("model")
@click.option("--real", multiple=True, required=True, type=click.Path(), help="Photos held out; repeatable.")
@click.option("--train", multiple=True, required=True, type=click.Path(), help="Training photos; repeatable.")
@click.option(
    "--exclude", multiple=True, metavar="NAME", help="Leave out of --train: a name, pattern or list."
)
@click.option(
    "--samples", type=click.IntRange(0), default=2000, show_default=True, help="For KID; 0: no KID."
)
@click.option(
    "--face-samples",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    help="For the share of faces; 0 leaves it out.",
)
@click.option(
    "--fid",
    metavar="NET|FILE",
    help="Also FID, by mobileface, emotion, untrained, inception (fetched), or Inception's file.",
)
@click.option("--encoder", metavar="NAME", help="Also tell how well it keeps the people of --real.")
@click.option(
    "--identity",
    metavar="mobileface|arcface|arcface-ir-se50|FILE",
    default="mobileface",
    show_default=True,
    help="Which network tells people apart; arcface is insightface's, a FILE one of the third's layout.",
)
@detector_options
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True, help="Pictures at a time.")
@click.option("--out", type=click.Path(), help="Also write the JSON document to this file.")
def evaluate(common: Common, out: str | None, fid: str | None, **options: Any) -> None:
    """Compare pictures of MODEL, a known name, a run or a file, with photos it has not seen.

    Photos are folders or ZIPs of aligned faces. What the figures mean: docs/metrics.md.
    """
    import json

    from stylegan_toon.device import choose_device
    from stylegan_toon.files import write_aside
    from stylegan_toon.pipelines.evaluate import as_text  # torch loads here, not for --help
    from stylegan_toon.pipelines.evaluate import evaluate as measure
    from stylegan_toon.pipelines.judge import fid_space

    space = fid_space(fid, choose_device(common.device)) if fid else None
    figures = measure(**options, fid=space, device=common.device, seed=common.seed, report=common.report)
    for line in as_text(figures):
        common.result(line)
    if out is not None:
        write_aside(out, [json.dumps(figures, indent=1).encode() + b"\n"])
        common.result(out)
    common.document(figures)
