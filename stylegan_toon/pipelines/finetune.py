"""Fine-tune a face generator to a cartoon domain."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from stylegan_toon import __version__
from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.config import to_json
from stylegan_toon.data import Sampler, load_pictures
from stylegan_toon.device import choose_device
from stylegan_toon.errors import InputError, ModelError, UsageError, shown
from stylegan_toon.images import is_transparent
from stylegan_toon.methods.freezesg import Config, FreezeSG
from stylegan_toon.pipelines.models import find_model, parent_name
from stylegan_toon.pipelines.networks import about_run, fitted, gan_look, kid_judge, open_networks
from stylegan_toon.stylegan2.adapters import style_checkpoint
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.freeze import trained_parameters
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.training.loop import Run, train


def find_target(name: str) -> Path:
    """The pictures of a target: a folder or ZIP, or a name under data/ of the working folder.

    Raises: InputError that says where was looked.
    """
    tried = [Path(name), Path("data") / name, Path("data") / f"{name}.zip"]
    for path in tried:
        if path.is_dir() or path.is_file():
            return path
    raise InputError(
        f"no pictures for {name!r}: put them into data/{name}/ or data/{name}.zip, or name a folder or ZIP"
    )


def whole_generator(name: str) -> tuple[str, Checkpoint]:
    """The file of a generator from which a style can be trained, and what it holds; of a run folder the last.

    Raises: ModelError, also for a style file.
    """
    file = Path(name) / "last.safetensors" if Path(name).is_dir() else find_model(name)
    found = read_any(file)
    if "generator" not in found:
        kinds = " and ".join(kind[:30] for kind in found)
        raise ModelError(
            f"{shown(file)} holds a {kinds}; a style starts from a whole generator: convert it first"
        )
    return str(file), found["generator"]


@dataclass(frozen=True)
class _Opened:
    """All that a fine-tuning needs, before its first step."""

    module: FreezeSG
    pictures: Tensor  # [N, 3, R, R] uint8
    seen: int  # pictures that the source was trained with
    where: torch.device
    source: str
    parent: Checkpoint | None  # what source holds, where a style file of it is made


def _open(
    target: str,
    source: str,
    run: Run,
    method: Config,
    exclude: Sequence[str],
    device: str,
    report: Callable[[str], None],
) -> _Opened:
    where, folder = choose_device(device), find_target(target)
    parent: Checkpoint | None = None
    if method.train != "all":  # a style's parent is a file; a run's state may be ahead of it
        source, parent = whole_generator(source)
    torch.manual_seed(run.seed)
    _, d, g, seen = open_networks(source, report)
    pictures = look_at(folder, g.config.resolution, method.batch, exclude, report)
    method = fitted(_counted(method, g), g, where)
    try:
        module = FreezeSG(method, g, d).to(where)
    except ValueError as error:
        raise UsageError(f"{error}; {shown(source, 60)} has {g.config.resolution} px") from None
    module.source.to(where)
    return _Opened(module, pictures, seen, where, source, parent)


def _counted(method: Config, g: Generator) -> Config:
    """The settings with counts below 0, which are of what is trained, turned into what is frozen."""
    n = g.config.n_resolutions
    freeze_g = method.freeze_g if method.freeze_g >= 0 else max(0, n + method.freeze_g)
    freeze_d = method.freeze_d if method.freeze_d >= 0 else max(0, n - 1 + method.freeze_d)
    return replace(method, freeze_g=freeze_g, freeze_d=freeze_d)


def look_at(
    folder: Path, size: int, batch: int, exclude: Sequence[str], report: Callable[[str], None]
) -> Tensor:
    """The pictures of folder, [N, 3, size, size] uint8, with a line for whatever about them is unusual.

    Raises: InputError, also if there are several and all are alike.
    """
    edges: list[int] = []
    transparent = 0

    def see(data: bytes, picture: Image.Image) -> None:
        nonlocal transparent
        edges.append(min(picture.size))
        transparent += is_transparent(data)

    pictures = load_pictures([folder], size, exclude, see)
    n = len(pictures)
    if n > 1 and bool((pictures == pictures[:1]).all()):
        raise InputError(f"{shown(folder)}: all {n} pictures are alike; a style needs different ones")
    small = [edge for edge in edges if edge < size]
    grey = int((pictures == pictures[:, :1]).flatten(1).all(1).sum())
    for count, text in (
        (n if n < batch else 0, f"they are fewer than a batch of {batch}, so a step shows some again"),
        (
            len(small),
            f"they are below the source's {size} px ({min(edges)} px) and enlarged, so cartoons are soft",
        ),
        (transparent, "they are transparent, and white is laid under them"),
        (grey, "they are grey, and the cartoons will be so, too"),
    ):
        if count:
            report(f"{shown(folder, 40)}: {count} of {n} pictures: {text}")
    return pictures


def plan_finetuning(
    target: str,
    source: str,
    run: Run,
    method: Config,
    exclude: Sequence[str] = (),
    mirror: bool = True,
    device: str = "auto",
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """What finetune_generator would do with these arguments, as JSON values; nothing is written.

    trained_parameters_g and trained_parameters_d count the numbers that the optimisers move, of the
    parameters_g and parameters_d that there are.
    Raises: as finetune_generator, before its first step.
    """
    opened = _open(target, source, run, method, exclude, device, report)
    module = opened.module
    optimizers = module.optimizers()
    return {
        "target": target,
        "pictures": len(opened.pictures),
        "source": source,
        "out": str(run.out),
        "steps": run.steps,
        "seed": run.seed,
        "device": str(opened.where),
        "mirror": mirror,
        "network": to_json(module.source.config),
        "method": to_json(module.config),
        "parameters_g": sum(p.numel() for p in module.source.parameters()),
        "parameters_d": sum(p.numel() for p in module.gan.d.parameters()),
        "trained_parameters_g": trained_parameters(optimizers["g"]),
        "trained_parameters_d": trained_parameters(optimizers["d"]),
    }


def finetune_generator(
    target: str,
    source: str,
    run: Run,
    method: Config,
    exclude: Sequence[str] = (),
    mirror: bool = True,
    device: str = "auto",
    report: Callable[[str], None] = lambda text: None,
) -> Path:
    """Fine-tune source to the pictures of target with FreezeSG and return the run folder.

    Args:
        target: a folder, a ZIP, or a name under data/.
        method: as networks.fitted takes it; freeze_g and freeze_d below 0 count what is trained, from the
            highest resolution of the generator and from the head of the discriminator.
        source: a run folder, a generator file with its discriminator in or beside it, or a name in
            pretrained/; without a discriminator a new one is made.
        report: is told whatever is unusual about pictures and source.
    Raises: InputError, UsageError, ModelError, and those of training.loop.train.
    """
    opened = _open(target, source, run, method, exclude, device, report)
    module, pictures, where = opened.module, opened.pictures, opened.where
    sampler = Sampler(pictures, method.batch, run.seed, mirror)
    meta = {"program": __version__, "target": Path(target).stem, "source_pictures": opened.seen}

    def pack(g: Generator, about: Mapping[str, Any]) -> Checkpoint:
        if opened.parent is None:
            return generator_checkpoint(g, about)
        name, config = parent_name(Path(opened.source)), module.config
        about = {**about, "blend": config.blend}
        return style_checkpoint(g, opened.parent, name, config.lora, config.freeze_g, about)

    def source_row(w_plus: Tensor) -> list[Tensor]:
        return [module.source.synthesis(w_plus, "none")[-1]]

    train(
        module,
        lambda i: {"cartoon": sampler.batch(i).to(where, memory_format=torch.channels_last)},
        run,
        gan_look(
            module.gan,
            run.out,
            meta,
            source_row,
            method.freeze_mapping,
            kid_judge(pictures, method.batch, where),
            pack,
        ),
        about_run(module.gan, training_pictures=len(pictures), source=source, target=target),
    )
    return run.out
