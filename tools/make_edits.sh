#!/usr/bin/env bash
# Makes the ready edits of pretrained/edits/, sad, angry and happy, with the small text model that ships: a direction
# each, a few kB, against the other moods.
#
#     tools/make_edits.sh [OUT]
#
# OUT/WORD/ gets a picture of before | after, on the source and two styles; the scores go to stderr. Look at them.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-out/edits}
toon=${TOON:-stylegan-toon}
mkdir -p pretrained/edits
for word in sad angry happy; do
    strength=1.75
    [ "$word" != sad ] || strength=1.3 # more washes faces out
    $toon styleclip --text "a really $word face" --engine direction --clip clip-faces \
        --identity mobileface --identity-weight 1.2 --steps 90 --strength $strength --seeds 0-7 --style storybook --style avatar \
        --out "$out/$word"
    cp "$out/$word/a-really-$word-face.edit.safetensors" "pretrained/edits/$word.edit.safetensors"
done
