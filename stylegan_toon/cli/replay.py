"""`stylegan-toon replay`: a picture once more, from what it says of itself."""

from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command


@toon_command(
    "stylegan-toon replay out/me.png",
    "stylegan-toon replay out/me.png --photo old/me.jpg --out again",
    "stylegan-toon replay drawn/seed0003.png --models backup/",
)
@click.argument("file", type=click.Path())
@click.option(
    "--photo", type=click.Path(), help="Where the photo is now. Default: where FILE says, or beside FILE."
)
@click.option("--latents", type=click.Path(), help="The same for the .npz that generate --latents was given.")
@click.option("--models", type=click.Path(), help="A folder to look for the models in, too.")
@click.option("--out", type=click.Path(), default="out", show_default=True, help="Folder for the result.")
def replay(common: Common, file: str, **options: Any) -> None:
    """Make FILE again, a PNG that toonify or generate wrote. Prints the path of the new one.

    The models and the photo must be the same, by their SHA-256. A picture made with --exact comes out the
    same to the byte; another may differ by one grey level in a few bytes, on another computer.
    """
    from stylegan_toon.pipelines.replay import replay as again  # torch loads here, not for --help

    made = again(file, **options, device=common.device, report=common.report)
    same = (
        "every byte is the same"
        if not made.differing
        else f"{made.differing:.4%} of bytes differ, by {made.most}"
    )
    common.report(f"{made.path}: {same}{'' if made.most < 2 else ' at most'}")
    common.result(made.path)
    common.document({"path": str(made.path), "differing": made.differing, "most": made.most})
