"""`stylegan-toon blends`: a style at every blend, measured."""

from typing import Any

import click

from stylegan_toon.cli.blending import shape_options
from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.detector import detector_options


@toon_command("stylegan-toon blends storybook --photos heldout.zip --pictures storybook.zip --out storybook")
@click.argument("style")
@click.option("--source", default="faces", show_default=True, help="The photo generator the style came from.")
@shape_options
@click.option("--photos", multiple=True, required=True, type=click.Path(), help="Aligned photos; repeatable.")
@click.option("--pictures", multiple=True, required=True, type=click.Path(), help="Of the style; repeatable.")
@click.option("--shown", multiple=True, type=click.Path(), help="Photos for the strip; repeatable.")
@click.option("--limit", type=click.IntRange(2), default=200, show_default=True, help="How many photos.")
@click.option("--refine", type=click.IntRange(0, 3), help="Of photos, as in toonify.")
@click.option("--exclude", multiple=True, metavar="NAME", help="Leave out of --photos.")
@detector_options
@click.option("--out", required=True, type=click.Path(), help="OUT.png and OUT.json are written.")
def blends(common: Common, out: str, **options: Any) -> None:
    """Toonify photos with STYLE at every K: KID to the style, identity cosine, and a strip of pictures."""
    import json

    from stylegan_toon.files import write_aside
    from stylegan_toon.pipelines.blends import as_text, measure_blends

    document = measure_blends(**options, out=out, device=common.device, report=common.report)
    write_aside(f"{out}.json", [json.dumps(document, indent=1).encode() + b"\n"])
    for line in [*as_text(document), f"{out}.png", f"{out}.json"]:
        common.result(line)
    common.document(document)
