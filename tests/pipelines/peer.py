"""A folder that looks like a checkout of rosinality's stylegan2-pytorch, and computes by NumPy in float64.

The formulas are those of tests.stylegan2.reference; only the names by which a peer is called are theirs.
"""

from pathlib import Path

MODEL = """
import numpy as np
import torch
from op import upfirdn2d
from torch import nn
from tests.stylegan2 import reference

class Generator(nn.Module):
    def __init__(self, size, style_dim, n_mlp):
        super().__init__()
        self.n_latent = 2 * size.bit_length() - 4

    def load_state_dict(self, state):
        self.state = reference.arrays(state)

    def style(self, z):
        return torch.from_numpy(reference.mapping(self.state, z.double().numpy())).float()

    def forward(self, styles, input_is_latent, randomize_noise):
        assert input_is_latent and not randomize_noise
        rgbs = reference.synthesis(self.state, styles[0].double().numpy())
        return torch.from_numpy(rgbs[-1]).float(), None
"""
UPFIRDN = """
import torch
from torch.utils.cpp_extension import load
from tests.stylegan2 import reference

built = load("upfirdn2d", sources=["no_such_file.cpp"])

class Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, f, up, down, pad):
        ctx.shape = x.shape
        y = reference.upfirdn(x.detach().double().numpy(), f.double().numpy(), up, down, pad)
        return torch.from_numpy(y).to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        return dy.new_zeros(ctx.shape), None, None, None, None

def upfirdn2d(x, f, up=1, down=1, pad=(0, 0)):
    return Filter.apply(x, f, up, down, pad)
"""
FUSED = """
import torch

def fused_leaky_relu(x, bias):
    x = x + bias[:, None, None]
    return torch.where(x < 0, x * 0.2, x) * 2**0.5
"""


def write_peer(folder: Path) -> Path:
    """The folder, with its three files."""
    (folder / "op").mkdir(parents=True)
    (folder / "model.py").write_text(MODEL)
    (folder / "op/upfirdn2d.py").write_text(UPFIRDN)
    (folder / "op/fused_act.py").write_text(FUSED)
    (folder / "op/__init__.py").write_text(
        "from .fused_act import fused_leaky_relu\nfrom .upfirdn2d import upfirdn2d\n"
    )
    return folder
