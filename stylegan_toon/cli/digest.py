"""`stylegan-toon digest`: whether two runs are equal to the bit."""

from pathlib import Path

import click

from stylegan_toon.cli.common import Common, toon_command


@toon_command("stylegan-toon digest runs/faces-64", "stylegan-toon digest runs/faces-64 --json")
@click.argument("run", type=click.Path())
def digest(common: Common, run: str) -> None:
    """Print the SHA-256 of the last full state of RUN, a run folder or a file in its state/.

    It covers the step and every tensor: networks, average, optimisers and what else a step remembers. Runs
    that are equal to the bit have equal digests, wherever and whenever they were made.
    """
    from stylegan_toon.checkpoint.format import TRAIN_STATE, load
    from stylegan_toon.training.state import open_newest, state_digest

    if Path(run).is_dir():
        path, state, passed = open_newest(Path(run))
        for line in passed:
            common.problem(line)
    else:
        path, state = Path(run), load(run, TRAIN_STATE)
    total = state_digest(state)
    common.report(f"step {state.meta['step']}, {path}")
    common.result(total)
    common.document({"run": run, "state": str(path), "step": state.meta["step"], "digest": total})
