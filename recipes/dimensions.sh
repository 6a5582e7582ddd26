#!/bin/sh
# Valence, activation and dominance of IEMOCAP as numbers: recipes/dimensions.sh CORPUS OUTDIR
#
# One network says all three, trained by their concordance (CCC), beside ridge regression and the
# mean. Five folds, a session each: two speakers that no model of their fold has heard. The numbers
# are the evaluators' averages, 1 to 5. Every turn that has all three is used, whatever its class.
#
# From the environment: EPOCHS (100), SEEDS ("0 1 2"), DEVICE (auto), RESULTS (OUTDIR/results): a run
# whose summary lies there is skipped. On one CPU core count hours for a seed of the network.
set -eu
if [ $# -ne 2 ]; then
    echo "usage: recipes/dimensions.sh CORPUS OUTDIR" >&2
    exit 2
fi
corpus=$1 out=$2
results=${RESULTS:-$out/results}
targets=valence,activation,dominance
mkdir -p "$out" "$results"

sertool prepare --quiet --resume --corpus iemocap --split sessions "$corpus" "$out/manifest.jsonl"
sertool featurize --quiet --resume --kind logpower "$out/manifest.jsonl" "$out/features.h5"

run() { # MODEL SEED [OPTION...]
    run=$1-seed$2
    if [ -e "$results/$run.json" ]; then
        return
    fi
    echo "recipes/dimensions.sh: run $run" >&2
    model=$1 seed=$2
    shift 2
    sertool train --quiet --resume --model "$model" --target "$targets" --test-fold all \
        --seed "$seed" "$@" "$out/features.h5" "$out/$run.ckpt"
    sertool eval --quiet --resume --summary --tag corpus=iemocap --tag model="$model" \
        --tag seed="$seed" --require speaker-disjoint --json "$results/$run.json" \
        "$out/$run".*.ckpt "$out/features.h5" >/dev/null
}

for seed in ${SEEDS:-0 1 2}; do
    run ma2018 "$seed" --loss ccc --val-fold next --epochs "${EPOCHS:-100}" --device "${DEVICE:-auto}"
done
run ridge 0
sertool report "$results"/*.json
