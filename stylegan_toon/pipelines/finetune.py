"""Fine-tune a face generator to a cartoon domain."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from stylegan_toon import __version__
from stylegan_toon.data import Sampler, load_pictures
from stylegan_toon.device import choose_device
from stylegan_toon.errors import UsageError, shown
from stylegan_toon.losses.structure import structure_loss
from stylegan_toon.methods.freezesg import Config, FreezeSG
from stylegan_toon.pipelines.copies import find_copies
from stylegan_toon.pipelines.events import Events
from stylegan_toon.pipelines.models import load_generator
from stylegan_toon.pipelines.networks import about_run, fitted, gan_look, kid_judge, open_networks
from stylegan_toon.pipelines.report import in_words, write_report
from stylegan_toon.pipelines.targets import Target
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.training.log import log
from stylegan_toon.training.loop import Run, train

STRUCTURE = 3  # toRGB outputs, from 4x4 up, that the structure score compares, whatever the loss does


def finetune_generator(
    target: Target,
    source: str,
    run: Run,
    method: Config,
    exclude: Sequence[str] = (),
    mirror: bool = True,
    device: str = "auto",
    tensorboard: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> Path:
    """Fine-tune source to the pictures of target with FreezeSG and return the run folder.

    The log's looks have KID and structure (structure_score); at the end come how near samples are to the
    training pictures, and RUN/report.html.
    Args:
        target: its path holds the pictures as they are to be taken.
        method: as networks.fitted takes it.
        source: a run folder, a generator file with its discriminator beside it, or a name in pretrained/.
        tensorboard: write RUN/tensorboard, too.
    Raises: InputError, UsageError, ModelError, MissingPartError, and those of training.loop.train.
    """
    where = choose_device(device)
    torch.manual_seed(run.seed)
    _, d, g, seen = open_networks(source)
    pictures = load_pictures([target.path], g.config.resolution, exclude)
    method = fitted(method, g, where)
    try:
        module = FreezeSG(method, g, d).to(where)
    except ValueError as error:
        raise UsageError(f"{error}; {shown(source, 60)} has {g.config.resolution} px") from None
    module.source.to(where)
    sampler = Sampler(pictures, method.batch, run.seed, mirror)
    meta = {"program": __version__, "target": target.name, "source_pictures": seen}

    def source_row(w_plus: Tensor) -> list[Tensor]:
        return [module.source.synthesis(w_plus, "none")[-1]]

    judge = kid_judge(pictures, method.batch, where)
    score = structure_score(module.source)
    events = Events(run.out) if tensorboard else None
    grids = gan_look(module.gan, run.out, meta, source_row, method.freeze_mapping, judge)

    def look(done: int) -> Mapping[str, float]:
        figures = {**grids(done), "structure": score(module.gan.g_ema)}
        if events:
            events.look(done, figures)
        return figures

    about = about_run(
        module.gan,
        training_pictures=len(pictures),
        source=source,
        target=target.name,
        pictures=str(target.path),
        steps=run.steps,
        patience=run.patience,
        before={"kid": judge(module.gan.g_ema)} if judge else {},
    )
    done = train(
        module,
        lambda i: {"cartoon": sampler.batch(i).to(where, memory_format=torch.channels_last)},
        run,
        look,
        about,
    )
    best = load_generator(run.out / "best.safetensors", where)
    log(run.out, {"step": done, **find_copies(best, pictures, run.out, where, method.batch)})
    page = write_report(run.out)
    report(f"{target.name}: {in_words(run.out)}; see {shown(page, 60)}")
    return run.out


def structure_score(source: Generator, count: int = 16) -> Callable[[Generator], float]:
    """A figure of a child: structure_loss to the source for count fixed codes, noise none; 0 for a copy."""
    z = torch.randn(count, source.config.z_dim, generator=torch.Generator().manual_seed(2))
    layers = min(STRUCTURE, source.config.n_resolutions)
    synthesis = source.synthesis
    dtype, synthesis.compute_dtype = synthesis.compute_dtype, torch.float32
    with torch.inference_mode():
        w_plus = source.broadcast(source.mapping(z.to(source.w_mean.device)))
        wanted = synthesis(w_plus, "none", upto=layers)
    synthesis.compute_dtype = dtype

    def score(child: Generator) -> float:
        with torch.inference_mode():
            return float(structure_loss(child.synthesis(w_plus, "none", upto=layers), wanted, layers))

    return score
