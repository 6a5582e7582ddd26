"""`sertool info --audit`: prints what TRAIN and TEST share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from sertool.cli import common

GROUP = "Audit"

Audit = Annotated[
    bool,
    typer.Option(
        "--audit",
        help="What TRAIN and TEST share (two files), or the folds or parts of one file;"
        " --items prints every pair.",
        rich_help_panel=GROUP,
    ),
]
Deep = Annotated[
    bool,
    typer.Option(
        "--deep",
        help="Decode recordings of unknown hash or fingerprint; compare near-duplicates.",
        rich_help_panel=GROUP,
    ),
]
Require = Annotated[
    list[str] | None,
    typer.Option(
        "--require",
        metavar="FACT,...",
        help="Exit 3 unless speaker-disjoint, origin-disjoint, … holds.",
        rich_help_panel=GROUP,
    ),
]
DEEP = Path("deep")  # `--audit deep` is `--audit --deep`


def run_audit(
    paths: list[Path],
    deep: bool,
    require: list[str],
    items: bool,
    as_json: bool,
    workers: int,
    quiet: bool,
    idle: list[str],
) -> NoReturn:
    """Audit and print lines (JSON, or with `items` each link), then leave with the exit code.

    A path `deep` that is no file is the option. `idle` options have no effect on an audit.
    """
    from sertool.commands.audit import Options, audit, check
    from sertool.core.errors import UsageError
    from sertool.evaluation.audit_text import render

    if idle:
        raise UsageError(f"--audit takes no {' and no '.join(idle)}")
    files = [path for path in paths if path != DEEP or path.exists()]
    names = [name.strip().replace("-", "_") for text in require for name in text.split(",")]
    options = Options(deep or len(files) < len(paths), tuple(names), workers)
    with common.console("info", quiet, False, None) as console:
        result = audit(files, options, console)
        links = result.pop("links")
        if items:
            for link in links:
                print(json.dumps(link, ensure_ascii=False))
        elif as_json:
            print(json.dumps(result, ensure_ascii=False, indent=1))
        else:
            print(render(result))
        check(result, names)
    raise typer.Exit(console.exit_code)


def only(paths: list[Path], deep: bool, require: list[str] | None) -> Path:
    """Return the one file that is described; UsageError for what an audit alone takes."""
    from sertool.core.errors import UsageError

    if deep or require or len(paths) > 1:
        raise UsageError("describes one FILE; two files, --deep and --require go with --audit")
    return paths[0]
