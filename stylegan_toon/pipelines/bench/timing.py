"""What all benches share: calls that take turns, their medians and ratios, and what they ran on."""

import datetime
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

import stylegan_toon
from stylegan_toon.device import free_buffers

OURS = "ours"
Row = Sequence[object]


@dataclass
class Times:
    """Of one call, a figure a round: seconds on the clock, and seconds of the processor in this process."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def wait(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def take_turns(
    calls: Mapping[str, Callable[[], object]], rounds: int, device: torch.device, least: float = 0.0
) -> dict[str, Times]:
    """The times of calls that run in turn, so that what else the machine does falls on all of them.

    Each runs once before the first round, and within a round as often as fills about least seconds.
    """
    repeats = {}
    for name, call in calls.items():
        call()
        once = _timed(call, 1, device)[0] if least else 1.0
        repeats[name] = max(1, round(least / max(once, 1e-9)))
    times = {name: Times() for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds, cpu = _timed(call, repeats[name], device)
            times[name].seconds.append(seconds)
            times[name].cpu.append(cpu)
    return times


def _timed(call: Callable[[], object], repeats: int, device: torch.device) -> tuple[float, float]:
    """Seconds of one call on the clock and of the processor, averaged over repeats."""
    wait(device)
    began, used = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        call()
    wait(device)
    return (time.perf_counter() - began) / repeats, (time.process_time() - used) / repeats


def figures(times: Times) -> dict[str, Any]:
    """Milliseconds: medians, and those of every round."""
    return {
        "ms": rounded(times.median * 1e3),
        "cpu_ms": rounded(statistics.median(times.cpu) * 1e3),
        "ms_of_each_round": [rounded(seconds * 1e3) for seconds in times.seconds],
    }


def ratios(theirs: Times, ours: Times) -> dict[str, Any]:
    """How many times as long theirs takes: ratios of medians, and of the two times in every round.

    Where other programs compete for the processors, that of processor time is the steadier one.
    """
    pairs = zip(theirs.seconds, ours.seconds, strict=True)
    cpu = statistics.median(ours.cpu)
    return {
        "time": rounded(theirs.median / ours.median),
        "cpu_time": rounded(statistics.median(theirs.cpu) / cpu) if cpu else None,
        "time_of_each_round": [rounded(a / b) for a, b in pairs],
    }


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest absolute difference, as a share of the largest absolute number of b."""
    return rounded(float((a - b).abs().max() / b.abs().max().clamp(min=1e-30)), 2)


def rounded(value: float, digits: int = 4) -> float:
    """value with so many digits that count."""
    return float(f"{value:.{digits}g}")


def conditions(device: torch.device) -> dict[str, Any]:
    """What a figure depends on: device, threads, versions, and when."""
    gpu = device.type == "cuda"
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": torch.cuda.get_device_name(device) if gpu else f"{device} ({platform.machine()})",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "TOON_OPS": os.environ.get("TOON_OPS", "auto"),
        "stylegan-toon": stylegan_toon.__version__,
    }


def peak_memory(
    prepare: Callable[..., Callable[[], object]], *given: Any, device: torch.device
) -> float | None:
    """MiB at the worst moment of prepare(*given)(), what prepare leaves behind included.

    On a GPU of tensors; else of a new process, with Python and torch, and None where the system does not tell
    (elsewhere than on Linux).
    """
    if device.type == "cuda":
        call = prepare(*given)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return rounded(torch.cuda.max_memory_allocated(device) / 2**20)
    if not Path("/proc/self/status").is_file():
        return None
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_peak, prepare, given, torch.get_num_threads()).result()


def _peak(prepare: Callable[..., Callable[[], object]], given: tuple[Any, ...], threads: int) -> float:
    torch.set_num_threads(threads)
    call = prepare(*given)
    free_buffers()
    with suppress(OSError):  # where the kernel refuses, the peak of prepare counts, too
        Path("/proc/self/clear_refs").write_text("5")
    call()
    status = Path("/proc/self/status").read_text()  # getrusage would begin at the parent's peak
    return rounded(int(status.split("VmHWM:")[1].split()[0]) / 2**10)


def line(points: Mapping[int, float]) -> tuple[float, float]:
    """Slope and value at 0 of the line of least squares through values by number."""
    slope, fixed = np.polyfit(list(points), list(points.values()), 1)
    return float(slope), float(fixed)


def growth(counted: Mapping[int, Times]) -> dict[str, Any]:
    """The milliseconds that each number of things took, and the line through them."""
    slope, fixed = line({count: one.median * 1e3 for count, one in counted.items()})
    taken = {str(count): rounded(one.median * 1e3) for count, one in counted.items()}
    return {"ms": taken, "ms_each": rounded(slope), "ms_fixed": rounded(fixed)}


def growth_with_pixels(by_resolution: Mapping[int, Times]) -> dict[str, Any]:
    """The milliseconds at each resolution, and the power of the number of pixels that fits them best."""
    pixels = [2 * math.log(resolution) for resolution in by_resolution]
    power, _ = np.polyfit(pixels, [math.log(one.median) for one in by_resolution.values()], 1)
    taken = {str(r): rounded(one.median * 1e3) for r, one in by_resolution.items()}
    return {"ms": taken, "power_of_pixels": rounded(float(power), 3)}


def table(head: Row, rows: Sequence[Row]) -> list[str]:
    """Lines of aligned columns, numbers to the right; None is a dash."""
    cells = [["-" if cell is None else str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    first, *others = widths
    return [
        "  ".join(
            [row[0].ljust(first), *(cell.rjust(w) for cell, w in zip(row[1:], others, strict=True))]
        ).rstrip()
        for row in cells
    ]


def heading(report: Mapping[str, Any]) -> str:
    """The conditions in a line, to stand above a table."""
    return (
        f"{report['date']}, {report['device']}, threads: {report['threads']}, torch {report['torch']}, "
        f"rounds: {report['rounds']}"
    )
