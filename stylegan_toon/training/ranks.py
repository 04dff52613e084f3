"""Data-parallel training: what the processes that torchrun started say to each other. Alone it says nothing.

Every process (rank) holds the same networks and takes its share of each batch. What is random is drawn for
the whole batch from the same seed and then cut, gradients and figures are summed, so all step alike. Only
rank 0 writes. A hand-written sum in one message, as two backward calls a step and penalties of second order
are no case for DistributedDataParallel.
"""

import math
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from stylegan_toon.device import choose_device
from stylegan_toon.errors import MissingPartError, RankLostError, UsageError

LONGEST = timedelta(hours=6)  # that rank 0 may prepare or look; a process that ends is noticed at once
POLL = 0.0002  # seconds
GRACE = 20.0  # seconds that a process which was told to stop waits for others; torchrun kills it after 30
_give_up = math.inf


def world() -> int:
    """How many processes share a batch."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is; 0 writes."""
    return dist.get_rank() if world() > 1 else 0


def part(n: int) -> slice:
    """This process's share of n things that are in no groups; it may be empty."""
    return slice(n * rank() // world(), n * (rank() + 1) // world())


@contextmanager
def joined(device: str) -> Iterator[int]:
    """Be one of the processes that torchrun started; yields its rank.

    Of an error, only the first process to meet one speaks: the others end with its own code, and no line.
    Args:
        device: as device.choose_device takes it; each process of a machine takes a GPU of its own.
    Raises: UsageError where torchrun's variables are incomplete or the device cannot be shared;
        MissingPartError for more processes than GPUs.
    """
    global _give_up
    _give_up = math.inf
    backend = _backend(choose_device(device).type)
    try:
        store, number, count = next(dist.rendezvous("env://", timeout=LONGEST))
        # After torchrun --max-restarts the store still holds what dead processes wrote, their addresses too.
        store = dist.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
        told = dist.PrefixStore("told", store)
        dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=LONGEST)
    except (ValueError, RuntimeError) as error:
        why = str(error).splitlines()[0].rpartition(": ")[2][:70]
        raise UsageError(f"processes do not find each other ({why}); start them with torchrun") from None
    try:
        yield number
    except BaseException as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun ends the others as soon as one has ended
        if not _first_to_tell(told):
            raise SystemExit(getattr(error, "exit_code", 1)) from None
        raise
    dist.destroy_process_group()  # after an error it might wait for processes that are gone


def _backend(kind: str) -> str:
    """What torch.distributed uses with a kind of device; this process's own GPU becomes the default one."""
    if kind == "cpu":
        return "gloo"
    if kind != "cuda":
        raise UsageError(f"several processes cannot share device {kind}; use --device cpu or cuda")
    local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= there:
        raise MissingPartError(f"process {local + 1} of this machine has no GPU: there are {there}; "
                               f"use --nproc-per-node {there}, or --device cpu")  # fmt: skip
    torch.cuda.set_device(local)
    return "cpu:gloo,cuda:nccl"


def _first_to_tell(told: Any) -> bool:
    try:
        return int(told.add("told", 1)) == 1
    except RuntimeError:  # whoever held the store has ended, so nobody else can be asked
        return True


def hurry() -> None:
    """From now on wait GRACE seconds at most: this process was told to stop, maybe since another one died."""
    global _give_up
    _give_up = min(_give_up, time.monotonic() + GRACE)


@contextmanager
def first() -> Iterator[None]:
    """Rank 0 goes through the block, then the others do."""
    if rank():
        agree()
    yield
    if not rank():
        agree()


def agree(value: int = 0) -> int:
    """The largest value that any process gives; all wait for the last one here."""
    if world() == 1:
        return value
    largest = torch.tensor(value)
    _wait(dist.all_reduce(largest, dist.ReduceOp.MAX, async_op=True))
    return int(largest)


def total(x: Tensor) -> Tensor:
    """The sum of x over all processes, in the place of x."""
    if world() > 1:
        _wait(dist.all_reduce(x, async_op=True))
    return x


def whole(x: Tensor, n: int) -> Tensor:
    """n things in order, of which x is this process's part."""
    if world() == 1:
        return x
    out = x.new_zeros(n, *x.shape[1:])
    out[part(n)] = x
    return total(out)


def average_statistics(network: nn.Module) -> None:
    """Give the running statistics of batch norms in network their mean over all processes."""
    if world() > 1:
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                for name in ("running_mean", "running_var"):
                    total(layer.get_buffer(name)).div_(world())


def share(opt: Optimizer, figures: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sum the gradients of opt's parameters, in place, and figures, scalars, over all processes.

    A gradient that no process has stays None, so that the optimiser leaves its parameter alone.
    """
    if world() == 1:
        return dict(figures)
    parameters = [p for group in opt.param_groups for p in group["params"]]
    like = parameters[0]
    there = torch.tensor([p.grad is not None for p in parameters]).to(like)
    grads = [like.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in parameters]
    values = torch.stack([value.detach() for value in figures.values()]).to(like)
    message = (*grads, there, values)
    *grads, there, values = total(torch.cat(message)).split([len(part) for part in message])
    for parameter, grad, count in zip(parameters, grads, there.tolist(), strict=True):
        if count:
            parameter.grad = torch.empty_like(parameter).copy_(grad.view_as(parameter))
    return dict(zip(figures, values, strict=True))


def _wait(work: Any) -> None:
    """Wait for an operation of all processes, in Python, where a signal is noticed.

    Raises: RankLostError if another process has ended.
    """
    try:
        while not work.is_completed():
            if time.monotonic() > _give_up:
                raise RuntimeError
            time.sleep(POLL)
        work.wait()
    except RuntimeError:
        raise RankLostError(
            f"another of the run's {world()} processes ended or does not answer; the same command goes on"
        ) from None
