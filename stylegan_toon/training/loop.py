"""The one training loop: it owns steps, files, logs, signals and resuming, and knows no method."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from stylegan_toon.checkpoint.format import TRAIN_STATE, Checkpoint, load, save
from stylegan_toon.config import to_json
from stylegan_toon.device import keep_buffers
from stylegan_toon.errors import DiskError, Interrupted, ModelError, NotFiniteError, RunBusyError, Terminated
from stylegan_toon.training.method import Method

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder are not kept apart there
    fcntl = None  # type: ignore[assignment]

KEEP = 2  # states
EXITS = {signal.SIGINT: Interrupted, signal.SIGTERM: Terminated}


@dataclass(frozen=True)
class Run:
    """Where and how long. steps counts from the start of the run, also after resuming."""

    out: Path
    steps: int
    save_every: int = 500
    look_every: int = 500
    log_every: int = 20
    seed: int = 0
    resume: str = "auto"  # or never, or the path of a state
    quiet: bool = False


def train(
    method: Method,
    stream: Callable[[int], Mapping[str, Tensor]],
    run: Run,
    look: Callable[[int], Mapping[str, float]],
    about: Mapping[str, Any],
) -> int:
    """Run method.step from the newest state to run.steps.

    Args:
        stream: batch i, a function of i alone.
        look: called with the number of finished steps every look_every steps and at the end, after the
            state was saved where both fall together, and when nothing is left to do; it writes samples and
            models, and returns figures for the log.
        about: what run.json says.
    Returns: the number of steps done in all.
    Raises: RunBusyError, NotFiniteError, DiskError, ModelError (a state of other settings), Interrupted and
        Terminated after saving.
    """
    keep_buffers()
    with _locked(run.out), _signals() as caught:
        optimizers = method.optimizers()
        start = _resume(method, optimizers, run)
        _write_json(run.out / "run.json", {**about, "seed": run.seed, "method": to_json(method.config)})
        bar = tqdm(
            total=run.steps,
            initial=start,
            unit="step",
            disable=None if not run.quiet else True,
            smoothing=0.05,
        )
        began = time.monotonic()
        saved = start
        for i in range(start, run.steps):
            torch.manual_seed(run.seed * 1_000_003 + i)  # step i draws the same noise, resumed or not
            losses = method.step(stream(i), optimizers, i)
            done = i + 1
            _check_finite(losses, i, run.out)
            bar.update()
            if done % run.log_every == 0 or done == run.steps:
                values = {name: round(float(value), 6) for name, value in losses.items()}
                seconds = max(time.monotonic() - began, 1e-9)  # a clock may stand still for a step
                rate = round((done - start) / seconds, 4)
                _log(
                    run.out,
                    {"step": done, "seconds": round(seconds, 1), "rate": rate, **values},
                )
                bar.set_postfix({k: f"{v:.3g}" for k, v in values.items() if "/" not in k}, refresh=False)
            stop = next(iter(caught), None)
            if done % run.save_every == 0 or done == run.steps or stop:
                save_state(run.out, method, optimizers, done, run.seed)
                saved = done
            if stop:
                bar.close()
                raise EXITS[stop](f"stopped after step {done}; saved in {run.out}; the same command goes on")
            if done % run.look_every == 0 or done == run.steps:
                _log(run.out, {"step": done, **look(done)})
        bar.close()
        if start >= run.steps:  # stopped by a signal, which leaves no time for a look
            _log(run.out, {"step": start, **look(start)})
        return max(saved, start)


def save_state(out: Path, method: Method, optimizers: Mapping[str, Optimizer], done: int, seed: int) -> Path:
    """Write all that a resumed run needs to RUN/state/<step>.safetensors; drop all but the newest KEEP."""
    assert isinstance(method, nn.Module)
    names = {id(parameter): name for name, parameter in method.named_parameters()}
    tensors = {f"method/{name}": value for name, value in method.state_dict().items()}
    for key, optimizer in optimizers.items():
        for parameter, slots in optimizer.state.items():
            for slot, value in slots.items():
                tensors[f"opt/{key}/{names[id(parameter)]}/{slot}"] = value
    path = out / "state" / f"{done:08d}.safetensors"
    save(path, Checkpoint(TRAIN_STATE, to_json(method.config), {"step": done, "seed": seed}, tensors))
    for old in sorted((out / "state").glob("*.safetensors"))[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def load_state(path: Path, method: Method, optimizers: Mapping[str, Optimizer]) -> int:
    """Fill method and optimizers from a state file; returns the number of steps it has behind it.

    Raises: ModelError if the file is broken, or of a method with other settings or shapes.
    """
    assert isinstance(method, nn.Module)
    state = load(path, TRAIN_STATE)
    mine = to_json(method.config)
    for key in mine.keys() | state.config.keys():
        if mine.get(key) != state.config.get(key):
            raise ModelError(
                f"{path.parent.parent}: made with {key} {state.config.get(key)}, now {mine.get(key)}; "
                "use the old value, --resume never, or another --out"
            )
    own = {name[7:]: value for name, value in state.tensors.items() if name.startswith("method/")}
    try:
        method.load_state_dict(own)
    except RuntimeError:
        raise ModelError(
            f"{path} is a state of other networks; use --resume never or another --out"
        ) from None
    parameters = dict(method.named_parameters())
    for name, value in state.tensors.items():
        if name.startswith("opt/"):
            _, key, rest = name.split("/", 2)
            parameter, slot = rest.rsplit("/", 1)
            like = parameters[parameter]
            value = value.to(like.device)
            if value.shape == like.shape:  # moments lie in memory as their parameter does
                value = torch.empty_like(like, dtype=value.dtype).copy_(value)
            optimizers[key].state[like][slot] = value
    return int(state.meta["step"])


def newest_state(out: Path) -> Path | None:
    """The newest state of a run folder, or None."""
    return max((out / "state").glob("*.safetensors"), default=None)


def _resume(method: Method, optimizers: Mapping[str, Optimizer], run: Run) -> int:
    if run.resume == "never":
        _forget(run.out, 0)
        for old in run.out.glob("best*.safetensors"):
            old.unlink()
        return 0
    path = newest_state(run.out) if run.resume == "auto" else Path(run.resume)
    if path is None:
        return 0
    if path.is_dir():
        path = newest_state(path) or path
    start = load_state(path, method, optimizers)
    _forget(run.out, start)
    return start


def _forget(out: Path, step: int) -> None:
    """Remove states beyond step, which the run leaves behind; they would be taken for the newest."""
    for old in (out / "state").glob("*.safetensors"):
        if int(old.stem) > step:
            old.unlink()


def _check_finite(losses: Mapping[str, Tensor], i: int, out: Path) -> None:
    bad = [name for name, value in losses.items() if not torch.isfinite(value).all()]
    if bad:
        state = newest_state(out)
        last = f"the last good state is {state}" if state else "no state was saved yet"
        raise NotFiniteError(f"loss {bad[0]} is not finite at step {i}; {last}; lower --lr or raise --r1")


def _log(out: Path, entry: Mapping[str, Any]) -> None:
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps(entry) + "\n")


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(values, indent=1) + "\n")
    aside.replace(path)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold the run folder; the lock goes with the process, however it ends."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise DiskError(f"{out} cannot be written ({error.strerror}); choose another --out") from None
    try:
        try:
            if fcntl:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(handle, 40, 0).decode(errors="replace").strip()
            raise RunBusyError(
                f"{out} is in use by process {holder or '?'}; wait, or choose another --out"
            ) from None
        os.truncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


@contextmanager
def _signals() -> Iterator[list[signal.Signals]]:
    """Collect SIGINT and SIGTERM; the second one stops at once."""
    caught: list[signal.Signals] = []

    def note(number: int, _: Any) -> None:
        if caught:
            raise EXITS[caught[0]]("stopped at once, without saving; the state before is kept")
        caught.append(signal.Signals(number))

    old = {number: signal.signal(number, note) for number in EXITS}
    try:
        yield caught
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
