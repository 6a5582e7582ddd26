#!/bin/sh
# The model in the box: recipes/box.sh CORPUS... UNSEEN OUTDIR
#
# Logistic regression on statistics of our own voice descriptors, without those that follow the
# recording's level, of the five classes that the corpora share (data/labels/five.toml), fitted for
# recordings of other corpora (train --across-corpora), each as it is and as a telephone passes it
# on (augment). What is printed, and what the card says, comes
# from these tests, in this order:
#   known      the corpora but UNSEEN, in five folds, speakers apart
#   crossed    the same, each corpus by a model of the others: what everything was decided by
#   unseen     UNSEEN, by a model of the others whose temperature comes from `crossed`
#   speakers, corpora   as known and crossed, with UNSEEN among the corpora: what is shipped
#   opensmile-unseen, opensmile-corpora   as unseen and corpora, with openSMILE's ComParE 2016
#              functionals in place of ours, and of no copies; with OPENSMILE=1 alone, which needs sertool[opensmile]
# crossed, unseen and corpora are tested through a telephone, too (eval --stress telephone).
# OUTDIR/box.ckpt is trained on everything, calibrated by `corpora`; box.onnx is the same. The
# card is then printed by
#   python recipes/box.py OUTDIR OUTDIR/results
# The model and card in data/models are these, of RAVDESS, EmoDB (2 s), nEMO and, as UNSEEN, EMOVO.
#
# About ten minutes of one core, and 1.6 GB in OUTDIR. From the environment: FOLDS (5), WORKERS, RESULTS (OUTDIR/results),
# OPENSMILE, ONNX (1: needs sertool[onnx]; 0: no OUTDIR/box.onnx).
set -eu
if [ $# -lt 4 ]; then
    echo "usage: recipes/box.sh CORPUS CORPUS... UNSEEN OUTDIR" >&2
    exit 2
fi
n=$#
for out in "$@"; do :; done
results=${RESULTS:-$out/results}
penalty='C=[0.0001, 0.000316, 0.001, 0.00316, 0.01]' # of which the inner folds choose
mkdir -p "$out" "$results"
i=0
for corpus in "$@"; do
    i=$((i + 1))
    [ $i -lt "$n" ] || break
    sertool prepare --quiet --resume --labels five --split "speakers:${FOLDS:-5}" \
        "$corpus" "$out/$i.jsonl"
    cat "$out/$i.jsonl"
done >"$out/all.jsonl"
unseen=$(head -n 1 "$out/$((n - 1)).jsonl" | sed 's/.*"corpus": *"\([^"]*\)".*/\1/')
if [ -n "${WORKERS:-}" ]; then set -- --workers "$WORKERS"; else set --; fi
sertool featurize --quiet --resume "$@" --sample-rate 16000 --kind wave "$out/all.jsonl" "$out/wave.h5"
sertool augment --quiet --resume "$@" --band-pass 200-400:3000-3800 --codec mulaw,alaw,gsm \
    "$out/wave.h5" "$out/calls.h5"
sertool featurize --quiet --resume "$@" --kind voice --set level=false "$out/calls.h5" "$out/voice.h5"

fitted() { # [OPTION...] STORE CHECKPOINT
    sertool train --quiet --force --model logistic --set "$penalty" --across-corpora \
        --no-baselines "$@"
}

tested() { # NAME STORE [OPTION...]: trains and tests
    name=$1 store=$2
    shift 2
    stress=
    case $name in crossed | unseen | corpora) stress='--stress telephone' ;; esac
    rm -f "$out/$name".*.ckpt
    fitted "$@" "$store" "$out/$name.{fold}.ckpt"
    if [ "$name" = unseen ]; then
        sertool calibrate --quiet --force "$out/unseen.none.ckpt" "$results/crossed.json" \
            "$out/calibrated.ckpt"
        mv "$out/calibrated.ckpt" "$out/unseen.none.ckpt"
    fi
    sertool eval --quiet --force $stress --json "$results/$name.json" --tag test="$name" \
        "$out/$name".*.ckpt "$store" >/dev/null
}

tested known "$out/voice.h5" --where "corpus!=$unseen" --test-fold all
tested crossed "$out/voice.h5" --where "corpus!=$unseen" --resplit corpora --test-fold all
tested unseen "$out/voice.h5" --test-where "corpus=$unseen"
tested speakers "$out/voice.h5" --test-fold all
tested corpora "$out/voice.h5" --resplit corpora --test-fold all
if [ "${OPENSMILE:-}" = 1 ]; then
    sertool featurize --quiet --resume "$@" --sample-rate 16000 --kind functionals \
        --set feature_set=ComParE_2016 "$out/all.jsonl" "$out/compare.h5"
    tested opensmile-unseen "$out/compare.h5" --test-where "corpus=$unseen"
    tested opensmile-corpora "$out/compare.h5" --resplit corpora --test-fold all
fi
fitted --test-fold none "$out/voice.h5" "$out/all.ckpt"
sertool calibrate --force "$out/all.ckpt" "$results/corpora.json" "$out/box.ckpt"
if [ "${ONNX:-1}" = 1 ]; then
    sertool export --force "$out/box.ckpt" "$out/box.onnx"
fi
