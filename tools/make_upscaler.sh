#!/usr/bin/env bash
# Make pretrained/upscale-x4.safetensors anew: tools/make_upscaler.sh DATA AVATARS [RUN]
#
# DATA holds toon_painted/painted256.zip and toon_painted/storybook256.zip as the card describes them. AVATARS is what
# `node tools/draw_avatars.mjs AVATARS 512 upscale 0.02` draws (its head says how). A stopped script goes on where it was.
set -euo pipefail
data=$1 avatars=$2 run=${3:-runs/upscale}
cd "$(dirname "$0")/.."
toon=${STYLEGAN_TOON:-stylegan-toon}

$toon train-upscaler "$data"/toon_painted/{painted256,storybook256}.zip "$avatars" \
    --exclude pretrained/upscale-exclude.txt --out "$run" --steps "${STEPS:-3000}"
$toon convert --half "$run/last.upscaler.safetensors" pretrained/upscale-x4.safetensors
