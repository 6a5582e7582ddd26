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
#   EPOCHS      1000             of the salient features, at most
#   PATIENCE    15               epochs without a better validation that end them; 0: never
#   LAST        no               yes: the weights after the last epoch, too, beside the best ones
#   SEEDS       "0 1 2"
#   FOLDS       "0 1 2 3 4"
#   SPEAKERS    all              of single-speaker: "03 08 ..."
#   SPLITS      "single dependent independent texts"    texts: one sentence held out a fold
#   ROWS        "raw teo acoustic lif semi-cnn-no-or semi-cnn-no-s semi-cnn"    also: k1, k2, other (the
#               rest of the layer) of the paper's Figure 2, saliency-W (semi-cnn with a saliency term of
#               weight W without bound: saliency-0.1), literal (of weight 1, and exact curvatures), and
#               egemaps (openSMILE's functionals, with sertool[opensmile])
#   CLASSIFIERS "rbf linear"     the kernels of the support vector machine: the text's grid search of C
#               and sigma, and Figure 1's linear one, with the same features
#   CONDITIONS  "clean noise channel"    of known and unknown speakers
#   NORMALISATION  none          speaker: every speaker's spectra (or statistics) are first normalised by
#               his or her own recordings, unlabelled (train --speaker-normalisation)
#   PATCHES     50000            that each size of kernel is learned from, at most
#   CHANNEL     8000             Hz, of the channel; the paper's 16000 changes nothing at 16 kHz
#   CORPUS_NAME what prepare finds: the tag of the corpus (emodb, ravdess, ...)
#   TARGET      label            what is learned: speaker asks who speaks instead of how
#   UNLABELLED  none             a folder of recordings without labels, for the kernels
#   DATA        name of CORPUS's folder: the tag of the data
#   DEVICE      auto
#   RESULTS     OUTDIR/results   where the summaries lie
#   LIST        no                print the names of the runs without a summary, and run nothing
#   ONLY        every run        names of runs, as LIST prints them: these alone
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
epochs=${EPOCHS:-1000}
patience=${PATIENCE:-15}
classifiers=${CLASSIFIERS:-rbf linear}
conditions=${CONDITIONS:-clean noise channel}
normalisation=${NORMALISATION:-none}
patches=${PATCHES:-50000}
channel=${CHANNEL:-8000}
target=${TARGET:-label}
device=${DEVICE:-auto}
results=${RESULTS:-$out/results}
mkdir -p "$out" "$results"
# what is not as usual: in the names of all runs, and as tags
unusual=
[ "$normalisation" = none ] || unusual=normalisation=$normalisation
schedule=
[ "$epochs" = 1000 ] || schedule="epochs=$epochs"
[ "$patience" = 15 ] || schedule="$schedule patience=$patience"

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
    [ "$normalisation" = none ] || set -- --speaker-normalisation "$@"
    sertool train --resume --device "$device" --seed "$seed" --target "$target" "$@"
}

score() { # CHECKPOINT WHAT CONDITION PROTOCOL [OPTION...]
    made=$1 what=$2 condition=$3 protocol=$4
    shift 4
    result=$results/$name$what-$condition-$protocol.json
    if [ ! -e "$result" ]; then
        for tag in $unusual $tags; do
            set -- "$@" --tag "$tag"
        done
        case $what in *-linear*) set -- "$@" --tag classifier=linear ;; esac
        case $what in *-last) set -- "$@" --tag kept=last ;; esac
        sertool eval --quiet --resume --summary --device "$device" "$@" \
            --tag condition="$condition" --tag corpus="$named" --tag feature="$feature" \
            --tag data="$data" --tag protocol="$protocol" --tag seed="$seed" --tag fold="$fold" \
            --json "$result" "$made" "$store" >/dev/null
    fi
}

scores() { # CHECKPOINT WHAT: in every condition
    asked() { case " $conditions " in *" $1 "*) ;; *) false ;; esac }
    case $split in
    single) score "$1" "$2" single-speaker paper ;;
    texts) score "$1" "$2" speaker-dependent texts ;;
    dependent)
        if asked clean; then score "$1" "$2" speaker-dependent paper; fi
        if asked noise; then score "$1" "$2" noise paper --noise-snr 20; fi
        if asked channel; then score "$1" "$2" channel paper --channel-rate "$channel"; fi
        ;;
    independent)
        if asked clean; then score "$1" "$2" speaker-independent paper; fi
        if asked clean; then score "$1" "$2" speaker-independent speakers; fi
        if asked noise; then score "$1" "$2" noise speakers --noise-snr 20; fi
        if asked channel; then score "$1" "$2" channel speakers --channel-rate "$channel"; fi
        ;;
    esac
}

done_with() { # CLASSIFIER...: whether the last summaries of this run with these machines are there
    case $split in
    single) last=single-speaker-paper ;;
    texts) last=speaker-dependent-texts ;;
    *)
        for condition in $conditions; do last=$condition; done
        case $split-$last in
        dependent-clean) last=speaker-dependent-paper ;;
        dependent-*) last=$last-paper ;;
        independent-clean) last=speaker-independent-speakers ;;
        independent-*) last=$last-speakers ;;
        esac
        ;;
    esac
    for machine in "$@"; do
        what=
        [ "$machine" = rbf ] || what=-$machine
        [ -e "$results/$name$what-$last.json" ] || return 1
    done
}

number=0
run() { # ROW SPLIT SEED FOLD [SPEAKER]
    number=$((number + 1))
    row=$1 split=$2 seed=$3 k=$4 fold=${5:+$5-}$4
    tags= feature=$row variant=
    [ -z "$unusual" ] || variant=-by-$normalisation
    case $row in # what makes this row of huang2014
    raw | lif | k1 | k2 | other) own="--set features=$row" ;;
    semi-cnn-no-or) own="--set orthogonality=0" ;;
    semi-cnn-no-s) own="--set saliency=0" ;;
    saliency-*)
        own="--set clamp=off --set saliency=${row#saliency-}"
        feature=semi-cnn tags="clamp=off saliency=${row#saliency-}"
        ;;
    literal) own="--set clamp=off --set curvature=exact" ;;
    *) own= ;;
    esac
    common=$data$variant-$split-seed$seed-fold$fold
    case $row in
    semi-cnn* | saliency-* | literal | other)
        tags="$tags $schedule"
        for word in $schedule; do variant=$variant-$(echo "$word" | tr -d =); done
        ;;
    esac
    name=$data-$row$variant-$split-seed$seed-fold$fold
    if [ "$target" != label ]; then
        common=$target-of-$common name=$target-of-$name
    fi
    if done_with $classifiers; then
        return
    fi
    case " ${ONLY:-$name} " in *" $name "*) ;; *) return 0 ;; esac
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
    for classifier in $classifiers; do
        done_with "$classifier" || with "$classifier" "$@"
    done
    rm -f "$out/$name.ckpt" "$out/$name.last.ckpt" "$out/$name-linear.ckpt" "$out/$name-linear-last.ckpt"
}

with() { # CLASSIFIER OPTION...: train this run's features with this machine, and test it
    classifier=$1
    shift
    what=
    [ "$classifier" = rbf ] || what=-$classifier
    made=$out/$name$what.ckpt
    case $row in
    teo | acoustic | egemaps)
        features "$corpus" "$data" "$row"
        store=$out/$data-$row.h5
        fit --model svm --set kernel="$classifier" "$@" "$store" "$made"
        ;;
    *)
        features "$corpus" "$data" spectrum
        store=$out/$data-spectrum.h5
        learned "$@"
        ;;
    esac
    scores "$made" "$what"
    if [ -e "$out/$name.last.ckpt" ]; then
        made=$out/$name.last.ckpt
        if [ "$classifier" = linear ]; then
            made=$out/$name-linear-last.ckpt
            frozen "$out/$name.last.ckpt" "$@"
        fi
        scores "$made" "$what-last"
    fi
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
    if [ "$row" = raw ]; then
        fit --model huang2014 $own --set kernel="$classifier" "$@" "$store" "$made"
        return
    fi
    kernels "$@"
    case $row-$classifier in
    lif-rbf) cp "$first" "$made" ;;
    lif-* | k1-* | k2-*)
        fit --model huang2014 --init "$first" $own --set kernel="$classifier" "$@" "$store" "$made"
        ;;
    *)
        trained=$out/$name.ckpt
        if [ ! -e "$trained" ]; then
            keep=
            [ "${LAST:-no}" = no ] || keep=--keep-last
            fit --model huang2014 --init "$first" $own --val 0.1 --epochs "$epochs" \
                --patience "$patience" $keep "$@" "$store" "$trained"
        fi
        [ "$classifier" = rbf ] || frozen "$trained" "$@"
        ;;
    esac
}

frozen() { # CHECKPOINT OPTION...: the features of a checkpoint as they are, before another machine
    from=$1
    shift
    fit --model huang2014 --init "$from" --lr-scale 0 --epochs 1 $own --set kernel="$classifier" \
        "$@" "$store" "$made"
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
[ -z "${LIST:-}${ONLY:-}" ] || exit 0

sertool report --paper huang2014 "$results"/*.json
