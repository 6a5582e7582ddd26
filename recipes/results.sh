#!/bin/sh
# The page of all papers, made from the kept summaries: recipes/results.sh >recipes/README.md
#
# `make results` runs it. A number on that page comes from recipes/results/PAPER/*.jsonl, one line
# per run as `eval --summary` wrote it, and from data/papers/PAPER.toml, what the paper printed.
set -eu
cd "$(dirname "$0")/.."

runs() { # PAPER: the files of its kept summaries; their names have no spaces
    for file in recipes/results/"$1"/*.jsonl; do
        [ ! -e "$file" ] || echo "$file"
    done
}

cat <<'TEXT'
# What the papers printed, and what we measured

Each recipe is a shell script that chains the stages of sertool into the pipeline of one paper:

    sh recipes/sundharam.sh /path/to/ravdess out/sundharam

The comment at the top of each script lists the environment variables it reads. A run whose summary is
already in `OUTDIR/results` is skipped, so an interrupted recipe continues where it stopped; runs with
fewer epochs than the paper's have a column that says so. Each number from a paper is followed by what we
measured under the paper's own protocol, and under a leak-free one: no speaker, recording or copy in both
training and test, as checked on the items themselves.

`make results` generates this page from the summaries in `recipes/results/` and the published tables in
`data/papers/`. To see the same tables in a terminal: `sertool report --paper sundharam
recipes/results/sundharam/*.jsonl`.

## The numbers that the papers are known for

"By its protocol" splits as the paper does, on the corpora available to us, which for FSER and Ma are not the
paper's; "nothing leaks" keeps speakers and recordings apart. The section on each paper says how far its runs were
scaled down. 95 % confidence intervals are bootstrapped over speakers and, where there are several, seeds.

TEXT

header=
for file in data/papers/*.toml; do
    paper=$(basename "$file" .toml)
    sertool report --paper "$paper" --headlines --format markdown $(runs "$paper") |
        tail -n "+${header:-1}"
    header=3
done

cat <<'TEXT'

What else we found:

- **Badshah et al.**: 84.3 % of recordings is close to what we get when a recording's score includes spectrograms that
  the network was trained on.
- **Dossou & Gbenou (FSER)**: 95 % appears when the test set is drawn after making the copies. With recordings drawn
  first and only training recordings copied, it is 75.0 %.
- **Huang et al.**: trained to recognise the speaker instead of the emotion, a model on the kernels learned without
  labels identifies 96 % of the recordings correctly.
- **Ma et al.**: IEMOCAP was not available. On EmoDB whole sentences are no better than 3 s segments, and there
  are too few sentences for any of the ablations to be conclusive.
- **Sundharam & Johari**: their 74 and 76 % are for actors seen in training. For male voices we get 92.1 % when noisy
  copies are split at random like recordings, 77.8 % with recordings split at random, and 38.3 % on unseen actors, no
  more than a logistic regression. When two voices are mixed and separated again (`sertool separate`), 32 of 32 are
  labelled as they were before mixing; of the mixtures, 16 of 32.

The same seed gives the same bytes on the same machine with the same number of threads. Another processor or another
`OMP_NUM_THREADS` rounds differently, and a network trained there differs, but within the interval.

## The pipeline in the README

    sertool prepare --split speakers:6 ravdess/ ravdess.jsonl
    sertool featurize --kind wave --offset 0.5 --duration 3 --dtype int16 ravdess.jsonl wave.h5
    sertool augment --awgn 15:30 wave.h5 noisy.h5 && sertool featurize --kind mel noisy.h5 mel.h5
    sertool train --model sundharam-cnn --test-fold all --epochs 30 --batch-size 32 --schedule cosine \
        --precision bfloat16 mel.h5 cnn.ckpt
    sertool eval --json report.json --figures figures cnn.?.ckpt mel.h5

RAVDESS speech, all 1440 files, 8 classes, six folds of four actors (two women, two men), seed 0, no validation set
(the weights of the last epoch), 95 % intervals by a bootstrap over the 24 actors:

| model | WA % | UAR % | macro-F1 % |
| --- | --- | --- | --- |
| `sundharam-cnn` on log-mel, 30 epochs | 53.8 [49.3, 58.1] | 52.5 [48.0, 57.1] | 52.3 [47.6, 56.9] |
| `linear`: logistic regression on mean and standard deviation over time | 42.3 [38.3, 46.3] | 41.0 [37.0, 45.1] | 41.1 [37.0, 45.1] |
| `majority` | 13.3 | 12.5 | 2.9 |

`speakers apart: yes · recordings apart: yes · sentences apart: NO (2 shared) · test augmented: no`: RAVDESS has two
sentences, and every actor speaks both. The network is Sundharam & Johari's; the experiment is not. One seed, no
tuning. UAR is 56.0 % for women and 49.0 % for men; the hardest actor (09) reaches 31.2 %, the easiest (06) 79.7 %.

On the synthetic corpus of `make demo`, three folds of four speakers (`SEED=0 make demo`, then 1 and 2):
`sundharam-cnn` 80.2, 82.8 and 83.9 % UAR, `linear` 65.4, 65.9 and 66.1 %, `majority` 25.0 %. These figures say nothing
about real speech.

## One linear model under three protocols

`recipes/leakage.sh CORPUS... OUTDIR`: logistic regression on the mean and standard deviation of each
log-mel band, in five folds: by speaker, then by recording at random, then at random after adding
four noisy copies of each recording. What test and training share is computed from the items. `emodb-2s`
is EmoDB cut or padded to 2 s, `emodb-339` its four classes anger, happiness, neutral and sadness at full
length; results on them are not comparable with any others.

TEXT

cd recipes/results/leakage
sertool report --format markdown speakers.jsonl random.jsonl copies.jsonl
cd - >/dev/null

for file in data/papers/*.toml; do
    paper=$(basename "$file" .toml)
    echo
    sertool report --paper "$paper" --format markdown $(runs "$paper")
done
