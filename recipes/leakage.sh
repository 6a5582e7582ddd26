#!/bin/sh
# One linear model, one corpus, five ways of testing it: recipes/leakage.sh CORPUS... OUTDIR
#
# Logistic regression on the mean and standard deviation of each log-mel band of recordings at 16 kHz,
# tested in five folds. Nothing differs between the rows but what their names say:
#   speakers    speakers apart; the penalty is chosen by inner folds of the training speakers
#   normalised  the same, each speaker normalised by his or her own recordings: no leak, another task
#   chosen      as speakers, but the penalty is the one whose test result is best
#   random      recordings drawn at random
#   copies      recordings given four noisy copies first, originals and copies then drawn at random
#               alike, as if each were a recording, and tested alike
# The report names what each protocol leaks, as found in the items. A seed draws the folds and the noise.
#
# From the environment, with their defaults:
#   SEEDS      "0 1 2"
#   PROTOCOLS  "speakers normalised chosen random copies"
#   PARTS      5                folds
#   WORKERS    one a core       processes of featurize and augment
#   RESULTS    OUTDIR/results   where the summaries lie: a run whose summary is there is skipped
#   LIST       no               print the names of the runs without a summary, and run nothing
#   ONLY       every run        names of runs, as LIST prints them: these alone
#
# A corpus of 1440 files takes about ten minutes a seed, most of it for copies.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: recipes/leakage.sh CORPUS... OUTDIR" >&2
    exit 2
fi
n=$#
for out in "$@"; do :; done
results=${RESULTS:-$out/results}
protocols=${PROTOCOLS:-speakers normalised chosen random copies}
folds=${PARTS:-5}
penalties="0.001 0.01 0.1 1"
mkdir -p "$out" "$results"

features() { # CORPUS NAME PROTOCOL SEED: makes $store
    set -- "$@" --quiet --resume ${WORKERS:+--workers "$WORKERS"}
    corpus=$1 name=$2 protocol=$3 seed=$4
    shift 4
    sertool prepare --quiet --resume "$corpus" "$out/$name.jsonl"
    sertool featurize "$@" --kind wave --dtype int16 --sample-rate 16000 "$out/$name.jsonl" \
        "$out/$name-wave.h5"
    store=$out/$name-mel.h5 wave=$out/$name-wave.h5
    if [ "$protocol" = copies ]; then
        wave=$out/$name-noisy-seed$seed.h5 store=$out/$name-copies-seed$seed.h5
        sertool augment "$@" --awgn 15:30 --copies 4 --seed "$seed" "$out/$name-wave.h5" "$wave"
    fi
    sertool featurize "$@" --kind mel "$wave" "$store"
}

train() { # C NAME [OPTION...]
    c=$1 name=$2
    shift 2
    sertool train --quiet --resume --no-baselines --model logistic --class-weights balanced \
        --set "C=$c" --test-fold all --seed "$seed" "$@" "$store" "$out/$name.ckpt"
}

tested() { # NAME SUMMARY [OPTION...]
    name=$1 summary=$2
    shift 2
    sertool eval --quiet --resume --summary "$@" --tag corpus="$data" --tag protocol="$protocol" \
        --json "$summary" "$out/$name".?.ckpt "$store" >/dev/null
}

run() { # NAME CORPUS PROTOCOL SEED
    data=$1 run=$1-$3-seed$4
    if [ -e "$results/$run.json" ]; then
        return
    fi
    case " ${ONLY:-$run} " in *" $run "*) ;; *) return 0 ;; esac
    if [ "${LIST:-no}" != no ]; then
        echo "$run"
        return
    fi
    echo "recipes/leakage.sh: $run" >&2
    features "$2" "$1" "$3" "$4"
    every="[$(echo $penalties | sed 's/ /, /g')]"
    case $protocol in
    random) train "$every" "$run" --resplit "kfold:$folds" ;;
    copies) train "$every" "$run" --resplit "kfold:$folds" --unit item ;;
    normalised) train "$every" "$run" --resplit "speakers:$folds" --speaker-normalisation ;;
    speakers) train "$every" "$run" --resplit "speakers:$folds" ;;
    chosen)
        for penalty in $penalties; do
            train "$penalty" "$run-C$penalty" --resplit "speakers:$folds"
            tested "$run-C$penalty" "$out/$run-C$penalty.json"
        done
        best=$(for penalty in $penalties; do
            sed -n "s/^ \"uar\": \([0-9.]*\).*/\1 $penalty/p" "$out/$run-C$penalty.json"
        done | LC_ALL=C sort -n | tail -n 1)
        run=$run-C${best#* }
        ;;
    esac
    set --
    [ "$protocol" != copies ] || set -- --copies
    tested "$run" "$results/$data-$protocol-seed$seed.json" "$@"
}

i=0
for corpus_ in "$@"; do
    i=$((i + 1))
    [ $i -lt "$n" ] || break
    for protocol_ in $protocols; do
        for seed_ in ${SEEDS:-0 1 2}; do
            run "$(basename "$corpus_")" "$corpus_" "$protocol_" "$seed_"
        done
    done
done
[ "${LIST:-no}" = no ] || exit 0
[ -n "${ONLY:-}" ] || sertool report "$results"/*.json
