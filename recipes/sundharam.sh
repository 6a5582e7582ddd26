#!/bin/sh
# Sundharam & Johari, "Audio emotion classification using deep learning", on RAVDESS, each gender
# apart: recipes/sundharam.sh CORPUS OUTDIR
#
# 48 kHz, 3 s from 0.5 s on, two copies of each training recording with white noise at 15 to 30 dB;
# a 1-D CNN on 13 MFCC and on 128 log-mel bands, and the CNN of the authors' notebook, which hears
# one curve of 216 points, without copies and with a second head for the intensity. Two protocols:
# the paper's, 8:1:1 at random within a gender, and actors apart in six folds of which the next one
# validates.
#
# From the environment, with their defaults:
#   EPOCHS      the paper's 500 (notebook: 300 male, 500 female); fewer where computing is dear
#   SEEDS       "0 1 2 3 4"      the random splits, each with its own initial weights
#   FOLDS       "0 1 2 3 4 5"    the folds of actors, trained with the first of SEEDS
#   SYSTEMS     "mfcc mel notebook"
#   GENDERS     "male female"
#   INTENSITY   true             the notebook's second head
#   DEVICE      auto
#   PRECISION   float32          bfloat16 is several times as fast on some processors
#   RESULTS     OUTDIR/results   where the summaries lie
#
# A run is one network, trained and tested; a run whose summary is there is skipped. They go round
# by round, one seed and one fold of everything at a time, so that a study stopped early has
# something of each row. Started again, here or with RESULTS elsewhere, it does what is missing.
set -eu
if [ $# -ne 2 ]; then
    echo "usage: recipes/sundharam.sh CORPUS OUTDIR" >&2
    exit 2
fi
corpus=$1
out=$2
seeds=${SEEDS:-0 1 2 3 4}
folds=${FOLDS:-0 1 2 3 4 5}
systems=${SYSTEMS:-mfcc mel notebook}
genders=${GENDERS:-male female}
intensity=${INTENSITY:-true}
device=${DEVICE:-auto}
precision=${PRECISION:-float32}
results=${RESULTS:-$out/results}
first_seed=${seeds%% *}

mkdir -p "$out" "$results"

# The stores, made when a run first needs one; what is whole already is left alone.
made=
features() { # SYSTEM
    case $made in *" $1 "*) return ;; esac
    made="$made $1 "
    sertool prepare --quiet --resume --split speakers:6 "$corpus" "$out/corpus.jsonl"
    if [ "$1" = notebook ]; then
        sertool featurize --quiet --resume --sample-rate 44100 --offset 0.5 --duration 2.5 \
            --kind mfcc --set n_mfcc=13 "$out/corpus.jsonl" "$out/notebook.h5"
        return
    fi
    sertool featurize --quiet --resume --kind wave --sample-rate 48000 --offset 0.5 --duration 3 \
        "$out/corpus.jsonl" "$out/wave.h5"
    sertool augment --quiet --resume --awgn 15:30 --copies 2 "$out/wave.h5" "$out/noisy.h5"
    if [ "$1" = mfcc ]; then
        set -- mfcc --set n_mfcc=13
    else
        set -- mel --set ref=max
    fi
    sertool featurize --quiet --resume --kind "$@" --set n_fft=1024 --set hop_length=256 \
        --set window=hamming --set n_mels=128 "$out/noisy.h5" "$out/$1.h5"
}

number=0
run() { # SYSTEM GENDER PROTOCOL SEED [FOLD]
    number=$((number + 1))
    system=$1 gender=$2 protocol=$3 seed=$4 fold=${5-}
    name=cnn-$system-$gender-$protocol-seed$seed${fold:+-fold$fold}
    if [ -e "$results/$name.json" ]; then
        return
    fi
    echo "recipes/sundharam.sh: run $number of $total: $name" >&2
    features "$system"

    if [ "$system" = notebook ]; then
        feature=mfcc variant=notebook epochs=300
        [ "$gender" = male ] || epochs=500
        set -- --set input=curve --set "intensity_head=$intensity"
    else
        feature=$system variant=paper epochs=500
        set --
    fi
    if [ "$protocol" = random ]; then
        set -- "$@" --resplit random:8:1:1
    else
        set -- "$@" --test-fold "$fold" --val-fold next
    fi
    sertool train --resume --model sundharam-cnn "$@" --where "gender=$gender" --seed "$seed" \
        --epochs "${EPOCHS:-$epochs}" --device "$device" --precision "$precision" \
        "$out/$system.h5" "$out/$name.ckpt"
    sertool eval --quiet --resume --summary --device "$device" --tag network=cnn \
        --tag feature="$feature" --tag variant="$variant" --tag gender="$gender" \
        --tag protocol="$protocol" --tag seed="$seed" ${fold:+--tag fold="$fold"} \
        --json "$results/$name.json" "$out/$name.ckpt" "$out/$system.h5" >/dev/null
}

round() { # PROTOCOL SEED [FOLD]: that split of every system and gender
    for system_ in $systems; do
        for gender_ in $genders; do
            run "$system_" "$gender_" "$@"
        done
    done
}

set -- $folds
total=0
for system_ in $systems; do
    for gender_ in $genders; do
        for split in $seeds $folds; do total=$((total + 1)); done
    done
done

for seed_ in $seeds; do
    round random "$seed_"
    if [ $# -gt 0 ]; then
        round speakers "$first_seed" "$1"
        shift
    fi
done
for fold_ in "$@"; do
    round speakers "$first_seed" "$fold_"
done

sertool report --paper sundharam "$results"/*.json
