"""`stylegan-toon models`: the files of others, fetched with care."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.errors import ToonError

ACTIONS = ("list", "get", "path", "verify", "remove")


@toon_command(
    "stylegan-toon models list",
    "stylegan-toon models get clip-vit-b-32",
    "stylegan-toon models get ffhq-256 --from-file ~/Downloads/550000.pt",
    "stylegan-toon models get mine.safetensors --url https://example.org/m.safetensors --sha256 ...",
    "stylegan-toon models path ffhq-256                  (without a name: the folder)",
    "stylegan-toon models verify",
)
@click.argument("action", metavar="ACTION", type=click.Choice(ACTIONS), default="list")
@click.argument("names", nargs=-1)
@click.option("--url", help="get: from this https address instead of the known one.")
@click.option("--sha256", metavar="DIGEST", help="get: the digest of the file, where none is known.")
@click.option("--from-file", type=click.Path(), help="get: take this file, which you have already.")
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), default=30, show_default=True,
    help="get: seconds to wait for the next bytes.",
)  # fmt: skip
def models(common: Common, action: str, names: tuple[str, ...], **options: Any) -> None:
    """Look after model files of others (FFHQ, CLIP, ArcFace ...); ACTION is list, get, path, verify, remove.

    Nothing is ever fetched but by `models get`. Files go to $STYLEGAN_TOON_MODELS, else to the user's cache
    folder, and are found there by the names of the list. Mind the licence of each.
    """
    given = [f"--{name.replace('_', '-')}" for name in ("url", "sha256", "from_file") if options[name]]
    if given and (action != "get" or len(names) != 1):
        raise click.UsageError(f"{given[0]} belongs to `models get NAME`, with one name")
    if action in ("get", "remove") and not names:
        raise click.UsageError(f"models {action} needs a name; `models list` shows them")
    if action == "list" and names:
        raise click.UsageError("models list takes no name")
    from stylegan_toon.paths import models_dir
    from stylegan_toon.pipelines import catalogue

    if action == "list":
        rows = catalogue.entries()
        for line in as_text(rows):
            common.result(line)
        common.document({"folder": str(models_dir()), "models": rows})
        return
    if action == "path" and not names:
        common.result(models_dir())
        common.document({"folder": str(models_dir()), "results": []})
        return
    if options["from_file"]:
        options["from_file"] = Path(options["from_file"])
    does: dict[str, Callable[[str], object]] = {
        "get": lambda name: catalogue.get(name, **options, report=common.report),
        "path": catalogue.where,
        "verify": catalogue.verify,
        "remove": catalogue.remove,
    }
    results: list[dict[str, Any]] = []
    failed: list[ToonError] = []
    for name in names or catalogue.fetched():
        try:
            said = str(does[action](name))
            common.result(f"{name} ok, SHA-256 {said}" if action == "verify" else said)
            results.append({"name": name, "sha256" if action == "verify" else "path": said, "error": None})
        except ToonError as error:
            failed.append(error)
            results.append({"name": name, "error": str(error)})
            if len(names) != 1:
                common.problem(str(error))
    if not failed or len(names) != 1:
        common.document({"folder": str(models_dir()), "results": results})
    if failed:
        if len(names) == 1:
            raise failed[0]
        raise type(failed[0])(f"{len(failed)} of {len(results)} models failed; each is named above")


def as_text(rows: list[dict[str, Any]]) -> list[str]:
    """A line a model: name, size, where it is, licence, use."""
    lines = []
    for row in rows:
        size = f"{row['size'] / 2**20:.0f} MiB" if row["size"] else "-"
        digest = "" if row["sha256"] or not row["url"] else " (digest not published)"
        notes = "; ".join(note for note in (row["use"] + digest, row["licence"]) if note)
        lines.append(f"{row['name']:<24}{size:>9}  {row['path'] or 'not here'}  {notes}".rstrip())
    return lines
