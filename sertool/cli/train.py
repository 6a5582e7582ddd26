"""`sertool train`: a model from a feature store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sertool.cli import common

PARTS = "Who trains, who validates, who is held out"
TRAINING = "Training (defaults are the model's own)"
BATCHES = "Batches and loss (defaults are the model's own)"


def _part(name: str, text: str, **more: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=PARTS, **more)


def _hyper(name: str, text: str, **more: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=TRAINING, **more)


def _batch(name: str, text: str, **more: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=BATCHES, **more)


Exprs = list[str] | None
Store = Annotated[Path, typer.Argument(help="A feature store.", show_default=False, readable=False)]
Output = Annotated[
    Path,
    typer.Argument(help="The checkpoint; {fold} is filled in.", show_default=False, readable=False),
]
Model = Annotated[str, typer.Option("--model", help="See sertool list models.")]
TargetField = Annotated[str, typer.Option("--target", help="The field that it learns to say.")]
Per = Annotated[
    str | None,
    typer.Option(
        "--per",
        metavar="FIELD",
        help="A model for each value of this field, such as gender, in one checkpoint.",
    ),
]
Set = Annotated[Exprs, typer.Option("--set", metavar="NAME=VALUE", help="A model's setting.")]
TestFold = Annotated[
    str | None, _part("--test-fold", "Hold fold K out; all trains each fold, none everything.")
]
ValFold = Annotated[str | None, _part("--val-fold", "Validate on fold K, or the next one.")]
Val = Annotated[float | None, _part("--val", "Validate on this share of the utterances.")]
ValSpeakers = Annotated[int | None, _part("--val-speakers", "Validate on N speakers.")]
Where = Annotated[Exprs, _part("--where", "Use only items that fit.", metavar="EXPR")]
TestWhere = Annotated[Exprs, _part("--test-where", "Hold out what fits.", metavar="EXPR")]
ValWhere = Annotated[Exprs, _part("--val-where", "Validate on what fits.", metavar="EXPR")]
SplitSeed = Annotated[int | None, _part("--split-seed", "Seed of drawn parts (default: --seed).")]
Resplit = Annotated[
    str | None, _part("--resplit", "Other folds than the store's.", metavar="PROTOCOL")
]
Unit = Annotated[str, _part("--unit", "With --resplit: file, or item (parts copies).")]
Epochs = Annotated[int | None, _hyper("--epochs", "Passes over the training part.")]
Lr = Annotated[float | None, _hyper("--lr", "Learning rate.")]
Optimizer = Annotated[str | None, _hyper("--optimizer", "adam, adamw or sgd.")]
Momentum = Annotated[float | None, _hyper("--momentum", "Of sgd.")]
Betas = Annotated[str | None, _hyper("--betas", "Of adam and adamw, e.g. 0.9:0.999.")]
WeightDecay = Annotated[float | None, _hyper("--weight-decay", "Weight decay.")]
Schedule = Annotated[str | None, _hyper("--schedule", "constant, step, cosine or plateau.")]
ScheduleStep = Annotated[int | None, _hyper("--schedule-step", "Epochs between steps.")]
ScheduleFactor = Annotated[float | None, _hyper("--schedule-factor", "Of step and plateau.")]
SchedulePatience = Annotated[int | None, _hyper("--schedule-patience", "Epochs of a plateau.")]
Patience = Annotated[
    int | None, _hyper("--patience", "Stop after so many epochs without a better one (0: never).")
]
Monitor = Annotated[str | None, _hyper("--monitor", "What is better: uar, accuracy or loss.")]
Normalisation = Annotated[
    str | None, _hyper("--normalisation", "cell, feature, global, mean, unit, imagenet, none.")
]
BatchSize = Annotated[int | None, _batch("--batch-size", "Items a step.")]
BatchBy = Annotated[
    str | None,
    _batch(
        "--batch-by",
        "count: items in random order; length: items of like length together; frames: so, and as"
        " many as --batch-frames holds.",
    ),
]
BatchFrames = Annotated[
    int | None,
    _batch(
        "--batch-frames",
        "Frames a step, padding counted in, by which memory is bounded (0: --batch-size times the"
        " median length). Implies --batch-by frames.",
    ),
]
BucketNoise = Annotated[
    float | None,
    _batch(
        "--bucket-noise",
        "By length or frames: sort as if lengths were off by up to this share, so that batches"
        " differ from epoch to epoch (0: exact).",
    ),
]
BucketPadding = Annotated[
    float | None,
    _batch(
        "--bucket-padding",
        "By length or frames: end a batch early where more than this share of it would be padding"
        " (1: never).",
    ),
]
ClassWeights = Annotated[
    str | None,
    _batch("--class-weights", "Of the loss: none, or balanced (every class counts alike)."),
]
LengthWeights = Annotated[
    str | None,
    _batch(
        "--length-weights",
        "Of the loss: none, inverse (1 / frames of the item), or pieces (1 / items of the"
        " recording).",
    ),
]
LossNorm = Annotated[
    str | None,
    _batch("--loss-norm", "Divide a step's weighted loss by sum_w (of its weights) or n (items)."),
]
ClipNorm = Annotated[
    float | None, _hyper("--clip-norm", "Scale larger gradients down to this norm (0: never).")
]
Augment = Annotated[
    str | None,
    _hyper(
        "--augment",
        "Change training items as they are read: pictures, e.g. shift=0.1,flip (flip plays speech"
        " backwards; zoom=0.1 is one more; see augment); features over time by SpecAugment,"
        " time-mask=T:N:P,freq-mask=F:N, e.g. time-mask=40:2,freq-mask=15:2 (N masks of at most T"
        " frames each, and the share P of the item; of at most F dimensions). Each anew in every"
        " epoch, unless there are --copies.",
        metavar="LIST",
    ),
]
Copies = Annotated[
    int | None,
    _hyper(
        "--copies",
        "With --augment: an epoch is each original and N copies, drawn as augment would.",
        min=1,
    ),
]
Mixup = Annotated[
    float | None,
    _hyper(
        "--mixup",
        "Mix the items of a batch two by two, and their losses, in shares drawn from"
        " Beta(ALPHA, ALPHA), e.g. 0.2 (0: never).",
        metavar="ALPHA",
    ),
]
Precision = Annotated[str | None, _hyper("--precision", "float32 or bfloat16.")]
Device = Annotated[str, _hyper("--device", "auto, cpu, cuda or mps.")]
Init = Annotated[
    str | None,
    _hyper("--init", "Start from these weights: a checkpoint, .pth, .safetensors, or imagenet."),
]
Unlabelled = Annotated[
    list[Path] | None,
    _hyper(
        "--init-unlabelled",
        "Recordings for a first stage that needs no labels (huang2014), beside the training part;"
        " may be repeated.",
        metavar="STORE",
    ),
]
LrScale = Annotated[float | None, _hyper("--lr-scale", "Of the rate of weights from --init.")]
KeepLast = Annotated[
    bool,
    typer.Option(
        "--keep-last",
        help="Write NAME.last.ckpt, too: the weights of the last epoch beside the best one's.",
    ),
]
NoBaselines = Annotated[bool, typer.Option("--no-baselines", help="Leave both baselines out.")]


def command(
    store: Store,
    output: Output,
    model: Model = "linear",
    target: TargetField = "label",
    per: Per = None,
    set_: Set = None,
    test_fold: TestFold = None,
    val_fold: ValFold = None,
    val: Val = None,
    val_speakers: ValSpeakers = None,
    where: Where = None,
    test_where: TestWhere = None,
    val_where: ValWhere = None,
    split_seed: SplitSeed = None,
    resplit: Resplit = None,
    unit: Unit = "file",
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    batch_by: BatchBy = None,
    batch_frames: BatchFrames = None,
    bucket_noise: BucketNoise = None,
    bucket_padding: BucketPadding = None,
    class_weights: ClassWeights = None,
    length_weights: LengthWeights = None,
    loss_norm: LossNorm = None,
    lr: Lr = None,
    optimizer: Optimizer = None,
    momentum: Momentum = None,
    betas: Betas = None,
    weight_decay: WeightDecay = None,
    schedule: Schedule = None,
    schedule_step: ScheduleStep = None,
    schedule_factor: ScheduleFactor = None,
    schedule_patience: SchedulePatience = None,
    patience: Patience = None,
    monitor: Monitor = None,
    clip_norm: ClipNorm = None,
    normalisation: Normalisation = None,
    augment: Augment = None,
    copies: Copies = None,
    mixup: Mixup = None,
    precision: Precision = None,
    device: Device = "auto",
    init: Init = None,
    init_unlabelled: Unlabelled = None,
    lr_scale: LrScale = None,
    keep_last: KeepLast = False,
    no_baselines: NoBaselines = False,
    seed: common.Seed = 0,
    force: common.Force = False,
    resume: common.Resume = False,
    workers: common.Workers = 1,
    log: common.Log = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Train a model on a feature store.

    [bold]sertool train features.h5 model.ckpt --model sundharam-cnn --test-fold 0[/bold]

    [bold]sertool train features.h5 model.ckpt --test-fold all[/bold]   one a fold: model.0.ckpt, …

    Exit codes: 0 done, 2 wrong usage, 3 store or output cannot serve.
    """
    _run(locals())


def _run(given: dict[str, Any]) -> None:
    """Hand the command line's values to the stage."""
    from sertool.core.workers import patient_threads

    patient_threads()
    from sertool.augmentations import read_steps
    from sertool.commands.train import TrainOptions, train
    from sertool.core.errors import UsageError
    from sertool.models.hyperparameters import Hyperparameters
    from sertool.splits.division import PartOptions

    with common.console("train", given["quiet"], given["verbose"], given["log"]) as console:
        names = Hyperparameters.__dataclass_fields__
        overrides = {name: given[name] for name in names if given[name] is not None}
        if "betas" in overrides:
            overrides["betas"] = common.number_range("--betas", overrides["betas"])
        if "batch_frames" in overrides:
            by = overrides.setdefault("batch_by", "frames")
            if by in ("count", "length"):
                raise UsageError(f"--batch-frames contradicts --batch-by {by}; leave one out")
        seed = given["seed"]
        chosen = {name: given[name] for name in PartOptions.__dataclass_fields__}
        for name in ("where", "test_where", "val_where"):
            chosen[name] = tuple(chosen[name] or ())
        if chosen["split_seed"] is None:
            chosen["split_seed"] = seed
        options = TrainOptions(
            model=given["model"],
            target=given["target"],
            per=given["per"],
            assignments=tuple(given["set_"] or ()),
            overrides=overrides,
            parts=PartOptions(**chosen),
            seed=seed,
            device=given["device"],
            baselines=not given["no_baselines"],
            init=given["init"],
            keep_last=given["keep_last"],
            augment=read_steps("--augment", given["augment"]),
            copies=given["copies"],
            unlabelled=tuple(given["init_unlabelled"] or ()),
        )
        force, resume = given["force"], given["resume"]
        train(given["store"], given["output"], options, force=force, resume=resume, console=console)
    raise typer.Exit(console.exit_code)
