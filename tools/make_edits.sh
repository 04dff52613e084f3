#!/usr/bin/env bash
# Makes the ready edits of pretrained/edits/, sad, angry and happy, with the small text model that ships: one direction
# each, a few kB, that any style of the source takes. Two CPU cores take about a minute an edit.
#
#     tools/make_edits.sh [OUT]
#
# OUT/WORD/ gets pictures of before | after, on the source and two styles, with the scores on stderr. Look at them.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-out/edits}
toon=${TOON:-stylegan-toon}
mkdir -p pretrained/edits
for word in sad angry happy; do
    $toon styleclip --text "a really $word face" --neutral "${NEUTRAL:-a face}" --engine "${ENGINE:-direction}" \
        --clip clip-faces --identity mobileface --steps "${STEPS:-60}" --groups "${GROUPS_FREE:-coarse,medium}" \
        --seeds 0-7 --style storybook --style avatar --out "$out/$word" ${EXTRA:-}
    cp "$out/$word/a-really-$word-face".*.safetensors "pretrained/edits/"
    for file in "pretrained/edits/a-really-$word-face".*; do
        mv "$file" "pretrained/edits/$word.${file##*face.}"
    done
done
