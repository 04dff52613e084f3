"""`stylegan-toon study`: ways of fine-tuning compared."""

from pathlib import Path
from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command

COUNT = click.IntRange(1)


@toon_command(
    "stylegan-toon study results --source runs/faces-32 --photos photos.zip --target avatar=avatars.zip",
    "stylegan-toon study results --report docs/freezesg-study.md",
)
@click.argument("out", type=click.Path())
@click.option("--source", help="A run or a file of a photo generator, its discriminator beside it.")
@click.option(
    "--photos", multiple=True, type=click.Path(), help="What the source was trained on; repeatable."
)
@click.option(
    "--exclude", multiple=True, metavar="NAME", help="Leave out of --photos: a name, pattern or list."
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME=PICTURES[@LIST]",
    help="Cartoons, without the names in the file LIST; repeatable.",
)
@click.option(
    "--count",
    "counts",
    multiple=True,
    type=COUNT,
    default=(100,),
    show_default=True,
    help="Training pictures.",
)
@click.option(
    "--arm", "arms", multiple=True, metavar="NAME", help="A way of fine-tuning. Default: the core six."
)
@click.option("--seeds", type=click.IntRange(1, 10), default=3, show_default=True, help="How many.")
@click.option("--steps", type=COUNT, default=500, show_default=True, help="Of each run.")
@click.option("--batch", type=COUNT, default=16, show_default=True, help="Pictures a step.")
@click.option("--samples", type=click.IntRange(10), default=1000, show_default=True, help="For the figures.")
@click.option("--resume", is_flag=True, help="Keep the results that OUT holds and fill what is missing.")
@click.option("--report", type=click.Path(), metavar="FILE.md", help="Write the report of what OUT holds.")
def study(
    common: Common,
    out: str,
    source: str | None,
    photos: tuple[str, ...],
    exclude: tuple[str, ...],
    targets: tuple[str, ...],
    resume: bool,
    report: str | None,
    seeds: int,
    **options: Any,
) -> None:
    """Fine-tune a source in many ways and compare them at matched fidelity; results go to OUT.

    A cell is one way, target, number of pictures and seed. What is measured: docs/freezesg-study.md.
    """
    from stylegan_toon.errors import UsageError
    from stylegan_toon.pipelines.study.report import write_report
    from stylegan_toon.pipelines.study.run import CORE, Plan, Target, cells, run_study

    if not (targets or report):
        raise UsageError("nothing to do; give --source, --photos and --target to run, or --report FILE.md")
    done = list(Path(out).glob("cells/*.json"))
    document: dict[str, Any] = {"study": out}
    if targets:
        if source is None or not photos:
            raise UsageError("a study needs a --source and the --photos it was trained on")
        if done and not resume:
            raise UsageError(
                f"{out} holds {len(done)} results; --resume keeps them and fills what is missing"
            )
        named = []
        for given in targets:
            name, _, rest = given.partition("=")
            pictures, _, left_out = rest.partition("@")
            if not name.replace("-", "").replace("_", "").isalnum() or not pictures:
                raise UsageError(f"--target {given!r} is not NAME=PICTURES or NAME=PICTURES@LIST")
            named.append(Target(name, pictures, (left_out,) if left_out else ()))
        arms = options.pop("arms") or CORE
        plan = Plan(tuple(named), arms=tuple(arms), seeds=tuple(range(seeds)), **options)
        run_study(out, photos, source, plan, exclude, common.device, common.quiet, common.report)
        common.result(out)
        document["cells"] = [cell.name for cell in cells(plan)]
    if report is not None:
        written = [str(path) for path in write_report(out, report)]
        for path in written:
            common.result(path)
        document["report"] = written
    common.document(document)
