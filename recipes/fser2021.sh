#!/bin/sh
# Dossou & Gbenou 2021, "FSER: Deep convolutional neural networks for speech emotion recognition",
# on several corpora united: recipes/fser2021.sh CORPUS... OUTDIR
#
# The mel spectrogram of a whole recording squeezed into a picture of 64 x 64; 20 shifted, zoomed and
# flipped copies of each training picture; eight classes. The paper unites Emo-DB, EMOVO, SAVEE and
# RAVDESS: it runs with those that are given. Protocols: recordings at random, copies of training
# pictures alone (the paper's words, "random"); copies made first and drawn at random with their
# originals (leaky on purpose, as its Table 3 suggests, "leaky"); speakers apart in five folds
# ("speakers"); each corpus held out, on the classes that all share ("corpora"). Further: each corpus
# alone, the same without copies in as many steps, and a probe that learns to tell the corpus from
# the picture.
#
# From the environment, with their defaults:
#   EPOCHS      the paper's 400
#   SEEDS       "0 1 2"          the random splits, and initial weights
#   FOLDS       "0 1 2 3 4"      of speakers, trained with the first of SEEDS
#   PROTOCOLS   "random leaky speakers corpora"
#   SYSTEMS     "augmented plain alone probe"
#   RATE        48000            the paper's sample rate; at 16000 all corpora have all frequencies
#   MELS        128              mel bands; 64 have no empty ones at 48 kHz
#   OPTIMIZER   sgd              the paper's; adam, at the same rate, needs far fewer epochs
#   COPIES      20
#   DEVICE      auto
#   PRECISION   auto             float32, or bfloat16 where this network was measured to be faster in it
#   OUTSIDE     a folder of labelled recordings to predict and score (the paper's 24 from home)
#   RESULTS     OUTDIR/results   where the summaries lie
#   LIST        no                print the names of the runs without a summary, and run nothing
#   ONLY        every run        names of runs, as LIST prints them: these alone
#
# A run is one network, trained and tested; a run whose summary is there is skipped. Its name tells other
# epochs than the paper's. They go round by round, one seed and one fold of everything at a time, so that
# a study stopped early has something of each row. Started again, here or with RESULTS elsewhere, it does what is missing.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: recipes/fser2021.sh CORPUS... OUTDIR" >&2
    exit 2
fi
for out in "$@"; do :; done
seeds=${SEEDS:-0 1 2}
folds=${FOLDS:-0 1 2 3 4}
protocols=${PROTOCOLS:-random leaky speakers corpora}
systems=${SYSTEMS:-augmented plain alone probe}
rate=${RATE:-48000}
mels=${MELS:-128}
optimizer=${OPTIMIZER:-sgd}
copies=${COPIES:-20}
epochs=${EPOCHS:-400}
device=${DEVICE:-auto}
precision=${PRECISION:-auto}
results=${RESULTS:-$out/results}
first_seed=${seeds%% *}
change=shift=0.1,zoom=0.1,flip
shared=anger,anxiety,disgust,happiness,neutral,sadness # classes of all four corpora
newline='
'

mkdir -p "$out" "$results"

# What a run is on: one corpus, called as its folder, or all, their names with a plus between.
corpora= united=
while [ $# -gt 1 ]; do
    corpora=$corpora$1$newline
    united=$united${united:++}$(basename "$1")
    shift
done

named() { # DATA: the folders of its corpora, one a line
    printf %s "$corpora" | while IFS= read -r folder; do
        [ "$1" != "$united" ] && [ "$1" != "$(basename "$folder")" ] || printf '%s\n' "$folder"
    done
}

manifest() { # DATA
    (
        set -f
        folders=$(named "$1")
        IFS=$newline
        # shellcheck disable=SC2086 # one word a line
        sertool prepare --quiet --resume --labels fser8 --split speakers:5 $folders "$out/$1.jsonl"
    )
}

pictures() { # MANIFEST STORE
    sertool featurize --quiet --resume --sample-rate "$rate" --kind image \
        --set n_fft=512 --set hop_length=512 --set "n_mels=$mels" --set colormap=mpl-jet \
        --set height=64 --set width=64 "$1" "$2"
}

number=0
run() { # SYSTEM DATA PROTOCOL SEED [FOLD]
    number=$((number + 1))
    system=$1 data=$2 protocol=$3 seed=$4 fold=${5-}
    name=$data-$rate-$system-$protocol-$optimizer-seed$seed${fold:+-fold$fold}
    [ "$epochs" = 400 ] || name=$name-epochs$epochs
    if [ -e "$results/$name.json" ]; then
        return
    fi
    case " ${ONLY:-$name} " in *" $name "*) ;; *) return 0 ;; esac
    if [ -n "${LIST:-}" ]; then
        echo "$name"
        return
    fi
    echo "recipes/fser2021.sh: run $number of $total: $name" >&2
    store=$out/$data-$rate-$mels.h5
    manifest "$data"
    pictures "$out/$data.jsonl" "$store"
    case $protocol in
    random) set -- --resplit random:64:16:20 ;;
    leaky) set -- --resplit random:64:16:20 --unit item ;;
    speakers) set -- --test-fold "$fold" --val-fold next ;;
    corpora) set -- --resplit corpora --test-fold "$fold" --val 0.2 --where "label in $shared" ;;
    esac
    training=$system passes=$epochs
    case $system-$protocol in
    *-leaky)
        sertool augment --quiet --resume --shift 0.1 --zoom 0.1 --flip --copies "$copies" \
            "$store" "$out/$data-$rate-$mels-copies.h5"
        store=$out/$data-$rate-$mels-copies.h5
        set -- "$@" --no-baselines # thousands of rows for models that are fitted whole
        ;;
    augmented-*) set -- "$@" --augment "$change" --copies "$copies" ;;
    plain-*) passes=$((epochs * (copies + 1))) ;;
    probe-*) set -- "$@" --target corpus && training=plain ;;
    esac
    sertool train --resume --model fser2021 "$@" --seed "$seed" --epochs "$passes" \
        --optimizer "$optimizer" --device "$device" --precision "$precision" "$store" "$out/$name.ckpt"
    set --
    [ "$protocol" != leaky ] || set -- --copies
    [ "$system" != probe ] || set -- --tag target=corpus
    sertool eval --quiet --resume --summary --device "$device" "$@" \
        --tag network=fser --tag feature=mel --tag training=$training --tag data="$data" \
        --tag rate="$rate" --tag optimizer="$optimizer" --tag protocol="$protocol" \
        --tag seed="$seed" ${fold:+--tag fold="$fold"} --json "$results/$name.json" \
        "$out/$name.ckpt" "$store" >/dev/null
    if [ "$protocol-$data" = "random-$united" ] && [ "$system" = augmented ]; then
        outside "$out/$name.ckpt"
    fi
}

outside() { # CHECKPOINT: what it makes of OUTSIDE
    [ -n "${OUTSIDE:-}" ] || return 0
    sertool prepare --quiet --resume --labels fser8 "$OUTSIDE" "$out/outside.jsonl"
    pictures "$out/outside.jsonl" "$out/outside-$rate-$mels.h5"
    sertool predict --quiet --force --vad off --device "$device" --output "$out/outside-predicted.jsonl" \
        "$1" "$OUTSIDE"
    sertool eval --quiet --resume --summary --all --device "$device" --tag network=fser \
        --tag feature=mel --tag training=augmented --tag data="$united" --tag rate="$rate" \
        --tag optimizer="$optimizer" --tag corpus=outside --tag protocol=random --tag seed="$seed" \
        --json "$results/outside-$name.json" "$1" "$out/outside-$rate-$mels.h5" >/dev/null
}

each() { # PROTOCOL SEED [FOLD]: that split for every system that has it
    case " $protocols " in *" $1 "*) ;; *) return 0 ;; esac
    for system_ in $systems; do
        case $system_-$1 in
        augmented-* | plain-random | plain-speakers) "$action" "$system_" "$united" "$@" ;;
        probe-speakers) [ "$several" = no ] || "$action" probe "$united" "$@" ;;
        alone-random | alone-speakers)
            [ "$several" = yes ] || continue
            while IFS= read -r folder_ <&3; do
                [ -z "$folder_" ] || "$action" augmented "$(basename "$folder_")" "$@"
            done 3<<CORPORA
$corpora
CORPORA
            ;;
        esac
    done
}

all() { # every run, one seed and one fold of everything at a time
    left=$folds
    for seed_ in $seeds; do
        each random "$seed_"
        each leaky "$seed_"
        next_fold
    done
    while [ -n "$left" ]; do next_fold; done
}

next_fold() { # the first of the folds that are left, of speakers and of corpora
    [ -n "$left" ] || return 0
    fold_=${left%% *}
    case $left in *\ *) left=${left#* } ;; *) left= ;; esac
    each speakers "$first_seed" "$fold_"
    [ "$several" = no ] || [ "$fold_" -ge "$n_corpora" ] || each corpora "$first_seed" "$fold_"
}

n_corpora=$(printf %s "$corpora" | wc -l)
several=yes
[ "$n_corpora" -gt 1 ] || several=no

count() { total=$((total + 1)); }
total=0
action=count
all
action=run
all
[ -z "${LIST:-}${ONLY:-}" ] || exit 0

sertool report --paper fser2021 "$results"/*.json
