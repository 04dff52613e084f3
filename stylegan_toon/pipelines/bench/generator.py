"""How fast a generator draws, alone or beside peers that have the same weights."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.device import choose_device, training_dtype
from stylegan_toon.errors import MissingPartError, UsageError
from stylegan_toon.nn.graphs import captured
from stylegan_toon.pipelines.bench.peers import Peer, open_peer, open_peers
from stylegan_toon.pipelines.bench.timing import (
    OURS,
    Times,
    conditions,
    difference,
    figures,
    growth,
    growth_with_pixels,
    heading,
    peak_memory,
    ratios,
    rounded,
    table,
    take_turns,
)
from stylegan_toon.stylegan2.config import Config, channels_for
from stylegan_toon.stylegan2.files import build_generator, generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator

RESOLUTION, BATCH = 256, 1
HALF, GRAPH, COMPILED = f"{OURS}, bfloat16", ", CUDA graph", f"{OURS}, torch.compile"
BUFFERS = ("w_mean", "noise_const")
STRENGTH = 0.1  # of the noise, which a fresh generator would not use


def bench(
    resolution: int | None = None,
    batch: int | None = None,
    device: str = "auto",
    peers: Sequence[str] = (),
    rounds: int = 5,
    seed: int = 0,
    slopes: bool = False,
    compiled: bool = False,
) -> dict[str, Any]:
    """Time z [N, Z] to pictures [N, 3, R, R] with constant noise and random weights, the paper's widths.

    Args:
        peers: NAME=PATH, as peers.
        slopes: also ours at 1, 2 and 4 times the batch, and at a quarter and half of the resolution.
        compiled: also ours as torch.compile makes it, which takes a minute or more, and a C++ compiler.
    Returns: JSON values: the conditions, and under "results" a row for ours, in float32 and where the
        hardware has it in bfloat16, each also as a CUDA graph on a GPU, and a row for each peer; "slopes".
    Raises: UsageError, MissingPartError (device, peer, compiler).
    """
    where = choose_device(device)
    resolution, batch = power_of_two(resolution or RESOLUTION), batch or BATCH
    them = open_peers(peers, where)
    paths = {peer.name: given.partition("=")[2] for peer, given in zip(them, peers, strict=True)}
    checkpoint = random_generator(resolution, seed)
    draws = {OURS: drawer(checkpoint, None, where)}
    z = _codes(batch, checkpoint, seed).to(where)
    for name in [*own_ways(where), *([COMPILED] if compiled else [])]:
        draws[name] = drawer(checkpoint, None, where, name, z)
    draws |= {peer.name: drawer(checkpoint, peer, where) for peer in them}
    pictures = {name: draw(z).float() for name, draw in draws.items()}
    times = take_turns({name: partial(draw, z) for name, draw in draws.items()}, rounds, where)
    results = []
    for name in draws:
        row = {"who": name, **figures(times[name])}
        row["images_per_second"] = rounded(batch / times[name].median)
        row["peak_mib"] = _peak(name, paths, resolution, batch, where)
        if name in paths:
            row["ours_is_faster"] = ratios(times[name], times[OURS])
        elif name != OURS:
            row["faster_than_ours"] = ratios(times[OURS], times[name])
        if name != OURS:
            row["difference"] = difference(pictures[OURS], pictures[name])
        results.append(row)
    count = sum(t.numel() for name, t in checkpoint.tensors.items() if not name.endswith(BUFFERS))
    asked = {"bench": "generator", "resolution": resolution, "batch": batch, "rounds": rounds, "seed": seed}
    report = asked | {"parameters": count} | conditions(where) | {"results": results}
    return (
        report | {"slopes": _slopes(checkpoint, resolution, batch, rounds, seed, where)} if slopes else report
    )


def _slopes(
    checkpoint: Checkpoint, resolution: int, batch: int, rounds: int, seed: int, device: torch.device
) -> dict[str, Any]:
    """How ours grows with the batch, and with the resolution."""

    def timed(calls: Mapping[int, Callable[[], object]]) -> dict[int, Times]:
        times = take_turns({str(number): call for number, call in calls.items()}, rounds, device)
        return {int(number): one for number, one in times.items()}

    draw = drawer(checkpoint, None, device)
    batches = {
        n: partial(draw, _codes(n, checkpoint, seed).to(device)) for n in (batch, 2 * batch, 4 * batch)
    }
    codes, resolutions = _codes(batch, checkpoint, seed).to(device), {resolution: draw}
    for smaller in (resolution // 4, resolution // 2):
        if smaller >= 8:
            resolutions[smaller] = drawer(random_generator(smaller, seed), None, device)
    found = {"batch": growth(timed(batches))}
    if len(resolutions) > 1:
        calls: dict[int, Callable[[], object]] = {
            r: partial(resolutions[r], codes) for r in sorted(resolutions)
        }
        found["resolution"] = growth_with_pixels(timed(calls))
    return found


def as_text(report: dict[str, Any]) -> list[str]:
    """The report as a heading and a table."""
    head = ("who", "ms", "img/s", "cpu ms", "peak MiB", "ours is faster", "in cpu time", "difference")
    rows = []
    for row in report["results"]:
        ratio = row.get("ours_is_faster", {})
        rows.append(
            (row["who"], row["ms"], row["images_per_second"], row["cpu_ms"], row["peak_mib"],
             ratio.get("time"), ratio.get("cpu_time"), row.get("difference"))
        )  # fmt: skip
    size = f"generator, {report['resolution']} px, batch {report['batch']}"
    return [heading(report), size, *table(head, rows), *slopes_as_text(report.get("slopes", {}))]


def slopes_as_text(slopes: dict[str, Any]) -> list[str]:
    """A line for each."""
    lines = []
    for name, found in slopes.items():
        points = ", ".join(f"{number}: {ms} ms" for number, ms in found["ms"].items())
        if "power_of_pixels" in found:
            lines.append(
                f"by {name}: {points}; as the number of pixels to the power {found['power_of_pixels']}"
            )
        else:
            lines.append(f"by {name}: {points}; fitted {found['ms_fixed']} ms + {found['ms_each']} ms each")
    return lines


def power_of_two(resolution: int) -> int:
    """The resolution. Raises: UsageError for one that no StyleGAN2 has."""
    if resolution & (resolution - 1) or resolution > 1024:
        raise UsageError(f"--resolution must be a power of two up to 1024, as 64 or 256, not {resolution}")
    return resolution


def random_generator(resolution: int, seed: int) -> Checkpoint:
    """Random weights of the paper's widths, noise on."""
    torch.manual_seed(seed)
    g = Generator(Config(resolution, channels_for(resolution)))
    with torch.no_grad():
        for name, parameter in g.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(STRENGTH)
    return generator_checkpoint(g)


def _peak(
    name: str, paths: dict[str, str], resolution: int, batch: int, device: torch.device
) -> float | None:
    path = str(Path(paths[name]).resolve()) if name in paths else ""
    return peak_memory(drawing, name, path, resolution, batch, str(device), device=device)


def drawing(name: str, path: str, resolution: int, batch: int, device: str) -> Callable[[], object]:
    """What draws one batch by ours or a peer, alone in its process."""
    where, checkpoint = torch.device(device), random_generator(resolution, 0)
    peer = open_peer(f"{name}={path}", where) if path else None
    z = _codes(batch, checkpoint, 0).to(where)
    draw = drawer(checkpoint, peer, where, name, z)
    return lambda: draw(z)


def own_ways(device: torch.device) -> list[str]:
    """How else ours can draw there, beside in float32."""
    half = [HALF] if training_dtype(device) == torch.bfloat16 else []
    return half + [name + GRAPH for name in (OURS, *half)] if device.type == "cuda" else half


def drawer(
    checkpoint: Checkpoint, peer: Peer | None, device: torch.device, way: str = OURS, z: Tensor | None = None
) -> Callable[[Tensor], Tensor]:
    """z [N, Z] -> pictures [N, 3, R, R] with constant noise, by a peer or, of None, ours.

    way: OURS, one of own_ways, or COMPILED; z: codes of the shape that a graph is recorded for.
    Raises: MissingPartError where nothing can be compiled.
    """
    if peer is None:
        g = build_generator(checkpoint).to(device)
        if way.startswith(HALF):
            g.synthesis.compute_dtype = torch.bfloat16
        if way == COMPILED and z is not None:
            return _compiled(g, z)
        draw = torch.inference_mode()(lambda z: g(z, noise="const"))
        if not way.endswith(GRAPH) or z is None:
            return draw
        with torch.inference_mode():
            return torch.inference_mode()(captured(draw, z))
    net = peer.generator(checkpoint).eval().requires_grad_(False)
    return torch.inference_mode()(lambda z: peer.pictures(net, peer.codes(net, z), "const"))


def _compiled(g: Generator, z: Tensor) -> Callable[[Tensor], Tensor]:
    draw: Callable[[Tensor], Tensor] = torch.no_grad()(torch.compile(lambda z: g(z, noise="const")))
    try:
        draw(z)
    except Exception as error:  # of a compiler, in one of many classes
        why = str(error).strip().splitlines()[0][:80] if str(error).strip() else type(error).__name__
        raise MissingPartError(f"torch.compile does not work here ({why}); leave --compile out") from None
    return draw


def _codes(batch: int, checkpoint: Checkpoint, seed: int) -> Tensor:
    return torch.randn(batch, checkpoint.config["z_dim"], generator=torch.Generator().manual_seed(seed))
