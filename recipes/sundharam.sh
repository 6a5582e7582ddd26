#!/bin/sh
# Sundharam & Johari, "Audio emotion classification using deep learning", on RAVDESS, one
# gender at a time: recipes/sundharam.sh CORPUS OUTDIR
#
# 48 kHz, 3 s from 0.5 s on, two copies of each training recording with white noise at 15 to 30 dB;
# 13 MFCC and 128 log-mel bands. A 1-D CNN (and that of the authors' notebook, which takes one curve of
# 216 points, without copies and with a second head for the intensity), a 2-D CNN parallel to a BiLSTM with
# attention, and one parallel to a Transformer encoder. Protocols: the paper's, 8:1:1 at random within a
# gender; actors apart, in six folds of which the next one validates; and noisy copies made before
# recordings and copies are drawn 8:1:1 alike. Each network is tested with the weights of its best epoch
# and of its last, those of one gender on the other, too, and one for both genders on each. At the end
# voices are mixed and separated again (ICA), and the emotion is recognised before, between and after
# (OUTDIR/voices.jsonl).
#
# From the environment, with their defaults:
#   EPOCHS      the paper's 500 (notebook: 300 male, 500 female); fewer where computing is expensive
#   SEEDS       "0 1 2 3 4"      the random splits, each with its own initial weights
#   FOLDS       "0 1 2 3 4 5"    the folds of actors, trained with the first of SEEDS
#   SYSTEMS     "cnn-mfcc cnn-mel cnn-notebook bilstm-mfcc bilstm-mel transformer-mfcc transformer-mel
#               transformer-mel-masked bilstm-mfcc-raw transformer-mfcc-raw"
#               masked: a recording shorter than 3 s is not filled up; raw: features as they are, not
#               brought to mean 0 and deviation 1 (any of them; the paper says "normalized" of its
#               1-D CNN's MFCC alone)
#   GENDERS     "male female both"
#   PROTOCOLS   "random speakers copies"
#   INTENSITY   true             the notebook's second head
#   HOP         256              samples between frames; 1024 costs a quarter (a variant, tagged so)
#   WINDOW      1024             samples that a frame's window covers: the paper's "FFT window of 1024";
#               512 is that of the code that it cites (a variant, tagged so)
#   VOICES      4                pairs of voices that are mixed at the end; 0: none
#   DEVICE      auto
#   PRECISION   auto             float32, or bfloat16 where this network was measured to be faster in it
#   RESULTS     OUTDIR/results   where the summaries go
#   LIST        no                print the names of the runs without a summary, and run nothing
#   ONLY        every run        names of runs, as LIST prints them: these alone
#
# A run is one network, trained and tested; a run whose summary exists is skipped. Its name tells
# other epochs than the paper's. They go round by round, one seed and one fold of everything at a
# time, so that a study stopped early has something of each row. Started again, here or with RESULTS elsewhere, it does what is missing.
set -eu
if [ $# -ne 2 ]; then
    echo "usage: recipes/sundharam.sh CORPUS OUTDIR" >&2
    exit 2
fi
corpus=$1
out=$2
seeds=${SEEDS:-0 1 2 3 4}
folds=${FOLDS-0 1 2 3 4 5}
systems="cnn-mfcc cnn-mel cnn-notebook bilstm-mfcc bilstm-mel transformer-mfcc transformer-mel"
systems=${SYSTEMS:-$systems transformer-mel-masked bilstm-mfcc-raw transformer-mfcc-raw}
genders=${GENDERS:-male female both}
protocols=${PROTOCOLS:-random speakers copies}
intensity=${INTENSITY:-true}
hop=${HOP:-256}
window=${WINDOW:-1024}
voices=${VOICES:-4}
device=${DEVICE:-auto}
precision=${PRECISION:-auto}
results=${RESULTS:-$out/results}
first_seed=${seeds%% *}

mkdir -p "$out" "$results"

# The stores, made when a run first needs one; what is already complete is left alone.
made=
features() { # FEATURE: mfcc, mel, mel-masked or notebook
    case $made in *" $1 "*) return ;; esac
    made="$made $1 "
    sertool prepare --quiet --resume --split speakers:6 "$corpus" "$out/corpus.jsonl"
    if [ "$1" = notebook ]; then
        sertool featurize --quiet --resume --sample-rate 44100 --offset 0.5 --duration 2.5 \
            --kind mfcc --set n_mfcc=13 "$out/corpus.jsonl" "$store"
        return
    fi
    waves=$out/wave.h5 noisy=$out/noisy.h5 fit=both
    case $1 in *-masked) waves=$out/wave-crop.h5 noisy=$out/noisy-crop.h5 fit=crop ;; esac
    sertool featurize --quiet --resume --kind wave --sample-rate 48000 --offset 0.5 --duration 3 \
        --fit $fit "$out/corpus.jsonl" "$waves"
    sertool augment --quiet --resume --awgn 15:30 --copies 2 "$waves" "$noisy"
    case $1 in
    mfcc) set -- mfcc --set n_mfcc=13 ;;
    *) set -- mel --set ref=max ;;
    esac
    sertool featurize --quiet --resume --kind "$@" --set n_fft=1024 --set "hop_length=$hop" \
        ${short:+--set "win_length=$window"} --set window=hamming --set n_mels=128 "$noisy" "$store"
}

score() { # SUMMARY CHECKPOINT GENDER [OPTION...]: what the network says of one gender
    summary=$results/$1.json checkpoint=$2 tested=$3
    shift 3
    [ -e "$summary" ] || sertool eval --quiet --resume --summary --device "$device" "$@" \
        --tag network="$network" --tag feature="$feature" --tag variant="$variant" \
        --tag gender="$tested" --tag protocol="$protocol" --tag seed="$seed" \
        ${coarse:+--tag hop="$hop"} ${short:+--tag window="$window"} ${masked:+--tag padding=masked} \
        ${raw:+--tag normalisation=none} ${fold:+--tag fold="$fold"} \
        --json "$summary" "$checkpoint" "$store" >/dev/null
}

named() { # SYSTEM GENDER PROTOCOL SEED [FOLD]: sets name, epochs, and what marks other frames
    coarse= short= epochs=500
    case $1-$2 in
    *-notebook-male) epochs=300 ;; # the notebook has frames of its own
    *-notebook-*) ;;
    *)
        [ "$hop" = 256 ] || coarse=-hop$hop
        [ "$window" = 1024 ] || short=-window$window
        ;;
    esac
    name=$1-$2-$3-seed$4${5:+-fold$5}$coarse$short
    [ "${EPOCHS:-$epochs}" = "$epochs" ] || name=$name-epochs$EPOCHS
}

number=0
run() { # SYSTEM GENDER PROTOCOL SEED [FOLD]
    number=$((number + 1))
    system=$1 gender=$2 protocol=$3 seed=$4 fold=${5-}
    named "$@"
    [ "$gender" = both ] && last=$name-of-female || last=$name
    if [ -e "$results/$last.json" ]; then
        return
    fi
    case " ${ONLY:-$name} " in *" $name "*) ;; *) return 0 ;; esac
    if [ -n "${LIST:-}" ]; then
        echo "$name"
        return
    fi
    echo "recipes/sundharam.sh: run $number of $total: $name" >&2
    network=${system%%-*} feature=${system#*-} variant=paper masked= raw=
    set --
    case $feature in *-raw) feature=${feature%-raw} raw=yes && set -- --normalisation none ;; esac
    store=$out/$feature$coarse$short.h5
    features "$feature"
    case $feature in
    notebook)
        feature=mfcc variant=notebook
        set -- "$@" --set input=curve --set "intensity_head=$intensity"
        ;;
    *-masked) feature=${feature%-masked} masked=yes && set -- "$@" --set mask=true ;;
    esac
    copies=
    case $protocol in
    random) set -- "$@" --resplit random:8:1:1 ;;
    copies) copies=yes && set -- "$@" --resplit random:8:1:1 --unit item ;;
    speakers) set -- "$@" --test-fold "$fold" --val-fold next ;;
    esac
    [ "$gender" = both ] || set -- "$@" --where "gender=$gender"
    sertool train --resume --model "sundharam-$network" --keep-last "$@" --seed "$seed" \
        --epochs "${EPOCHS:-$epochs}" --device "$device" --precision "$precision" \
        "$store" "$out/$name.ckpt"
    best=$out/$name.ckpt
    set -- ${copies:+--copies --by item}
    if [ "$gender" = both ]; then
        for one in male female; do
            score "$name-of-$one" "$best" $one --where gender=$one --tag trained=both "$@"
        done
    else
        [ "$gender" = male ] && other=female || other=male
        if [ -z "$copies" ]; then
            score "$name-last" "$out/$name.last.ckpt" "$gender" --tag kept=last "$@"
            score "$name-of-$other" "$best" $other --all --where gender=$other \
                ${fold:+--where fold="$fold"} --tag trained="$gender" "$@"
        fi
        score "$name" "$best" "$gender" "$@"
    fi
}

round() { # PROTOCOL SEED [FOLD]: that split of every system and gender
    case " $protocols " in *" $1 "*) ;; *) return 0 ;; esac
    for system_ in $systems; do
        for gender_ in $genders; do
            "$action" "$system_" "$gender_" "$@"
        done
    done
}

all() { # every run, a seed and a fold at a time
    set -- $folds
    for seed_ in $seeds; do
        round random "$seed_"
        round copies "$seed_"
        if [ $# -gt 0 ]; then
            round speakers "$first_seed" "$1"
            shift
        fi
    done
    for fold_ in "$@"; do
        round speakers "$first_seed" "$fold_"
    done
}

part() { # CHECKPOINT: voices of actors that it has not heard, mixed and parted again
    pair=0
    while [ $pair -lt "$voices" ]; do
        pair=$((pair + 1))
        one=$(unheard male $pair) two=$(unheard female $pair)
        [ -n "$one" ] && [ -n "$two" ] || break # that fold has no more
        echo "recipes/sundharam.sh: mixed and parted: $one, $two" >&2
        sertool separate --quiet --force --mix "$one" "$two" "$out/voices-$pair" >&2
        # one crop a recording, as the paper cuts them; no detector of speech
        sertool predict --quiet --whole-crop --vad off "$1" "$one" "$two" "$out/voices-$pair"
    done
}

unheard() { # GENDER N: the path of one of that gender's recordings that were held out
    grep "\"gender\": \"$1\".*\"fold\": $first_fold[,}]" "$out/corpus.jsonl" |
        sed 's/.*"path": "\([^"]*\)".*/\1/' | sed -n "$((7 * $2))p"
}

count() { total=$((total + 1)); }
total=0
action=count
all
action=run
all
[ -z "${LIST:-}${ONLY:-}" ] || exit 0

first_fold=${folds%% *}
if [ "$voices" -gt 0 ] && [ -n "$first_fold" ] && [ ! -e "$out/voices.jsonl" ]; then
    for system_ in $systems; do
        for gender_ in both $genders; do
            named "$system_" "$gender_" speakers "$first_seed" "$first_fold"
            network=$out/$name.ckpt
            if [ -e "$network" ]; then
                part "$network" >"$out/voices.jsonl.new"
                mv "$out/voices.jsonl.new" "$out/voices.jsonl"
                break 2
            fi
        done
    done
fi

sertool report --paper sundharam "$results"/*.json
