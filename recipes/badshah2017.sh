#!/bin/sh
# Badshah et al. 2017, "Speech emotion recognition from spectrograms with deep convolutional neural
# network", on Emo-DB: recipes/badshah2017.sh EMODB [OTHER] OUTDIR
#
# Colour pictures of the spectrogram of every second of speech, each 0.4 s; a CNN trained from scratch and
# an AlexNet; scored by picture and by recording (mean posterior of its pictures). Four protocols:
# five folds over pictures at random and a quarter of the pictures held out (the paper claims both),
# five folds over recordings, and each speaker held out in turn while another validates. AlexNet's
# weights of ImageNet are not part of this project: without them it is trained from scratch, and, where a
# second corpus is given, pre-trained on that and fine-tuned. Networks start as those of Caffe and DIGITS,
# which the paper used and whose proposals its schedule follows. Under "random" a recording has pictures
# on both sides: its score is of those that were held out, and, under "seen", of all its pictures,
# those trained on included: leaky on purpose, to see what the paper's 84.3 % may be.
#
# From the environment, with their defaults:
#   EPOCHS      the paper's 30, a tenth of the rate every third of them; another number is a tag
#   OTHER_EPOCHS  those of EPOCHS  of AlexNet on OTHER
#   SEEDS       0                initial weights, and the random splits
#   FOLDS       "0 1 2 3 4 5 6 7 8 9"  of each protocol those that it has
#   PROTOCOLS   "random files speakers holdout75"
#   SYSTEMS     "cnn alexnet transferred imagenet"; the last two where OTHER or INIT is given
#   VARIANTS    caffe            of those trained from scratch: biases of 0.1, as DIGITS' AlexNet has
#               them, learned at twice the rate without decay, and a mean image; "zero": none of it;
#               "lrn": local response normalisation as well, of the system cnn
#   INIT        imagenet, or a file with AlexNet's weights, for the system imagenet
#   SIZE        256              height and width of a picture
#   HOP         0.4              seconds from picture to picture; with 1 they do not overlap
#   DEVICE      auto
#   PRECISION   auto             float32, or bfloat16 where this network was measured to be faster in it
#   DATA        name of EMODB's folder: the tag of the data
#   RESULTS     OUTDIR/results   where the summaries lie
#   LIST        no                print the names of the runs without a summary, and run nothing
#   ONLY        every run        names of runs, as LIST prints them: these alone
#
# A run is one network, trained and tested; a run whose summaries are there is skipped. They go round
# by round, one fold of everything at a time, so that a study stopped early has something of each
# row. Started again, here or with RESULTS elsewhere, it does what is missing.
set -eu
if [ $# -ne 2 ] && [ $# -ne 3 ]; then
    echo "usage: recipes/badshah2017.sh EMODB [OTHER] OUTDIR" >&2
    exit 2
fi
corpus=$1 other=
if [ $# -eq 3 ]; then
    other=$2
    shift
fi
out=$2
epochs=${EPOCHS:-30}
other_epochs=${OTHER_EPOCHS:-$epochs}
seeds=${SEEDS:-0}
folds=${FOLDS:-0 1 2 3 4 5 6 7 8 9}
protocols=${PROTOCOLS:-random files speakers holdout75}
systems=${SYSTEMS:-cnn alexnet transferred imagenet}
variants=${VARIANTS:-caffe}
weights=${INIT:-}
size=${SIZE:-256}
hop=${HOP:-0.4}
device=${DEVICE:-auto}
precision=${PRECISION:-auto}
data=${DATA:-$(basename "$corpus")}
results=${RESULTS:-$out/results}
every= # in names and tags where it is not the usual one
[ "$hop" = 0.4 ] || every=-hop$hop
long=
[ "$epochs" = 30 ] || long=-epochs$epochs

mkdir -p "$out" "$results"

pictures() { # CORPUS NAME: its store of pictures, one speaker a fold
    sertool prepare --quiet --resume --split loso "$1" "$out/$2.jsonl"
    sertool featurize --quiet --resume --sample-rate 16000 --kind image \
        --segment 1 --segment-hop "$hop" --segment-tail align \
        --set base=spectrogram --set n_fft=512 --set win_length=256 --set hop_length=128 \
        --set window=hamming --set colormap=jet --set "height=$size" --set "width=$size" \
        "$out/$2.jsonl" "$out/$2-$size$every.h5"
}

fit() { # EPOCHS OPTION... STORE CHECKPOINT
    passes=$1
    shift
    sertool train --resume --epochs "$passes" --schedule-step $(((passes + 2) / 3)) \
        --device "$device" --precision "$precision" "$@"
}

number=0
run() { # SYSTEM VARIANT PROTOCOL SEED [FOLD]
    number=$((number + 1))
    system=$1 variant=$2 protocol=$3 seed=$4 fold=${5-} seen=
    [ "$protocol" != random ] || seen=yes
    init=caffe lrn=
    case $variant in
    zero) init= ;;
    lrn) lrn=true ;;
    esac
    name=$data-$size$every$long-$system${init:+-$init}${lrn:+-lrn}-$protocol-seed$seed${fold:+-fold$fold}
    missing=
    for level in item file ${seen:+seen}; do
        [ -e "$results/$name-$level.json" ] || missing=yes
    done
    [ -n "$missing" ] || return 0
    case " ${ONLY:-$name} " in *" $name "*) ;; *) return 0 ;; esac
    if [ -n "${LIST:-}" ]; then
        echo "$name"
        return
    fi
    echo "recipes/badshah2017.sh: run $number of $total: $name" >&2
    pictures "$corpus" "$data"
    store=$out/$data-$size$every.h5
    case $protocol in
    random) set -- --resplit kfold:5 --unit item --test-fold "$fold" --val 0.1 ;;
    holdout75) set -- --resplit random:75:25 --unit item --val 0.1 ;;
    files) set -- --resplit kfold:5 --test-fold "$fold" --val 0.1 ;;
    speakers) set -- --test-fold "$fold" --val-fold next ;;
    esac
    network=alexnet training=fresh model=badshah2017-alexnet
    case $system-$variant in
    cnn-lrn) begin="--set lrn=true" ;;
    cnn-zero) begin="--set bias=0.0 --biases alike --normalisation mean" ;;
    cnn-* | imagenet-*) begin= ;;
    *-zero) begin="--biases alike" ;;
    *) begin="--set caffe=true --normalisation mean-image" ;;
    esac
    case $system in
    cnn) network=cnn model=badshah2017 ;;
    transferred)
        training=transferred
        pictures "$other" other
        first=$out/other-$size$every-$variant-seed$seed.ckpt
        # shellcheck disable=SC2086
        [ -e "$first" ] || fit "$other_epochs" --model $model $begin --resplit speakers:5 \
            --test-fold none --val 0.1 --seed "$seed" "$out/other-$size$every.h5" "$first"
        set -- "$@" --init "$first"
        ;;
    imagenet) training=fine-tuned && set -- "$@" --init "$weights" ;;
    esac
    # shellcheck disable=SC2086
    fit "$epochs" --model $model $begin "$@" --seed "$seed" "$store" "$out/$name.ckpt"
    score item item "$protocol"
    score file file "$protocol"
    [ -z "$seen" ] || score seen file seen --all
    rm -f "$out/$name.ckpt"
}

score() { # NAME LEVEL PROTOCOL [OPTION]
    result=$results/$name-$1.json level=$2 column=$3
    shift 3
    sertool eval --quiet --resume --summary --by "$level" "$@" --device "$device" \
        --tag network=$network --tag training=$training --tag level="$level" \
        --tag data="$data" --tag size="$size" ${every:+--tag hop="$hop"} \
        ${long:+--tag epochs="$epochs"} ${init:+--tag init=$init} ${lrn:+--tag lrn=$lrn} \
        --tag protocol="$column" --tag seed="$seed" ${fold:+--tag fold="$fold"} \
        --json "$result" "$out/$name.ckpt" "$store" >/dev/null
}

each() { # PROTOCOL SEED [FOLD]: that split for every system
    case " $protocols " in *" $1 "*) ;; *) return 0 ;; esac
    for system_ in $systems; do
        case $system_ in
        transferred) [ -n "$other" ] || continue ;;
        imagenet) [ -n "$weights" ] || continue ;;
        esac
        for variant_ in $variants; do
            case $system_-$variant_ in alexnet-lrn | transferred-lrn | imagenet-[lz]*) continue ;; esac
            "$action" "$system_" "$variant_" "$@"
        done
    done
}

all() { # every run, one fold of everything at a time
    for fold_ in $folds; do
        for seed_ in $seeds; do
            if [ "$fold_" -lt 5 ]; then
                each random "$seed_" "$fold_"
                each files "$seed_" "$fold_"
            fi
            each speakers "$seed_" "$fold_"
        done
    done
    for seed_ in $seeds; do
        each holdout75 "$seed_"
    done
}

count() { total=$((total + 1)); }
total=0
action=count
all
action=run
all
[ -z "${LIST:-}${ONLY:-}" ] || exit 0

sertool report --paper badshah2017 "$results"/*.json
