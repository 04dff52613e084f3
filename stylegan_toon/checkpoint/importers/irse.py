"""Networks with an IR-SE body, read by renaming: ArcFace's, and the encoders in e4e's and pSp's files.

Depth, widths and input size are read from the keys and shapes. Batch norms, whose statistics are fixed,
become part of the layers beside them: in float64, then rounded once.
Source: TreB1eN/InsightFace_Pytorch, model.py; eladrich/pixel2style2pixel and omertov/encoder4editing,
models/encoders/psp_encoders.py; orpatashnik/StyleCLIP and xinntao/facexlib have the first one's layout.
"""

import math
from collections.abc import Mapping
from itertools import groupby, pairwise
from typing import Any

import torch
from torch import Tensor

from stylegan_toon.checkpoint.format import Checkpoint, not_finite
from stylegan_toon.checkpoint.importers.taker import Taker
from stylegan_toon.errors import ModelError

ENCODERS = {"Encoder4Editing": "e4e", "GradualStyleEncoder": "pSp"}  # opts.encoder_type: whose
LEVELS = (3, 7)  # the heads from here on have one convolution more
MAX_CONVS = 8
EPS = 1e-5  # torch's default for batch norms, which is in no file


def is_arcface(state: Mapping[str, Any]) -> bool:
    """Whether a torch file's dictionary is a plain state dict of such a network."""
    return "input_layer.0.weight" in state


def from_arcface(state: Mapping[str, Any]) -> dict[str, Checkpoint]:
    """Turn the state dict of an ArcFace IR-SE network into ours, {"features"}.

    Raises: ModelError naming the key that is missing, left over or of a wrong shape.
    """
    source = Taker(state, "", "ArcFace's layout", "IR-SE network")
    config, out = _body(source)
    last, stages = config["widths"][-1], len(config["widths"])
    embedding, columns = source.shape("output_layer.3.weight", 2)
    edge = math.isqrt(columns // last)
    if edge == 0 or columns != last * edge**2:
        raise ModelError(f"key output_layer.3.weight has {columns} columns, which are no {last} squares")
    scale, shift = (part.repeat_interleave(edge**2) for part in _norm(source, "output_layer.0", last))
    weight = source.take("output_layer.3.weight", (embedding, columns)).double()
    bias = weight @ shift + source.take("output_layer.3.bias", (embedding,)).double()
    last_scale, last_shift = _norm(source, "output_layer.4", embedding)
    out["head.weight"] = _rounded(weight * scale * last_scale[:, None], "output_layer")
    out["head.bias"] = _rounded(bias * last_scale + last_shift, "output_layer")
    source.finish()
    config |= {"embedding": embedding, "size": edge * 2**stages}
    meta = {"imported_from": "ArcFace", "network": "arcface-ir-se50"}
    return {"features": Checkpoint("features", config, meta, out)}


def encoder_of(opts: Mapping[str, Any]) -> str | None:
    """Whose encoder a file with these opts holds, "e4e" or "pSp"; None for one that is not read."""
    kind, channels = opts.get("encoder_type"), opts.get("input_nc", 3)
    return ENCODERS.get(kind) if isinstance(kind, str) and channels == 3 else None


def from_style_encoder(state: Any, whose: str, w_mean: Tensor | None) -> Checkpoint:
    """Turn the encoder of an e4e or pSp file into ours.

    Args:
        state: its state dict, without the prefix encoder.
        whose: "e4e" or "pSp".
        w_mean: [D], what its codes are added to; None is zero.
    Raises: ModelError as from_arcface.
    """
    source = Taker(state, "encoder", f"{whose}'s layout", "IR-SE encoder")
    config, out = _body(source)
    if len(config["widths"]) != 4:
        raise ModelError(f"{source.what} has {len(config['widths'])} stages; those of e4e and pSp have 4")
    _, fine, medium, coarse = config["widths"]
    for ours, theirs, width in (("medium", "latlayer1", medium), ("fine", "latlayer2", fine)):
        out[f"lateral_{ours}.weight"] = source.take(f"{theirs}.weight", (coarse, width, 1, 1))
        out[f"lateral_{ours}.bias"] = source.take(f"{theirs}.bias", (coarse,))
    n_layers = max(source.last(r"styles\.(\d{1,3})\."), 0) + 1
    w_dim = source.shape("styles.0.linear.weight", 2)[0]
    first = source.last(r"styles\.0\.convs\.(\d{1,2})\.") // 2 + 1  # convolutions and activations alternate
    if not 0 < first <= MAX_CONVS:
        raise ModelError(f"{source.what} has {first} convolutions a head; it is no e4e or pSp encoder")
    for i in range(n_layers):
        convs = first + sum(i >= level for level in LEVELS)
        for k, (n_in, n_out) in enumerate(pairwise([coarse, *[w_dim] * convs])):
            name = f"styles.{i}.convs.{2 * k}"
            out[f"heads.{i}.convs.{k}.weight"] = source.take(f"{name}.weight", (n_out, n_in, 3, 3))
            out[f"heads.{i}.convs.{k}.bias"] = source.take(f"{name}.bias", (n_out,))
        out[f"heads.{i}.linear.weight"] = source.take(f"styles.{i}.linear.weight", (w_dim, w_dim))
        out[f"heads.{i}.linear.bias"] = source.take(f"styles.{i}.linear.bias", (w_dim,))
    source.finish()
    out["w_mean"] = torch.zeros(w_dim) if w_mean is None else w_mean.clone()
    config |= {"resolution": 16 * 2**first, "n_layers": n_layers, "w_dim": w_dim, "offsets": whose == "e4e"}
    return Checkpoint("encoder", config, {"imported_from": whose, "weights": source.what}, out)


def _body(source: Taker) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """widths, units and reduction of the body, and the tensors of nn.irse.IrSe, under body."""
    count = source.last(r"body\.(\d{1,3})\.") + 1
    depths = [source.shape(f"body.{i}.res_layer.1.weight", 4)[0] for i in range(max(count, 1))]
    stages = [(width, len(list(same))) for width, same in groupby(depths)]
    narrow = source.shape("body.0.res_layer.5.fc1.weight", 4)[0]
    reduction = depths[0] // max(narrow, 1)
    if reduction < 1:
        raise ModelError(f"key {source.named('body.0.res_layer.5.fc1.weight')} does not narrow its input")
    out = _folded(source, "input_layer.0", "input_layer.1", "body.stem", (depths[0], 3, 3, 3))
    out["body.act.weight"] = source.take("input_layer.2.weight", (depths[0],))
    names = [f"body.stages.{k}.{i}" for k, (_, units) in enumerate(stages) for i in range(units)]
    for i, (ours, (n_in, n)) in enumerate(zip(names, pairwise([depths[0], *depths]), strict=True)):
        theirs, small = f"body.{i}.res_layer", n // reduction
        for name, part in zip(("scale", "shift"), _norm(source, f"{theirs}.0", n_in), strict=True):
            out[f"{ours}.{name}"] = _rounded(part, f"{theirs}.0")
        out[f"{ours}.conv0.weight"] = source.take(f"{theirs}.1.weight", (n, n_in, 3, 3))
        out[f"{ours}.act.weight"] = source.take(f"{theirs}.2.weight", (n,))
        out |= _folded(source, f"{theirs}.3", f"{theirs}.4", f"{ours}.conv1", (n, n, 3, 3))
        out[f"{ours}.squeeze.weight"] = source.take(f"{theirs}.5.fc1.weight", (small, n, 1, 1))
        out[f"{ours}.excite.weight"] = source.take(f"{theirs}.5.fc2.weight", (n, small, 1, 1))
        if n != n_in:
            skip = f"body.{i}.shortcut_layer"
            out |= _folded(source, f"{skip}.0", f"{skip}.1", f"{ours}.skip", (n, n_in, 1, 1))
    widths, units = zip(*stages, strict=True)
    return {"widths": list(widths), "units": list(units), "reduction": reduction}, out


def _folded(source: Taker, conv: str, norm: str, ours: str, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Weight and bias of a convolution without a bias and the batch norm after it."""
    scale, shift = _norm(source, norm, shape[0])
    weight = source.take(f"{conv}.weight", shape).double() * scale[:, None, None, None]
    return {f"{ours}.weight": _rounded(weight, norm), f"{ours}.bias": _rounded(shift, norm)}


def _norm(source: Taker, name: str, width: int) -> tuple[Tensor, Tensor]:
    """Scale and shift, [width] float64, that a batch norm comes down to."""
    weight, bias, mean, variance = (
        source.take(f"{name}.{part}", (width,)).double()
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    source.state.pop(f"{name}.num_batches_tracked", None)
    if bool((variance < 0).any()):
        raise ModelError(f"key {source.named(name)}.running_var holds negative numbers; get the file again")
    scale = weight / (variance + EPS).sqrt()
    return scale, bias - mean * scale


def _rounded(tensor: Tensor, name: str) -> Tensor:
    tensor = tensor.float()
    if not_finite({name: tensor}):
        raise ModelError(f"the batch norm {name} has numbers that pass float32; get the file again")
    return tensor
