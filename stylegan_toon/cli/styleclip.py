"""`stylegan-toon styleclip`: edit faces by a text."""

from typing import Any

import click

from stylegan_toon.cli import faces
from stylegan_toon.cli.common import Common, toon_command


@toon_command(
    'stylegan-toon styleclip --text "a really sad face"',
    'stylegan-toon styleclip --text "a really happy face" --engine direction --photo me.jpg --style avatar',
    'stylegan-toon styleclip --text "a face with red hair" --engine optimize --seeds 3 --clip clip-vit-b-32',
    "stylegan-toon styleclip --edit sad --seeds 0-199 --save-pairs --strength 1.5",
)
@click.option("--text", help="What the faces shall look like.")
@click.option("--edit", metavar="NAME|FILE", help="A ready edit instead; nothing is learnt.")
@click.option(
    "--engine",
    type=click.Choice(["mapper", "optimize", "direction"]),
    default="mapper",
    show_default=True,
    help="A network for all faces, the codes of these faces, or one direction for all.",
)
@click.option(
    "--neutral",
    multiple=True,
    help='What the text is compared to; repeatable, for a mean; "" takes the plain cosine. Default: of an '
    "expression the others, else 'a face'.",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    metavar="N",
    help="Default: mapper 350 (2000 on a GPU), optimize 60 (200), direction 40 (100).",
)
@click.option(
    "--strength",
    type=float,
    help="How much; a learnt edit keeps it. Default: a ready one's own; else 1, or 2 of an expression, or "
    "less where most faces would be somebody else's.",
)
@click.option(
    "--groups",
    "layers",
    metavar="LIST",
    help="What may change: coarse, medium, fine, all, or layers as 0-5,8. Default: coarse,medium to learn an "
    "expression, else all.",
)
@faces.chosen_faces
@faces.source
@faces.styles
@faces.blend
@faces.psi
@faces.refine
@click.option(
    "--clip", metavar="NAME|FILE", help="What reads texts. Default: ViT-B/32 if fetched, or the small one."
)
@click.option(
    "--identity",
    metavar="NAME|FILE",
    help="mobileface or arcface-ir-se50. Default: the second if it is here.",
)
@click.option(
    "--identity-weight",
    type=click.FloatRange(0),
    help="Default: 0.5, or 1 to learn an expression with mapper or direction.",
)
@click.option(
    "--step-weight", type=click.FloatRange(0), default=0.1, show_default=True, help="Of the step's square."
)
@click.option(
    "--step", type=click.FloatRange(0), default=0.1, show_default=True, help="Of a mapper's output."
)
@click.option(
    "--space",
    type=click.Choice(["s", "w+"]),
    default="s",
    show_default=True,
    help="Of a direction: styles (S-space), or codes.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Of a direction: what is below this part of its largest number is cut away.",
)
@click.option(
    "--train",
    "trained_on",
    multiple=True,
    metavar="FACES",
    help="Learn from these photos or latent files; repeatable.",
)
@click.option("--save-pairs", is_flag=True, help="Also write before/ and after/, with the same names.")
@click.option(
    "--resume",
    type=click.Choice(["auto", "never"]),
    default="auto",
    show_default=True,
    help="Go on with a mapper's run in --out, or begin anew.",
)
@faces.raw
@faces.metadata
@click.option("--out", type=click.Path(), default="out", show_default=True, help="Folder for the results.")
def styleclip(common: Common, text: str | None, edit: str | None, **options: Any) -> None:
    """Edit faces by a text, or with a ready edit: before | after, by the source and by a cartoon style.

    Writes TEXT.png, a row a face, and what was learnt: an edit file that `edit` applies to any face, or with
    --engine optimize the codes. Prints one path a line; how the judges score the faces goes to stderr.
    """
    from stylegan_toon.pipelines.styleclip import Order, edit_by_text  # torch loads here, not for --help

    names = ("engine", "neutral", "steps", "step", "space", "threshold", "clip", "identity",
             "identity_weight", "step_weight")  # fmt: skip
    how = {name: options.pop(name) for name in names}
    how["neutral"] = how["neutral"] or None
    order = None if text is None else Order(text, layers=options["layers"], **how)
    options["faces"] = faces.faces_of(options, common.seed)
    options |= {"device": common.device, "seed": common.seed, "report": common.report}
    written, about = edit_by_text(order, ready=edit, **options)
    for path in written:
        common.result(path)
    common.document({**about, "paths": [str(path) for path in written]})
