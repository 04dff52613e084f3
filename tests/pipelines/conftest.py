"""Small untrained models: a source, a child that shares its mapping and 4x4 block, and an encoder."""

import pytest
import torch

from stylegan_toon.checkpoint.format import save
from stylegan_toon.stylegan2 import encoder as encoder_net
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.files import encoder_checkpoint, generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator

NETWORK = Config(32, (8, 8, 8, 8), 8, 8, 2)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """The user's own folder ($STYLEGAN_TOON_HOME) with plain-32, its encoder, and the style drawn-32."""
    home = tmp_path_factory.mktemp("home")
    torch.manual_seed(3)
    source, child = Generator(NETWORK), Generator(NETWORK)
    source.w_mean.normal_()
    child.mapping.load_state_dict(source.mapping.state_dict())
    child.synthesis.const.data.copy_(source.synthesis.const)
    child.synthesis.blocks[0].load_state_dict(source.synthesis.blocks[0].state_dict())
    encoder = encoder_net.Encoder(encoder_net.Config(32, NETWORK.channels, NETWORK.n_layers, 8))
    encoder.w_mean.copy_(source.w_mean)
    torch.nn.init.normal_(encoder.base.weight)
    for name, made in (
        ("plain-32.generator", generator_checkpoint(source)),
        ("plain-32.encoder", encoder_checkpoint(encoder)),
        ("drawn-32.generator", generator_checkpoint(child, {"blend": 2})),
    ):
        save(home / "models" / f"{name}.safetensors", made)
    return home
