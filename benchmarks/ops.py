"""Time both operators against their references and against copying the same bytes; prints JSON.

python benchmarks/ops.py [--device cuda] [--dtype float16] [--threads 1]

On a GPU "kernel" is what TOON_OPS=cuda runs, on the CPU what TOON_OPS=auto does (there the reference). Rounds
alternate between the variants, times are medians. "copy" reads and writes as many bytes as the operator must.
"""

import argparse
import json
import os
import statistics
import time

import torch
from torch import Tensor

from cuda_ops import (
    fused_bias_act,
    fused_bias_act_ref,
    setup_filter,
    unavailable_reason,
    upfirdn2d,
    upfirdn2d_ref,
)

CPU_CASES = {
    "bias_act": ((16, 64, 64, 64), None),
    "bias_act, 16x16": ((16, 128, 16, 16), None),
    "blur 65 -> 64": ((16, 64, 65, 65), {"pad": (1, 1)}),
    "blur 64 -> 65": ((16, 64, 64, 64), {"pad": (2, 2)}),
    "skip down": ((16, 48, 64, 64), {"down": 2, "pad": (1, 1)}),
    "skip up": ((16, 3, 32, 32), {"up": 2, "pad": (2, 1)}),
}
CUDA_CASES = {
    "bias_act": ((8, 128, 256, 256), None),
    "blur 257 -> 256": ((8, 128, 257, 257), {"pad": (1, 1)}),
    "blur 256 -> 257": ((8, 128, 256, 256), {"pad": (2, 2)}),
    "skip down": ((8, 128, 256, 256), {"down": 2, "pad": (1, 1)}),
    "skip up": ((8, 3, 128, 128), {"up": 2, "pad": (2, 1)}),
    "gradient of skip down": ((8, 128, 128, 128), {"up": 2, "pad": (2, 1)}),
}


def timed(call, device: str, seconds: float) -> float:
    """Seconds of one call, averaged over about so many seconds of them."""
    call()
    times = 1
    while True:
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(times):
            call()
        if device == "cuda":
            torch.cuda.synchronize()
        passed = time.perf_counter() - start
        if passed >= seconds / 2:
            return passed / times
        times = max(2 * times, int(times * seconds / max(passed, 1e-9)))


def bench(shape, use, device: str, dtype: torch.dtype, layout: torch.memory_format, rounds: int) -> dict:
    """Microseconds of forward and of forward + backward, kernel and reference, and of the copy."""
    x = torch.randn(shape, device=device).to(dtype).contiguous(memory_format=layout)
    bias, f = torch.randn(shape[1], device=device), setup_filter().to(device)
    if use is None:
        ops = {
            "kernel": lambda x: fused_bias_act(x, bias),
            "reference": lambda x: fused_bias_act_ref(x, bias),
        }
    else:
        ops = {"kernel": lambda x: upfirdn2d(x, f, **use), "reference": lambda x: upfirdn2d_ref(x, f, **use)}
    y = ops["reference"](x)
    leaf, cotangent = x.detach().clone().requires_grad_(), torch.randn_like(y)
    moved = x.nbytes + y.nbytes
    half = torch.empty(moved // 2, device=device, dtype=torch.uint8)
    target = torch.empty_like(half)

    def both(op) -> tuple[Tensor, ...]:
        return torch.autograd.grad(op(leaf), leaf, cotangent)

    calls = {"copy": lambda: target.copy_(half)}
    for name, op in ops.items():
        calls[f"{name} forward"] = lambda op=op: op(x)
        calls[f"{name} forward+backward"] = lambda op=op: both(op)
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(timed(call, device, 0.05))
    medians = {name: statistics.median(values) for name, values in found.items()}
    return {
        "bytes": moved,
        "microseconds": {name: round(value * 1e6, 1) for name, value in medians.items()},
        "share of the copy rate": round(medians["copy"] / medians["kernel forward"], 3),
        "speed over the reference": round(medians["reference forward"] / medians["kernel forward"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument(
        "--layout", nargs="+", default=["channels_last"], choices=("channels_last", "contiguous_format")
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.device == "cuda":
        os.environ["TOON_OPS"] = "cuda"  # an error rather than a comparison of the reference with itself
    result = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name()
        if options.device == "cuda"
        else f"cpu, {options.threads} threads",
        "kernels": unavailable_reason() or "compiled",
        "cases": [
            {"case": name, "shape": shape, "dtype": dtype, "layout": layout}
            | bench(shape, use, options.device, getattr(torch, dtype), getattr(torch, layout), options.rounds)
            for name, (shape, use) in (CUDA_CASES if options.device == "cuda" else CPU_CASES).items()
            for dtype in options.dtype
            for layout in options.layout
        ],
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
