#!/usr/bin/env bash
# What a GPU makes of it, unattended and offline, in under 9 minutes: tools/gpu_check.sh [OUT] [NAME=PATH...]
#
# The tests marked gpu, the kernels under compute-sanitizer where it is installed, and bench ops, generator and train go
# into OUT (default: gpu-check), with what they ran on. NAME=PATH are peers, as bench --peer takes them. Every part has
# a limit in seconds, and one that fails or takes too long does not stop the others; summary.txt has a line for each.
# Exit code: 0 all parts are there, 1 one is not, 5 no CUDA device here.
set -uo pipefail
out=$(realpath -m "${1:-gpu-check}")
peers=()
for peer in "${@:2}"; do peers+=(--peer "${peer%%=*}=$(realpath -m "${peer#*=}")"); done
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python}
toon=("$python" -m stylegan_toon.cli)
if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "gpu_check: PyTorch finds no CUDA device here; see stylegan-toon doctor" >&2
    exit 5
fi
mkdir -p "$out"
rm -f "$out/summary.txt"
worst=0

part() { # NAME SECONDS COMMAND...: its output goes to NAME.log, what it prints to NAME.json if that is JSON
    local name=$1 limit=$2 began=$SECONDS code=0
    shift 2
    timeout --kill-after=10 "$limit" "$@" > "$out/$name.out" 2> "$out/$name.log" || code=$?
    if [[ $(head -c 1 "$out/$name.out") == "{" ]]; then
        mv "$out/$name.out" "$out/$name.json"
    else
        cat "$out/$name.out" >> "$out/$name.log" && rm "$out/$name.out"
    fi
    ((code == 0)) || worst=1
    echo "$name: exit code $code, $((SECONDS - began)) s" | tee -a "$out/summary.txt"
}

part doctor 40 "${toon[@]}" doctor --json
part tests 140 "$python" -m pytest -q -m gpu
if command -v compute-sanitizer > /dev/null; then
    part sanitizer 60 compute-sanitizer --error-exitcode 9 "$python" - << 'CODE'
import torch

from cuda_ops import fused_epilogue, setup_filter

f = setup_filter(gain=4).cuda()
for channels, edge in ((6, 17), (3, 9)):
    x = torch.randn(2, channels, edge, edge, device="cuda", requires_grad=True)
    d = torch.rand(2, channels, device="cuda", requires_grad=True)
    fused_epilogue(x, d, bias=torch.randn(channels, device="cuda"), f=f).sum().backward()
torch.cuda.synchronize()
CODE
else
    echo "sanitizer: left out, compute-sanitizer is not installed" | tee -a "$out/summary.txt"
fi
part ops 90 "${toon[@]}" bench ops --device cuda --json ${peers[@]+"${peers[@]}"}
part generator-1 40 "${toon[@]}" bench generator --batch 1 --device cuda --json ${peers[@]+"${peers[@]}"}
part generator-32 60 "${toon[@]}" bench generator --batch 32 --device cuda --json ${peers[@]+"${peers[@]}"}
part train-256 80 "${toon[@]}" bench train --resolution 256 --batch 16 --rounds 3 --device cuda --json ${peers[@]+"${peers[@]}"}
exit $worst
