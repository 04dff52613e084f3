#!/usr/bin/env bash
# Make pretrained/clip-faces.safetensors anew: tools/make_clip_faces.sh DATA AVATARS [RUNS]
#
# DATA holds the packs that tools/make_clip_faces.py names; AVATARS is a folder in which tools/draw_avatars.mjs drew
# (its head says how). RUNS (default: runs/clip-faces) takes the pool and the run folders. A stopped script goes on where
# it was. Needs clip-anytorch's words (pip install --no-deps clip-anytorch; pip install ftfy regex). A step takes 0.3 s
# of one CPU core.
set -euo pipefail
data=$1 avatars=$2 runs=${3:-runs/clip-faces}
cd "$(dirname "$0")/.."
make() { ${PYTHON:-python} tools/make_clip_faces.py "$@"; }

[[ -f $runs/pool/avatars.npz ]] || ${PYTHON:-python} tools/make_clip_faces_pool.py "$data" "$avatars" "$runs/pool"
# Moods in drawn pictures at first; then all words in all pictures; then the paintings, too.
make train "$runs/pool" "$runs/moods" --moods --hard 0.15 --lr 0.002 --steps "${STEPS_MOODS:-900}"
make train "$runs/pool" "$runs/whole" --start "$runs/moods" --hard 0.4 --lr 0.002 --steps "${STEPS_WHOLE:-2400}"
make train "$runs/pool" "$runs/last" --start "$runs/whole" --paintings train --hard 0.6 --lr 0.0007 --steps "${STEPS_LAST:-500}"
for fold in 0 1 2 3 4; do # of the paintings, for the figures alone
    make train "$runs/pool" "$runs/$fold" --start "$runs/whole" --paintings $fold --hard 0.6 --lr 0.0007 --steps "${STEPS_LAST:-500}"
done
make pack "$runs/last" pretrained/clip-faces.safetensors
${PYTHON:-python} benchmarks/clip_faces.py "$data" --folds "$runs" > benchmarks/results/clip-faces.json
