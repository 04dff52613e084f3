"""A generator, or half of one, as an ONNX file that other programs run; checked in onnxruntime."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_toon.config import to_json
from stylegan_toon.errors import ModelError, UsageError, shown
from stylegan_toon.files import write_aside
from stylegan_toon.metadata import chunks, model_entry
from stylegan_toon.pipelines.blend import other_codes
from stylegan_toon.pipelines.generate import PSI
from stylegan_toon.pipelines.models import find_model, load_network
from stylegan_toon.stylegan2.blend import Recipe, blend, same_mapping
from stylegan_toon.stylegan2.files import build_generator
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import truncate
from stylegan_toon.stylegan2.onnx_graph import NOISES, PARTS, to_onnx

TOLERANCE = 1e-4  # of codes and of pictures, which are nominally in [-1, 1]
TRIED = ((1, PSI), (3, 1.0))  # batch and psi


def export(
    model: str | Path,
    out: str | Path,
    part: str = "generator",
    noise: str = "none",
    source: str | Path | None = None,
    how: int | Recipe | None = None,
    seed: int = 0,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[Path, float]:
    """Write part of model to out as ONNX, float32 with a free batch size, if onnxruntime agrees with torch.

    Args:
        model: a name, run or file, as for load_generator.
        out: X.onnx.
        part: one of PARTS; their inputs and outputs are those of onnx_graph.to_onnx.
        noise: "none", as toonify draws, or "const", as generate does.
        source: blend model with this generator, as toonify does.
        how: with source: a recipe, or how many resolutions come from it; None takes the style's own.
        seed: of the codes that are tried.
        report: is told where the codes of source are not those that model learnt.
    Returns: out, and the largest difference between onnxruntime and torch over those codes.
    Raises: UsageError, DiskError; ModelError, also where the difference is above TOLERANCE, and nothing is
        written.
    """
    for name, value, known in (("part", part, PARTS), ("noise", noise, NOISES)):
        if value not in known:
            raise UsageError(f"{name} must be one of {', '.join(known)}, not {value[:40]!r}")
    if Path(out).suffix != ".onnx":
        raise UsageError(f"{shown(out)!r} is no name of an ONNX file; give one that ends in .onnx")
    generator, about = _network(model, source, how, report)
    config = generator.config
    sizes = {"resolution": config.resolution, "layers": config.n_layers, "z": config.z_dim, "w": config.w_dim}
    about = {"command": "export", "part": part, "noise": noise, **sizes, **about}
    data = to_onnx(generator, part, noise, chunks(about))
    gap = difference(data, generator, part, noise, seed)
    if not gap <= TOLERANCE:  # NaN, too
        raise ModelError(
            f"{shown(model, 60)}: onnxruntime differs from torch by {gap:.1e}, more than {TOLERANCE:.0e}; "
            "nothing is written; are its weights sound?"
        )
    write_aside(out, [data])
    return Path(out), gap


def _network(
    model: str | Path, source: str | Path | None, how: int | Recipe | None, report: Callable[[str], None]
) -> tuple[Generator, dict[str, Any]]:
    """The generator to write, blended if there is a source, and where it came from."""
    if source is None:
        if how is not None:
            raise UsageError("a blend takes resolutions from another generator; name it with --source")
        generator, files, _ = load_network(model, "generator", build_generator, "cpu")
        return generator, {"models": {"generator": model_entry(files, model)}}
    child, files, made = load_network(model, "generator", build_generator, "cpu", [find_model(source)])
    parent, parent_files, _ = load_network(source, "generator", build_generator, "cpu")
    own = made.meta.get("blend", 0) if how is None else how
    if not isinstance(own, Recipe):
        if type(own) is not int:
            raise ModelError(f"{shown(model)} wants blend {str(own)[:20]}, which is no number; give --blend")
        own = Recipe(own)
    blended = blend(parent, child, own)
    if not same_mapping(parent, child):
        report(other_codes(model, source))
    models = {"source": model_entry(parent_files, source), "style": model_entry(files, model)}
    return blended, {"models": models, "recipe": to_json(own)}


def in_onnxruntime(data: bytes) -> Any:
    """A session of onnxruntime for an ONNX file, on the CPU, with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def difference(data: bytes, generator: Generator, part: str, noise: str, seed: int = 0) -> float:
    """The largest difference between an ONNX file in onnxruntime and part of generator in torch.

    It is that over random codes, in the batches of TRIED; NaN where one of both drew no numbers.
    """
    session = in_onnxruntime(data)
    draw, gaps = torch.Generator().manual_seed(seed), []
    for n, psi in TRIED:
        wanted, given = _in_torch(generator, part, noise, n, psi, draw)
        (found,) = session.run(None, {name: tensor.numpy() for name, tensor in given.items()})
        gaps.append((torch.from_numpy(found) - wanted).abs().max())
    return float(torch.stack(gaps).max())


def _in_torch(
    generator: Generator, part: str, noise: str, n: int, psi: float, draw: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """What part answers to n random codes, and the inputs by their names in the file."""
    layers, z_dim = generator.config.n_layers, generator.config.z_dim
    z = torch.randn(n, layers, z_dim, generator=draw)
    with torch.inference_mode():
        if part == "synthesis":  # every layer the code of another face: a layer in another's place is seen
            codes = generator.codes(z.flatten(0, 1)).unflatten(0, (n, layers))
            w_plus = truncate(codes.diagonal(dim1=1, dim2=2).mT, generator.centre(), psi).contiguous()
            return generator.synthesis(w_plus, noise)[-1], {"w_plus": w_plus}
        z = z[:, 0].contiguous()
        w_plus = truncate(generator.codes(z), generator.centre(), psi)
        answer = w_plus if part == "mapping" else generator.synthesis(w_plus, noise)[-1]
    return answer, {"z": z, "psi": torch.tensor([psi])}
