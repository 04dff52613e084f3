"""Codes of faces from wherever they come: seeds, photos, latent files; and the networks that draw them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_toon.errors import InputError, ModelError, UsageError, shown
from stylegan_toon.images import list_images
from stylegan_toon.methods.invert import STEPS
from stylegan_toon.pipelines.generate import PSI, parse_seeds, read_latents, seed_z
from stylegan_toon.pipelines.invert import Inverter
from stylegan_toon.pipelines.toonify import Toonifier
from stylegan_toon.stylegan2.blend import Recipe
from stylegan_toon.stylegan2.edits import is_child
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latent_files import SUFFIX, belongs, load_latents
from stylegan_toon.stylegan2.latents import truncate


@dataclass(frozen=True)
class Codes:
    """names: N, of files. w_plus: [N, L, D] of the source. z: [N, Z] where all are of seeds."""

    names: list[str]
    w_plus: Tensor
    z: Tensor | None = None


class Family:
    """A source and the styles that draw its codes, each with its own blend; or the source alone."""

    def __init__(
        self,
        source: str = "faces",
        styles: Sequence[str] = (),
        blend: int | Recipe | None = None,
        device: str = "auto",
        report: Callable[[str], None] = lambda text: None,
    ):
        """Load source and styles. Raises: as Toonifier."""
        toons = {name: Toonifier(name, source, blend, device, report) for name in styles}
        self._inverter = next(iter(toons.values())) if toons else Inverter(source, device, report)
        self.source, self.checkpoint = self._inverter.source, self._inverter.source_checkpoint
        self.source_name, self.report, self.files = source, report, self._inverter.files
        self.styles = {name: toon.cartoon for name, toon in toons.items()}
        self._children = {name: toon.style_checkpoint for name, toon in toons.items()}
        for name, toon in [*toons.items()][1:]:
            self.files[f"style {name}"] = toon.files["style"]

    @property
    def networks(self) -> dict[str, Generator]:
        """The styles, or the source if there are none, by their names."""
        return self.styles or {self.source_name: self.source}

    def check(self, meta: Mapping[str, Any], file: str | Path) -> None:
        """That codes or an edit with this meta are of the source, and its styles draw them.

        Raises: ModelError naming the file and the network.
        """
        if not belongs(meta, self.checkpoint):
            raise ModelError(
                f"{shown(file, 60)} was made with a generator of weights {meta['parent'][:8]}, and "
                f"{shown(self.source_name, 40)} is another; name it with --source"
            )
        for name, child in self._children.items():
            if not is_child(child, meta):
                raise ModelError(
                    f"{shown(file, 50)} is of {shown(self.source_name, 30)}, and {shown(name, 40)} is no "
                    "child of it: it learnt other codes; name another --style"
                )

    def gather(self, given: Sequence[str], psi: float | None = None, refine: int = 1) -> Codes:
        """The codes of seeds ("0-7,9"), photos, folders of photos, and latent files, in the order given.

        A name that is no list of seeds, or is a file, is a file. Of a photo the largest face is taken; of
        those of a folder that cannot be used report is told, and they are left out.
        Args:
            psi: truncation of seeds; None is generate's.
            refine: of photos, 0 to 3, as toonify_files.
        Raises: UsageError, InputError, ModelError.
        """
        if not given:
            raise UsageError("there are no faces to work on; give seeds such as 0-7, photos or latent files")
        parts = [self._one(text, psi, STEPS[refine]) for text in given]
        names, w_plus = [name for part in parts for name in part.names], torch.cat([p.w_plus for p in parts])
        z = [part.z for part in parts if part.z is not None]
        return Codes(_distinct(names), w_plus, torch.cat(z) if len(z) == len(parts) else None)

    def _one(self, text: str, psi: float | None, steps: int) -> Codes:
        path, g = Path(text), self.source
        if set(text) <= set("0123456789-, ") and not (len(text) < 256 and path.exists()):
            seeds = parse_seeds(text)
            z = seed_z(seeds, g.config.z_dim).to(g.w_mean)
            return Codes([f"seed{seed:04d}" for seed in seeds], self.mapped(z, psi), z)
        if path.name.endswith(".safetensors"):
            self.check(load_latents(path)[1], path)
            w_plus = read_latents(path, g)[1]
            stem = path.name.removesuffix(".safetensors").removesuffix(".latent")
            names = [stem] if len(w_plus) == 1 else [f"{stem}-{i + 1}" for i in range(len(w_plus))]
            return Codes(names, w_plus.to(g.w_mean))
        names, codes = [], []
        for file, relative in list_images([text]):
            try:
                square = self._inverter.crops(*self._inverter.faces_of(file, "largest"))
            except InputError as error:
                if file == path:
                    raise
                self.report(f"left out: {error}")
                continue
            codes.append(self._inverter.invert(square, steps).detach())
            names.append("-".join(relative.with_suffix("").parts))
        if not codes:
            raise InputError(f"no face found in the pictures of {shown(path)}; give other photos")
        return Codes(names, torch.cat(codes))

    def mapped(self, z: Tensor, psi: float | None = None) -> Tensor:
        """w_plus [N, L, D] of z [N, Z], truncated; psi None is generate's."""
        with torch.no_grad():
            return truncate(self.source.codes(z), self.source.centre(), PSI if psi is None else psi)

    def draw(self, w_plus: Tensor, g: Generator) -> Tensor:
        """Pictures [N, 3, R, R] on the CPU, drawn one at a time: equal codes, equal bits in any company."""
        with torch.inference_mode():
            drawn = [g.synthesis(one, "none")[-1].clamp(-1, 1).cpu() for one in w_plus.split(1)]
        return torch.cat(drawn)


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, a later one of the same name with a number."""
    taken: dict[str, None] = {}
    for name in names:
        count, free = 2, name
        while free in taken:
            free, count = f"{name}_{count}", count + 1
        taken[free] = None
    return [*taken]


def latent_path(path: str | Path) -> Path:
    """path, which has the ending of latent files now, whatever it had of it."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(".safetensors").removesuffix(".latent") + SUFFIX)
