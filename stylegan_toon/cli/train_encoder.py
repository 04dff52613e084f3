"""`stylegan-toon train-encoder`: train the photo encoder."""

from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.training import make_run, run_options
from stylegan_toon.errors import UsageError


def weight(name: str, default: float, of: str) -> Any:
    """An option for the weight of a loss."""
    return click.option(
        f"--{name}", type=click.FloatRange(0), default=default, show_default=True, help=f"Weight of {of}."
    )


@toon_command(
    "stylegan-toon train-encoder photos.zip --source runs/faces-128 --out runs/encoder",
    "stylegan-toon train-encoder photos.zip --source ffhq-256 --out runs/ffhq-encoder",
    "stylegan-toon train-encoder photos.zip --shift --start runs/encoder --batch 8 --out runs/shift",
    "stylegan-toon train-encoder photos.zip --fine-shift --start runs/shift --batch 8 --out runs/fine",
)
@click.argument("data", nargs=-1, required=True, type=click.Path())
@click.option("--source", default="faces", show_default=True, help="The generator: a name, a run or a file.")
@click.option("--start", metavar="NAME|RUN|FILE", help="Go on from an encoder, of another source, too.")
@click.option(
    "--shift",
    is_flag=True,
    help="Codes stay as they are; train a head for the shift of features, by the loss of invert. Weights "
    "below do not count.",
)
@click.option(
    "--fine-shift",
    is_flag=True,
    help="As --shift, a head for the two resolutions above, of an encoder that has the other head.",
)
@click.option("--out", required=True, type=click.Path(), help="The run folder.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=0.001, show_default=True)
@weight("pixel", 2.0, "the pixel loss")
@click.option(
    "--parts",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    help="How much more eyes, brows and mouth count in it.",
)
@weight("feature", 1.0, "the loss of discriminator features")
@weight("identity", 0.5, "the identity loss")
@weight("latent", 0.5, "the known codes of drawn pictures")
@weight("offset", 0.2, "staying near W")
@run_options(steps=3000, look=250)
def train_encoder(
    common: Common,
    data: tuple[str, ...],
    source: str,
    start: str | None,
    shift: bool,
    fine_shift: bool,
    out: str,
    lr: float,
    **options: Any,
) -> None:
    """Train the encoder that turns aligned photos into w_plus codes, on the photos of DATA.

    Half of each batch are photos, half are pictures of the generator, whose codes are known. Any generator
    will do; beside a file X.safetensors the result is looked for as X.encoder.safetensors.
    """
    from stylegan_toon.methods.encoder import Config
    from stylegan_toon.methods.shift import Config as ShiftConfig
    from stylegan_toon.pipelines.train_encoder import train_encoder as train
    from stylegan_toon.pipelines.train_encoder import train_shift

    weights = {
        f"{name}_weight": options[name] for name in ("pixel", "feature", "identity", "latent", "offset")
    }
    method = Config(batch=options["batch"], lr=lr, parts=options["parts"], **weights)
    run = make_run(common, out, options)
    more = (start, options["exclude"], options["mirror"], common.device)
    if shift and fine_shift:
        raise UsageError("--shift and --fine-shift train two heads, one after the other; give one of them")
    if shift or fine_shift:
        folder = train_shift(data, source, run, ShiftConfig(options["batch"], lr), *more, fine_shift)
    else:
        folder = train(data, source, run, method, *more, common.report)
    common.result(folder / "last.encoder.safetensors")
    common.document({"run": str(folder), "models": [str(folder / "last.encoder.safetensors")]})
