"""What is frozen when a network is fine-tuned, counted in resolutions and blocks; this is the one definition.

A resolution of the generator is its convolutions, affines, noise strengths, biases and toRGB, and at 4x4 the
constant. A block of the discriminator is a residual block, counted from the image side; fromRGB goes with the
first one.
Source: FreezeD, Mo et al. 2020, arXiv 2002.10964; FreezeG and FreezeSG: Back 2021, arXiv 2106.12445.
Cartoon-StyleGAN's options of these names count what is trained, from the other end.
"""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import replace

from torch import nn
from torch.optim import Optimizer

from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator


def frozen_g(g: Generator, resolutions: int, mapping: bool) -> Iterator[nn.Parameter]:
    """The parameters of the lowest so many resolutions, of the mapping if asked for, and of a source mapping.

    Raises: ValueError if there are fewer resolutions.
    """
    n = g.config.n_resolutions
    if not 0 <= resolutions <= n:
        raise ValueError(
            f"freezing {resolutions} resolutions of the generator, but there are {n} resolutions"
        )
    if resolutions:
        yield g.synthesis.const
        yield from g.synthesis.blocks[:resolutions].parameters()
    if mapping:
        yield from g.mapping.parameters()
    if g.source_mapping is not None:
        yield from g.source_mapping.parameters()


def frozen_d(d: Discriminator, blocks: int) -> Iterator[nn.Parameter]:
    """The parameters of so many blocks from the image side, fromRGB with the first; the head never.

    Raises: ValueError if there are fewer blocks.
    """
    if not 0 <= blocks <= len(d.blocks):
        raise ValueError(
            f"freezing {blocks} blocks of the discriminator, but there are {len(d.blocks)} blocks"
        )
    if blocks:
        yield from d.from_rgb.parameters()
        yield from d.blocks[:blocks].parameters()


def with_source_mapping(source: Generator, resolutions: int) -> Generator:
    """A trainable copy of source whose so many lowest resolutions keep drawing from the source's w."""
    child = copy.deepcopy(source)
    if resolutions:
        child.config = child.synthesis.config = replace(source.config, source_resolutions=resolutions)
        child.source_mapping = copy.deepcopy(source.mapping)
        child.register_buffer("source_w_mean", source.w_mean.clone())
    return child


def trained_parameters(optimizer: Optimizer) -> int:
    """How many numbers the optimiser moves."""
    groups: Iterable[dict[str, list[nn.Parameter]]] = optimizer.param_groups
    return sum(parameter.numel() for group in groups for parameter in group["params"])
