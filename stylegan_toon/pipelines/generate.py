"""Draw pictures from a generator: from seeds, or from latents in a file."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan_toon.checkpoint.format import Checkpoint, read_regular
from stylegan_toon.errors import InputError, ModelError, UsageError, shown
from stylegan_toon.exact import double, normal
from stylegan_toon.files import write_aside
from stylegan_toon.images import grid, save_png
from stylegan_toon.metadata import chunks, file_entry, model_entry
from stylegan_toon.pipelines.models import load_network
from stylegan_toon.stylegan2.edits import is_child
from stylegan_toon.stylegan2.files import build_generator, generator_checkpoint
from stylegan_toon.stylegan2.generator import NOISE_MODES, Generator
from stylegan_toon.stylegan2.latent_files import load_latents, load_shift
from stylegan_toon.stylegan2.latents import truncate

PSI = 0.7  # for seeds; latents from a file are used as they are unless psi is given
MAX_SEEDS = 100_000
GRID = 64  # pictures in grid.png
NOISE_OFFSET = 1 << 32  # above every seed, so that a picture's noise is not its z


def parse_seeds(text: str) -> list[int]:
    """ "0-7,9" -> [0, 1, ..., 7, 9]: seeds and ranges, in the order given, each 0 to 2^32 - 1.

    Raises: UsageError for anything else.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})\s*(?:-\s*(\d{1,10}))?\s*", part, re.ASCII)
        if not match:
            raise UsageError(f"seeds {text[:40]!r} are not numbers and ranges such as 0-7,9")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last >= NOISE_OFFSET:
            raise UsageError(f"seeds {part.strip()!r} are no range upwards within 0-{NOISE_OFFSET - 1}")
        if len(seeds) + last - first >= MAX_SEEDS:
            raise UsageError(f"seeds {text[:40]!r} are more than {MAX_SEEDS}; draw them in parts")
        seeds.extend(range(first, last + 1))
    return seeds


def seed_z(seeds: Sequence[int], z_dim: int, exact: bool = False) -> Tensor:
    """z [N, Z], row i drawn from seed i alone: a seed gives the same z in any company. exact: in float64."""
    return torch.stack([normal([z_dim], torch.Generator().manual_seed(seed), exact) for seed in seeds])


def seed_noise(seeds: Sequence[int], resolution: int, exact: bool = False) -> list[Tensor]:
    """Noise for every layer, [N, 1, r, r] each, row i drawn from seed i alone."""
    draws = [torch.Generator().manual_seed(seed + NOISE_OFFSET) for seed in seeds]
    sizes = [4] + [2**k for k in range(3, resolution.bit_length()) for _ in "01"]
    return [torch.cat([normal((1, 1, r, r), draw, exact) for draw in draws]) for r in sizes]


def read_latents(path: str | Path, generator: Generator) -> tuple[str, Tensor]:
    """The one array of an .npz file: ("z", [N, Z]), ("w", [N, D]) or ("w_plus", [N, L, D]), float32.

    Of a latent file, X.safetensors, its w_plus; whether they are the generator's, check_latents sees.
    Raises: InputError naming the file and what was wanted; ModelError for a latent file.
    """
    config = generator.config
    shapes = {"z": (config.z_dim,), "w": (config.w_dim,), "w_plus": (config.n_layers, config.w_dim)}
    if Path(path).suffix == ".safetensors":
        w_plus, _ = load_latents(path)
        if w_plus.shape[1:] != shapes["w_plus"]:
            sizes = f"{[*w_plus.shape[1:]]}, wanted {[*shapes['w_plus']]}"
            raise ModelError(f"{shown(path)}: w_plus has faces of {sizes}; name the generator it is of")
        return "w_plus", w_plus
    try:
        data = read_regular(path, 4 << 30)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            names = [name for name in shapes if name in arrays.files]
            if len(names) != 1:
                listed = ", ".join(arrays.files)[:40] or "nothing"
                raise InputError(f"{shown(path)} must hold one of z, w, w_plus; it holds {listed}")
            array = arrays[names[0]]
    except ModelError as error:
        raise InputError(str(error).replace("a model file", "an .npz file")) from None
    except InputError:
        raise
    except Exception:  # numpy and zipfile meet hostile bytes with many types, MemoryError among them
        raise InputError(f"{shown(path)} is no .npz of plain numbers; write it with numpy.savez") from None
    name = names[0]
    if array.dtype.kind not in "fiu" or array.ndim < 1 or array.shape[1:] != shapes[name] or not len(array):
        wanted = ", ".join(["N", *map(str, shapes[name])])
        found = f"{array.dtype} {list(array.shape)}"[:40]
        raise InputError(f"{shown(path)}: {name} is {found}, wanted [{wanted}]; draw it again")
    latents = torch.from_numpy(array.astype(np.float32))
    if not bool(torch.isfinite(latents).all()):
        raise InputError(f"{shown(path)}: {name} holds NaN or infinity; make it again")
    return name, latents


def read_shift(path: str | Path, g: Generator) -> Tensor | None:
    """The shift of features, as latents.unfold_shift takes it, where the file is a latent file that has one.


    Raises: ModelError, for one of another shape, too.
    """
    shift = load_shift(path) if Path(path).suffix == ".safetensors" else None
    if shift is None:
        return None
    _, *size = wanted = g.config.shift_shape
    if [*shift.shape[1:]] not in ([*wanted], [g.config.channels[g.config.shift_block], *size]):
        given = f"its shift is of {[*shift.shape[1:]]}, wanted {[*wanted]}"
        raise ModelError(f"{shown(path)}: {given}; name the generator it is of")
    return shift.to(g.w_mean)


def check_latents(path: str | Path, generator: Checkpoint) -> None:
    """Raises: ModelError for a latent file whose codes generator was not trained to draw."""
    if Path(path).suffix == ".safetensors" and not is_child(generator, meta := load_latents(path)[1]):
        raise ModelError(
            f"{shown(path)} holds codes of a generator of weights {meta['parent'][:8]}, and this one learnt "
            "others; name that one, or a style of it"
        )


def draw(
    generator: Generator,
    latents: Tensor,
    psi: float = 1.0,
    cutoff: int | None = None,
    noise: str | Sequence[Tensor] = "const",
    shift: Tensor | None = None,
) -> Tensor:
    """Latents [N, Z or D] or [N, L, D] to pictures [N, 3, R, R] on the CPU, not clamped.

    z is told from w by the caller: map it first. psi and cutoff as in latents.truncate, shift as in
    Synthesis.
    """
    with torch.inference_mode():
        w_plus = generator.broadcast(latents) if latents.ndim == 2 else latents
        if psi != 1:
            w_plus = truncate(w_plus, generator.centre(), psi, cutoff)
        return generator.synthesis(w_plus, noise, shift=shift)[-1].cpu()


def map_latents(generator: Generator, kind: str, latents: Tensor) -> Tensor:
    """Latents as read_latents gives them, z brought to w_plus, on the generator's device and in its dtype."""
    latents = latents.to(generator.w_mean)
    with torch.inference_mode():
        return generator.codes(latents) if kind == "z" else latents


def draw_numbers(
    generator: Generator,
    numbers: Sequence[int],
    codes: Tensor | None,
    psi: float,
    cutoff: int | None,
    noise: str,
    exact: bool,
    shift: Tensor | None = None,
) -> Tensor:
    """Pictures [N, 3, R, R] of seeds, or of those rows of codes and shift (of map_latents and read_shift), on
    the CPU, not clamped."""
    if codes is None:
        codes = map_latents(generator, "z", seed_z(numbers, generator.config.z_dim, exact))
    else:
        codes, shift = codes[list(numbers)], None if shift is None else shift[list(numbers)]
    layers: str | list[Tensor] = noise
    if noise == "random":
        drawn = seed_noise(numbers, generator.config.resolution, exact)
        layers = [layer.to(generator.w_mean) for layer in drawn]
    return draw(generator, codes, psi, cutoff, layers, shift)


def square_grid(pictures: Tensor) -> Tensor:
    """Up to GRID pictures as one, as many columns as rows or one more."""
    return grid(pictures, next(c for c in range(1, GRID + 1) if c * c >= len(pictures)))


def generate(
    model: str | Path | Generator,
    seeds: str | Sequence[int] = "0-7",
    psi: float | None = None,
    out: str | Path = "out",
    latents: str | Path | None = None,
    noise: str = "const",
    npz: str | Path | None = None,
    cutoff: int | None = None,
    device: str = "auto",
    batch: int = 4,
    exact: bool = False,
    metadata: bool = True,
) -> list[Path]:
    """Draw one picture a seed, or one a row of latents, as PNG; and grid.png with the first GRID of them.

    Args:
        model: a name or file as for load_generator, or a generator.
        seeds: "0-7,9" or numbers; with latents they are not used.
        psi: truncation; None is PSI for seeds and 1 for latents.
        out: the folder, made if need be.
        latents: an .npz file with z [N, Z], w [N, D] or w_plus [N, L, D]; or a latent file.
        noise: one of NOISE_MODES; random noise is drawn from each picture's seed (with latents: its row).
        npz: also write the pictures there, float32 [N, 3, R, R] as `images`, before clamping.
        cutoff: truncate only so many leading layers.
        exact: the same bytes on every machine, in float64; a generator given must be so (exact.double).
        metadata: write into every picture how it was made.
    Returns: the files written: seedSSSS.png (latents: latentNNNN.png), then grid.png, then npz.
    Raises: UsageError, InputError (latents), ModelError, DiskError.
    """
    if noise not in NOISE_MODES:
        raise UsageError(f"noise must be one of {', '.join(NOISE_MODES)}, not {noise[:40]!r}")
    models: dict[str, dict[str, Any]] = {}
    meta: dict[str, Any]
    if isinstance(model, Generator):
        generator, meta = model, {}
    else:
        generator, files, made = load_network(model, "generator", build_generator, device)
        models["generator"], meta = model_entry(files, model), made.meta
        if exact:
            double(generator)
    codes: Tensor | None = None
    shift: Tensor | None = None
    about: dict[str, Any] = {"command": "generate", "models": models, "noise": noise, "exact": exact}
    if latents is None:
        numbers = parse_seeds(seeds) if isinstance(seeds, str) else list(seeds)
        stem, psi = "seed", PSI if psi is None else psi
    else:
        check_latents(latents, generator_checkpoint(generator, meta, half=True))
        kind, codes = read_latents(latents, generator)
        codes, shift = map_latents(generator, kind, codes), read_shift(latents, generator)
        numbers, stem, psi = list(range(len(codes))), "latent", 1.0 if psi is None else psi
        about["latents"] = file_entry(latents)
    if not numbers:
        raise UsageError("there are no seeds to draw; give some, such as 0-7")
    about |= {"psi": psi, "cutoff": cutoff}
    listed = "seeds" if codes is None else "rows"
    folder, written, kept = Path(out), [], []
    for start in range(0, len(numbers), max(batch, 1)):
        part = numbers[start : start + max(batch, 1)]
        pictures = draw_numbers(generator, part, codes, psi, cutoff, noise, exact, shift)
        for number, picture in zip(part, pictures, strict=True):
            path = folder / f"{stem}{number:04d}.png"
            save_png(path, picture, chunks({**about, listed: [number]}) if metadata else {})
            written.append(path)
        if npz is not None or start < GRID:
            kept.append(pictures)
    images = torch.cat(kept)
    shown_first = images[:GRID]
    note = chunks({**about, listed: numbers[:GRID], "grid": True}) if metadata else {}
    save_png(folder / "grid.png", square_grid(shown_first), note)
    written.append(folder / "grid.png")
    if npz is not None:
        buffer = io.BytesIO()
        np.savez(buffer, images=images.numpy().astype(np.float32))
        write_aside(npz, [buffer.getbuffer()])
        written.append(Path(npz))
    return written
