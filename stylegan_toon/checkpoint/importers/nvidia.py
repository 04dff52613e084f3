"""NVIDIA's stylegan2-ada-pytorch and the StyleGAN2 of its stylegan3 repository, read by renaming.

A file is a pickle of {"G", "D", "G_ema", "training_set_kwargs", "augment_pipe"}; each module in it is a
record with its class's name, the source text of that class, which their loader runs and this one drops, and
its __dict__. The names differ from ours, the tensors do not. Resolution, channels, mapping depth and widths
are read from the shapes; the mapping's learning rate and the minibatch-stddev group from the records.
Source: stylegan2-ada-pytorch, torch_utils/persistence.py and training/networks.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.checkpoint.importers.taker import MAX_BLOCKS, Taker, discriminator_shapes, generator_shapes
from stylegan_toon.checkpoint.importers.torch_file import TABLE, Storage, _empty, read_legacy
from stylegan_toon.checkpoint.importers.unpickle import Budget, unpickle
from stylegan_toon.errors import ModelError

VERSIONS = range(1, 7)  # of the record
MAX_MODULES = 2_000
MAX_DEPTH = 8
NETWORKS = ("G_ema", "G", "D")
SETTINGS: dict[str, dict[str, Any]] = {  # what the tensors' names and shapes do not show
    "G": {"architecture": "skip", "use_noise": True, "img_channels": 3},
    "D": {"architecture": "resnet", "img_channels": 3},
}
ACTIVATIONS = ("lrelu", "linear")


@dataclass(frozen=True)
class Record:
    """One pickled module: its class's name, never the class, and its __dict__."""

    class_name: str
    state: dict[str, Any]


def is_nvidia_file(data: bytes) -> bool:
    """Whether the bytes begin as a pickle of a protocol that these files can have."""
    return data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def read(data: bytes) -> dict[str, Any]:
    """The dictionary in a pickle of NVIDIA's: Records, whose tensors are read-only views into data.

    Raises: ModelError, its message without the file's name.
    """
    budget = Budget()
    storages: dict[int, tuple[memoryview, Storage]] = {}

    def storage(raw: memoryview) -> Storage:
        """Their storages are files of torch.save inside the pickle, in its old format."""
        if id(raw) not in storages:  # the same bytes named twice are one object
            held = read_legacy(raw, TABLE, budget)
            if not isinstance(held, Storage):
                raise TypeError
            storages[id(raw)] = raw, held  # raw stays, so its id is not given to another
        return storages[id(raw)][1]

    table = {
        **TABLE,
        "torch.storage._load_from_bytes": storage,
        "torch_utils.persistence._reconstruct_persistent_obj": _record,
        "dnnlib.util.EasyDict": _empty,
        **{f"numpy.{core}.multiarray._reconstruct": lambda *given: None for core in ("core", "_core")},
        "numpy.ndarray": None,  # StyleGAN3's layers hold some; they are read so far that it can be told
    }
    found, _ = unpickle(memoryview(data), 0, table, budget=budget)
    if not isinstance(found, dict) or not any(isinstance(found.get(key), Record) for key in NETWORKS):
        raise ModelError("is a pickle, but without NVIDIA's networks G_ema, G or D; name another file")
    return found


def from_nvidia(state: Mapping[str, Any]) -> dict[str, Checkpoint]:
    """Turn the dictionary of read() into ours.

    Returns: {"generator", "generator_raw", "discriminator"}, those that are there: generator is G_ema, or G
        without it; generator_raw is G beside a G_ema. w_mean is w_avg. Activations that their networks
        clamp (at meta's conv_clamp) are not clamped here.
    Raises: ModelError naming what is missing, left over, of a wrong shape or of another architecture.
    """
    records = [key for key, value in state.items() if isinstance(value, Record)]
    if left := [key for key in records if key not in (*NETWORKS, "augment_pipe")]:
        raise ModelError(f"holds networks that are not read: {', '.join(str(key)[:40] for key in left[:3])}")
    found: dict[str, Checkpoint] = {}
    g, d, g_ema = (state.get(key) for key in ("G", "D", "G_ema"))
    if g_ema is not None:
        found["generator"] = _generator(*_unfold(g_ema, "G_ema", "G"))
    if g is not None:
        found["generator" if g_ema is None else "generator_raw"] = _generator(*_unfold(g, "G", "G"))
    if d is not None:
        found["discriminator"] = _discriminator(*_unfold(d, "D", "D"))
    return found


def to_nvidia(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The tensors of a generator or a discriminator under NVIDIA's names, without the FIR filters."""
    state = dict(checkpoint.tensors)
    out = {"mapping.w_avg": state.pop("w_mean")} if checkpoint.kind == "generator" else {}
    size = checkpoint.config["resolution"]
    return out | {_theirs(name, size): tensor for name, tensor in state.items()}


def _record(given: Any) -> Record:
    if given["type"] != "class" or given["version"] not in VERSIONS:
        raise ModelError("has records of a kind that is not known; it may be of a newer version of NVIDIA's")
    if type(given["class_name"]) is not str or type(given["state"]) is not dict:
        raise TypeError
    return Record(given["class_name"], given["state"])


def _unfold(record: Any, what: str, network: str) -> tuple[Taker, dict[str, dict[str, Any]]]:
    """The tensors of a tree of records under dotted names, and each record's __dict__ under its own.

    Raises: ModelError if a setting that the names do not show is none of ours.
    """
    tensors: dict[str, Tensor] = {}
    rooms: dict[str, dict[str, Any]] = {}
    todo = [("", record)]
    while todo:
        prefix, module = todo.pop()
        if not isinstance(module, Record) or len(rooms) > MAX_MODULES or prefix.count(".") > MAX_DEPTH:
            raise ModelError(f"{what}.{prefix[:40]} is no module of NVIDIA's StyleGAN2; name another file")
        rooms[prefix] = module.state
        for kind in ("_parameters", "_buffers", "_modules"):
            for name, value in _items(module.state.get(kind)):
                if value is None:  # a bias that is not there
                    continue
                if kind == "_modules":
                    todo.append((f"{prefix}{name}.", value))
                else:
                    tensors[f"{prefix}{name}"] = value
    if any(key.startswith(("synthesis.L", "synthesis.input.")) for key in tensors):
        raise ModelError("is a StyleGAN3 of config t or r; only StyleGAN2 is read")
    if labels := rooms[""].get("c_dim"):
        raise ModelError(f"{what} was trained with {_short(labels)} labels; only those without are read")
    for prefix, values in rooms.items():
        for setting, wanted in SETTINGS[network].items():
            if (given := values.get(setting, wanted)) != wanted:
                raise ModelError(f"{what}.{prefix}{setting} is {_short(given)}, and only {wanted} is read")
        if (given := values.get("activation", "lrelu")) not in ACTIVATIONS:
            raise ModelError(f"{what}.{prefix}activation is {_short(given)}, and only lrelu is read")
    return Taker(tensors, what, "NVIDIA's layout"), rooms


def _short(value: Any) -> str:
    return str(value)[:20] if isinstance(value, str | int | float) else type(value).__name__


def _items(given: Any) -> list[tuple[str, Any]]:
    if given is None:
        return []
    if not isinstance(given, dict) or not all(type(key) is str for key in given):
        raise ModelError("holds a module whose parameters are no dictionary; get it again")
    return list(given.items())


def _generator(source: Taker, rooms: dict[str, dict[str, Any]]) -> Checkpoint:
    blocks = _blocks(source, r"synthesis\.b(\d{1,6})\.")
    depth = max(source.last(r"mapping\.fc(\d{1,3})\."), 0) + 1
    w_dim, z_dim = source.shape("mapping.fc0.weight", 2)
    config = {
        "resolution": 4 * 2**blocks,
        "channels": [source.shape(f"synthesis.b{4 * 2**k}.conv1.weight", 4)[0] for k in range(blocks + 1)],
        "z_dim": z_dim, "w_dim": w_dim, "mapping_layers": depth,
        "mapping_lr_mul": _one(rooms, r"mapping\.fc\d+\.", "bias_gain", 0.01, float),
    }  # fmt: skip
    out = {ours: source.take(_theirs(ours), shape) for ours, shape in generator_shapes(config)}
    out["w_mean"] = source.take("mapping.w_avg", (w_dim,))
    _drop_filters(source)
    meta = {"imported_from": "nvidia", "weights": source.what, "w_mean": "w_avg"}
    if clamp := _one(rooms, r"synthesis\.b\d+\.conv1\.", "conv_clamp", 0, float, several=True):
        meta["conv_clamp"] = clamp
    return Checkpoint("generator", config, meta, out)


def _discriminator(source: Taker, rooms: dict[str, dict[str, Any]]) -> Checkpoint:
    blocks = _blocks(source, r"b(\d{1,6})\.")
    size = 4 * 2**blocks
    channels = [source.shape(f"b{8 * 2**k}.skip.weight", 4)[0] for k in range(blocks)]
    channels.append(source.shape(f"b{size}.fromrgb.weight", 4)[0])
    out = {ours: source.take(_theirs(ours, size), shape) for ours, shape in discriminator_shapes(channels)}
    _drop_filters(source)
    group = _one(rooms, r"b4\.mbstd\.", "group_size", 4, int)
    config = {"resolution": size, "channels": channels, "group": group}
    return Checkpoint("discriminator", config, {"imported_from": "nvidia", "weights": source.what}, out)


def _blocks(source: Taker, pattern: str) -> int:
    """How many resolutions above 4x4 there are, from the largest that a key names."""
    size = source.last(pattern)
    blocks = size.bit_length() - 3
    if not 1 <= blocks <= MAX_BLOCKS or size != 4 * 2**blocks:
        raise ModelError(f"{source.what} holds no blocks b4, b8, ...; it is no StyleGAN2 in NVIDIA's layout")
    return blocks


def _one(
    rooms: dict[str, dict[str, Any]], pattern: str, key: str, default: Any, kind: type, several: bool = False
) -> Any:
    """The value of key in the records whose names match; the largest of several, if they may differ."""
    found = {
        value for room, values in rooms.items()
        if re.fullmatch(pattern, room) and isinstance(value := values.get(key), int | float) and value > 0
    }  # fmt: skip
    if len(found) > 1 and not several:
        raise ModelError(f"has layers with different {key}, which no StyleGAN2 has; name another file")
    return kind(max(found, default=default))


def _drop_filters(source: Taker) -> None:
    for key in [key for key in source.state if key.endswith("resample_filter")]:
        source.drop_fir(key, 1)
    source.finish()


def _theirs(ours: str, size: int = 0) -> str:
    """NVIDIA's name for a tensor of ours; size is that of the discriminator's pictures."""
    if match := re.fullmatch(r"mapping\.layers\.(\d+)\.(\w+)", ours):
        return f"mapping.fc{match[1]}.{match[2]}"
    if match := re.fullmatch(r"synthesis\.blocks\.(\d+)\.(\w+)\.(?:conv\.)?(.+)", ours):
        return f"synthesis.b{4 * 2 ** int(match[1])}.{match[2].replace('_', '')}.{match[3]}"
    if ours == "synthesis.const":
        return "synthesis.b4.const"
    if match := re.fullmatch(r"blocks\.(\d+)\.(.+)", ours):
        return f"b{size // 2 ** int(match[1])}.{match[2]}"
    if ours.startswith("from_rgb."):
        return f"b{size}.{ours.replace('_', '')}"
    return f"b4.{ours.removeprefix('final_')}"
