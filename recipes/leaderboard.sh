#!/bin/sh
# Every strong system on the same folds, speakers apart: recipes/leaderboard.sh CORPUS... OUTDIR
#
# A system is a kind of features and a model: statistics of our own descriptors (voice), openSMILE's
# ComParE 2016 (compare, with sertool[opensmile]) and statistics of a log-mel spectrogram (mel), each
# with models that choose their settings by inner folds of the training speakers, classes weighed
# alike; and the network sertool on the log-mel spectrogram that it was made for (mel64, as in
# benchmarks/search.md). Everything is run twice: as it is, and with every speaker normalised by his
# or her own recordings, unlabelled, which is another task: it needs the test speaker's other recordings.
#
# From the environment, with their defaults:
#   SYSTEMS    "mel-linear mel-logistic voice-logistic voice-svm compare-logistic compare-svm
#              mel64-sertool voice-boosting"
#   VARIANTS   "none speaker"   normalisation by speaker
#   SEEDS      "0 1 2"          of networks; what is fitted in one step draws nothing, and runs once
#   SPLIT      speakers:6 of RAVDESS, else loso: the folds, as in prepare --split
#   DEVICE     auto             where networks are trained
#   PRECISION  bfloat16         of their training, as in benchmarks/search.md
#   WORKERS    one a core       processes of featurize
#   RESULTS    OUTDIR/results   where the summaries lie: a cell whose summary is there is skipped
#   LIST       no               print the names of the cells without a summary, and run nothing
#   ONLY       every cell       names of cells, as LIST prints them: these alone
#
# A summary keeps what its cell took, in CPU seconds of the stages, where this recipe made the features.
# A cell that cannot be run here, because a package is missing, is named and counted at the end.
# A corpus of 1440 files takes a minute or two of featurizing (compare: eight) and of a cell; voice-boosting
# takes ten, mel64-sertool more (benchmarks/search.md). recipes/results/leaderboard has what we ran.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: recipes/leaderboard.sh CORPUS... OUTDIR" >&2
    exit 2
fi
n=$#
for out in "$@"; do :; done
results=${RESULTS:-$out/results}
systems="mel-linear mel-logistic voice-logistic voice-svm compare-logistic compare-svm"
systems=${SYSTEMS:-$systems mel64-sertool voice-boosting}
missing=
mkdir -p "$out" "$results"

featurize() { # CORPUS DATA FEATURES
    case $2 in
    *ravdess*) split=speakers:6 ;;
    *) split=loso ;;
    esac
    sertool prepare --quiet --resume --split "${SPLIT:-$split}" "$1" "$out/$2.jsonl" || return 1
    manifest=$out/$2.jsonl store=$out/$2-$3
    case $3 in
    compare) set -- --kind functionals --set feature_set=ComParE_2016 ;;
    mel64)
        set -- --kind mel --sample-rate 16000 --set n_fft=1024 --set hop_length=256 --set n_mels=64
        set -- "$@" --set fmin=50 --set top_db=none
        ;;
    *) set -- --kind "$3" ;;
    esac
    [ -e "$store.h5" ] || set -- "$@" --log "$store.log"
    sertool featurize --quiet --resume ${WORKERS:+--workers "$WORKERS"} "$@" "$manifest" "$store.h5"
}

run() { # CORPUS DATA SYSTEM NORMALISATION [SEED]
    corpus=$1 data=$2 features=${3%-*} model=${3#*-} normalisation=$4 seed=${5:-}
    cell=$data-$3-$normalisation${seed:+-seed$seed}
    if [ -e "$results/$cell.json" ]; then
        return
    fi
    case " ${ONLY:-$cell} " in *" $cell "*) ;; *) return 0 ;; esac
    if [ "${LIST:-no}" != no ]; then
        echo "$cell"
        return
    fi
    echo "recipes/leaderboard.sh: $cell" >&2
    if ! featurize "$corpus" "$data" "$features"; then
        missing="$missing $cell"
        return
    fi
    set -- --model "$model"
    if [ -n "$seed" ]; then
        set -- "$@" --seed "$seed" --device "${DEVICE:-auto}" --precision "${PRECISION:-bfloat16}"
    else
        set -- "$@" --class-weights balanced
    fi
    # a linear machine: with hundreds of columns for a speaker, rbf gains nothing
    [ "$model" != svm ] || set -- "$@" --set 'kernel="linear"' --set 'C=[1e-5, 1e-4, 1e-3, 1e-2, 0.1]'
    [ "$normalisation" != speaker ] || set -- "$@" --speaker-normalisation
    sertool train --quiet --resume --no-baselines --test-fold all --log "$out/$cell.log" "$@" "$store.h5" \
        "$out/$cell.ckpt"
    set --
    for log in "$store.log" "$out/$cell.log"; do
        [ ! -e "$log" ] || set -- "$@" --cost "$log"
    done
    sertool eval --quiet --resume --summary --tag corpus="$data" --tag features="$features" \
        --tag normalisation="$normalisation" "$@" --json "$results/$cell.json" "$out/$cell".*.ckpt \
        "$store.h5" >/dev/null
}

i=0
for corpus_ in "$@"; do
    i=$((i + 1))
    [ $i -lt "$n" ] || break
    for normalisation_ in ${VARIANTS:-none speaker}; do
        for system_ in $systems; do
            case $system_ in *-sertool) seeds=${SEEDS:-0 1 2} ;; *) seeds= ;; esac
            if [ -z "$seeds" ]; then
                run "$corpus_" "$(basename "$corpus_")" "$system_" "$normalisation_"
            fi
            for seed_ in $seeds; do
                run "$corpus_" "$(basename "$corpus_")" "$system_" "$normalisation_" "$seed_"
            done
        done
    done
done
[ "${LIST:-no}" = no ] || exit 0
if [ -n "$missing" ]; then
    set -- $missing
    echo "recipes/leaderboard.sh: $# cells are missing: $*" >&2
    [ -z "${ONLY:-}" ] || exit 3
fi
[ -n "${ONLY:-}" ] || sertool report "$results"/*.json
