"""`stylegan-toon bench`: how fast it is here, alone or beside others."""

from importlib import import_module
from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.errors import UsageError

BENCHES = ("generator", "train", "ops", "toonify")  # each is a module of pipelines, bench_NAME


@toon_command(
    "stylegan-toon bench generator",
    "stylegan-toon bench generator --resolution 64 --batch 8 --json > generator.json",
    "stylegan-toon bench generator --peer rosinality=../stylegan2-pytorch --peer stylegan3=../stylegan3",
    "stylegan-toon bench train --resolution 64 --batch 8",
    "stylegan-toon bench ops --device cpu",
    "stylegan-toon bench toonify --resolution 2048",
)
@click.argument("what", metavar="|".join(BENCHES), type=click.Choice(BENCHES))
@click.option(
    "--resolution", type=click.IntRange(8, 4096), metavar="R",
    help="Edge of the pictures. Default: 256; of train, and of ops on a CPU, 64; of toonify 1024.",
)  # fmt: skip
@click.option(
    "--batch", type=click.IntRange(1), metavar="B",
    help="Pictures at a time. Default: 1; of train 8, of ops 16, on a GPU 8.",
)  # fmt: skip
@click.option(
    "--peer", "peers", multiple=True, metavar="NAME=PATH",
    help="Run a checkout of rosinality's stylegan2-pytorch (rosinality=PATH) or NVIDIA's stylegan3 "
    "(stylegan3=PATH), too, in turn and on the same numbers. Its code is run.",
)  # fmt: skip
@click.option(
    "--rounds", type=click.IntRange(1), default=5, show_default=True, help="Figures are medians of them."
)
@click.option(
    "--slopes", is_flag=True,
    help="Also how time grows: of generator with batch and resolution, of toonify with the faces in a photo.",
)  # fmt: skip
@click.option(
    "--compile", "compiled", is_flag=True,
    help="Of generator: also as torch.compile makes it, which takes minutes.",
)  # fmt: skip
def bench(common: Common, what: str, compiled: bool, **options: Any) -> None:
    """Measure speed and memory, and print a table.

    generator draws; train takes the steps of training, phase by phase; ops are the two operators under both;
    toonify is a photo of one face, stage by stage, and several.
    """
    if compiled:
        if what != "generator":
            raise UsageError(f"bench {what} compiles nothing; --compile goes with generator")
        options["compiled"] = True
    module = import_module(f"stylegan_toon.pipelines.bench.{what}")  # torch loads here, not for --help
    report = module.bench(device=common.device, seed=common.seed, **options)
    for line in module.as_text(report):
        common.result(line)
    common.document(report)
