"""`stylegan-toon finetune`: a face generator to a cartoon domain."""

from typing import TYPE_CHECKING, Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.targets import fit_to_target, target_options
from stylegan_toon.cli.training import finish, gan_options, gan_settings, make_run, run_options

if TYPE_CHECKING:
    from stylegan_toon.pipelines.targets import Target


@toon_command(
    "stylegan-toon finetune --target my_drawings/",
    "stylegan-toon finetune --target webtoon             (pictures in data/webtoon/; without, toonhead)",
    "stylegan-toon finetune --target storybook --steps 600 --blend 4",
)
@target_options()
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
    "--ada-p", type=click.FloatRange(0, 1), default=0.2, show_default=True, help="Where ADA starts."
)
@gan_options(lr=0.002, ema=1500, ada_images=100_000)
@run_options(steps=500, look=100)
@fit_to_target
def finetune(
    common: Common,
    target: "Target",
    source: str,
    out: str,
    freeze_g: int,
    freeze_mapping: bool,
    structure_layers: int,
    structure: float,
    blend: int,
    ada_p: float,
    **options: Any,
) -> None:
    """Fine-tune a face generator to a cartoon domain with FreezeSG, a structure loss and ADA.

    Fewer than 300 pictures change defaults that are not given (docs/targets.md). Afterwards `stylegan-toon
    toonify --style TARGET` finds the style in runs/TARGET, and report.html there says how it went.
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
    )
    run = make_run(common, out, options)
    folder = finetune_generator(
        target,
        source,
        run,
        method,
        options["exclude"],
        options["mirror"],
        common.device,
        options["tensorboard"],
        common.report,
    )
    finish(common, folder)
