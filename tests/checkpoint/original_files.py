"""State dicts in the layout of the originals, written by their own lists of keys and shapes."""

import math

import torch


def random_state(shapes, seed=0):
    """Tensors of these shapes; those of large files are 0, which is quicker."""
    if sum(math.prod(shape) for shape in shapes.values()) > 1e6:
        return {key: torch.zeros(shape) for key, shape in shapes.items()}
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


def pix2pix(depth=8, width=64, batch=True):
    """latest_net_G.pth: levels in each other, batch norms without biases before them, or instance norms."""
    widths = [width * min(2**i, 8) for i in range(depth)]
    out = {}

    def norm(name, n):
        if batch:
            out.update({f"{name}.weight": (n,), f"{name}.bias": (n,)} | statistics(name, n))

    def level(i, path):
        inmost, last = i == depth - 1, i == 0
        down = f"{path}.{0 if last else 1}"
        out[f"{down}.weight"] = (widths[i], 3 if last else widths[i - 1], 4, 4)
        if not batch:
            out[f"{down}.bias"] = (widths[i],)
        if not inmost:
            if not last:
                norm(f"{path}.2", widths[i])
            level(i + 1, f"{path}.{1 if last else 3}.model")
        up = f"{path}.{3 if inmost or last else 5}"
        n = 3 if last else widths[i - 1]
        out[f"{up}.weight"] = (widths[i] * (1 if inmost else 2), n, 4, 4)
        if last or not batch:
            out[f"{up}.bias"] = (n,)
        if not last:
            norm(f"{path}.{4 if inmost else 6}", n)

    level(0, "model.model")
    return random_state(out)


def ganilla(width=64, old=False):
    """latest_net_G_A.pth: 41 tensors."""
    out = {"conv1.weight": (width, 3, 7, 7), "conv1.bias": (width,)}
    before = width
    for k, n in enumerate((width, 2 * width, 2 * width, 4 * width), 1):
        for i in range(2):
            name = f"layer{k}.{i}"
            out[f"{name}.conv1.weight"] = (n, before, 3, 3)
            out[f"{name}.conv2.weight"] = (n, n, 3, 3)
            if k > 1 and i == 0:
                out[f"{name}.shortcut.0.weight"] = (n, before, 1, 1)
            out[f"{name}.final_conv.1.weight"] = (n, 2 * n, 3, 3)
            if old:
                out |= statistics(f"{name}.bn1", n) | statistics(f"{name}.final_conv.2", n)
            before = n
    for name, n in (("P5_1", 4), ("P4_1", 2), ("P3_1", 2), ("P2_1", 1)):
        out |= {f"fpn.{name}.weight": (2 * width, n * width, 1, 1), f"fpn.{name}.bias": (2 * width,)}
    out |= {"fpn.P2_2.weight": (width, 2 * width, 3, 3), "fpn.P2_2.bias": (width,)}
    out |= {"conv2.weight": (3, width, 7, 7), "conv2.bias": (3,)}
    return random_state(out)
