#!/usr/bin/env bash
# Make the models of pretrained/ anew: tools/make_models.sh DATA [RUNS]
#
# DATA holds compact/faces128_train.zip, toon_painted/{painted128,storybook256}.zip and toon_avatars/{avataaars128,toonhead128}.zip
# as the cards describe them. RUNS (default: runs) takes the run folders. A stopped script goes on where it was.
# Two CPU cores with AVX512_BF16 need about 5 hours; a run that is to be better is given more steps and started again.
set -euo pipefail
data=$1 runs=${2:-runs}
cd "$(dirname "$0")/.."
toon=${STYLEGAN_TOON:-stylegan-toon}
photos=$data/compact/faces128_train.zip
exclude=(--exclude pretrained/faces-exclude.txt)

# Photo faces: 32 px, grown to 64 and 128. The first two runs went without noise inputs and mixed styles; the third
# turned both round, which cleared mouths and hair (docs/training.md).
before=(--no-noise --mixing 0.5)
$toon train "$photos" "${exclude[@]}" --out "$runs/faces-32" --resolution 32 --channels 128,128,128,96 "${before[@]}" \
    --r1 0.1 --ema 3000 --ada-images 100000 --save-every 625 --look-every 625 --steps 2394
$toon train "$photos" "${exclude[@]}" --out "$runs/faces-64-plain" --grow "$runs/faces-32" --resolution 64 \
    --channels 64 "${before[@]}" --save-every 250 --look-every 250 --steps 4863
$toon train "$photos" "${exclude[@]}" --out "$runs/faces-64" --start "$runs/faces-64-plain" --noise \
    --lr 0.002 --ema 3000 --save-every 200 --look-every 200 --seed 6 --steps "${STEPS_64:-2179}"
$toon train "$photos" "${exclude[@]}" --out "$runs/faces-128-grown" --grow "$runs/faces-64" --resolution 128 \
    --channels 32 --lr 0.002 --ema 3000 --save-every 150 --look-every 150 --seed 7 --steps "${STEPS_GROWN:-1363}"
# ... and gone on with from there, noise strengths from 0 again, with a lower rate and a longer average.
for what in safetensors discriminator.safetensors; do
    $toon convert --half --no-noise "$runs/faces-128-grown/last.$what" "$runs/faces-128-start.$what"
done
$toon train "$photos" "${exclude[@]}" --out "$runs/faces-128" --start "$runs/faces-128-start.safetensors" --noise \
    --lr 0.0015 --ema 8000 --save-every 150 --look-every 150 --seed 8 --steps "${STEPS_128:-1835}"

# Photo to code. (What ships went on, by --start, from encoders that were trained with other weights, the first of them for
# an earlier generator of this family.)
$toon train-encoder "$photos" "${exclude[@]}" --source "$runs/faces-128" --out "$runs/encoder" \
    --lr 0.002 --pixel 1 --feature 1 --identity 2 --latent 0.25 --offset 0.1 \
    --parts 0 --steps "${STEPS_ENCODER:-4000}" --save-every 100 --look-every 300
# ... and gone on with, eyes and mouth counting more.
$toon train-encoder "$photos" "${exclude[@]}" --source "$runs/faces-128" --start "$runs/encoder" --out "$runs/encoder-2" \
    --lr 0.0015 --pixel 2 --identity 2 --latent 0.25 --offset 0.1 --seed 14 --save-every 100 --look-every 250 \
    --steps "${STEPS_ENCODER_2:-1010}"

# ... and a head for shifts of features, codes as they are.
shift=(--source "$runs/faces-128" --shift --batch 8 --save-every 150 --look-every 150)
$toon train-encoder "$photos" "${exclude[@]}" --start "$runs/encoder-2" "${shift[@]}" --lr 0.003 \
    --out "$runs/shift" --steps "${STEPS_SHIFT:-1950}"
$toon train-encoder "$photos" "${exclude[@]}" --start "$runs/shift" "${shift[@]}" --lr 0.001 --seed 1 \
    --out "$runs/shift-2" --steps "${STEPS_SHIFT_2:-300}"
fine=(--fine-shift --batch 4 --look-every 150 --save-every 150) # a second one, for the two finer resolutions
$toon train-encoder "$photos" "${exclude[@]}" --start "$runs/shift-2" "${fine[@]}" --lr 0.003 \
    --out "$runs/fine" --steps "${STEPS_FINE:-1500}"
$toon train-encoder "$photos" "${exclude[@]}" --start "$runs/fine" "${fine[@]}" --lr 0.0008 --seed 1 \
    --out "$runs/fine-2" --steps "${STEPS_FINE_2:-500}"

# Ship: float16, generator and discriminator apart, noise strengths 0.
pack() { $toon convert --half --no-noise "$@"; }
pack "$runs/faces-128/last.safetensors" pretrained/faces-128.generator.safetensors
pack "$runs/faces-128/last.discriminator.safetensors" pretrained/faces-128.discriminator.safetensors
pack "$runs/fine-2/last.encoder.safetensors" pretrained/faces-128.encoder.safetensors

# Styles: FreezeSG, structure loss, ADA, identity; three quarters of the codes are as photos have them, and every second
# draw is the blend at K = 3. The paintings are many, and storybook, which has few, begins as their style. Pictures whose
# number ends in 9 are held out. The second half of avatar's steps leaves out glasses, winks, closed eyes, screams, headscarves
# and blue or violet hair, which no photo asks for: every drawn kind of eyes had a share in all of them.
style=(--freeze-g 1 --freeze-mapping --patience 0 --batch 8 --blend 3 --save-every 125 --look-every 250)
$toon finetune --target "$data/toon_painted/painted128.zip" --exclude '*9.jpg' --source faces "${style[@]}" \
    --seed 3 --identity 1 --ada-p 0.1 --ada-images 50000 --out "$runs/painted" --steps "${STEPS_PAINTED:-1689}"
$toon finetune --target "$data/toon_painted/storybook256.zip" --exclude '*9.jpg' --source faces --start "$runs/painted" "${style[@]}" \
    --seed 4 --identity 0.4 --ada-p 0.3 --ada-images 30000 --out "$runs/storybook" --steps "${STEPS_STORYBOOK:-1200}"
$toon finetune --target "$data/toon_avatars/avataaars128.zip" --source faces "${style[@]}" --structure-layers 2 \
    --seed 3 --identity 0.3 --ada-p 0.3 --ada-images 50000 --out "$runs/avatar-all" --steps 1527
$toon finetune --target "$data/toon_avatars/avataaars128.zip" --source faces --start "$runs/avatar-all" "${style[@]}" \
    --exclude pretrained/avatar-exclude.txt --structure-layers 2 --seed 5 --ada-p 0.25 --ada-images 30000 \
    --out "$runs/avatar" --steps "${STEPS_AVATAR:-1587}"

# Then each goes on from itself (its last look).
further() { # STYLE FROM TO STEPS SEED OPTION...
    local target=$data/toon_painted/storybook256.zip style_options=(--exclude '*9.jpg' --ada-p 0.3 --ada-images 30000)
    case $1 in
    painted) target=$data/toon_painted/painted128.zip style_options=(--exclude '*9.jpg' --ada-p 0.1 --ada-images 50000) ;;
    avatar)
        target=$data/toon_avatars/avataaars128.zip
        style_options=(--exclude pretrained/avatar-exclude.txt --structure-layers 2 --identity 0.3 --ada-p 0.25 --ada-images 30000)
        ;;
    esac
    $toon finetune --target "$target" --source faces --start "$runs/$2" "${style[@]}" "${style_options[@]}" \
        --out "$runs/$3" --steps "$4" --seed "$5" "${@:6}"
}
# Last, from the first run of each, on photos' codes with shifted features, as toonify has them: with those the person is
# there, and the losses that kept likeness at the price of style can be lighter. (What ships saw 385 to 414 of these 602.)
mkdir -p "$runs/photos" "$runs/codes"
if [ -z "$(ls "$runs/photos")" ]; then
    python3 -m zipfile -e "$photos" "$runs/all-photos"
    (cd "$runs/all-photos" && ls congress/*[02468].webp {lfw,synth}/*[02468]0.webp) \
        | grep -vxFf pretrained/faces-exclude.txt | while read -r name; do
        mv "$runs/all-photos/$name" "$runs/photos/${name/\//-}"
    done
fi
$toon invert "$runs/photos" --aligned --refine 1 --out "$runs/codes"
shifted=(--codes "$runs/codes")
further painted painted painted-3 400 23 --identity 1 --low-pass 4 "${shifted[@]}"
further storybook storybook storybook-5 400 21 --identity 0.6 --low-pass 4 "${shifted[@]}"
further avatar avatar avatar-5 400 22 --low-pass 4 "${shifted[@]}"
further avatar avatar-5 avatar-6 400 24 --low-pass 6 "${shifted[@]}"
further avatar avatar-6 avatar-7 400 32 --identity 0.8 --low-pass 8 "${shifted[@]}"

# The same photos drawn by filters teach most (docs/training.md). What ships saw 284 of them. painted and storybook went on from
# their packed files, with the source's discriminator.
for look in soft comic ink flat; do
    python3 tools/make_drawings.py "$runs/photos" "$runs/drawn-$look" --look "$look"
done
mkdir -p "$runs/start"
drawn() { # STYLE FROM TO STEPS OPTION...
    pack "$runs/$2/last.safetensors" "$runs/start/$1.safetensors"
    cp pretrained/faces-128.discriminator.safetensors "$runs/start/$1.discriminator.safetensors"
    further "$1" "start/$1.safetensors" "$3" "$4" 5 --lr 0.001 --ema 800 --photo-codes 0.9 --save-every 75 --look-every 75 \
        "${shifted[@]}" --pairs 5 --drawings "$runs/drawn-soft"
}
drawn storybook storybook-5 storybook-6 300
drawn painted painted-3 painted-4 260
# storybook once more, with shifts of all resolutions, as toonify has them
mkdir -p "$runs/codes-fine"
$toon invert "$runs/photos" --aligned --refine 0 --space f3/w+ --encoder "$runs/fine-2/last.encoder.safetensors" --out "$runs/codes-fine"
$toon finetune --target "$data/toon_painted/storybook256.zip" --exclude '*9.jpg' --source faces --start "$runs/storybook-6/last.safetensors" \
    "${style[@]}" --codes "$runs/codes-fine" --drawings "$runs/drawn-soft" --pairs 6 --photo-codes 0.9 --lr 0.001 --ada-p 0.3 \
    --ada-images 30000 --ema 800 --seed 6 --look-every 120 --steps 120 --out "$runs/storybook-7"
# avatar likewise; then it is also shown what its mouths and eyes should be, by the filter of few flat tones
pack "$runs/avatar-7/last.safetensors" "$runs/start/avatar-7.safetensors"
cp pretrained/faces-128.discriminator.safetensors "$runs/start/avatar-7.discriminator.safetensors"
crisp=(--identity 0.8 --codes "$runs/codes-fine" --photo-codes 0.9 --lr 0.001 --look-every 75)
further avatar start/avatar-7.safetensors avatar-8 150 6 --low-pass 8 --ema 800 "${crisp[@]}"
further avatar avatar-8/last.safetensors avatar-9 150 7 --drawings "$runs/drawn-flat" --pairs 4 --ema 600 "${crisp[@]}"
further avatar avatar-9/last.safetensors avatar-10 140 8 --drawings "$runs/drawn-flat" --pairs 6 --ema 600 "${crisp[@]}"
declare -A finish=([storybook]=comic [avatar]=cel [comic]=cel [ink]=ink [flat]=flat) # by eye, as are
declare -A eyes=([storybook]=0.4 [painted]=0.2 [avatar]=0.4)
for look in comic:comic ink:ink flat:toonhead; do # the target's pictures judge by KID on the way, and teach nothing
    $toon finetune --target "${look#*:}" --source faces --out "$runs/${look%:*}" --train lora --rank 32 --freeze-g 1 --freeze-mapping \
        --blend 3 --batch 8 --ema 400 --seed 1 --patience 0 --steps 350 --look-every 350 "${shifted[@]}" \
        --adversarial 0 --pairs 10 --drawings "$runs/drawn-${look%:*}"
    $toon convert --to style --half --meta blend=3 --meta eyes=0.4 --meta finish="${finish[${look%:*}]}" "$runs/${look%:*}/last.safetensors" "pretrained/${look%:*}-128.style.safetensors"
done

# toonhead is taught by its drawn heads and a discriminator, and by flat drawings of 602 photos, which keep the person.
# (npm i as in tools/draw_heads.mjs, here.)
python3 tools/redraw_heads.py "$data/toon_avatars/toonhead128.zip" "$runs/toonhead128.zip"
$toon finetune --target "$runs/toonhead128.zip" --exclude '*9.png' --source faces --out "$runs/toonhead" --train lora --rank 32 \
    --freeze-g 1 --freeze-mapping --blend 3 --low-pass 6 --perceptual 0.5 --batch 8 --seed 1 --patience 0 --steps 500 --look-every 250 \
    --codes "$runs/codes-fine" --photo-codes 0.75 --pairs 4 --drawings "$runs/drawn-flat"
$toon convert --to style --half --meta blend=3 --meta eyes=0.4 --meta finish=cel "$runs/toonhead/last.safetensors" pretrained/toonhead-128.style.safetensors

# toon has shapes of its own: heads drawn for it are the drawings of those whom the encoder sees in them, in the heads' moods.
# (The first run of what ships was three: 1,000 steps on 1,242 heads of an earlier form of that script, 1,200 on these heads, whose
# moods were told by codes alone, and 800 with their moods. Open mouths were hardly there in all three, which resvg drew wrongly.)
node tools/draw_heads.mjs 2400 128 "$runs/heads"
(cd "$runs/heads" && zip -q0 ../heads.zip ./*.png)
mkdir -p "$runs/codes-plain"
$toon invert "$runs/photos" --aligned --refine 0 --space w+ --out "$runs/codes-plain"
own=(--target "$runs/heads.zip" --inverted 5 --moods --codes "$runs/codes-plain" --patience 0 --look-every 400)
$toon finetune "${own[@]}" --start faces --steps 3000 --out "$runs/toon-1" # else it would begin as the toon that ships
$toon finetune "${own[@]}" --start "$runs/toon-1/last.safetensors" --steps 2400 --seed 6 --out "$runs/toon-2"
$toon finetune "${own[@]}" --start "$runs/toon-2/last.safetensors" --steps 800 --seed 7 --lr 0.001 --ema 2500 --out "$runs/toon-3"
# Then it is shown, for the codes of more photos, heads of the hair, skin and clothes that the source draws of each, in moods.
# (What ships saw 2,155 photos. Its toon-4 was two runs, of 1,000 and 1,500 steps, in which the happy had raised brows; in the
# first closed mouths were light, a few heads were told otherwise, and the discriminator saw mirrored ones as well.)
mkdir -p "$runs/more-photos"
if [ -z "$(ls "$runs/more-photos")" ]; then
    (cd "$runs/all-photos" && ls {congress,lfw,synth}/*[1357].webp) | grep -vxFf pretrained/faces-exclude.txt | while read -r name; do
        mv "$runs/all-photos/$name" "$runs/more-photos/${name/\//-}"
    done
fi
$toon invert "$runs/more-photos" --aligned --refine 0 --space w+ --out "$runs/codes-plain"
python3 tools/heads_of_codes.py "$runs/codes-plain" "$runs/heads-of-codes.jsonl"
node tools/draw_heads.mjs "$runs/heads-of-codes.jsonl" 128 "$runs/heads-of-codes"
(cd "$runs/heads-of-codes" && zip -q0 ../heads-of-codes.zip ./*.png)
drawn=(--target "$runs/heads-of-codes.zip" --codes "$runs/codes-plain" --pairs 10 --moods --photo-codes 0.97 --no-mirror --patience 0)
$toon finetune "${drawn[@]}" --start "$runs/toon-3/last.safetensors" --ada-p 0.05 --seed 11 --steps 2500 --look-every 500 --out "$runs/toon-4"
$toon finetune "${drawn[@]}" --start "$runs/toon-4/last.safetensors" --ada-p 0.03 --seed 12 --steps 900 --look-every 450 \
    --lr 0.001 --ema 3000 --out "$runs/toon-5"
pack --meta blend=0 --meta shapes=style --meta finish=cel "$runs/toon-5/last.safetensors" pretrained/toon-128.generator.safetensors

# Of the styles the last look ships, chosen by eye at K = 3.
for style in painted-4 storybook-7 avatar-10; do
    name=${style%-*}
    pack --meta blend="${BLEND:-3}" --meta eyes="${eyes[$name]:-0}" --meta finish="${finish[$name]:-paint}" \
        "$runs/$style/last.safetensors" "pretrained/$name-128.generator.safetensors"
done
