"""`stylegan-toon encode`: train the photo encoder."""

from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.training import make_run, run_options


@toon_command("stylegan-toon encode photos.zip --source runs/faces-128 --out runs/encoder")
@click.argument("data", nargs=-1, required=True, type=click.Path())
@click.option(
    "--source", default="faces", show_default=True, help="The generator: a known name, a run or a file."
)
@click.option("--out", required=True, type=click.Path(), help="The run folder.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=0.001, show_default=True)
@click.option(
    "--pixel", type=click.FloatRange(0), default=1.0, show_default=True, help="Weight of the pixel loss."
)
@click.option(
    "--feature", type=click.FloatRange(0), default=0.5, show_default=True, help="Of discriminator features."
)
@click.option(
    "--identity", type=click.FloatRange(0), default=0.5, show_default=True, help="Of the face embedding."
)
@click.option("--latent", type=click.FloatRange(0), default=1.0, show_default=True, help="Of known codes.")
@click.option("--offset", type=click.FloatRange(0), default=0.2, show_default=True, help="Of staying near W.")
@run_options(steps=3000, look=250)
def encode(
    common: Common,
    data: tuple[str, ...],
    source: str,
    out: str,
    lr: float,
    pixel: float,
    feature: float,
    identity: float,
    latent: float,
    offset: float,
    batch: int,
    exclude: tuple[str, ...],
    mirror: bool,
    **loop: Any,
) -> None:
    """Train the encoder that turns aligned photos into w_plus codes, on the photos of DATA.

    Half of each batch are photos, half are pictures of the generator, whose codes are known.
    """
    from stylegan_toon.methods.encoder import Config
    from stylegan_toon.pipelines.encode import train_encoder

    method = Config(
        batch=batch,
        lr=lr,
        pixel_weight=pixel,
        feature_weight=feature,
        identity_weight=identity,
        latent_weight=latent,
        offset_weight=offset,
    )
    run = make_run(common, out, **loop)
    folder = train_encoder(data, source, run, method, exclude, mirror, common.device)
    common.result(folder / "last.encoder.safetensors")
    common.document({"run": str(folder), "models": [str(folder / "last.encoder.safetensors")]})
