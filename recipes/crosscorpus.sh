#!/bin/sh
# Trained on one corpus, tested on each other: recipes/crosscorpus.sh CORPUS CORPUS... OUTDIR
#
# A matrix of the classes that all the corpora share: for each corpus a model of every other one, one
# of all the others together (others), and one of itself with speakers apart, in folds. Features are
# made of recordings at 16 kHz, so that the rate says nothing of the corpus; models choose their settings
# by inner folds of the training speakers, classes weighed alike. Everything is run twice: as it is, and
# with every speaker normalised by his or her own recordings, unlabelled.
#
# From the environment, with their defaults:
#   SYSTEMS    "voice-logistic compare-logistic"  a kind of features and a model; compare, openSMILE's
#                                                 ComParE 2016, needs sertool[opensmile]
#   VARIANTS   "none speaker"                     normalisation by speaker
#   PARTS      5                                  folds of a corpus by itself
#   WORKERS    one a core                         processes of featurize
#   RESULTS    OUTDIR/results   where the summaries lie: a cell whose summary is there is skipped
#   LIST       no               print the names of the cells without a summary, and run nothing
#   ONLY       every cell       names of cells, as LIST prints them: these alone
#
# Four corpora of 3600 files take two minutes of featurizing (compare: half an hour) and seconds a cell.
# Two corpora with the same recordings (EmoDB whole and cut) do not belong in one matrix.
set -eu
if [ $# -lt 3 ]; then
    echo "usage: recipes/crosscorpus.sh CORPUS CORPUS... OUTDIR" >&2
    exit 2
fi
n=$#
for out in "$@"; do :; done
results=${RESULTS:-$out/results}
systems=${SYSTEMS:-voice-logistic compare-logistic}
mkdir -p "$out" "$results"

field() { # NAME MANIFEST: the values of a text field, each once
    sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$2" | LC_ALL=C sort -u
}

i=0 names=
rm -f "$out/shared" "$out/all.jsonl"
for corpus in "$@"; do
    i=$((i + 1))
    [ $i -lt "$n" ] || break
    sertool prepare --quiet --resume --split "speakers:${PARTS:-5}" "$corpus" "$out/$i.jsonl"
    names="$names $(field corpus "$out/$i.jsonl")"
    field label "$out/$i.jsonl" >"$out/labels"
    [ -e "$out/shared" ] || cp "$out/labels" "$out/shared"
    LC_ALL=C comm -12 "$out/shared" "$out/labels" >"$out/both"
    mv "$out/both" "$out/shared"
    cat "$out/$i.jsonl" >>"$out/all.jsonl"
done
shared=$(tr '\n' ',' <"$out/shared")
shared=${shared%,}
case $shared in
*,*) ;;
*) echo "recipes/crosscorpus.sh: these corpora share fewer than two classes" >&2 && exit 3 ;;
esac

run() { # SYSTEM NORMALISATION TRAINED TESTED
    features=${1%-*} model=${1#*-} normalisation=$2 trained=$3 tested=$4
    cell=$1-$normalisation-$trained-to-$tested
    if [ -e "$results/$cell.json" ]; then
        return
    fi
    case " ${ONLY:-$cell} " in *" $cell "*) ;; *) return 0 ;; esac
    if [ "${LIST:-no}" != no ]; then
        echo "$cell"
        return
    fi
    echo "recipes/crosscorpus.sh: $cell" >&2
    case $features in
    compare) set -- --kind functionals --set feature_set=ComParE_2016 ;;
    *) set -- --kind "$features" ;;
    esac
    sertool featurize --quiet --resume ${WORKERS:+--workers "$WORKERS"} --sample-rate 16000 "$@" \
        "$out/all.jsonl" "$out/$features.h5"
    set -- --model "$model" --class-weights balanced --where "label in $shared"
    case $trained in
    "$tested") set -- "$@" --where "corpus=$tested" --test-fold all ;;
    others) set -- "$@" --test-where "corpus=$tested" ;;
    *) set -- "$@" --where "corpus in $trained,$tested" --test-where "corpus=$tested" ;;
    esac
    [ "$normalisation" != speaker ] || set -- "$@" --speaker-normalisation
    sertool train --quiet --resume --no-baselines "$@" "$out/$features.h5" "$out/$cell.{fold}.ckpt"
    sertool eval --quiet --resume --summary --tag trained="$trained" --tag tested="$tested" \
        --tag features="$features" --tag normalisation="$normalisation" --json "$results/$cell.json" \
        "$out/$cell".*.ckpt "$out/$features.h5" >/dev/null
}

for system_ in $systems; do
    for normalisation_ in ${VARIANTS:-none speaker}; do
        for tested_ in $names; do
            for trained_ in $names others; do
                run "$system_" "$normalisation_" "$trained_" "$tested_"
            done
        done
    done
done
[ -n "${ONLY:-}" ] || [ "${LIST:-no}" != no ] || sertool report "$results"/*.json
