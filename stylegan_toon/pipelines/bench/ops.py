"""How near the operators of cuda_ops are to copying the same bytes, beside their references and peers'."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cuda_ops import (
    fused_bias_act,
    fused_bias_act_ref,
    fused_epilogue,
    fused_epilogue_ref,
    setup_filter,
    upfirdn2d,
    upfirdn2d_ref,
)
from stylegan_toon.device import choose_device
from stylegan_toon.errors import UsageError
from stylegan_toon.pipelines.bench.peers import Peer, open_peers
from stylegan_toon.pipelines.bench.timing import (
    OURS,
    conditions,
    difference,
    heading,
    ratios,
    rounded,
    table,
    take_turns,
)

LEAST = 0.05  # seconds a measurement fills with calls
RESOLUTION, BATCH = {"cuda": 256}, {"cuda": 8}  # elsewhere 64 and 16
CHANNELS = 64
EPILOGUE: dict[str, Any] = {}  # no settings: the blur, then demodulation, noise and bias_act
Op = Callable[[Tensor], Tensor]


def cases(resolution: int) -> dict[str, tuple[int, int, dict[str, Any] | None]]:
    """What StyleGAN2 does at a resolution: channels, edge of the input, settings of upfirdn2d or None."""
    r = resolution
    return {
        "bias_act": (CHANNELS, r, None),
        f"blur {r + 1} -> {r}": (CHANNELS, r + 1, {"pad": (1, 1)}),
        f"blur {r} -> {r + 1}": (CHANNELS, r, {"pad": (2, 2)}),
        "skip down": (CHANNELS, r, {"down": 2, "pad": (1, 1)}),
        "skip up": (3, r // 2, {"up": 2, "pad": (2, 1)}),
        f"epilogue {r + 1} -> {r}": (CHANNELS, r + 1, EPILOGUE),
    }


def bench(
    resolution: int | None = None,
    batch: int | None = None,
    device: str = "auto",
    peers: Sequence[str] = (),
    rounds: int = 5,
    seed: int = 0,
    slopes: bool = False,
) -> dict[str, Any]:
    """Time the operators, forward and with backward, in float32 and in 16 bits.

    On a GPU ours are the kernels, or an error; on a CPU they are the references themselves but under
    TOON_OPS=native. Ours and the references take pictures stored as [N, H, W, C], peers as [N, C, H, W].
    Returns: JSON values: the conditions, and under "results" a row for each case, type of number and who.
    Raises: UsageError (slopes, too), MissingPartError (device, peer), KernelUnavailableError.
    """
    if slopes:
        raise UsageError("bench ops fits no slopes; --slopes goes with generator and toonify")
    where = choose_device(device)
    if where.type == "cuda":
        os.environ["TOON_OPS"] = "cuda"  # an error rather than a comparison of the reference with itself
    resolution, batch = resolution or RESOLUTION.get(where.type, 64), batch or BATCH.get(where.type, 16)
    them = open_peers(peers, where)
    torch.manual_seed(seed)
    results = []
    for case, (channels, edge, settings) in cases(resolution).items():
        for dtype in (torch.float32, torch.float16 if where.type == "cuda" else torch.bfloat16):
            x = torch.randn(batch, channels, edge, edge, device=where).to(dtype)
            about = {"case": case, "shape": list(x.shape), "dtype": str(dtype).removeprefix("torch.")}
            results += [about | row for row in _compare(x, operators(x.shape, settings, them, where), rounds)]
    asked = {"bench": "ops", "resolution": resolution, "batch": batch, "rounds": rounds, "seed": seed}
    return asked | conditions(where) | {"results": results}


def operators(
    shape: torch.Size, settings: dict[str, Any] | None, peers: Sequence[Peer], device: torch.device
) -> dict[str, Op]:
    """One operator on [N, C, H, W] as ours, the reference and each peer have it; settings as in cases."""
    n, channels, edge, _ = shape
    if settings is EPILOGUE:
        d, noise = (
            torch.rand(n, channels, device=device) + 0.5,
            torch.randn(n, 1, edge - 1, edge - 1, device=device),
        )
        strength, bias = torch.tensor(0.3, device=device), torch.randn(channels, device=device)
        f = setup_filter(gain=4).to(device)
        given: dict[str, Any] = {"d": d, "noise": noise, "strength": strength, "bias": bias, "f": f}

        def theirs(x: Tensor, peer: Peer) -> Tensor:
            y = peer.upfirdn2d(x, f=f, pad=(1, 1)) * d.to(x.dtype)[:, :, None, None]
            return peer.bias_act(y + (noise * strength).to(x.dtype), bias=bias)

        ops: dict[str, Op] = {
            OURS: partial(fused_epilogue, **given),
            "reference": partial(fused_epilogue_ref, **given),
        }
        return ops | {peer.name: partial(theirs, peer=peer) for peer in peers}
    if settings is None:
        bias = torch.randn(channels, device=device)
        ops = {
            OURS: partial(fused_bias_act, bias=bias),
            "reference": partial(fused_bias_act_ref, bias=bias),
        }
        return ops | {peer.name: partial(peer.bias_act, bias=bias) for peer in peers}
    f = setup_filter().to(device)
    ops = {OURS: partial(upfirdn2d, f=f, **settings), "reference": partial(upfirdn2d_ref, f=f, **settings)}
    return ops | {peer.name: partial(peer.upfirdn2d, f=f, **settings) for peer in peers}


def _compare(x: Tensor, ops: dict[str, Op], rounds: int) -> list[dict[str, Any]]:
    """A row for each operator on x, timed in turn with a copy that reads and writes as many bytes."""
    own = x.to(memory_format=torch.channels_last)
    inputs = {name: own if name in (OURS, "reference") else x.contiguous() for name in ops}
    outputs = {name: op(inputs[name]) for name, op in ops.items()}
    moved = x.nbytes + outputs[OURS].nbytes
    half = torch.zeros(moved // 2, device=x.device, dtype=torch.uint8)
    target = torch.empty_like(half)

    def both(name: str) -> object:
        leaf = inputs[name].detach().requires_grad_()
        y = ops[name](leaf)
        return torch.autograd.grad(y, leaf, outputs[name])

    calls: dict[str, Callable[[], object]] = {"copy": lambda: target.copy_(half)}
    for name, op in ops.items():
        calls[name] = partial(op, inputs[name])
        calls[f"{name}, with backward"] = partial(both, name)
    times = take_turns(calls, rounds, x.device, LEAST)
    rows = []
    for name in ops:
        row = {
            "who": name,
            "microseconds": rounded(times[name].median * 1e6),
            "microseconds_with_backward": rounded(times[f"{name}, with backward"].median * 1e6),
            "gb_per_second": rounded(moved / times[name].median / 1e9),
            "copy_gb_per_second": rounded(moved / times["copy"].median / 1e9),
            "share_of_copy": rounded(times["copy"].median / times[name].median),
        }
        if name != OURS:
            row["ours_is_faster"] = ratios(times[name], times[OURS])
            row["difference"] = difference(outputs[OURS].float(), outputs[name].float())
        rows.append(row)
    return rows


def as_text(report: dict[str, Any]) -> list[str]:
    """The report as a heading and a table."""
    head = ("case", "numbers", "who", "us", "us, backward too", "GB/s", "copy GB/s", "share of copy",
            "ours is faster", "difference")  # fmt: skip
    rows = [
        (row["case"], row["dtype"], row["who"], row["microseconds"], row["microseconds_with_backward"],
         row["gb_per_second"], row["copy_gb_per_second"], row["share_of_copy"],
         row.get("ours_is_faster", {}).get("time"), row.get("difference"))
        for row in report["results"]
    ]  # fmt: skip
    return [
        heading(report),
        f"operators, batch {report['batch']}, {report['resolution']} px",
        *table(head, rows),
    ]
