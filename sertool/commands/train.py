"""train: a store becomes one checkpoint, or one per fold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sertool.core.options import Argument, Command, RunOptions
from sertool.training.options import TrainOptions
from sertool.ui.console import Console


def train(
    store: Annotated[Path, Argument("STORE", "A feature store.")],
    output: Annotated[
        Path, Argument("CHECKPOINT", "The checkpoint to write; {fold} in its name is replaced.")
    ],
    options: TrainOptions = TrainOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> list[Path]:
    """Train a model on `store`; write the checkpoint `output`, or one per fold; return their paths.

    With `parallel` above 1 processes begin anew: a script that calls this needs
    `if __name__ == "__main__":`. Raises UsageError for options that contradict each other or the
    store, InputError where store or output cannot be used.
    """
    from sertool.training.folds import train_store

    return train_store(store, output, options, run, console or Console.silent())


COMMAND = Command(
    "train",
    train,
    """sertool train features.h5 model.ckpt --test-fold 0

    sertool train features.h5 linear.ckpt --model linear --test-fold all  # linear.0.ckpt, …

    sertool train mfcc.h5 cnn.ckpt --model sundharam-cnn --test-fold none --epochs 30

    Exit codes: 0 done, 2 wrong usage, 3 store or output cannot be used.
    """,
    threads=None,
)
