#!/bin/sh
# Huang et al. 2014, "Speech emotion recognition using CNN": recipes/huang2014.sh CORPUS OUTDIR
#
# Seven sets of features before the same support vector machine, each in five conditions. Fragments of
# a whitened spectrogram (raw), what kernels that were learned without labels say of them (lif), and the
# affect-salient half of a layer over these (semi-cnn), also without its orthogonality (semi-cnn-no-or)
# or its saliency term (semi-cnn-no-s); beside them Teager energies (teo) and acoustic statistics. The
# conditions: one speaker at a time (single-speaker), known speakers (speaker-dependent), unknown ones
# (speaker-independent), and known and unknown ones with 20 dB of noise or through another sample rate.
#
# From the environment, with their defaults:
#   EPOCHS      100              of the salient features, at most: 15 without a better validation end them
#   SEEDS       "0 1 2"
#   FOLDS       "0 1 2 3 4"
#   SPEAKERS    all              of single-speaker: "03 08 ..."
#   SPLITS      "single dependent independent texts"    texts: one sentence held out a fold
#   ROWS        "raw teo acoustic lif semi-cnn-no-or semi-cnn-no-s semi-cnn"    also: k1, k2, other (the
#               rest of the layer) of the paper's Figure 2, literal (saliency without bound), and
#               egemaps (openSMILE's functionals, with sertool[opensmile])
#   PATCHES     50000            that each size of kernel is learned from, at most
#   CHANNEL     8000             Hz, of the channel; the paper's 16000 changes nothing at 16 kHz
#   CORPUS_NAME what prepare finds: the tag of the corpus (emodb, ravdess, ...)
#   TARGET      label            what is learned: speaker asks who speaks instead of how
#   UNLABELLED  none             a folder of recordings without labels, for the kernels
#   DATA        name of CORPUS's folder: the tag of the data
#   DEVICE      auto
#   RESULTS     OUTDIR/results   where the summaries lie
#   LIST        no                print the names of the runs without a summary, and run nothing
#
# A run whose summaries are there is skipped. They go fold by fold, all rows of a fold together, since
# whitening and kernels are learned once a fold (row lif) and taken over by the rest.
set -eu
if [ $# -ne 2 ]; then
    echo "usage: recipes/huang2014.sh CORPUS OUTDIR" >&2
    exit 2
fi
corpus=$1
out=$2
data=${DATA:-$(basename "$corpus")}
case ${CORPUS_NAME:-$data} in
*emodb*) named=emodb ;;
*ravdess*) named=ravdess ;;
*) named=${CORPUS_NAME:-$data} ;;
esac
seeds=${SEEDS:-0 1 2}
folds=${FOLDS:-0 1 2 3 4}
splits=${SPLITS:-single dependent independent texts}
rows=${ROWS:-raw teo acoustic lif semi-cnn-no-or semi-cnn-no-s semi-cnn}
epochs=${EPOCHS:-100}
patches=${PATCHES:-50000}
channel=${CHANNEL:-8000}
target=${TARGET:-label}
device=${DEVICE:-auto}
results=${RESULTS:-$out/results}
mkdir -p "$out" "$results"

features() { # CORPUS NAME KIND: its store
    sertool prepare --quiet --resume --split kfold:5 "$1" "$out/$2.jsonl"
    from=$out/$2.jsonl to=$out/$2-$3.h5
    case $3 in
    spectrum)
        set -- --kind spectrogram --set n_fft=320 --set hop_length=160 --set window=hamming \
            --set center=false --set top_db=none
        ;;
    egemaps) set -- --kind functionals ;;
    *) set -- --kind "$3" ;;
    esac
    sertool featurize --quiet --resume --sample-rate 16000 "$@" "$from" "$to"
}

speakers() {
    sertool prepare --quiet --resume --split kfold:5 "$corpus" "$out/$data.jsonl"
    sed 's/.*"speaker": "\([^"]*\)".*/\1/' "$out/$data.jsonl" | sort -u
}

fit() { # OPTION... STORE CHECKPOINT
    sertool train --resume --device "$device" --seed "$seed" --target "$target" "$@"
}

score() { # CONDITION PROTOCOL [OPTION...]
    condition=$1 protocol=$2
    shift 2
    result=$results/$name-$condition-$protocol.json
    if [ ! -e "$result" ]; then
        sertool eval --quiet --resume --summary --device "$device" "$@" \
            --tag condition="$condition" --tag corpus="$named" --tag feature="$row" \
            --tag data="$data" --tag protocol="$protocol" --tag seed="$seed" --tag fold="$fold" \
            --json "$result" "$out/$name.ckpt" "$store" >/dev/null
    fi
}

done_with() { # whether the last summary of this run is there
    case $split in
    single) last=single-speaker-paper ;;
    dependent) last=channel-paper ;;
    independent) last=channel-speakers ;;
    texts) last=speaker-dependent-texts ;;
    esac
    [ -e "$results/$name-$last.json" ]
}

number=0
run() { # ROW SPLIT SEED FOLD [SPEAKER]
    number=$((number + 1))
    row=$1 split=$2 seed=$3 k=$4 fold=${5:+$5-}$4
    common=$data-$split-seed$seed-fold$fold
    [ "$target" = label ] || common=$target-of-$common
    name=${common%%"$data"*}$data-$row-${common#*"$data"-}
    if done_with; then
        return
    fi
    if [ -n "${LIST:-}" ]; then
        echo "$name"
        return
    fi
    echo "recipes/huang2014.sh: run $number of $total: $name" >&2
    case $split in
    single) set -- --where speaker="$5" --resplit kfold:5 --split-seed 0 --test-fold "$k" ;;
    dependent) set -- --test-fold "$k" ;;
    independent) set -- --resplit speakers:5 --split-seed 0 --test-fold "$k" ;;
    texts) set -- --resplit texts --split-seed 0 --test-fold "$k" ;;
    esac
    case $row in
    teo | acoustic | egemaps)
        features "$corpus" "$data" "$row"
        store=$out/$data-$row.h5
        fit --model svm "$@" "$store" "$out/$name.ckpt"
        ;;
    raw)
        features "$corpus" "$data" spectrum
        store=$out/$data-spectrum.h5
        fit --model huang2014 --set features=raw "$@" "$store" "$out/$name.ckpt"
        ;;
    *)
        features "$corpus" "$data" spectrum
        store=$out/$data-spectrum.h5
        kernels "$@"
        learned "$@"
        ;;
    esac
    case $split in
    single) score single-speaker paper ;;
    texts) score speaker-dependent texts ;;
    dependent)
        score speaker-dependent paper
        score noise paper --noise-snr 20
        score channel paper --channel-rate "$channel"
        ;;
    independent)
        score speaker-independent paper
        score speaker-independent speakers
        score noise speakers --noise-snr 20
        score channel speakers --channel-rate "$channel"
        ;;
    esac
    rm -f "$out/$name.ckpt"
}

kernels() { # OPTION...: row lif's checkpoint, which the rows after it begin with
    first=$out/$common-kernels.ckpt
    if [ -n "${UNLABELLED:-}" ]; then
        features "$UNLABELLED" unlabelled spectrum
        set -- "$@" --init-unlabelled "$out/unlabelled-spectrum.h5"
    fi
    [ -e "$first" ] || fit --model huang2014 --set features=lif --set patches="$patches" "$@" \
        "$store" "$first"
}

learned() { # OPTION...: the checkpoint of a row of huang2014
    case $row in
    lif)
        cp "$first" "$out/$name.ckpt"
        return
        ;;
    k1 | k2) set -- "$@" --set features="$row" ;;
    other) set -- "$@" --set features=other ;;
    semi-cnn-no-or) set -- "$@" --set orthogonality=0 ;;
    semi-cnn-no-s) set -- "$@" --set saliency=0 ;;
    literal) set -- "$@" --set clamp=off --set curvature=exact ;;
    esac
    case $row in
    k1 | k2) ;;
    *) set -- "$@" --val 0.1 --epochs "$epochs" ;;
    esac
    fit --model huang2014 --init "$first" "$@" "$store" "$out/$name.ckpt"
}

all() { # every run, fold by fold
    for seed_ in $seeds; do
        for fold_ in $folds; do
            for split_ in $splits; do
                if [ "$split_" = single ]; then
                    for speaker_ in ${SPEAKERS:-$known}; do
                        for row_ in $rows; do
                            "$action" "$row_" single "$seed_" "$fold_" "$speaker_"
                        done
                    done
                    continue
                fi
                for row_ in $rows; do
                    "$action" "$row_" "$split_" "$seed_" "$fold_"
                done
            done
        done
    done
}

known=
case " $splits " in *" single "*) known=${SPEAKERS:-$(speakers)} ;; esac
count() { total=$((total + 1)); }
total=0
action=count
all
action=run
all
[ -z "${LIST:-}" ] || exit 0

sertool report --paper huang2014 "$results"/*.json
