"""`stylegan-toon convert`: other programs' models into this project's files, and back."""

import re

import click

from stylegan_toon.cli.common import Common, toon_command


@toon_command(
    "stylegan-toon convert 550000.pt ffhq.safetensors",
    "stylegan-toon convert network-snapshot-000500.pkl pretrained/ --half",
    "stylegan-toon convert storybook.safetensors storybook.pt --to rosinality",
    "stylegan-toon convert pretrained/clip-faces.safetensors clip-faces.pt --to clip",
)
@click.argument("source", type=click.Path())
@click.argument("dest", type=click.Path())
@click.option("--half", is_flag=True, help="Store float16: half the size.")
@click.option("--no-noise", is_flag=True, help="Set the generator's noise strengths to 0: smoother pictures.")
@click.option(
    "--meta",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set an entry of the header, such as blend=3, a style's best K. Repeatable.",
)
@click.option(
    "--to",
    type=click.Choice(["stylegan-toon", "style", "rosinality", "clip"]),
    default="stylegan-toon",
    show_default=True,
    help="Write whole networks, a style file as it is, or one .pt for rosinality's programs or clip.load.",
)
def convert(
    common: Common, source: str, dest: str, half: bool, no_noise: bool, meta: tuple[str, ...], to: str
) -> None:
    """Write the networks in SOURCE to DEST, a file or a folder. Prints one path a line.

    SOURCE is told by its content, not its name: .pt files of rosinality's StyleGAN2, Cartoon-StyleGAN, e4e
    and pSp and .pkl files of NVIDIA's StyleGAN2 are read without running code from them. Discriminator and
    encoder go into files of their own beside DEST. A style file becomes a whole generator, unless --to style.
    """
    from stylegan_toon.pipelines.convert import convert as write  # torch loads here, not for --help

    entries: dict[str, object] = {}
    for entry in meta:
        key, equals, value = entry.partition("=")
        if not (key and equals):
            raise click.UsageError(f"--meta {entry!r} is not KEY=VALUE")
        entries[key] = number(value)
    written = write(source, dest, half, entries, to, common.report, no_noise)
    for path in written:
        common.result(path)
    common.document({"paths": [str(path) for path in written]})


def number(text: str) -> int | float | str:
    """text as a number, if it is plainly one, such as 3 or 0.4."""
    if text.isascii() and text.isdecimal():
        return int(text)
    return float(text) if re.fullmatch(r"\d+\.\d+", text, re.ASCII) else text
