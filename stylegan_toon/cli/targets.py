"""What `finetune` makes of --target: its pictures are gathered, and options not given fit their number."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from stylegan_toon.cli.common import Common
from stylegan_toon.cli.training import Decorator, together

FREEZING = {"freeze_g", "freeze_sg", "freeze_mapping"}  # who gives one decides about all


def target_options() -> Decorator:
    """--target and what belongs to it; read by fit_to_target."""
    what = "A folder or ZIP of pictures, or a name: webtoon, metfaces, disney, romance101, truebeauty "
    what += "(pictures in data/NAME/), storybook, avatar, toonhead, ink, comic (these ship)."
    strict = "End with 4 where the pictures of a name are not there; else another set stands in."
    patience = "End when KID has not fallen for N looks; 0 never does."
    board = "Write RUN/tensorboard, too (needs the extra tensorboard)."
    return together(
        [
            click.option("--target", required=True, help=what),
            click.option("--strict-target", is_flag=True, help=strict),
            click.option(
                "--patience",
                type=click.IntRange(0),
                default=4,
                show_default=True,
                metavar="N",
                help=patience,
            ),
            click.option("--tensorboard", is_flag=True, help=board),
        ]
    )


def fit_to_target(function: Callable[..., None]) -> Callable[..., None]:
    """Give the command the Target whose path holds its pictures, and the recipe's options; below run_options.

    What was given on the command line or by an environment variable stays.
    """

    @functools.wraps(function)
    def fitted(common: Common, **given: Any) -> None:
        from stylegan_toon.paths import sample_file
        from stylegan_toon.pipelines.targets import EYES, FINISHES, KEPT, own_shapes, recipe, resolve

        target = resolve(given["target"], given["strict_target"])
        if target.note:
            common.report(target.note)
        from stylegan_toon.pipelines.own import gather
        from stylegan_toon.training import ranks

        out, source, anew = Path(given["out"]), given["source"], given["resume"] == "never"
        dry = bool(given.get("dry_run"))  # writes nothing, so own folders are counted as they are
        with ranks.first():
            found = gather(
                replace(target, own=False) if dry else target,
                out,
                source,
                given["exclude"],
                anew and not ranks.rank(),
                common.problem,
                common.quiet,
            )
        kind, numbers = recipe(found.number, found.resolutions)
        ships = target.path == sample_file(target.name)
        finish = FINISHES.get(target.name, found.finish) if ships else found.finish
        settings: dict[str, Any] = dict(numbers)
        if finish != "paint":
            settings |= {"finish": finish, "eyes": EYES}
        shaped = given["inverted"] or given["moods"]
        if shaped:
            kind, whole = "shapes of its own", given["train"] == "all"
            settings = own_shapes(found.number, finish, source if whole else "")
        context = click.get_current_context()
        ours = (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
        own = {name for name in given if context.get_parameter_source(name) not in ours}
        taken = {} if "preset" in own else {name: v for name, v in settings.items() if name not in own}
        if own & FREEZING:
            taken = {name: value for name, value in taken.items() if name not in ("freeze_g", "blend")}
        if not taken.get("blend") or "pairs" in own:  # kept is what is blended; drawings say it themselves
            taken = {name: value for name, value in taken.items() if name not in KEPT}
        words = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in taken.items())
        same_codes = shaped and not own & {"freeze_mapping", "preset"}  # drawn from those of the source
        if "freeze_g" in taken or same_codes:
            taken["freeze_mapping"] = True
            words += " --freeze-mapping"
        common.report(f"{found.said}; {kind}: {words or 'the options as they are'}")
        if kind in ("few", "some") and taken.get("finish"):
            common.report("few drawings change a photo little; --inverted 4 takes their shapes, too: avatars")
        left_out = () if target.own and not dry else given["exclude"]
        more = {"target": replace(target, path=found.path), "exclude": left_out}
        function(common, **given | taken | more)

    return fitted
