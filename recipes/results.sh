#!/bin/sh
# The page of all papers, from the kept summaries: recipes/results.sh >recipes/README.md
#
# `make results` runs it. A number on that page comes from recipes/results/PAPER/*.json, which
# `eval --summary` wrote, and from data/papers/PAPER.toml, what the paper printed.
set -eu
cd "$(dirname "$0")/.."

summaries() { # PAPER: the kept summaries of its runs; their names have no spaces
    for summary in recipes/results/"$1"/*.json; do
        [ ! -e "$summary" ] || echo "$summary"
    done
}

cat <<'TEXT'
# What the papers printed, and what we measured

Each recipe is a shell script that chains the stages of sertool into the pipeline of one paper:

    sh recipes/sundharam.sh /path/to/ravdess out/sundharam

The head of a script says what it takes from the environment. A run whose summary lies in
`OUTDIR/results` is skipped, so a recipe that was stopped goes on where it was; fewer epochs than the
paper's are a column of its table. Beside each of the paper's numbers stands what we measured under the
paper's own protocol, and under one that cannot leak: speakers, recordings and copies apart, as computed
from the items themselves.

This page is made by `make results` from the summaries in `recipes/results/` and the published tables in
`data/papers/`. The same tables in a terminal: `sertool report --paper sundharam
recipes/results/sundharam/*.json`.

## The numbers that the papers are known for

"By its protocol" splits as the paper does, on the corpora that were at hand, which for FSER and Ma are not
the paper's; "nothing leaks" keeps speakers and recordings apart. How far each run was scaled down stands in
the paper's own section. Intervals are 95 %, by a bootstrap over speakers.

TEXT

header=
for file in data/papers/*.toml; do
    paper=$(basename "$file" .toml)
    sertool report --paper "$paper" --headlines --format markdown $(summaries "$paper") |
        tail -n "+${header:-1}"
    header=3
done

cat <<'TEXT'

## One linear model, and only the protocol changes

`recipes/leakage.sh CORPUS... OUTDIR`: logistic regression on the mean and standard deviation of each
log-mel band, in five folds: speakers apart, then recordings at random, then four noisy copies of each
recording before originals and copies are drawn at random alike. What test and training share is found in
the items. `emodb-2s` is EmoDB cut or padded to 2 s, `emodb-339` its four classes anger, happiness,
neutral and sadness at full length; figures on them compare with no others.

TEXT

set --
for protocol in speakers random copies; do
    for summary in recipes/results/leakage/*-"$protocol"-seed*.json; do
        [ ! -e "$summary" ] || set -- "$@" "$summary"
    done
done
[ $# -eq 0 ] || sertool report --format markdown "$@"

for file in data/papers/*.toml; do
    paper=$(basename "$file" .toml)
    echo
    sertool report --paper "$paper" --format markdown $(summaries "$paper")
done
