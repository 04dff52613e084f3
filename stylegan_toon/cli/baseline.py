"""`stylegan-toon baseline`: the other roads from photo to cartoon, trained and run."""

from pathlib import Path
from typing import Any

import click

from stylegan_toon.cli.common import Common, toon_command
from stylegan_toon.cli.training import make_run, plan_lines, run_options
from stylegan_toon.errors import InputError, UsageError

EPILOG = """\b
Examples:
  stylegan-toon baseline train cyclegan --photos photos/ --cartoons cartoons.zip
  stylegan-toon baseline run cyclegan me.jpg --weights runs/cyclegan"""
# A method is called as its file is; the files are not imported for that.
FILES = Path(__file__).parents[1].glob("methods/i2i/[a-z]*.py")
NAMES = sorted(file.stem.replace("_", "-") for file in FILES)


@click.group(epilog=EPILOG, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
def baseline() -> None:
    """Train and run other methods from picture to picture, to compare with (docs/baselines.md)."""


class Setting(click.ParamType):
    """KEY=VALUE, as a pair."""

    name = "KEY=VALUE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        key, equals, text = str(value).partition("=")
        if not (key and equals and text):
            self.fail(f"{str(value)[:60]!r} is not KEY=VALUE", param, ctx)
        return key.replace("-", "_"), text


@toon_command(
    "stylegan-toon baseline train cyclegan --photos photos/ --cartoons toons.zip --size 64 --steps 2000",
    "stylegan-toon baseline train cyclegan --photos a/ --cartoons b/ --preset paper --sweep lr=2e-4,8e-4",
)
@click.argument("name", metavar="NAME", type=click.Choice(NAMES))
@click.option("--photos", type=click.Path(), metavar="FOLDER|ZIP", help="Pictures to translate from.")
@click.option("--cartoons", type=click.Path(), metavar="FOLDER|ZIP", help="Pictures to translate to.")
@click.option(
    "--pairs", type=click.Path(), metavar="FOLDER|ZIP", help="Instead, with photo/ and toon/ in it (pix2pix)."
)
@click.option("--out", type=click.Path(), help="The run folder. Default: runs/NAME.")
@click.option(
    "--preset", default="small", show_default=True, help="small, paper, or another of the method's own."
)
@click.option("--size", type=click.IntRange(16, 1024), help="Pixels. Default: the preset's.")
@click.option(
    "--set", "changes", multiple=True, type=Setting(), help="Change any setting of the method. Repeatable."
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    type=Setting(),
    metavar="KEY=V1,V2,...",
    help="A run for each value of a setting, or of preset, in a folder of its own. Repeatable.",
)
@click.option(
    "--vgg",
    type=click.Path(),
    metavar="FILE",
    help="VGG19 for feature losses (torchvision's or Gatys' file). Default: MobileFace stands in.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and end.")
@run_options(steps=None, batch=None)
def train(
    common: Common,
    name: str,
    preset: str,
    size: int | None,
    changes: tuple[tuple[str, str], ...],
    sweeps: tuple[tuple[str, str], ...],
    dry_run: bool,
    out: str,
    **options: Any,
) -> None:
    """Train the method NAME from photos to cartoons.

    The run folder holds samples/ (photo | cartoon, and back where there is a way back), log.jsonl, state/
    and last.safetensors, which `baseline run` takes. The same command goes on where a run stopped. Without
    --steps a run is as long as the schedule of its settings.
    """
    from stylegan_toon.pipelines.baseline import plan_baseline, settings, train_baseline
    from stylegan_toon.pipelines.domains import Sources
    from stylegan_toon.pipelines.sweep import sweep_baseline

    given = dict(changes)
    for key, value in (("size", size), ("batch", options["batch"])):
        if value is not None:
            if key in given:
                raise UsageError(f"--{key} and --set {key}=... say the same twice; give one")
            given[key] = str(value)
    places = ("photos", "cartoons", "pairs", "exclude", "mirror")
    sources = Sources(**{key: options[key] for key in places})
    run = make_run(common, out, options | {"steps": options["steps"] or 0})
    more = (sources, run, common.device, options["vgg"], common.report)
    if dry_run:
        if sweeps:
            raise UsageError("--dry-run tells of one run; leave --sweep out")
        plan = plan_baseline(name, settings(name, preset, given), *more)
        for line in plan_lines(plan):
            common.result(line)
        common.document(plan)
        return
    if sweeps:
        table = sweep_baseline(name, preset, given, sweeps, *more)
        common.result(run.out / "sweep.csv")
        common.document({"run": out, "table": str(run.out / "sweep.csv"), "runs": table})
        return
    train_baseline(name, settings(name, preset, given), *more)
    common.result(run.out / "last.safetensors")
    common.document({"run": out, "models": [str(run.out / "last.safetensors")]})


@toon_command(
    "stylegan-toon baseline run cyclegan me.jpg --weights runs/cyclegan",
    "stylegan-toon baseline run cyclegan holiday/ --weights latest_net_G_A.pth --out cartoons",
)
@click.argument("name", metavar="NAME", type=click.Choice(NAMES))
@click.argument("photos", nargs=-1, required=True, type=click.Path())
@click.option(
    "--weights", required=True, type=click.Path(), metavar="FILE|RUN", help="A run, or a file of weights."
)
@click.option("--out", type=click.Path(), default="out", show_default=True, help="Folder for the results.")
@click.option(
    "--max-size",
    "most",
    type=click.IntRange(16),
    default=1024,
    show_default=True,
    help="Longer edges are brought to it for the network, and the result back.",
)
@click.option("--metadata/--no-metadata", default=True, help="Write into every PNG how it was made, or not.")
def run(common: Common, **options: Any) -> None:
    """Translate PHOTOS, pictures or folders of them, with the method NAME; each result has its photo's size.

    Weights are those of `baseline train`, or a file of the original's own (docs/baselines.md). Prints one
    path a line.
    """
    from stylegan_toon.pipelines.translate import translate_files

    results: list[dict[str, object]] = []
    failed: list[str] = []
    for one in translate_files(**options, device=common.device, report=common.report):
        if one.error:
            common.problem(one.error)
            failed.append(one.error)
        else:
            common.result(one.path)
        entry = {"photo": str(one.photo), "path": one.path and str(one.path), "error": one.error}
        results.append({**entry, "seconds": round(one.seconds, 3)})
    paths = [entry["path"] for entry in results if entry["path"]]
    common.document({"paths": paths, "errors": failed, "results": results})
    if failed:
        raise InputError(f"{len(failed)} of {len(failed) + len(paths)} inputs failed; the others are written")


baseline.add_command(train)
baseline.add_command(run)
