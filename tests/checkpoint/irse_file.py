"""Networks with an IR-SE body: random state dicts in the layouts of e4e, pSp and ArcFace, and their answers.

These are float64 NumPy from the formulas, with batch norms as batch norms; nothing of the package is used.
"""

import numpy as np
import torch

from tests.stylegan2.reference import arrays, conv, generator_state

WIDTHS, UNITS, REDUCTION = (8, 10, 12, 14), (2, 1, 2, 1), 4
CHANNELS = [4, 4, 4, 4]  # of the decoder: 32 px, 8 codes


def _rand(draw, *shape, scale=1.0):
    return torch.randn(shape, generator=draw) * scale


def _norm_state(s, name, n, draw):
    s[f"{name}.weight"] = 1 + _rand(draw, n, scale=0.3)
    s[f"{name}.bias"] = _rand(draw, n, scale=0.3)
    s[f"{name}.running_mean"] = _rand(draw, n, scale=0.5)
    s[f"{name}.running_var"] = torch.rand(n, generator=draw) * 2 + 0.1
    s[f"{name}.num_batches_tracked"] = torch.tensor(3)


def body_state(draw, widths=WIDTHS, units=UNITS, reduction=REDUCTION):
    def weight(a, b, k):
        return _rand(draw, b, a, k, k, scale=1.4 / (a * k * k) ** 0.5)

    s = {"input_layer.0.weight": weight(3, widths[0], 3)}
    _norm_state(s, "input_layer.1", widths[0], draw)
    s["input_layer.2.weight"] = _rand(draw, widths[0], scale=0.3)
    n_in, i = widths[0], 0
    for n, count in zip(widths, units, strict=True):
        for _ in range(count):
            if n != n_in:
                s[f"body.{i}.shortcut_layer.0.weight"] = weight(n_in, n, 1)
                _norm_state(s, f"body.{i}.shortcut_layer.1", n, draw)
            name = f"body.{i}.res_layer"
            _norm_state(s, f"{name}.0", n_in, draw)
            s[f"{name}.1.weight"] = weight(n_in, n, 3)
            s[f"{name}.2.weight"] = _rand(draw, n, scale=0.3)
            s[f"{name}.3.weight"] = weight(n, n, 3)
            _norm_state(s, f"{name}.4", n, draw)
            s[f"{name}.5.fc1.weight"] = weight(n, n // reduction, 1)
            s[f"{name}.5.fc2.weight"] = weight(n // reduction, n, 1)
            n_in, i = n, i + 1
    return s


def encoder_state(n_layers=8, w_dim=6, resolution=32, seed=0):
    draw = torch.Generator().manual_seed(seed)
    s, coarse = body_state(draw), WIDTHS[3]
    for i in range(n_layers):
        n_in = coarse
        for k in range(resolution.bit_length() - 5 + (i >= 3) + (i >= 7)):
            s[f"styles.{i}.convs.{2 * k}.weight"] = _rand(draw, w_dim, n_in, 3, 3, scale=0.3)
            s[f"styles.{i}.convs.{2 * k}.bias"] = _rand(draw, w_dim, scale=0.3)
            n_in = w_dim
        s[f"styles.{i}.linear.weight"] = _rand(draw, w_dim, w_dim)
        s[f"styles.{i}.linear.bias"] = _rand(draw, w_dim)
    for name, n in (("latlayer1", WIDTHS[2]), ("latlayer2", WIDTHS[1])):
        s[f"{name}.weight"] = _rand(draw, coarse, n, 1, 1, scale=n**-0.5)
        s[f"{name}.bias"] = _rand(draw, coarse, scale=0.3)
    return s


def arcface_state(embedding=10, edge=2, seed=0, **body):
    draw = torch.Generator().manual_seed(seed)
    s = body_state(draw, **body)
    last = body.get("widths", WIDTHS)[-1]
    _norm_state(s, "output_layer.0", last, draw)
    s["output_layer.3.weight"] = _rand(draw, embedding, last * edge**2, scale=0.2)
    s["output_layer.3.bias"] = _rand(draw, embedding)
    _norm_state(s, "output_layer.4", embedding, draw)
    return s


def whole(encoder, kind="Encoder4Editing", w_dim=6, channels=CHANNELS, **opts):
    """A file of e4e (or pSp, by kind): decoder, encoder, latent_avg, opts."""
    decoder = generator_state(channels, style_dim=w_dim, n_mlp=2)
    networks = {f"decoder.{key}": value for key, value in decoder.items()}
    networks |= {f"encoder.{key}": value for key, value in encoder.items()}
    mean = torch.linspace(-1, 1, w_dim).repeat(2 * len(channels), 1)
    opts = {"encoder_type": kind, "start_from_latent_avg": True, "stylegan_size": 32, **opts}
    return {"state_dict": networks, "latent_avg": mean, "opts": opts}


def batch_norm(s, name, x):
    """Over axis 1 of x, with the statistics of the file."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var, weight, bias = (
        s[f"{name}.{part}"].reshape(shape) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(var + 1e-5) * weight + bias


def prelu(x, slope):
    return np.where(x < 0, slope.reshape(1, -1, 1, 1) * x, x)


def body(s, x, units=UNITS):
    """The outputs of the stages."""
    x = prelu(
        batch_norm(s, "input_layer.1", conv(x, s["input_layer.0.weight"], pad=1)), s["input_layer.2.weight"]
    )
    out, i = [], 0
    for count in units:
        for unit in range(count):
            stride, name = 2 if unit == 0 else 1, f"body.{i}.res_layer"
            y = conv(batch_norm(s, f"{name}.0", x), s[f"{name}.1.weight"], pad=1)
            y = conv(prelu(y, s[f"{name}.2.weight"]), s[f"{name}.3.weight"], stride, 1)
            y = batch_norm(s, f"{name}.4", y)
            gate = np.maximum(conv(y.mean((2, 3), keepdims=True), s[f"{name}.5.fc1.weight"]), 0)
            y = y / (1 + np.exp(-conv(gate, s[f"{name}.5.fc2.weight"])))
            if f"body.{i}.shortcut_layer.0.weight" in s:
                x = conv(x, s[f"body.{i}.shortcut_layer.0.weight"], stride)
                x = batch_norm(s, f"body.{i}.shortcut_layer.1", x)
            else:
                x = x[:, :, ::stride, ::stride]
            x, i = x + y, i + 1
        out.append(x)
    return out


def enlarge(x, size):
    """Linear interpolation between pixel centres, corners on corners, a row and a column at a time."""
    for axis in (2, 3):
        at = np.linspace(0, x.shape[axis] - 1, size)
        x = np.apply_along_axis(lambda line, at=at: np.interp(at, np.arange(len(line)), line), axis, x)
    return x


def codes(state, x, offsets):
    """[N, L, D] of pictures at the encoder's size, without the mean."""
    s = arrays(state)
    _, c1, c2, c3 = body(s, x.astype(np.float64))

    def lateral(name, y):
        return conv(y, s[f"{name}.weight"]) + s[f"{name}.bias"].reshape(1, -1, 1, 1)

    p2 = enlarge(c3, c2.shape[2]) + lateral("latlayer1", c2)
    p1 = enlarge(p2, c1.shape[2]) + lateral("latlayer2", c1)
    out = []
    for i in range(1 + max(int(key.split(".")[1]) for key in s if key.startswith("styles."))):
        y = c3 if i < 3 else p2 if i < 7 else p1
        k = 0
        while f"styles.{i}.convs.{k}.weight" in s:
            y = conv(y, s[f"styles.{i}.convs.{k}.weight"], 2, 1) + s[f"styles.{i}.convs.{k}.bias"].reshape(
                1, -1, 1, 1
            )
            y, k = np.where(y < 0, 0.01 * y, y), k + 2
        assert y.shape[2:] == (1, 1)
        weight = s[f"styles.{i}.linear.weight"]
        out.append(y[:, :, 0, 0] @ weight.T / np.sqrt(weight.shape[1]) + s[f"styles.{i}.linear.bias"])
    return np.stack([out[0], *(y + out[0] * offsets for y in out[1:])], 1)


def embedding(state, x, units=UNITS):
    """[N, F] of length 1, of faces already cut out."""
    s = arrays(state)
    y = batch_norm(s, "output_layer.0", body(s, x.astype(np.float64), units)[-1]).reshape(len(x), -1)
    y = batch_norm(s, "output_layer.4", y @ s["output_layer.3.weight"].T + s["output_layer.3.bias"])
    return y / np.linalg.norm(y, axis=1, keepdims=True)
