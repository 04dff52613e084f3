"""Train a StyleGAN2 from scratch, or grow one by a resolution."""

from collections.abc import Sequence
from pathlib import Path

import torch

from stylegan_toon import __version__
from stylegan_toon.data import Sampler, load_pictures
from stylegan_toon.device import choose_device
from stylegan_toon.errors import UsageError
from stylegan_toon.methods.gan import GanConfig
from stylegan_toon.methods.scratch import Scratch
from stylegan_toon.pipelines.judge import kid_judge
from stylegan_toon.pipelines.networks import about_run, fitted, gan_look, open_networks
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.grow import grow_discriminator, grow_generator
from stylegan_toon.training import ranks
from stylegan_toon.training.graphs import Player
from stylegan_toon.training.loop import Run, train


def train_generator(
    data: Sequence[str],
    run: Run,
    method: GanConfig,
    network: Config,
    grow: str | None = None,
    start: str | None = None,
    exclude: Sequence[str] = (),
    mirror: bool = True,
    device: str = "auto",
    graphs: bool = False,
) -> Path:
    """Train on the pictures of data (folders, ZIPs) and return the run folder.

    Args:
        network: what is built; with grow only its resolution and last channel count.
        method: as networks.fitted takes it.
        grow: a run folder or generator file of half the resolution to go on from.
        start: one of the same resolution, whose shape counts instead of network; optimisers start anew.
        exclude: as in data.load_pictures.
        graphs: record the phases of a step as CUDA graphs.
    Raises: InputError, UsageError, ModelError, and those of training.loop.train.
    """
    where = choose_device(device)
    if graphs and where.type != "cuda":
        raise UsageError(f"--cuda-graphs needs a GPU of NVIDIA's, and this is {where.type}; leave it out")
    torch.manual_seed(run.seed)
    seen = 0
    if start:
        g, d, g_ema, seen = open_networks(start)
        network = g.config
    elif grow:
        g, d, average, seen = open_networks(grow)
        if g.config.resolution * 2 != network.resolution:
            wanted = g.config.resolution * 2
            raise UsageError(
                f"--grow {grow} gives {wanted} px, not {network.resolution}; use --resolution {wanted}"
            )
        width = network.channels[-1]
        d = grow_discriminator(d, width)
        g, g_ema = grow_generator(g, width), grow_generator(average, width)
        g_ema.synthesis.blocks[-1].load_state_dict(g.synthesis.blocks[-1].state_dict())
    else:
        g, d, g_ema = Generator(network), Discriminator(network), None
    method = fitted(method, g, where, scratch=not (start or grow))
    module = Scratch(method, g, d, g_ema, Player() if graphs else None).to(where)
    pictures = load_pictures(data, network.resolution, exclude)
    sampler = Sampler(pictures, method.batch, run.seed, mirror)
    train(
        module,
        lambda i: {"photo": sampler.batch(i).to(where, memory_format=torch.channels_last)},
        run,
        gan_look(
            module.gan,
            run.out,
            {"program": __version__, "pictures": seen},
            judge=None if ranks.rank() else kid_judge(pictures, where),
        ),
        about_run(
            module.gan, training_pictures=len(pictures), grown_from=grow, started_from=start, seen_before=seen
        ),
    )
    return run.out
