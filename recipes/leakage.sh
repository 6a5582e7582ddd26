#!/bin/sh
# One linear model, one corpus, three protocols: recipes/leakage.sh CORPUS... OUTDIR
#
# Logistic regression on the mean and standard deviation of each log-mel band, tested in five folds:
# speakers apart; recordings drawn at random; and recordings given four noisy copies first, originals
# and copies then split at random alike, as if each were a recording. Nothing else
# differs. The report names what each protocol leaks, as found in the items. A minute or two per corpus.
#
# From the environment: SEEDS ("0 1 2"), FOLDS (5), RESULTS (OUTDIR/results): a row of a corpus whose
# summary lies there is skipped.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: recipes/leakage.sh CORPUS... OUTDIR" >&2
    exit 2
fi
n=$#
for out in "$@"; do :; done
results=${RESULTS:-$out/results}
folds=${FOLDS:-5}
mkdir -p "$out" "$results"

run() { # NAME CORPUS PROTOCOL SEED [OPTION...]
    name=$1 corpus=$2 protocol=$3 seed=$4
    shift 4
    run=$name-$protocol-seed$seed
    if [ -e "$results/$run.json" ]; then
        return
    fi
    echo "recipes/leakage.sh: $run" >&2
    store=$out/$name-seed$seed
    sertool prepare --quiet --resume --split "speakers:$folds" --seed "$seed" "$corpus" "$store.jsonl"
    sertool featurize --quiet --resume --kind wave "$store.jsonl" "$store-wave.h5"
    if [ "$protocol" = copies ]; then
        sertool augment --quiet --resume --awgn 15:30 --copies 4 --seed "$seed" \
            "$store-wave.h5" "$store-noisy.h5"
        sertool featurize --quiet --resume --kind mel "$store-noisy.h5" "$store-copies.h5"
        features=$store-copies.h5
    else
        sertool featurize --quiet --resume --kind mel "$store-wave.h5" "$store-plain.h5"
        features=$store-plain.h5
    fi
    sertool train --quiet --resume --model linear --test-fold all --seed "$seed" "$@" "$features" \
        "$out/$run.ckpt"
    set --
    [ "$protocol" != copies ] || set -- --copies
    sertool eval --quiet --resume --summary "$@" --tag corpus="$name" --tag protocol="$protocol" \
        --tag seed="$seed" --json "$results/$run.json" "$out/$run".*.ckpt "$features" >/dev/null
}

for seed in ${SEEDS:-0 1 2}; do
    i=0
    for corpus in "$@"; do
        i=$((i + 1))
        [ $i -lt "$n" ] || break
        name=$(basename "$corpus")
        run "$name" "$corpus" speakers "$seed"
        run "$name" "$corpus" random "$seed" --resplit "kfold:$folds"
        run "$name" "$corpus" copies "$seed" --resplit "kfold:$folds" --unit item
    done
done
set --
for protocol in speakers random copies; do
    for summary in "$results"/*-"$protocol"-seed*.json; do
        set -- "$@" "$summary"
    done
done
sertool report "$@"
