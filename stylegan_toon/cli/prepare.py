"""`stylegan-toon prepare`: a training set from folders and archives."""

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.detector import detector_options
from stylegan_toon.cli.toonify import Faces

NAMED = 20  # broken pictures on stderr; the others are counted


@toon_command(
    "stylegan-toon prepare photos/ faces.zip",
    "stylegan-toon prepare one.zip two.tar.gz faces.zip --size 128 --faces all",
    "stylegan-toon prepare drawings/ webtoon.zip --no-align --near 0",
)
@click.argument("sources", nargs=-1, required=True, type=click.Path())
@click.argument("out", type=click.Path())
@click.option(
    "--size", type=click.IntRange(8, 1024), default=256, show_default=True, help="Edge of a picture."
)
@click.option(
    "--align/--no-align",
    default=True,
    show_default=True,
    help="Level square of a face, or the centre square.",
)
@click.option("--faces", type=Faces(), default="largest", show_default=True, help="Which of each photo.")
@detector_options
@click.option("--min-score", type=click.FloatRange(0, 1), default=0.75, show_default=True, help="Of a face.")
@click.option(
    "--min-size", type=click.IntRange(0), help="Edge of the square in the source. Default: half of --size."
)
@click.option(
    "--max-outside",
    type=click.FloatRange(0, 1),
    default=0.15,
    show_default=True,
    help="Part of a face's square that may lie outside the photo; it is mirrored there.",
)
@click.option(
    "--near",
    type=click.IntRange(0, 127),
    default=12,
    show_default=True,
    metavar="BITS",
    help="Drop a picture whose hash of 255 bits differs in so few from an earlier one's; 0 drops none.",
)
@click.option("--format", type=click.Choice(["png", "webp", "jpg"]), default="png", show_default=True)
@click.option(
    "--exclude",
    multiple=True,
    metavar="NAME|PATTERN|FILE",
    help="Pictures to leave out, such as '*9.jpg'; a FILE holds one a line. Repeatable.",
)
def prepare(
    common: Common,
    sources: tuple[str, ...],
    out: str,
    size: int,
    align: bool,
    faces: str | int,
    min_score: float,
    min_size: int | None,
    max_outside: float,
    near: int,
    format: str,
    detector: str,
    insightface_root: str | None,
    exclude: tuple[str, ...],
) -> None:
    """Make OUT, a ZIP for train and finetune, from the pictures of SOURCES: folders, ZIPs and TARs.

    Faces are cut out as the shipped models are trained. Archives are read in place. Copies are dropped;
    broken pictures are named and skipped, and more than a tenth of them is an error. manifest.json in OUT
    says where each picture comes from, and what was dropped and why.
    """
    from stylegan_toon.pipelines.prepare import Config
    from stylegan_toon.pipelines.prepare import prepare as make

    config = Config(size, align, faces, min_score, min_size, max_outside, near, format, detector)
    broken: list[str] = []

    def problem(text: str) -> None:
        broken.append(text)
        if len(broken) <= NAMED:
            common.problem(text)

    try:
        where = (insightface_root, common.device, common.report)
        made = make(sources, out, config, exclude, problem, common.quiet, *where)
    finally:
        if len(broken) > NAMED:
            common.problem(f"and {len(broken) - NAMED} more that cannot be read")
    counts = made.counts()
    words = ", ".join(f"{number} {why}" for why, number in counts.items()) or "none"
    common.report(f"{len(made.pictures)} pictures; dropped: {words}")
    common.result(made.path)
    common.document(
        {"path": str(made.path), "pictures": len(made.pictures), "dropped": counts, "errors": broken}
    )
