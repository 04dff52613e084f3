"""Fine-tune a face generator to a cartoon domain."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_toon import __version__
from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers import read_any
from stylegan_toon.data import Sampler, load_pictures
from stylegan_toon.device import choose_device
from stylegan_toon.errors import InputError, ModelError, UsageError, shown
from stylegan_toon.methods.freezesg import Config, FreezeSG
from stylegan_toon.pipelines.models import find_model, parent_name
from stylegan_toon.pipelines.networks import about_run, fitted, gan_look, kid_judge, open_networks
from stylegan_toon.stylegan2.adapters import style_checkpoint
from stylegan_toon.stylegan2.files import generator_checkpoint
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


def finetune_generator(
    target: str,
    source: str,
    run: Run,
    method: Config,
    exclude: Sequence[str] = (),
    mirror: bool = True,
    device: str = "auto",
) -> Path:
    """Fine-tune source to the pictures of target with FreezeSG and return the run folder.

    Args:
        target: a folder, a ZIP, or a name under data/.
        method: as networks.fitted takes it.
        source: a run folder, a generator file with its discriminator beside it, or a name in pretrained/.
    Raises: InputError, UsageError, ModelError, and those of training.loop.train.
    """
    where, folder = choose_device(device), find_target(target)
    parent: Checkpoint | None = None
    if method.train != "all":  # a style's parent is a file; a run's state may be ahead of it
        source, parent = whole_generator(source)
    torch.manual_seed(run.seed)
    _, d, g, seen = open_networks(source)
    pictures = load_pictures([folder], g.config.resolution, exclude)
    method = fitted(method, g, where)
    try:
        module = FreezeSG(method, g, d).to(where)
    except ValueError as error:
        raise UsageError(f"{error}; {shown(source, 60)} has {g.config.resolution} px") from None
    module.source.to(where)
    sampler = Sampler(pictures, method.batch, run.seed, mirror)
    meta = {"program": __version__, "target": Path(target).stem, "source_pictures": seen}

    def pack(g: Generator, about: Mapping[str, Any]) -> Checkpoint:
        if parent is None:
            return generator_checkpoint(g, about)
        about = {**about, "blend": method.blend}
        return style_checkpoint(g, parent, parent_name(Path(source)), method.lora, method.freeze_g, about)

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
