"""State dicts in the layout of the originals, written by their own lists of keys and shapes, at random."""

import torch


def random_state(shapes, seed=0):
    draw = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(7)
        elif key.endswith("running_var"):
            state[key] = torch.rand(shape, generator=draw) + 0.5
        else:
            state[key] = torch.randn(shape, generator=draw) * 0.1
    return state


def statistics(name, width):
    return {
        f"{name}.running_mean": (width,),
        f"{name}.running_var": (width,),
        f"{name}.num_batches_tracked": (),
    }


def cyclegan(blocks=9, width=64, old=False):
    """latest_net_G_A.pth: conv 1, 4, 7, blocks from 10, transposed convs, and the last; bias everywhere."""
    shapes = {"model.1": (width, 3, 7, 7), "model.4": (2 * width, width, 3, 3)}
    shapes["model.7"] = (4 * width, 2 * width, 3, 3)
    for i in range(10, 10 + blocks):
        for k in (1, 5):
            shapes[f"model.{i}.conv_block.{k}"] = (4 * width, 4 * width, 3, 3)
    up = 10 + blocks
    shapes[f"model.{up}"] = (4 * width, 2 * width, 3, 3)
    shapes[f"model.{up + 3}"] = (2 * width, width, 3, 3)
    shapes[f"model.{up + 7}"] = (3, width, 7, 7)
    out = {}
    for name, shape in shapes.items():
        out[f"{name}.weight"] = shape
        out[f"{name}.bias"] = (shape[1] if name in (f"model.{up}", f"model.{up + 3}") else shape[0],)
    if old:
        out |= statistics("model.2", width) | statistics("model.5", 2 * width)
        for i in range(10, 10 + blocks):
            out |= statistics(f"model.{i}.conv_block.2", 4 * width)
    return random_state(out)
