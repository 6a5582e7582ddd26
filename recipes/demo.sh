#!/bin/sh
# The whole chain on the embedded synthetic corpus: recipes/demo.sh CORPUS OUTDIR
#
# Each step is printed as the command that a user would type, then run. About a minute.
# From the environment: EPOCHS (12), SEED (0). OUTDIR must not exist yet.
set -eu
corpus=$1
out=$2
epochs=${EPOCHS:-12}
seed=${SEED:-0}

bold= plain=
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); fi
say() { printf '\n%s# %s%s\n' "$bold" "$1" "$plain"; }
run() {
    printf '$'
    printf ' %s' "$@"
    printf '\n'
    "$@"
}

if [ -e "$out" ]; then
    echo "recipes/demo.sh: $out exists already; name another folder" >&2
    exit 3
fi
mkdir -p "$out"

say "Who says what, and three folds that keep speakers apart"
run sertool prepare --split speakers:3 --seed "$seed" "$corpus" "$out/demo.jsonl"
say "Waveforms of one length, that of the longest, and a noisy copy of each"
run sertool featurize --kind wave --duration 2 "$out/demo.jsonl" "$out/wave.h5"
run sertool augment --awgn 15:30 --seed "$seed" "$out/wave.h5" "$out/noisy.h5"
say "Log-mel spectrograms"
run sertool featurize --kind mel --set n_fft=512 --set n_mels=40 "$out/noisy.h5" "$out/mel.h5"
say "A network for each fold, trained on the speakers of the other two"
run sertool train --model sundharam-cnn --test-fold all --epochs "$epochs" --batch-size 32 \
    --schedule cosine --seed "$seed" "$out/mel.h5" "$out/demo.ckpt"
say "How well does it know the emotions of speakers that it never heard?"
run sertool eval --json "$out/report.json" --figures "$out/figures" --html "$out/report.html" --audio 20 \
    "$out/demo.0.ckpt" "$out/demo.1.ckpt" "$out/demo.2.ckpt" "$out/mel.h5"
say "Label a folder: each line says how much of a recording was heard, and how much of that is speech"
run sertool predict --output "$out/predictions.jsonl" --html "$out/predictions.html" --audio 4 \
    "$out/demo.0.ckpt" "$corpus/spk01"
head -n 3 "$out/predictions.jsonl"

say "Where it lies"
echo "report       $out/report.json"
echo "pages        $out/report.html, predictions.html: open them in a browser"
echo "figures      $out/figures/confusion.png, classes.png, speakers.png, reliability.png"
echo "predictions  $out/predictions.jsonl"
echo "look inside  sertool info $out/mel.h5, sertool info $out/demo.0.ckpt"
