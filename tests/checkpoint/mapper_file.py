"""Files of StyleCLIP's mapper with random weights, and its answer in float64 NumPy, by their formulas."""

import numpy as np
import torch

from tests.stylegan2.reference import arrays, generator_state, linear, lrelu

WIDTH, CHANNELS = 6, [4, 4, 4, 4, 4]  # 64 px, 10 codes
ROWS = {"course_mapping": slice(0, 4), "medium_mapping": slice(4, 8), "fine_mapping": slice(8, 10)}


def mapper_state(names=tuple(ROWS), width=WIDTH):
    draw = torch.Generator().manual_seed(8)
    state = {}
    for name in names:
        for i in (1, 2, 3, 4):
            state[f"{name}.mapping.{i}.weight"] = 100 * torch.randn(width, width, generator=draw)
            state[f"{name}.mapping.{i}.bias"] = 30 * torch.randn(width, generator=draw)
    return state


def whole(state, **opts):
    """A file of StyleCLIP's mapper: its networks, the decoder's, and its options."""
    decoder = generator_state(CHANNELS, style_dim=WIDTH, n_mlp=2)
    networks = {f"mapper.{key}": value for key, value in state.items()}
    networks |= {f"decoder.{key}": value for key, value in decoder.items()}
    return {
        "state_dict": networks,
        "opts": {"description": "a sad face", "mapper_type": "LevelsMapper", **opts},
    }


def answer(state, w_plus):
    """Their step by their formulas: divided by the root mean square over axis 1, which is that of layers."""
    s, out = arrays(state), np.zeros(w_plus.shape)
    for name, rows in ROWS.items():
        if f"{name}.mapping.1.weight" in s:
            x = w_plus[:, rows].astype(np.float64)
            x = x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-8)
            for i in (1, 2, 3, 4):
                x = lrelu(linear(x, s[f"{name}.mapping.{i}.weight"], s[f"{name}.mapping.{i}.bias"], 0.01))
            out[:, rows] = 0.1 * x
    return out
