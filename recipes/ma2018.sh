#!/bin/sh
# Ma et al. 2018, "Emotion recognition from variable-length speech segments using deep learning on
# spectrograms": recipes/ma2018.sh CORPUS OUTDIR
#
# The log power spectrum below 4 kHz of a whole sentence, of any length; a CNN and a BiLSTM (a
# reconstruction: the paper's figure of it is lost) that are masked so that padding has no effect.
# Beside it the same network on pieces of at most 3 s, whose posteriors are averaged; both learn from
# batches of the same 16 recordings, sorted by length. And the first with recordings in random order
# (shuffled), with the loss of each batch divided by its own weights, which then cancel (sum_w), with
# both, and without its masks, weights by length, or weights by class. Two protocols: of each
# pair of speakers one validates and the other tests, both ways round, and all others train (the
# paper's "partners"); and one pair tests while the next one validates ("sessions").
#
# On IEMOCAP: its improvised sentences, the pairs its sessions. On others the design is the same, with
# anger, happiness, neutral and sadness (RAVDESS: calm is neutral) and pairs of a man and a woman.
#
# From the environment, with their defaults:
#   EPOCHS      50               at most
#   PATIENCE    8                epochs without a better validation after which a run ends
#   SEEDS       "0 1 2"
#   PAIRS       of CORPUS: speakers "A:B C:D ...", those of IEMOCAP, RAVDESS or EmoDB
#   FOLDS       all              numbers of pairs, from 0
#   PROTOCOLS   "partners sessions"
#   DIRECTIONS  "first second"   which of two partners tests
#   SYSTEMS     "sentences pieces shuffled sum_w shuffled-sum_w no-mask no-length-weights
#               no-class-weights"
#   CORPUS_NAME what prepare finds: iemocap, ravdess or emodb
#   DEVICE      auto
#   PRECISION   auto             float32, or bfloat16 where this network was measured to be faster in it
#   DATA        name of CORPUS's folder: the tag of the data
#   RESULTS     OUTDIR/results   where the summaries lie
#   LIST        no                print the names of the runs without a summary, and run nothing
#   ONLY        every run        names of runs, as LIST prints them: these alone
#
# A run is one network, trained and tested; a run whose summary is there is skipped. They go round
# by round, one pair of everything at a time, so that a study stopped early has something of each
# row. Started again, here or with RESULTS elsewhere, it does what is missing.
set -eu
if [ $# -ne 2 ]; then
    echo "usage: recipes/ma2018.sh CORPUS OUTDIR" >&2
    exit 2
fi
corpus=$1
out=$2
data=${DATA:-$(basename "$corpus")}
case ${CORPUS_NAME:-$data} in
*iemocap* | *IEMOCAP*)
    pairs="Ses01F:Ses01M Ses02F:Ses02M Ses03F:Ses03M Ses04F:Ses04M Ses05F:Ses05M"
    labels=common4 only=scenario=improvised
    ;;
*ravdess* | *RAVDESS*)
    pairs="01:02 03:04 05:06 07:08 09:10 11:12 13:14 15:16 17:18 19:20 21:22 23:24"
    labels=ravdess4 only=
    ;;
*)
    pairs="03:08 10:09 11:13 12:14 15:16"
    labels=common4 only=
    ;;
esac
pairs=${PAIRS:-$pairs}
set -- $pairs
n=$#
folds=${FOLDS:-}
if [ -z "$folds" ]; then
    i=0
    while [ $i -lt $n ]; do
        folds="$folds $i"
        i=$((i + 1))
    done
fi
seeds=${SEEDS:-0 1 2}
protocols=${PROTOCOLS:-partners sessions}
directions=${DIRECTIONS:-first second}
systems=${SYSTEMS:-sentences pieces shuffled sum_w shuffled-sum_w no-mask no-length-weights}
systems=${SYSTEMS:-$systems no-class-weights}
epochs=${EPOCHS:-50}
patience=${PATIENCE:-8}
device=${DEVICE:-auto}
precision=${PRECISION:-auto}
results=${RESULTS:-$out/results}

mkdir -p "$out" "$results"

features() { # SYSTEM: the store that it learns from
    sertool prepare --quiet --resume --labels $labels ${only:+--where "$only"} \
        "$corpus" "$out/$data.jsonl"
    store=$out/$data-whole.h5
    if [ "$1" = pieces ]; then
        store=$out/$data-pieces.h5
        set -- --segment-max 3
    else
        set --
    fi
    sertool featurize --quiet --resume --sample-rate 16000 --kind logpower "$@" \
        "$out/$data.jsonl" "$store"
}

speakers() { # I: those of a pair, with a comma between
    set -- $(($1 + 1)) $pairs
    shift "$1"
    echo "${1%%:*},${1##*:}"
}

number=0
run() { # SYSTEM PROTOCOL SEED PAIR [DIRECTION]
    number=$((number + 1))
    system=$1 protocol=$2 seed=$3 pair=$4 direction=${5-}
    name=$data-$system-$protocol-seed$seed-fold$pair${direction:+-$direction}
    if [ -e "$results/$name.json" ]; then
        return
    fi
    case " ${ONLY:-$name} " in *" $name "*) ;; *) return 0 ;; esac
    if [ -n "${LIST:-}" ]; then
        echo "$name"
        return
    fi
    echo "recipes/ma2018.sh: run $number of $total: $name" >&2
    features "$system"
    both=$(speakers "$pair")
    case $protocol-$direction in
    partners-first) set -- "speaker=${both%%,*}" "speaker=${both##*,}" ;;
    partners-second) set -- "speaker=${both##*,}" "speaker=${both%%,*}" ;;
    *) set -- "speaker in $both" "speaker in $(speakers $(((pair + 1) % n)))" ;;
    esac
    set -- --test-where "$1" --val-where "$2"
    model=ma2018 input=variable-length order= norm= without=
    case $system in pieces) model=ma2018-fixed input=fixed-length ;; esac
    case $system in shuffled*) order=shuffled && set -- "$@" --batch-by count ;; esac
    case $system in *sum_w) norm=sum_w && set -- "$@" --loss-norm sum_w ;; esac
    case $system in
    no-mask) without=mask && set -- "$@" --set mask=false ;;
    no-length-weights) without=length-weights && set -- "$@" --length-weights none ;;
    no-class-weights) without=class-weights && set -- "$@" --class-weights none ;;
    esac
    sertool train --resume --model $model "$@" --seed "$seed" --epochs "$epochs" --patience "$patience" \
        --device "$device" --precision "$precision" "$store" "$out/$name.ckpt"
    sertool eval --quiet --resume --summary --device "$device" --tag network=cnn-rnn \
        --tag input=$input ${order:+--tag order=$order} ${norm:+--tag norm=$norm} \
        ${without:+--tag without=$without} --tag data="$data" \
        --tag protocol="$protocol" --tag seed="$seed" --tag fold="$pair${direction:+-$direction}" \
        --json "$results/$name.json" "$out/$name.ckpt" "$store" >/dev/null
}

all() { # every run, one pair of everything at a time
    for seed_ in $seeds; do
        for fold_ in $folds; do
            for system_ in $systems; do
                case " $protocols " in
                *" partners "*)
                    for direction_ in $directions; do
                        "$action" "$system_" partners "$seed_" "$fold_" "$direction_"
                    done
                    ;;
                esac
                case " $protocols " in
                *" sessions "*) "$action" "$system_" sessions "$seed_" "$fold_" ;;
                esac
            done
        done
    done
}

count() { total=$((total + 1)); }
total=0
action=count
all
action=run
all
[ -z "${LIST:-}${ONLY:-}" ] || exit 0

sertool report --paper ma2018 "$results"/*.json
