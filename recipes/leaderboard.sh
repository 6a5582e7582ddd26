#!/bin/sh
# Every strong baseline on the same folds, speakers apart: recipes/leaderboard.sh CORPUS... OUTDIR
#
# A system is a kind of features and a model: statistics of our own descriptors (voice), openSMILE's
# ComParE 2016 (compare, with sertool[opensmile]) and statistics of a log-mel spectrogram (mel), each
# with models that choose their settings by inner folds of the training speakers. Classes weigh alike.
# Everything is run twice: as it is, and with every speaker normalised by his or her own recordings,
# unlabelled, which is another task: it needs the test speaker's other recordings.
#
# From the environment, with their defaults:
#   SYSTEMS        "mel-linear mel-logistic voice-logistic voice-svm voice-boosting compare-logistic compare-svm"
#   NORMALISATION  "none speaker"
#   SPLIT          speakers:6 of RAVDESS, else loso: the folds, as in prepare --split
#   RESULTS        OUTDIR/results   where the summaries lie: a cell whose summary is there is skipped
#   LIST           no               print the names of the cells without a summary, and run nothing
#
# A cell that cannot be run here, because a package is missing, is named and counted at the end.
# A corpus of 1440 files takes two minutes of featurizing (compare: eight) and a minute or two a cell.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: recipes/leaderboard.sh CORPUS... OUTDIR" >&2
    exit 2
fi
n=$#
for out in "$@"; do :; done
results=${RESULTS:-$out/results}
systems=${SYSTEMS:-mel-linear mel-logistic voice-logistic voice-svm voice-boosting compare-logistic compare-svm}
missing=
mkdir -p "$out" "$results"

featurize() { # CORPUS NAME FEATURES
    case $2 in
    *ravdess*) split=speakers:6 ;;
    *) split=loso ;;
    esac
    sertool prepare --quiet --resume --split "${SPLIT:-$split}" "$1" "$out/$2.jsonl" || return 1
    case $3 in
    compare) set -- "$@" --kind functionals --set feature_set=ComParE_2016 ;;
    *) set -- "$@" --kind "$3" ;;
    esac
    name=$2 features=$3
    shift 3
    sertool featurize --quiet --resume "$@" "$out/$name.jsonl" "$out/$name-$features.h5"
}

run() { # CORPUS NAME SYSTEM NORMALISATION
    corpus=$1 data=$2 system=$3 normalisation=$4
    cell=$data-$system-$normalisation
    if [ -e "$results/$cell.json" ]; then
        return
    fi
    if [ "${LIST:-no}" = yes ]; then
        echo "$cell"
        return
    fi
    echo "recipes/leaderboard.sh: $cell" >&2
    if ! featurize "$corpus" "$data" "${system%-*}"; then
        missing="$missing $cell"
        return
    fi
    set -- --class-weights balanced --model "${system#*-}"
    # a linear machine: with hundreds of columns for a speaker, rbf gains nothing
    [ "${system#*-}" != svm ] || set -- "$@" --set 'kernel="linear"' --set 'C=[1e-5, 1e-4, 1e-3, 1e-2, 0.1]'
    [ "$normalisation" != speaker ] || set -- "$@" --speaker-normalisation
    sertool train --quiet --resume --no-baselines --test-fold all "$@" "$out/$data-${system%-*}.h5" \
        "$out/$cell.ckpt"
    sertool eval --quiet --resume --summary --tag corpus="$data" --tag features="${system%-*}" \
        --tag normalisation="$normalisation" --json "$results/$cell.json" "$out/$cell".*.ckpt \
        "$out/$data-${system%-*}.h5" >/dev/null
}

i=0
for corpus in "$@"; do
    i=$((i + 1))
    [ $i -lt "$n" ] || break
    for normalisation in ${NORMALISATION:-none speaker}; do
        for system in $systems; do
            run "$corpus" "$(basename "$corpus")" "$system" "$normalisation"
        done
    done
done
[ "${LIST:-no}" != yes ] || exit 0
sertool report "$results"/*.json
if [ -n "$missing" ]; then
    set -- $missing
    echo "recipes/leaderboard.sh: $# cells are missing: $*" >&2
fi
