"""`stylegan-toon compare`: all roads on equal terms; its page; people's votes on what they made."""

from pathlib import Path
from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.errors import UsageError

ACTIONS = ("page", "rate", "votes")  # else the first word is a suite


@toon_command(
    "stylegan-toon compare smoke --out compared",
    "stylegan-toon compare full --photos photos.zip --cartoons cartoons/ --style runs/mine --out compared",
    "stylegan-toon compare page compared --docs docs/comparison.md",
    "stylegan-toon compare rate compared",
    "stylegan-toon compare votes compared",
)
@click.argument("what", metavar="SUITE|page|rate|votes")
@click.argument("result", required=False, metavar="[RESULT]")
@click.option("--out", type=click.Path(), help="Folder of the comparison. Default: compared/SUITE.")
@click.option(
    "--photos", type=click.Path(), metavar="FOLDER|ZIP", help="Aligned squares. Default: drawn faces."
)
@click.option(
    "--cartoons", type=click.Path(), metavar="FOLDER|ZIP", help="Default: what ships, as the suite says."
)
@click.option(
    "--style", metavar="NAME", help="Of toonify. Default: the suite's; give that of your --cartoons."
)
@click.option("--vgg", type=click.Path(), metavar="FILE", help="VGG19 for feature losses, as baseline train.")
@click.option(
    "--fid", metavar="NET|FILE", help="As evaluate. Default: inception if it is here, else untrained."
)
@click.option("--docs", type=click.Path(), metavar="FILE.md", help="page: also write table and grid into it.")
@click.option("--votes", type=click.Path(), metavar="FILE", help="rate, votes: default RESULT/votes.sqlite.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="rate: 0 takes a free one."
)
def compare(
    common: Common, what: str, result: str | None, out: str | None, docs: str | None, votes: str | None,
    port: int, **options: Any,
) -> None:  # fmt: skip
    """Train or take every method of SUITE on one split with equal budgets, and compare them in one page.

    SUITE is smoke, full or a JSON file (docs/comparison.md). The same command goes on where one stopped. Of a
    RESULT, a comparison's folder or compare.json, `page` makes page and table again, `rate` serves a page for
    people to rate on, 127.0.0.1 alone, until Ctrl-C, and `votes` prints their table.
    """
    if what in ACTIONS:
        if result is None:
            raise UsageError(f"compare {what} needs the folder of a comparison, or its compare.json")
        if given := [f"--{key}" for key, value in {**options, "out": out}.items() if value is not None]:
            raise UsageError(f"{given[0]} belongs to a run; leave it out of compare {what}")
        _of_result(common, what, Path(result), docs, votes, port)
        return
    if result is not None or docs or votes or port:
        raise UsageError("a run takes SUITE alone; --docs is of page, --votes and --port are of rate")
    from stylegan_toon.pipelines.compare.report import write_page
    from stylegan_toon.pipelines.compare.run import compare as run
    from stylegan_toon.pipelines.compare.suite import read_suite
    from stylegan_toon.training.lock import hold

    suite = read_suite(what)
    folder = Path(out or f"compared/{suite.name}")
    with hold(folder):
        found = run(
            suite,
            folder,
            **options,
            device=common.device,
            seed=common.seed,
            quiet=common.quiet,
            report=common.report,
        )
        written = write_page(found, folder)
    for path in written:
        common.result(path)
    common.document(
        {"out": str(folder), "written": [str(path) for path in written], "cells": len(found["cells"])}
    )


def _of_result(common: Common, what: str, path: Path, docs: str | None, votes: str | None, port: int) -> None:
    from stylegan_toon.pipelines.compare.result import read_result
    from stylegan_toon.pipelines.rate import Votes, as_text, serve

    result = read_result(path)
    folder = path if path.is_dir() else path.parent
    file = Path(votes) if votes else folder / "votes.sqlite"
    if what == "page":
        from stylegan_toon.pipelines.compare.report import write_docs, write_page

        table = Votes(file, result).table() if file.is_file() else []
        written = write_page(result, folder, table) + (write_docs(result, docs) if docs else [])
        for one in written:
            common.result(one)
        common.document({"written": [str(one) for one in written]})
    elif what == "votes":
        if not file.is_file():
            raise UsageError(f"{file} is not there; people vote on the page of compare rate {path}")
        table = Votes(file, result).table()
        for line in as_text(table):
            common.result(line)
        common.document({"votes": table})
    else:
        kept = Votes(file, result)
        serve(kept, port, common.result)
