"""The command `prepare`: corpora in, manifest out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sertool.cli import common

Corpora = Annotated[
    list[Path],
    typer.Argument(
        metavar="CORPUS",
        readable=False,
        help="Folders, tables (.csv, .tsv), manifests, audio files; - for manifest lines.",
    ),
]
Manifest = Annotated[
    Path,
    typer.Argument(
        metavar="MANIFEST", readable=False, help="JSON Lines to write; - for standard output."
    ),
]
Corpus = Annotated[
    str, typer.Option("--corpus", metavar="auto|NAME", help="See: sertool list corpora.")
]
Labels = Annotated[
    str,
    typer.Option(
        "--labels",
        metavar="native|NAME|FILE.toml",
        help="Map of classes; see: sertool list labels.",
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where", metavar="EXPR", help="field=value, field!=value, field in a,b; repeatable."
    ),
]
Split = Annotated[
    str,
    typer.Option(
        "--split",
        metavar="PROTOCOL",
        help="random:80:20, random:8:1:1, kfold:5, speakers:5, loso, sessions, texts, corpora, "
        "file:FOLDS.csv, none.",
    ),
]
AlsoDisjoint = Annotated[
    list[str] | None,
    typer.Option(
        "--also-disjoint",
        metavar="FIELD",
        help="Folds share no text (speaker, session) either; says what it leaves out.",
    ),
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="manifest|audformat|lhotse",
        help="audformat: a segmented CSV table; lhotse: a folder of two manifests.",
    ),
]
Relative = Annotated[
    bool, typer.Option("--relative", help="Paths from the manifest's folder, not absolute.")
]


def command(
    corpora: Corpora,
    manifest: Manifest,
    corpus: Corpus = "auto",
    labels: Labels = "native",
    where: Where = None,
    split: Split = "none",
    also_disjoint: AlsoDisjoint = None,
    to: To = "manifest",
    relative: Relative = False,
    strict: common.Strict = False,
    seed: common.Seed = 0,
    force: common.Force = False,
    resume: common.Resume = False,
    workers: common.Workers = 1,
    log: common.Log = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """List the utterances of corpora with labels, speakers and folds.

    sertool prepare ravdess/ m.jsonl --split speakers:6

    sertool prepare emodb/ - --where 'label in anger,sadness' | jq .speaker

    sertool prepare m.jsonl table.csv --to audformat

    Exit codes: 0 done, 1 a file gave no utterance, 2 usage, 3 a corpus cannot serve.
    """
    from sertool.commands.prepare import prepare

    with common.console("prepare", quiet, verbose, log) as console:
        prepare(
            corpora,
            manifest,
            corpus=corpus,
            labels=labels,
            conditions=where or (),
            split=split,
            also_disjoint=also_disjoint or (),
            to=to,
            relative=relative,
            seed=seed,
            force=force,
            resume=resume,
            strict=strict,
            console=console,
        )
        code = console.exit_code
    raise typer.Exit(code)
