"""`stylegan-toon convert`: other programs' models into this project's files."""

import click

from stylegan_toon.cli.common import Common, toon_command


@toon_command(
    "stylegan-toon convert 550000.pt ffhq.safetensors",
    "stylegan-toon convert cartoon.pt pretrained/ --half",
)
@click.argument("source", type=click.Path())
@click.argument("dest", type=click.Path())
@click.option("--half", is_flag=True, help="Store float16: half the size.")
@click.option(
    "--meta",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set an entry of the header, such as blend=3, a style's best K. Repeatable.",
)
def convert(common: Common, source: str, dest: str, half: bool, meta: tuple[str, ...]) -> None:
    """Write the networks in SOURCE to DEST, a safetensors file or a folder. Prints one path a line.

    SOURCE is told by its content, not its name; .pt files of rosinality's StyleGAN2 and of Cartoon-StyleGAN
    are read without running code from them. The discriminator goes into a file of its own beside DEST.
    """
    from stylegan_toon.pipelines.convert import convert as write  # torch loads here, not for --help

    entries: dict[str, object] = {}
    for entry in meta:
        key, equals, value = entry.partition("=")
        if not (key and equals):
            raise click.UsageError(f"--meta {entry!r} is not KEY=VALUE")
        entries[key] = int(value) if value.isdecimal() else value
    written = write(source, dest, half, entries)
    for path in written:
        common.result(path)
    common.document({"paths": [str(path) for path in written]})
