"""`stylegan-toon finetune`: a face generator to a cartoon domain."""

from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.training import finish, gan_options, gan_settings, make_run, run_options


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
@click.option("--structure", type=click.FloatRange(0), default=1.0, show_default=True, help="Its weight.")
@click.option(
    "--blend",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="K",
    help="Every second draw takes the K lowest resolutions of the source: a strong style at --blend K.",
)
@click.option(
    "--train",
    type=click.Choice(["all", "offsets", "lora"]),
    default="all",
    show_default=True,
    help="All of the generator, or a style file: offsets of its biases alone, or with a LoRA.",
)
@click.option(
    "--rank",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    metavar="R",
    help="Of the LoRA: file and freedom grow with it.",
)
@click.option(
    "--ada-p", type=click.FloatRange(0, 1), default=0.2, show_default=True, help="Where ADA starts."
)
@gan_options(lr=0.002, ema=1500, ada_images=100_000)
@run_options(steps=750, look=125)
def finetune(
    common: Common,
    target: str,
    source: str,
    out: str,
    freeze_g: int,
    freeze_mapping: bool,
    structure_layers: int,
    structure: float,
    blend: int,
    train: str,
    rank: int,
    ada_p: float,
    **options: Any,
) -> None:
    """Fine-tune a face generator to a cartoon domain with FreezeSG, a structure loss and ADA.

    Afterwards `stylegan-toon toonify --style TARGET` finds it in runs/TARGET.
    """
    from stylegan_toon.methods.freezesg import Config
    from stylegan_toon.pipelines.finetune import finetune_generator

    method = Config(
        **gan_settings(options),
        ema_ramp=0.0,
        ada_p=ada_p,
        freeze_mapping=freeze_mapping,
        freeze_g=freeze_g,
        structure_layers=structure_layers,
        structure_weight=structure,
        blend=blend,
        train=train,
        rank=rank,
    )
    run = make_run(common, out, options)
    folder = finetune_generator(
        target, source, run, method, options["exclude"], options["mirror"], common.device
    )
    finish(common, folder)
