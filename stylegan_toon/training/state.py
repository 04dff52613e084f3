"""The full state of a run: RUN/state/<step>.safetensors, whole or not there.

A file is written aside, fsynced and renamed, and its header holds a SHA-256 over all of it; KEEP are kept.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from stylegan_toon.checkpoint.format import TRAIN_STATE, Checkpoint, digest, load, not_finite, save
from stylegan_toon.config import to_json
from stylegan_toon.errors import ModelError, NotFiniteError, shown
from stylegan_toon.training.method import Method

KEEP = 2


def save_state(
    out: Path, method: Method, optimizers: Mapping[str, Optimizer], done: int, seed: int, parts: int = 1
) -> Path:
    """Write all that a resumed run needs to RUN/state/<step>.safetensors; drop all but the newest KEEP.

    Args:
        parts: in how many parts the method takes a batch.
    Raises: DiskError; NotFiniteError, with nothing written, for weights that are not finite.
    """
    assert isinstance(method, nn.Module)
    names = {id(parameter): name for name, parameter in method.named_parameters()}
    tensors = {f"method/{name}": value for name, value in method.state_dict().items()}
    if bad := not_finite(tensors):
        raise NotFiniteError(f"{bad[7:]} is not finite after step {done}; {last_good(out)}")
    for key, optimizer in optimizers.items():
        for parameter, slots in optimizer.state.items():
            for slot, value in slots.items():
                tensors[f"opt/{key}/{names[id(parameter)]}/{slot}"] = value
    meta = {"step": done, "seed": seed} | ({"parts": parts} if parts > 1 else {})
    path = out / "state" / f"{done:08d}.safetensors"
    save(path, Checkpoint(TRAIN_STATE, to_json(method.config), meta, tensors))
    trim(out)
    return path


def trim(out: Path) -> None:
    """Drop all but the newest KEEP states."""
    for old in states(out)[KEEP:]:
        old.unlink(missing_ok=True)


def states(out: Path) -> list[Path]:
    """The state files of a run folder, newest first."""
    found = [path for path in (out / "state").glob("*.safetensors") if re.fullmatch(r"\d+", path.stem)]
    return sorted(found, key=lambda path: int(path.stem), reverse=True)


def newest_state(out: Path) -> Path | None:
    """The newest state file of a run folder, or None."""
    return next(iter(states(out)), None)


def open_newest(out: Path) -> tuple[Path, Checkpoint, list[str]]:
    """The newest state of a run folder that is whole, and a line about every newer one that is not.

    Raises: ModelError if none is whole, or there is none.
    """
    passed: list[str] = []
    for path in states(out):
        try:
            return path, load(path, TRAIN_STATE), passed
        except ModelError as error:
            passed.append(str(error))
    if passed:
        raise ModelError(f"no state in {shown(out)} is whole; use --resume never, or another --out")
    raise ModelError(f"{shown(out)} holds no state of a run; name a run folder, or a file in its state/")


def fill(path: Path, state: Checkpoint, method: Method, optimizers: Mapping[str, Optimizer]) -> None:
    """Put the state read from path into method and optimizers, whose own state is dropped.

    Raises: ModelError if it is of a method with other settings or networks.
    """
    assert isinstance(method, nn.Module)
    mine = to_json(method.config)
    for key in sorted(mine.keys() | state.config.keys()):
        if mine.get(key) != state.config.get(key):
            raise ModelError(
                f"{shown(path.parent.parent)}: made with {key} {state.config.get(key)}, now {mine.get(key)}; "
                "use the old value, --resume never, or another --out"
            )
    own = {name[7:]: value for name, value in state.tensors.items() if name.startswith("method/")}
    parameters = dict(method.named_parameters())
    try:
        method.load_state_dict(own)
        for optimizer in optimizers.values():
            optimizer.state.clear()
        for name, value in state.tensors.items():
            if name.startswith("opt/"):
                _, key, rest = name.split("/", 2)
                parameter, slot = rest.rsplit("/", 1)
                like = parameters[parameter]
                value = value.to(like.device)
                if value.shape == like.shape:  # moments lie in memory as their parameter does
                    value = torch.empty_like(like, dtype=value.dtype).copy_(value)
                optimizers[key].state[like][slot] = value
    except (RuntimeError, KeyError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ModelError(
            f"{shown(path)} is a state of other networks; use --resume never or another --out"
        ) from None


def state_digest(state: Checkpoint) -> str:
    """SHA-256 in hex over the step and every tensor of a state: equal for runs that are equal to the bit."""
    return digest(TRAIN_STATE, {}, {"step": int(state.meta["step"])}, state.tensors)


def last_good(out: Path) -> str:
    """What an error says about where the run can go on."""
    state = newest_state(out)
    return f"the last good state is {shown(state)}" if state else "no state was saved yet"


def forget(out: Path, step: int) -> None:
    """Remove states beyond step, which the run leaves behind: they would be taken for the newest."""
    for path in states(out):
        if int(path.stem) > step:
            path.unlink()


def sweep(out: Path) -> None:
    """Remove what a process that died while writing has left; only for the holder of the folder."""
    for path in _unfinished(out):
        path.unlink(missing_ok=True)


def _unfinished(out: Path) -> Iterator[Path]:
    for folder in (out, out / "state", out / "samples"):
        yield from folder.glob(".*.part")
