"""The log of a run as TensorBoard reads it: RUN/tensorboard. The package tensorboard is an extra."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_toon.errors import MissingPartError
from stylegan_toon.images import load_image
from stylegan_toon.training.log import entries

INSTALL = "pip install 'stylegan-toon[tensorboard]'"


class Events:
    """Writes what RUN/log.jsonl says, and the grids, at every look.

    Where a run goes on, all of its log is written anew, and TensorBoard drops what was there before.
    Raises: MissingPartError where the package is not installed.
    """

    def __init__(self, out: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingPartError(f"--tensorboard needs the package tensorboard; {INSTALL}") from None
        self.out, self.seen = out, -1
        open_writer: Any = SummaryWriter
        self.writer = open_writer(str(out / "tensorboard"), purge_step=0)

    def look(self, step: int, figures: Mapping[str, float]) -> None:
        """Write what the log holds up to a look, whose own line comes after it, and the look's figures."""
        for entry in [*entries(self.out), {**figures, "step": step}]:
            if entry["step"] > self.seen:
                self._write(entry)
        self.seen = step
        self.writer.flush()

    def _write(self, entry: Mapping[str, Any]) -> None:
        for name, value in entry.items():
            if name != "step" and isinstance(value, int | float):
                self.writer.add_scalar(name, value, entry["step"])
        picture = self.out / "samples" / f"{entry['step']:07d}.png"
        if "rate" not in entry and picture.is_file():
            grid = np.asarray(load_image(picture))
            self.writer.add_image("samples", grid, entry["step"], dataformats="HWC")
