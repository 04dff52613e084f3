"""`stylegan-toon finetune`: a face generator to a cartoon domain."""

from typing import TYPE_CHECKING, Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.presets import cartoon_stylegan, filled, parse_preset
from stylegan_toon.cli.targets import fit_to_target, target_options
from stylegan_toon.cli.training import (
    finish,
    gan_options,
    gan_settings,
    make_run,
    plan_lines,
    run_options,
)
from stylegan_toon.errors import UsageError

if TYPE_CHECKING:
    from stylegan_toon.pipelines.targets import Target

RAMP = 0.1  # of the pictures shown: the longest half-life of the average; a longer one shows the source


@toon_command(
    "stylegan-toon finetune --target my_drawings/",
    "stylegan-toon finetune --target my_drawings/ --freeze-sg 2 --freeze-d 2 --dry-run",
    "stylegan-toon finetune --target webtoon             (pictures in data/webtoon/; without, toonhead)",
    "stylegan-toon finetune --target storybook --steps 600 --blend 4",
    "stylegan-toon finetune --target my_drawings/ --start runs/my_other_drawings",
    "stylegan-toon finetune --target toonhead --inverted 4       (avatars: shapes are the style's own, too)",
)
@target_options()
@click.option(
    "--source", default="faces", show_default=True, help="A known name, a run or a file, D beside it."
)
@click.option(
    "--start",
    metavar="NAME|FILE",
    help="A style of the source to begin with, and its discriminator: few pictures then go further.",
)
@click.option("--out", type=click.Path(), help="The run folder. Default: runs/TARGET.")
@click.option(
    "--preset",
    metavar="NAME",
    help="cartoon-stylegan: that repository's training; :freezeG=N,... changes its numbers.",
)
@click.option(
    "--freeze-g",
    type=click.IntRange(0),
    metavar="N",
    help="Freeze the N lowest resolutions of the generator. Default: 1.",
)
@click.option(
    "--freeze-sg",
    type=click.IntRange(0),
    metavar="N",
    help="The same, and these N see the source's w, also where the mapping is trained.",
)
@click.option(
    "--freeze-mapping/--train-mapping",
    default=None,
    help="Frozen, every layer sees the source's w, and encoder and toonify fit the child: so it is by "
    "default. With --freeze-g or --freeze-sg it is trained unless --freeze-mapping.",
)
@click.option(
    "--freeze-d",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Freeze N blocks of the discriminator from the image side.",
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
    "--structure-of",
    type=click.Choice(["rgb", "features"]),
    default="rgb",
    show_default=True,
    help="Compare toRGB outputs, as in the paper, or the features from 8x8 up, as in its code.",
)
@click.option(
    "--l2sp",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="WEIGHT",
    help="Keep weights near the source's.",
)
@click.option(
    "--cdc",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="WEIGHT",
    help="Keep how pictures differ from each other as in the source.",
)
@click.option(
    "--identity",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="WEIGHT",
    help="Keep who a face is, by MobileFace.",
)
@click.option(
    "--low-pass",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="WEIGHT",
    help="Keep light and colours as the source's picture has them at a quarter of the size; with --blend of "
    "blended draws alone.",
)
@click.option(
    "--perceptual",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="WEIGHT",
    help="Keep what the face shows, by features of MobileFace (or LPIPS), of the same draws.",
)
@click.option(
    "--expression",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="WEIGHT",
    help="Keep how faces change by --edit, as the embedded text model sees it.",
)
@click.option(
    "--edit",
    "edits",
    multiple=True,
    metavar="NAME|FILE",
    help="A direction of the source that --expression goes by, again for more. Default: sad, angry, happy.",
)
@click.option(
    "--photo-codes",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="So many draws take codes as the encoder gives them for photos, which are tamer than random ones. "
    "Default: 0.75 where the encoder knows their spread, and the mapping is frozen.",
)
@click.option("--encoder", metavar="NAME|FILE", help="What --photo-codes goes by. Default: the source's.")
@click.option(
    "--codes",
    multiple=True,
    type=click.Path(),
    metavar="FILE|FOLDER",
    help="Latent files of photos (see invert), which --photo-codes takes instead; again for more. "
    "Default: of 60 portraits, where the encoder gives shifts, too.",
)
@click.option(
    "--adversarial",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    metavar="WEIGHT",
    help="What the discriminator says; 0 leaves it out, which is quick, and enough with good --pairs.",
)
@click.option(
    "--pairs",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="WEIGHT",
    help="The picture that is named as a file of --codes is the drawing of that photo; draw it so.",
)
@click.option(
    "--drawings",
    type=click.Path(),
    metavar="FOLDER|ZIP",
    help="Where --pairs finds them, squares cut as the photos were. Default: the target's pictures.",
)
@click.option(
    "--inverted",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="WEIGHT",
    help="Every picture is the drawing of the person whom the encoder sees in it: faces get the style's own "
    "shapes, as avatars. 4 is a start; the recipe is another then. Photos are those of --codes, if given.",
)
@click.option(
    "--moods",
    is_flag=True,
    help="With --inverted, or --pairs of codes without shifts: pictures whose names end in -happy, -sad or "
    "-angry are in that mood, and toonify draws it where a photo shows it.",
)
@click.option(
    "--portraits",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="WEIGHT",
    help="Keep the portraits that ship as they are, eyes and mouth most: as --pairs with themselves. Without "
    "--codes, where the encoder gives shifts.",
)
@click.option(
    "--blend",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="K",
    help="Every second draw takes the K lowest resolutions of the source: a strong style at --blend K.",
)
@click.option(
    "--finish",
    type=click.Choice(["paint", "cel", "comic", "flat", "ink"]),
    default="paint",
    help="What toonify makes of its pictures: strokes alone, or tones and lines as well. Default: as the "
    "pictures of --target are drawn.",
)
@click.option(
    "--eyes",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="How much larger toonify makes the eyes in this style. Default: 0.4 with a finish, "
    "unless shapes are the style's own; else 0.",
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
@click.option("--dry-run", is_flag=True, help="Only say what would be done, and train nothing.")
@gan_options(lr=0.002, ema=1500, ada_images=100_000)
@run_options(steps=500, batch=8, look=100)
@fit_to_target
def finetune(
    common: Common,
    target: "Target",
    source: str,
    out: str,
    preset: str | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Fine-tune a face generator to a cartoon domain with FreezeSG, a structure loss and ADA.

    Options that are not given fit the number of pictures (docs/targets.md). Afterwards `stylegan-toon
    toonify --style TARGET` finds the style in runs/TARGET, and report.html there says how it went.
    """
    given = parse_preset(preset) if preset else None
    if given:
        options = filled(options, cartoon_stylegan(given, options["batch"]))
    freeze_g, freeze_sg = options["freeze_g"], options["freeze_sg"]
    mapping = options["freeze_mapping"]
    if mapping is None:
        mapping = options["train"] != "all" or (freeze_g is None and freeze_sg is None)
    if freeze_g is None:
        freeze_g = 1 if freeze_sg is None else freeze_sg
    if freeze_sg and mapping:
        common.report(
            "with --freeze-mapping every layer sees the source's w: "
            f"--freeze-sg {freeze_sg} does what --freeze-g {freeze_sg} does"
        )
    if given and given["freezeG"] > 0 and given["freezeStyle"] > 0:
        common.report("freezeStyle changes nothing beside freezeG, which freezes the mapping")
    if options["drawings"] and not (options["pairs"] and options["codes"]):
        raise UsageError("--drawings is what --pairs goes by; give --pairs 10 and --codes FOLDER as well")
    if options["inverted"] and options["pairs"]:
        raise UsageError("--inverted makes its own pairs; leave --pairs out")
    if options["edits"] and not options["expression"]:
        raise UsageError("--edit is what --expression goes by; give --expression 1 as well")
    from stylegan_toon.methods.freezesg import Config
    from stylegan_toon.pipelines.finetune import Task, finetune_generator, plan_finetuning

    method = Config(
        **gan_settings(options),
        ema_ramp=0.0 if preset else RAMP,
        ada_p=options["ada_p"],
        freeze_mapping=mapping,
        freeze_g=freeze_g if freeze_g < 0 else max(freeze_g, freeze_sg or 0),
        freeze_sg=freeze_sg or 0,
        freeze_d=options["freeze_d"],
        structure_layers=options["structure_layers"],
        structure_of=options["structure_of"],
        structure_weight=options["structure"],
        l2sp_weight=options["l2sp"],
        cdc_weight=options["cdc"],
        identity_weight=options["identity"],
        lowpass_weight=options["low_pass"],
        perceptual_weight=options["perceptual"],
        expression_weight=options["expression"],
        adversarial_weight=options["adversarial"],
        pairs_weight=options["pairs"],
        photo_codes=-1.0 if options["photo_codes"] is None else options["photo_codes"],
        blend=options["blend"],
        train=options["train"],
        rank=options["rank"],
    )
    run = make_run(common, out, options)
    named = {
        name: options[name]
        for name in (
            "start",
            "encoder",
            "codes",
            "drawings",
            "inverted",
            "moods",
            "portraits",
            "edits",
            "finish",
            "eyes",
            "exclude",
            "mirror",
        )
    }
    task = Task(target, source, device=common.device, **named)
    if dry_run:
        plan = plan_finetuning(task, run, method, common.report)
        for line in plan_lines(plan):
            common.result(line)
        common.document(plan)
        return
    finish(common, finetune_generator(task, run, method, common.report, options["tensorboard"]))
