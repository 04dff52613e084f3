"""`stylegan-toon finetune`: a face generator to a cartoon domain."""

from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.training import finish, make_run, run_options


@toon_command(
    "stylegan-toon finetune --target my_drawings/ --steps 600",
    "stylegan-toon finetune --target webtoon             (pictures in data/webtoon/ or data/webtoon.zip)",
)
@click.option("--target", required=True, help="The cartoons: a folder, a ZIP, or a name under data/.")
@click.option(
    "--source", default="faces", show_default=True, help="A known name, a run or a file, D beside it."
)
@click.option("--out", type=click.Path(), help="The run folder. Default: runs/TARGET.")
@click.option(
    "--freeze-g",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    metavar="N",
    help="Freeze the N lowest resolutions of the generator.",
)
@click.option(
    "--freeze-mapping/--train-mapping",
    default=True,
    show_default=True,
    help="Frozen, every style layer sees the source's w and codes stay interchangeable.",
)
@click.option(
    "--structure-layers",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    metavar="N",
    help="Compare the N lowest toRGB outputs with the source's; 0 is off.",
)
@click.option(
    "--structure", type=click.FloatRange(0), default=1.0, show_default=True, help="Weight of that loss."
)
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=0.002, show_default=True)
@click.option(
    "--r1", type=click.FloatRange(0), help="Weight of R1. Default: 0.4 at 64 px, in proportion to the size."
)
@click.option(
    "--ada-p", type=click.FloatRange(0, 1), default=0.2, show_default=True, help="Where ADA starts."
)
@click.option("--ada-target", type=click.FloatRange(0, 1), default=0.6, show_default=True, help="0 holds p.")
@click.option(
    "--ema", type=click.FloatRange(1), default=1500, show_default=True, help="Half-life in pictures."
)
@run_options(steps=750, look=125)
def finetune(
    common: Common,
    target: str,
    source: str,
    out: str | None,
    freeze_g: int,
    freeze_mapping: bool,
    structure_layers: int,
    structure: float,
    lr: float,
    r1: float | None,
    ada_p: float,
    ada_target: float,
    ema: float,
    batch: int,
    exclude: tuple[str, ...],
    mirror: bool,
    **loop: Any,
) -> None:
    """Fine-tune a face generator to a cartoon domain with FreezeSG, a structure loss and ADA.

    Afterwards `stylegan-toon toonify --style TARGET` finds it in runs/TARGET.
    """
    from pathlib import Path

    from stylegan_toon.methods.freezesg import Config
    from stylegan_toon.pipelines.finetune import finetune_generator

    method = Config(
        batch=batch,
        lr=lr,
        noise_lr=0.0,
        r1_weight=-1.0 if r1 is None else r1,
        path_weight=0.0,
        mixing=0.5,
        ema_images=ema,
        ema_ramp=0.0,
        ada_p=ada_p,
        ada_target=ada_target,
        ada_images=100_000,
        freeze_mapping=freeze_mapping,
        freeze_g=freeze_g,
        structure_layers=structure_layers,
        structure_weight=structure,
    )
    run = make_run(common, out or f"runs/{Path(target).stem}", **loop)
    finish(common, finetune_generator(target, source, run, method, exclude, mirror, common.device))
