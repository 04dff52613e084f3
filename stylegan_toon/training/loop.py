"""The one training loop: it owns steps, files, logs, signals, memory and resuming, and knows no method."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from stylegan_toon.checkpoint.format import TRAIN_STATE, load
from stylegan_toon.config import to_json
from stylegan_toon.device import free_buffers, keep_buffers, memory_used
from stylegan_toon.errors import Interrupted, MemoryFullError, NotFiniteError, RankLostError, Terminated
from stylegan_toon.files import write_aside
from stylegan_toon.training import ranks
from stylegan_toon.training.lock import hold
from stylegan_toon.training.log import log, rewind, stuck
from stylegan_toon.training.method import Method
from stylegan_toon.training.state import (
    fill,
    forget,
    last_good,
    newest_state,
    open_newest,
    save_state,
    sweep,
    trim,
)

EXITS = {signal.SIGINT: Interrupted, signal.SIGTERM: Terminated}
MOST_PARTS = 8  # a batch is halved three times at most


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
    patience: int = 0  # looks without a lower figure that end the run; 0 never ends it early
    figure: str = "kid"  # of a look; lower is better


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
    Returns: the number of steps done in all; fewer than run.steps where run.patience ended it.
    When memory runs out, the run goes back to its newest state with the batch in twice as many parts. Of
    several processes (ranks) the first one alone writes and looks, and memory that runs out ends the run.
    Raises: RunBusyError, NotFiniteError, DiskError, ModelError (a state of other settings), MemoryFullError,
        RankLostError, Interrupted and Terminated after saving.
    """
    keep_buffers()
    with nullcontext() if ranks.rank() else hold(run.out), _signals() as caught:
        try:
            return _train(method, stream, run, look, about, caught)
        except RankLostError:
            raise RankLostError(
                f"another of {ranks.world()} processes ended or does not answer; {last_good(run.out)}; "
                "the same command goes on"
            ) from None


def _train(
    method: Method,
    stream: Callable[[int], Mapping[str, Tensor]],
    run: Run,
    look: Callable[[int], Mapping[str, float]],
    about: Mapping[str, Any],
    caught: list[signal.Signals],
) -> int:
    optimizers = method.optimizers()
    with ranks.first():
        start, parts = _resume(method, optimizers, run)
        if ranks.rank() == 0:
            about = {**about, "seed": run.seed, "method": to_json(method.config)}
            write_aside(run.out / "run.json", [(json.dumps(about, indent=1) + "\n").encode()])
            if newest_state(run.out) is None:  # there is always one to go back to, and a place to write it
                save_state(run.out, method, optimizers, start, run.seed, parts)
    again = start and (start % run.look_every == 0 or start >= run.steps)
    if again and _look(look, run, start):  # the run may have ended between state and look
        return start
    steps = partial(_steps, method, stream, run, look, optimizers, caught)
    done, full = steps(start, parts)
    while full:
        start, parts = _smaller(method, optimizers, run, done, parts)
        done, full = _in_thread(partial(steps, start, parts))
    return done


def _steps(
    method: Method,
    stream: Callable[[int], Mapping[str, Tensor]],
    run: Run,
    look: Callable[[int], Mapping[str, float]],
    optimizers: dict[str, Optimizer],
    caught: list[signal.Signals],
    start: int,
    parts: int,
) -> tuple[int, bool]:
    """Run method.step from start to the end; returns the number of steps done, and whether memory ran out."""
    began, figures, first = time.monotonic(), "", ranks.rank() == 0
    hidden = None if not run.quiet else True
    with tqdm(total=run.steps, initial=start, unit="step", disable=hidden, smoothing=0.05) as bar:
        for i in range(start, run.steps):
            torch.manual_seed(run.seed * 1_000_003 + i)  # step i draws the same noise, resumed or not
            losses = _step(method, stream, optimizers, i)
            if losses is None:
                return i, True
            _check_finite(losses, method, optimizers, i, run.out)
            done = i + 1
            bar.update()
            if not bar.disable:
                seen = done * method.config.batch
                bar.set_postfix_str(
                    f"{seen:,} pictures, {memory_used() / 1e9:.1f} GB{figures}", refresh=False
                )
            if first and (done % run.log_every == 0 or done == run.steps):
                values = {name: round(float(value), 6) for name, value in losses.items()}
                seconds = max(time.monotonic() - began, 1e-9)  # a clock may stand still for a step
                rate, memory = round((done - start) / seconds, 4), round(memory_used() / 1e6)
                entry = {"step": done, "seconds": round(seconds, 1), "rate": rate, "memory_mb": memory}
                log(run.out, {**entry, **values})
                figures = "".join(f", {k} {v:.3g}" for k, v in values.items() if "/" not in k)
            stop = ranks.agree(next(iter(caught), 0))
            if first and (done % run.save_every == 0 or done == run.steps or stop):
                save_state(run.out, method, optimizers, done, run.seed, parts)
            if stop:
                ranks.agree()  # it is saved
                raise EXITS[signal.Signals(stop)](
                    f"stopped after step {done}; saved in {run.out}; the same command goes on"
                )
            if (done == run.steps or done % run.look_every == 0) and _look(look, run, done):
                if first and done % run.save_every and done < run.steps:
                    save_state(run.out, method, optimizers, done, run.seed, parts)
                return done, False
    return max(start, run.steps), False


def _in_thread(function: Callable[[], tuple[int, bool]]) -> tuple[int, bool]:
    """function() in a thread of its own, while this one waits for it and for signals.

    Where oneDNN once had no memory for a new kernel, it refuses every other one in the same thread.
    """
    found: Future[tuple[int, bool]] = Future()

    def body() -> None:
        try:
            found.set_result(function())
        except BaseException as error:
            found.set_exception(error)

    thread = Thread(target=body, daemon=True)
    thread.start()
    while thread.is_alive():  # a wait without end might not notice a signal
        thread.join(0.2)
    return found.result()


def _look(look: Callable[[int], Mapping[str, float]], run: Run, done: int) -> bool:
    """Look and log it; whether the run is to end because its figure does not fall any more."""
    ended = False
    if ranks.rank() == 0:
        log(run.out, {"step": done, **look(done)})
        ended = run.patience > 0 and stuck(run.out, run.figure, run.patience)
    return bool(ranks.agree(ended))


def _step(
    method: Method, stream: Callable[[int], Mapping[str, Tensor]], optimizers: dict[str, Optimizer], i: int
) -> dict[str, Tensor] | None:
    """The losses of step i, or None if memory ran out, which leaves the networks between two steps."""
    try:
        return method.step(stream(i), optimizers, i)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        return None


def _out_of_memory(error: BaseException) -> bool:
    """torch.OutOfMemoryError of a GPU, and what torch and oneDNN raise on the CPU."""
    marks = ("you tried to allocate", "out of memory", "Failed to allocate memory", "could not create a")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        mark in str(error) for mark in marks
    )


def _smaller(
    method: Method, optimizers: Mapping[str, Optimizer], run: Run, i: int, parts: int
) -> tuple[int, int]:
    """Go back to the newest state with the batch in twice as many parts; returns its step, and the parts.

    Raises: MemoryFullError if that was tried often enough, or the method cannot.
    """
    parts *= 2
    if ranks.world() > 1 or parts > MOST_PARTS or not method.take_parts(parts):
        tried = f" with the batch in {parts // 2} parts" if parts > 2 else ""
        raise MemoryFullError(
            f"out of memory at step {i}{tried}; {last_good(run.out)}; use a smaller --batch"
        )
    assert isinstance(method, nn.Module)
    method.zero_grad(set_to_none=True)
    free_buffers()
    path, state, _ = open_newest(run.out)
    fill(path, state, method, optimizers)
    step = int(state.meta["step"])
    rewind(run.out, step)
    log(run.out, {"step": step, "parts": parts})
    if not run.quiet:
        tqdm.write(
            f"out of memory at step {i}: batches are taken in {parts} parts from step {step} on", sys.stderr
        )
    return step, parts


def _resume(method: Method, optimizers: Mapping[str, Optimizer], run: Run) -> tuple[int, int]:
    """Fill method and optimizers from the state that run asks for; returns its step and number of parts.

    Rank 0 tidies up the folder; the others, which come after it, take what it has taken.
    """
    first = ranks.rank() == 0
    if first:
        sweep(run.out)
    found = None
    if run.resume == "never" and first:
        forget(run.out, -1)
        for old in run.out.glob("best*.safetensors"):
            old.unlink()
    elif run.resume in ("auto", "never"):
        found = open_newest(run.out) if newest_state(run.out) else None
    elif Path(run.resume).is_dir():
        found = open_newest(Path(run.resume))
    else:
        found = Path(run.resume), load(run.resume, TRAIN_STATE), []
    start, parts = 0, 1
    if found:
        path, state, passed = found
        if first and run.resume == "auto" and not passed:
            trim(run.out)  # killed between the new state and the end of the oldest
        for line in passed:
            tqdm.write(f"{line}; going on from {path.name}", sys.stderr)
        fill(path, state, method, optimizers)
        start, parts = int(state.meta["step"]), int(state.meta.get("parts", 1))
        method.take_parts(parts)
        if first:
            forget(run.out, start)
    if first:
        rewind(run.out, start)
    return start, parts


def _check_finite(
    losses: Mapping[str, Tensor], method: Method, optimizers: Mapping[str, Optimizer], i: int, out: Path
) -> None:
    """Losses, and the gradients that each optimiser was left with.

    An earlier gradient of the same step would have spoilt the weights, and with them the later ones.
    """
    grads = [p.grad for o in optimizers.values() for g in o.param_groups for p in g["params"]]
    sums = [grad.sum() for grad in grads if grad is not None]  # of numbers that are not finite: not finite
    values = torch.stack([value.detach().float() for value in [*sums, *losses.values()]])
    if torch.isfinite(values).all():  # the one wait for a GPU
        return
    bad = [f"loss {name}" for name, value in losses.items() if not torch.isfinite(value)]
    assert isinstance(method, nn.Module)
    for name, parameter in method.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            bad.append(f"the gradient of {name[-40:]}")
    raise NotFiniteError(f"{bad[0]} is not finite at step {i}; {last_good(out)}; lower the learning rate")


@contextmanager
def _signals() -> Iterator[list[signal.Signals]]:
    """Collect SIGINT and SIGTERM; the second one stops at once."""
    caught: list[signal.Signals] = []

    def note(number: int, _: Any) -> None:
        if caught:
            raise EXITS[caught[0]]("stopped at once, without saving; the state before is kept")
        caught.append(signal.Signals(number))
        ranks.hurry()

    old = {number: signal.signal(number, note) for number in EXITS}
    try:
        yield caught
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
