"""Growing: a trained network gets one more resolution, and starts as what it was.

Source: the fading of Karras et al. 2018, arXiv 1710.10196, section 2, for skip generators and residual
discriminators: the generator's new toRGB starts at zero, the discriminator fades from its old fromRGB.
"""

from dataclasses import replace

import torch

from stylegan_toon.nn.equalized import EqualConv2d
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator


def grown_config(config: Config, channels: int) -> Config:
    """The configuration of twice the resolution, its new block with so many channels."""
    return replace(config, resolution=config.resolution * 2, channels=(*config.channels, channels))


def grow_generator(g: Generator, channels: int) -> Generator:
    """A generator of twice the resolution whose pictures are those of g, enlarged by the FIR filter."""
    grown = Generator(grown_config(g.config, channels))
    grown.load_state_dict(g.state_dict(), strict=False)
    torch.nn.init.zeros_(grown.synthesis.blocks[-1].get_parameter("to_rgb.conv.weight"))
    return grown


def grow_discriminator(d: Discriminator, channels: int) -> Discriminator:
    """A discriminator of twice the resolution; at fade 0 it is d on pictures averaged over 2x2 pixels."""
    grown = Discriminator(grown_config(d.config, channels))
    state = {}
    for name, value in d.state_dict().items():
        if name.startswith("blocks."):
            _, index, rest = name.split(".", 2)
            name = f"blocks.{int(index) + 1}.{rest}"
        if not name.startswith(("from_rgb.", "old_from_rgb.")):
            state[name] = value
    grown.load_state_dict(state, strict=False)
    grown.old_from_rgb = EqualConv2d(3, d.config.channels[-1], 1)
    grown.old_from_rgb.load_state_dict(d.from_rgb.state_dict())
    return grown
