"""Model files made to do harm or to be wrong: every kind by name, and seeded mutations of good ones.

Pickles are put together from opcodes, so that they hold what no pickler would write.
"""

import io
import json
import pickle
import random
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from stylegan_toon.checkpoint.format import Checkpoint, save
from stylegan_toon.checkpoint.importers.nvidia import from_nvidia, read
from tests.checkpoint import irse_file, nvidia_file
from tests.stylegan2 import reference

CHANNELS = [4, 4]  # 8 px
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
MACHINE = {
    "protocol_version": VERSION,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}
EMPTY_DICT, SETITEM, MARK, REDUCE, BUILD, STOP = b"}", b"s", b"(", b"R", b"b", b"."

COMMANDS = [
    ("os", "system", "touch {0}"), ("posix", "system", "touch {0}"), ("nt", "system", "touch {0}"),
    ("subprocess", "call", ["touch", "{0}"]), ("subprocess", "Popen", ["touch", "{0}"]),
    ("subprocess", "check_output", ["touch", "{0}"]), ("pty", "spawn", ["touch", "{0}"]),
    ("builtins", "eval", "open('{0}', 'w')"), ("__builtin__", "eval", "open('{0}', 'w')"),
    ("builtins", "exec", "open('{0}', 'w')"), ("builtins", "compile", "open('{0}', 'w')"),
    ("builtins", "__import__", "os"), ("builtins", "getattr", "x"), ("builtins", "open", "{0}"),
    ("importlib", "import_module", "antigravity"), ("runpy", "run_path", "{0}"),
    ("timeit", "timeit", "open('{0}','w')"),
    ("cProfile", "run", "open('{0}', 'w')"), ("code", "interact", "x"),
    ("pickle", "loads", b"cos\nsystem\n."),
    ("marshal", "loads", b"\xe3"), ("types", "FunctionType", "x"), ("operator", "methodcaller", "system"),
    ("functools", "partial", "x"), ("shutil", "rmtree", "{0}"), ("os", "mkdir", "{0}"),
    ("pathlib", "Path", "{0}"),
    ("socket", "create_connection", "x"), ("urllib.request", "urlopen", "file://{0}"),
    ("ctypes", "CDLL", "{0}"),
    ("webbrowser", "open", "file://{0}"), ("pip", "main", ["download", "x"]),
    ("pydoc", "pipepager", "touch {0}"),
    ("torch", "load", "{0}"), ("torch.serialization", "load", "{0}"),
    ("torch.utils.collect_env", "run", "touch {0}"),
    ("torch.hub", "load", "x"), ("torch.storage", "_load_from_bytes.__globals__", "x"),
    ("numpy.testing._private.utils", "runstring", "open('{0}', 'w')"), ("numpy", "load", "{0}"),
    ("numpy.f2py.crackfortran", "getlincoef", "open('{0}', 'w')"), ("numpy", "fromfile", "{0}"),
    ("stylegan_toon.files", "write_aside", "{0}"),
    ("torch_utils.persistence", "_src_to_module", "x"),
]  # fmt: skip


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def raw_bytes(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def plain(value: Any) -> bytes:
    """The opcodes of a plain value, to be put inside another pickle."""
    return pickle.dumps(value, 2)[2:-1] if not isinstance(value, bytes) else raw_bytes(value)


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def call(module: str, attribute: str, *arguments: bytes) -> bytes:
    return name(module, attribute) + MARK + b"".join(arguments) + b"t" + REDUCE


def entry(key: str, value: bytes) -> bytes:
    """A whole pickle of {key: value}."""
    return b"\x80\x02" + EMPTY_DICT + text(key) + value + SETITEM + STOP


def zipped(pickled: bytes, storages: dict[str, bytes] | None = None, **more: bytes) -> bytes:
    """A torch file of the zip kind."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        for key, data in (storages or {}).items():
            archive.writestr(f"a/data/{key}", data)
        for key, data in {"version": b"3\n", **more}.items():
            archive.writestr(f"a/{key}", data)
    return buffer.getvalue()


def legacy(
    pickled: bytes, storages: dict[str, bytes] | None = None, counts: dict[str, int] | None = None
) -> bytes:
    """A torch file of the old kind; counts are the lengths written before the storages, else a quarter."""
    out = b"".join(pickle.dumps(part, 2) for part in (MAGIC, VERSION, MACHINE)) + pickled
    out += pickle.dumps(list(storages or {}), 2)
    for key, data in (storages or {}).items():
        out += struct.pack("<q", (counts or {}).get(key, len(data) // 4)) + data
    return out


def storage(key: str, numel: int, kind: str = "FloatStorage") -> bytes:
    return MARK + text("storage") + name("torch", kind) + text(key) + text("cpu") + plain(numel) + b"tQ"


def tensor(of: bytes, size: Any, stride: Any, offset: Any = 0) -> bytes:
    hooks = call("collections", "OrderedDict")
    return call(
        "torch._utils", "_rebuild_tensor_v2", of, plain(offset), plain(size), plain(stride), b"\x89", hooks
    )


def nvidia_storage(data: bytes, numel: int | None = None) -> bytes:
    count = len(data) // 4 if numel is None else numel
    inner = legacy(b"\x80\x02" + storage("0", count) + STOP, {"0": data}, {"0": count})
    return call("torch.storage", "_load_from_bytes", raw_bytes(inner))


def record(state: bytes, kind: str = "class", version: int = 6, class_name: bytes | None = None) -> bytes:
    meta = EMPTY_DICT
    fields = {"type": text(kind), "version": plain(version), "module_src": text("raise SystemExit")}
    fields |= {"class_name": class_name or text("Generator"), "state": state}
    for key, value in fields.items():
        meta += text(key) + value + SETITEM
    return call("torch_utils.persistence", "_reconstruct_persistent_obj", meta)


def state(**kinds: bytes) -> bytes:
    """The __dict__ of a module: _parameters=..., _modules=..."""
    return EMPTY_DICT + b"".join(text(f"_{key}") + value + SETITEM for key, value in kinds.items())


def carriers(payload: bytes) -> Iterator[tuple[str, bytes]]:
    """Files in which the opcodes of payload make a value."""
    yield "ros-zip", zipped(entry("g_ema", payload))
    yield "ros-legacy", legacy(entry("g_ema", payload))
    yield "nvidia", entry("G_ema", record(state(parameters=EMPTY_DICT + text("w") + payload + SETITEM)))
    inner = legacy(b"\x80\x02" + payload + STOP, {})
    yield "nvidia-nested", entry("G_ema", call("torch.storage", "_load_from_bytes", raw_bytes(inner)))


def good() -> dict[str, bytes]:
    """Good files, one of every layout."""
    g, raw = (reference.generator_state(CHANNELS, style_dim=4, n_mlp=1, seed=seed) for seed in (0, 1))
    d = reference.discriminator_state(CHANNELS)
    theirs = nvidia_file.dump({"G": nvidia_file.generator(raw), "D": nvidia_file.discriminator(d),
                               "G_ema": nvidia_file.generator(g)})  # fmt: skip
    whole = {"g_ema": g, "g": raw, "d": d, "latent_avg": torch.ones(4), "args": None}
    files = {"nvidia": theirs, "own": own(from_nvidia(read(theirs))["generator"])}
    e4e = irse_file.whole(irse_file.encoder_state(4, w_dim=4), w_dim=4, channels=CHANNELS)
    for kind, saved in (("ros-zip", whole), ("ros-legacy", whole), ("e4e", e4e),
                        ("arcface", irse_file.arcface_state())):  # fmt: skip
        buffer = io.BytesIO()
        torch.save(saved, buffer, _use_new_zipfile_serialization=kind == "ros-zip")
        files[kind] = buffer.getvalue()
    return files


def own(checkpoint: Checkpoint) -> bytes:
    """The bytes that save() writes."""
    path = Path(f"{checkpoint.kind}.{random.getrandbits(64)}.tmp")
    save(path, checkpoint)
    try:
        return path.read_bytes()
    finally:
        path.unlink()


def payloads(marker: str) -> Iterator[tuple[str, bytes]]:
    """Files that would touch marker, or call something, in a reader that believes them."""
    for module, attribute, argument in COMMANDS:
        filled = [part.format(marker) for part in argument] if isinstance(argument, list) else argument
        filled = filled.format(marker) if isinstance(filled, str) else filled
        for carrier, data in carriers(call(module, attribute, plain(filled))):
            yield f"{module}.{attribute} in {carrier}", data
    system, touch = name("os", "system"), text(f"touch {marker}")
    tricks = {
        "inst": MARK + touch + b"ios\nsystem\n",
        "obj": MARK + system + touch + b"o",
        "stack global": text("os") + text("system") + b"\x93" + MARK + touch + b"t" + REDUCE,
        "newobj": name("subprocess", "Popen") + MARK + touch + b"t\x81",
        "newobj ex": name("subprocess", "Popen") + MARK + touch + b"t" + EMPTY_DICT + b"\x92",
        "ext": b"\x82\x01" + MARK + touch + b"t" + REDUCE,
        "build on a function": name("torch._utils", "_rebuild_parameter")
        + plain({"__defaults__": (1,)})
        + BUILD,
        "build with slots": name("collections", "OrderedDict") + plain(({}, {"__call__": 1})) + BUILD,
        "build on a class": name("argparse", "Namespace") + plain({"__init__": 1}) + BUILD + b")R" + b")R",
        "call of a value": plain("text") + MARK + touch + b"t" + REDUCE,
        "call of a result": call("collections", "OrderedDict") + MARK + touch + b"t" + REDUCE,
        "arguments that are a list": name("collections", "OrderedDict") + b"]" + REDUCE,
        "dotted name": name("collections", "OrderedDict.fromkeys") + MARK + touch + b"t" + REDUCE,
        "name with a line break": b"ccollections\nOrderedDict\r\n)R",
        "codec": call("_codecs", "encode", touch, text("rot13")),
        "dtype": call("numpy", "dtype", text("O"), b"\x89", b"\x88"),
        "scalar of objects": call("numpy._core.multiarray", "scalar", text("O8"), raw_bytes(bytes(8))),
        "persistent id": touch + b"Q",
        "module in a persistent id": MARK + text("module") + system + touch + touch + b"tQ",
    }
    for trick, data in tricks.items():
        for carrier, file in carriers(data):
            yield f"{trick} in {carrier}", file
    yield "a plain pickle", pickle.dumps(0)[:2] + call("os", "system", touch) + STOP
    inner = b"\x80\x02" + call("os", "system", touch) + STOP
    for what, data in (("pickle", inner), ("zip", zipped(inner))):
        nested = call("torch.storage", "_load_from_bytes", raw_bytes(data))
        yield f"a {what} inside a pickle", entry("G_ema", nested)
    yield "code in a zip", zipped(entry("g_ema", name("__torch__", "Evil") + b")\x81"), code=b"import os")
    yield "tensorflow", b"\x80\x03" + name("dnnlib.tflib.network", "Network") + b")\x81."
    yield "source alone", entry("G_ema", record(state()))


def wrong_pickles() -> Iterator[tuple[str, bytes]]:
    """Values that a reader may choke on, and tensors that lie."""
    deep = b")" + b"\x85" * 200_000
    values = {
        "nested keys": EMPTY_DICT + deep + plain(1) + SETITEM,
        "nested tuples": deep,
        "nested lists": b"]" * 100_000 + b"a" * 99_999,
        "nested sets": b"\x8f" + MARK + deep + b"\x90",
        "too many steps": b"N" * 1_200_000,
        "a memo of 2^32": plain(1) + b"r\xff\xff\xff\xff",
        "a memo that is not there": b"j\xff\xff\xff\x7f",
        "itself": b"}q\x07" + text("input.input") + b"h\x07" + SETITEM,
        "laughing lists": b"]q\0" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(60)),
        "a text of 4 GB": b"X\xff\xff\xff\xff" + b"x" * 100,
        "bytes of 2^63": b"\x8e" + b"\xff" * 7 + b"\x7f",
        "broken text": b"X\x02\0\0\0\xff\xfe",
        "marks": MARK * 200_000,
        "pops": b"0" * 1000,
        "an unknown opcode": b"\xff",
        "a long of 2 GB": b"\x8b\xff\xff\xff\x7f",
        "append to a text": text("x") + plain(1) + b"a",
        "items of a tuple": b")" + plain(1) + plain(1) + SETITEM,
        "an odd number of items": b"}(" + plain(1) + b"u",
        "no dictionary": plain(7),
        "a list of networks": plain([1, 2]),
        "a dtype": name("torch", "FloatStorage"),
        "an empty dictionary": EMPTY_DICT,
        "many unknown keys": plain({f"k{i}": i for i in range(20_000)}),
        "a key with control characters": plain({"\x1b[31m\n\u202e": 1}),
        "blocks without end": plain({f"to_rgbs.{999}.bias": 1, "style.1.weight": 2}),
    }  # fmt: skip
    for what, data in values.items():
        for carrier, file in carriers(data):
            yield f"{what} in {carrier}", file
    lies = {
        "2^40 numbers on 4 bytes": ((1 << 20, 1 << 20), (0, 0), 0),
        "2^400 numbers": ((1 << 200, 1 << 200), (1, 1), 0),
        "a stride of 2^62": ((2,), (1 << 62,), 0), "a negative stride": ((2,), (-1,), 1),
        "a negative size": ((-2, -2), (1, 1), 0), "an offset outside": ((1,), (1,), 5),
        "a negative offset": ((1,), (1,), -1),
        "more sizes than strides": ((1, 1), (1,), 0), "forty axes": ((1,) * 40, (1,) * 40, 0),
        "sizes of text": (("1",), (1,), 0), "an empty giant": ((0, 1 << 62), (1, 1), 0),
        "one number too many": ((5,), (1,), 0),
        "a size of true": ((True,), (1,), 0), "a list of lists": (([1],), (1,), 0),
    }  # fmt: skip
    four = bytes(16)
    for what, (size, stride, offset) in lies.items():
        inside = EMPTY_DICT + text("input.input") + tensor(storage("0", 4), size, stride, offset) + SETITEM
        yield f"{what} in ros-zip", zipped(entry("g_ema", inside), {"0": four})
        yield f"{what} in ros-legacy", legacy(entry("g_ema", inside), {"0": four})
        held = EMPTY_DICT + text("w") + tensor(nvidia_storage(four), size, stride, offset) + SETITEM
        yield f"{what} in nvidia", entry("G_ema", record(state(parameters=held)))
    itself = EMPTY_DICT + b"q\x09" + text("_modules") + EMPTY_DICT
    inside = itself + text("a") + record(b"h\x09") + SETITEM + SETITEM
    again = itself + b"".join(text(str(i)) + record(b"h\x09") + SETITEM for i in range(40)) + SETITEM
    climbs = entry("g_ema", tensor(storage("../data.pkl", 4), (4,), (1,)))
    quantised = entry("g_ema", tensor(storage("0", 4, "QInt8Storage"), (4,), (1,)))
    of_four = tensor(storage("0", 4), (4,), (1,))
    one = entry("g_ema", of_four)
    huge = entry("g_ema", tensor(storage("0", 1 << 60), (4,), (1,)))
    for what, file in {
        "a short storage": zipped(one, {"0": four[:8]}), "a long storage": zipped(one, {"0": four * 2}),
        "no storage": zipped(one), "a storage of 2^60": zipped(huge, {"0": four}),
        "a key that climbs": zipped(climbs, {"0": four}),
        "the other byte order": zipped(one, {"0": four}, byteorder=b"big"),
        "a negative length": zipped(entry("g_ema", tensor(storage("0", -4), (4,), (1,))), {"0": four}),
        "a quantised storage": zipped(quantised, {"0": four}),
        "sparse": zipped(entry("g_ema", call("torch._utils", "_rebuild_sparse_tensor", plain(0), plain(())))),
        "meta": zipped(entry("g_ema", call("torch._utils", "_rebuild_meta_tensor_no_storage", plain(0)))),
        "a tensor for a numpy type": zipped(entry("g_ema", call("numpy", "dtype", of_four)), {"0": four}),
        "nvidia: a tensor for a numpy type": entry(
            "G", record(state(parameters=call("numpy", "dtype", tensor(nvidia_storage(four), (4,), (1,)))))
        ),
        "no pickle": zipped(b""), "legacy: a storage of 2^60": legacy(huge, {"0": four}, {"0": 1 << 60}),
        "legacy: two lengths": legacy(one, {"0": four}, {"0": 3}), "legacy: no storage": legacy(one),
        "legacy: a storage too many": legacy(one, {"0": four, "1": four}),
        "legacy: a negative length": legacy(one, {"0": four}, {"0": -4}),
        "legacy: magic alone": pickle.dumps(MAGIC, 2),
        "nvidia: a short storage": entry("G", record(state(parameters=nvidia_storage(four, 8)))),
        "nvidia: an unknown record": entry("G", record(state(), kind="module")),
        "nvidia: a newer record": entry("G", record(state(), version=99)),
        "nvidia: a record without a name": entry("G", record(state(), class_name=plain(3))),
        "nvidia: a record of a list": entry("G", record(b"]")), "nvidia: no state": entry("G", record(b"N")),
        "nvidia: parameters in a list": entry("G", record(state(parameters=plain([1])))),
        "nvidia: a parameter of text": entry("G", record(state(parameters=plain({"mapping.w_avg": "x"})))),
        "nvidia: a module of text": entry("G", record(state(modules=plain({"mapping": "x"})))),
        "nvidia: a module in itself": entry("G", record(inside)),
        "nvidia: modules without end": entry("G", record(again)),
        "nvidia: labels": entry("G", record(plain({"c_dim": 10}))),
        "nvidia: D is text": entry("D", text("x")),
        "nvidia: blocks without end": entry("G", record(state(parameters=plain({"synthesis.b999999.x": 1})))),
    }.items():  # fmt: skip
        yield what, file


def wrong_archives(zip_file: bytes) -> Iterator[tuple[str, bytes]]:
    """Zips that torch never writes, from a good torch file."""
    with zipfile.ZipFile(io.BytesIO(zip_file)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}

    def pack(given: list[tuple[str, bytes]], how: int = zipfile.ZIP_STORED) -> bytearray:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", how) as archive:
            for filename, data in given:
                archive.writestr(zipfile.ZipInfo(filename), data, how)
        return bytearray(buffer.getvalue())

    listed = list(members.items())
    yield "deflated", bytes(pack(listed, zipfile.ZIP_DEFLATED))
    yield "a deflate bomb", bytes(pack([("a/data.pkl", bytes(64 << 20))], zipfile.ZIP_DEFLATED))
    yield "lzma", bytes(pack(listed, zipfile.ZIP_LZMA))
    yield "no data.pkl", bytes(pack([item for item in listed if not item[0].endswith(".pkl")]))
    yield "two data.pkl", bytes(pack([*listed, ("b/data.pkl", b"\x80\x02}.")]))
    yield "60,000 members", bytes(pack([(f"a/{i}", b"") for i in range(60_000)]))
    yield "a comment that imitates an end", zip_file + b"PK\5\6" + bytes(18)
    yield "an end alone", b"PK\3\4" + b"PK\5\6" + bytes(18)
    for what, at, value in (
        ("encrypted", 8, b"\1"), ("a method that is unknown", 10, b"\x63"),
        ("another checksum", 16, b"\xde\xad\xbe\xef"),
        ("a size of 4 GB", 24, b"\xfe\xff\xff\xff"), ("a name of 64 KB", 28, b"\xff\xff"),
        ("an offset outside", 42, b"\0\0\0\x7f"),
        ("every member at the beginning", 42, b"\0\0\0\0"), ("other sizes", 20, b"\1\0\0\0"),
    ):  # fmt: skip
        changed = pack(listed)
        for place in [i for i in range(len(changed) - 4) if changed[i : i + 4] == b"PK\1\2"]:
            changed[place + at : place + at + len(value)] = value
        yield what, bytes(changed)
    twice = pack([*listed, ("a/version_", b"3\n"), ("a/_version", b"4\n")])
    yield "two members of one name", bytes(twice).replace(b"a/_version", b"a/version_")


def wrong_own(file: bytes, checkpoint: Checkpoint) -> Iterator[tuple[str, bytes]]:
    """Our own format: broken headers, and sound files whose networks are none."""
    size = int.from_bytes(file[:8], "little")
    header, body = json.loads(file[8 : 8 + size]), file[8 + size :]
    about = json.loads(header["__metadata__"]["stylegan_toon"])

    def pack(changed: Any) -> bytes:
        raw = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
        raw += b" " * (-len(raw) % 8)
        return len(raw).to_bytes(8, "little") + raw + body

    def meta(**changes: Any) -> bytes:
        return pack({**header, "__metadata__": {"stylegan_toon": json.dumps({**about, **changes})}})

    def with_tensor(**changes: Any) -> bytes:
        return pack({**header, "w_mean": {**header["w_mean"], **changes}})

    yield "a header of 2^63", b"\xff" * 7 + b"\x7f" + file[8:]
    yield "a header of 100 MB", (100_000_000).to_bytes(8, "little") + file[8:]
    yield "a header of nothing", bytes(8) + file[8:]
    yield "a header of brackets", pack(b'{"a":' + b"[" * 1_000_000)
    yield "a header of 8 MB", pack({**header, "__metadata__": {"x": "y" * (8 << 20)}})
    yield "a header of another text", pack(b'{"a": \xff\xfe}')
    yield "metadata in a list", pack({**header, "__metadata__": [1]})
    yield "metadata of numbers", pack({**header, "__metadata__": {"stylegan_toon": 3}})
    yield "metadata of brackets", pack({**header, "__metadata__": {"stylegan_toon": "[" * 100_000}})
    yield "no metadata", pack({key: value for key, value in header.items() if key != "__metadata__"})
    yield "more metadata", pack({**header, "__metadata__": {**header["__metadata__"], "format": "pt"}})
    for key, values in {"version": (0, -1, 2, 10**400, "1", None), "kind": (3, "encoder", "train-state"),
                        "config": ([], {}, {**about["config"], "resolution": 1 << 40}),
                        "meta": ([], {"a": 1}),
                        "digest": ("", "0" * 64, 7)}.items():  # fmt: skip
        for value in values:
            yield f"{key} {str(value)[:20]}", meta(**{key: value})
    yield "an entry more", meta(extra=1)
    yield "another order", pack({key: header[key] for key in reversed(header)})
    yield "other spaces", pack(json.dumps(header, separators=(",", ":")).encode())
    yield "spaces that are tabs", file.replace(b", ", b",\t", 1)
    begin, end = header["w_mean"]["data_offsets"]
    yield "overlapping tensors", with_tensor(data_offsets=[0, end - begin])
    yield "offsets backwards", with_tensor(data_offsets=[end, begin])
    yield "offsets outside", with_tensor(data_offsets=[begin, 1 << 60])
    yield "negative offsets", with_tensor(data_offsets=[-4, begin])
    yield "a shape of 2^124", with_tensor(shape=[1 << 62, 1 << 62])
    yield "an empty giant", with_tensor(shape=[0, 1 << 62], data_offsets=[begin, begin])
    yield "another dtype", with_tensor(dtype="I32")
    yield "an unknown dtype", with_tensor(dtype="F8_E4M3")
    yield (
        "a tensor without its numbers",
        pack({**header, "more": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}),
    )
    yield "bytes at the end", file + b"\0"
    yield "a pickle at the end", file + pickle.dumps(1)
    yield "a pickle for a body", file[: 8 + size] + pickle.dumps([1] * len(body))[: len(body)]
    config, tensors = checkpoint.config, checkpoint.tensors
    for what, other in {
        "a resolution of 2^40": {"resolution": 1 << 40}, "a resolution of 7": {"resolution": 7},
        "a million layers": {"mapping_layers": 10**6}, "channels of 2^31": {"channels": [1 << 31] * 2},
        "channels of nothing": {"channels": []}, "negative channels": {"channels": [-4, 4]},
        "channels of text": {"channels": "44"},
        "a key too many": {"surprise": 1}, "widths of true": {"w_dim": True},
        "a rate of text": {"mapping_lr_mul": "0.01"},
        "a width of 1e9": {"z_dim": 10**9},
    }.items():  # fmt: skip
        yield what, own(Checkpoint("generator", {**config, **other}, {}, tensors))
    yield (
        "a tensor too few",
        own(Checkpoint("generator", config, {}, {k: v for k, v in tensors.items() if k != "w_mean"})),
    )
    yield (
        "a tensor too many",
        own(Checkpoint("generator", config, {}, {**tensors, "x\x1b[2J": torch.ones(1)})),
    )
    yield (
        "a tensor of integers",
        own(Checkpoint("generator", config, {}, {**tensors, "w_mean": torch.ones(4).int()})),
    )
    yield (
        "a tensor of another shape",
        own(Checkpoint("generator", config, {}, {**tensors, "w_mean": torch.ones(5)})),
    )
    yield "another kind of network", own(Checkpoint("discriminator", config, {}, tensors))


def cases(marker: str) -> Iterator[tuple[str, bytes]]:
    """Every kind of hostile file, with its name. The current folder is written to while they are made."""
    files = good()
    for what, data in payloads(marker):
        yield f"payload: {what}", data
    yield from wrong_pickles()
    yield from wrong_archives(files["ros-zip"])
    yield from wrong_own(files["own"], from_nvidia(read(files["nvidia"]))["generator"])
    for kind, data in files.items():
        for keep in (1, 7, 30, 100, len(data) // 3, len(data) - 1):
            yield f"{kind} cut to {keep}", data[:keep]
    for what, data in {"empty": b"", "zeros": bytes(4096), "a web page": b"<!DOCTYPE html><p>Quota</p>",
                       "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
                       "protocol 0": b"cos\nsystem\n(S'true'\ntR."}.items():  # fmt: skip
        yield what, data


def mutate(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """data with one to three changes; most fall where the structure is, not into the numbers."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 3))):
        at = draw.randrange(len(changed))
        if draw.random() < 0.5:  # near a name, where opcodes, headers and records are
            letters = [changed.find(word, at) for word in (b"torch", b"_", b"PK", b'"', b"X")]
            at = min((i for i in letters if i >= 0), default=at) + draw.randrange(-8, 12)
            at = min(max(at, 0), len(changed) - 1)
        span = draw.choice((1, 2, 4, 8, 64, 1000))
        how = draw.randrange(8)
        if how == 0:
            changed[at] ^= 1 << draw.randrange(8)
        elif how == 1:
            changed[at] = draw.randrange(256)
        elif how == 2:
            del changed[at : at + span]
        elif how == 3:
            changed[at:at] = draw.randbytes(span)
        elif how == 4:
            changed[at : at + span] = draw.randbytes(span)
        elif how == 5:
            start = draw.randrange(len(other))
            changed[at : at + span] = other[start : start + span]
        elif how == 6:
            changed[at : at + 4] = draw.choice(
                (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4), b"\0\0\0\x80")
            )
        else:
            del changed[max(at, 1) :]
        if not changed:
            changed = bytearray(b"\0")
    return bytes(changed)
