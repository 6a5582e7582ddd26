"""`sertool info`: what a file is and how it was made."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from sertool.cli import common
from sertool.cli.info_audit import Audit, Deep, Require, only, run_audit

if TYPE_CHECKING:
    from sertool.ui.console import Console

ALL = "all"
NUMBER = re.compile(r"[+-]?[0-9]+")
DRAWN = 12  # items that --figures draws of a store
SHOWN = 40  # speakers of a part that the page lists; --json has them all

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE", readable=False, help="A manifest, store, checkpoint or report."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Everything, as one JSON object.")]
Items = Annotated[
    str | None,
    typer.Option(
        "--items",
        metavar="[N]",
        help="Every item, one line of JSON each; N of them, evenly spaced. With --figures: how many"
        " are drawn (12).",
    ),
]

Figures = Annotated[
    Path | None,
    typer.Option(
        "--figures",
        metavar="DIR",
        help="Draw classes, lengths and speakers there, and what a store's items look like.",
    ),
]


class Command(TyperCommand):
    """`info`, whose --items takes a number or none."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give --items what follows it where that is a number, else `ALL`."""
        return super().parse_args(ctx, with_number(args))


def with_number(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with "--items N" as "--items=N", and "--items" as "--items=all"."""
    result: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*result, word, *rest]
        if word == "--items":
            word += f"={rest.pop(0) if rest and NUMBER.fullmatch(rest[0]) else ALL}"
        result.append(word)
    return result


def _print_schema(what: str | None) -> None:
    """Print the JSON Schema of a format, and stop."""
    if what is not None:
        from sertool.commands.info import json_schema

        typer.echo(json.dumps(json_schema(what), indent=1))
        raise typer.Exit(0)


def command(
    paths: Files,
    as_json: AsJson = False,
    items: Items = None,
    figures: Figures = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Decode every recording of a manifest, not 2000 drawn ones."),
    ] = False,
    audio: Annotated[
        bool, typer.Option("--audio/--no-audio", help="Look at a manifest's recordings at all.")
    ] = True,
    schema: Annotated[
        str | None,
        typer.Option(
            "--schema",
            metavar="FORMAT",
            is_eager=True,
            callback=_print_schema,
            help="Print the JSON Schema of a manifest line, store, checkpoint or report.",
        ),
    ] = None,
    audit: Audit = False,
    deep: Deep = False,
    require: Require = None,
    seed: common.Seed = 0,
    force: common.Force = False,
    workers: common.Workers = 0,
    quiet: common.Quiet = False,
) -> None:
    """Say what a file is, what it holds, and how it was made; verify a store's checksum.

    [bold]sertool info manifest.jsonl --figures figures/[/bold]

    [bold]sertool info --items features.h5 | head -1[/bold]

    [bold]sertool info features.h5 --figures figures/ --items 12[/bold]

    [bold]sertool info --audit model.ckpt other.h5[/bold]

    Exit codes: 0 fine, 1 a recording or line of a manifest is missing or bad, 2 wrong usage,
    3 not ours, newer, checksum wrong, or a required fact does not hold.
    """
    from sertool.core.errors import InputError, UsageError
    from sertool.core.workers import single_thread

    number = count(items)
    idle = [n for n, given in (("--figures", figures), ("--all", everything)) if given]
    if everything and (items or not audio):
        raise UsageError(f"--all contradicts {'--items' if items else '--no-audio'}")
    single_thread()
    if audit:
        idle += ["number after --items"] if number else []
        run_audit(paths, deep, require or [], bool(items), as_json, workers, quiet, idle=idle)
    path = only(paths, deep, require)
    listed = items is not None and not (figures and number)  # else the number is of the figures
    with common.console("info", quiet, False, None) as console:
        options = {"everything": everything, "seed": seed, "workers": workers}
        found = _describe(path, listed, audio, figures, force, console, drawn=number, **options)
    _print(found, listed, number, as_json)
    if found.get("checksum") == "WRONG":
        raise InputError(f"{path}: the content does not have the checksum it was written with")
    raise typer.Exit(console.exit_code)


def count(items: str | None) -> int | None:
    """Return the number that --items was given, None for none; UsageError for what is none."""
    from sertool.core.errors import UsageError

    if items is None or items == ALL:
        return None
    if not NUMBER.fullmatch(items) or int(items) < 1:
        raise UsageError(f"--items {items}: needs a number of items above 0, or none")
    return int(items)


def _describe(
    path: Path,
    items: bool,
    audio: bool,
    figures: Path | None,
    force: bool,
    console: Console,
    drawn: int | None,
    **options: Any,
) -> dict[str, Any]:
    """Describe the file, its recordings too where it is a manifest, and draw the figures."""
    from sertool.commands.info import describe, recognise
    from sertool.core.errors import UsageError

    what = recognise(path)
    if options["everything"] and what != "manifest":
        raise UsageError(f"--all: {path} is a {what}, only a manifest's recordings can be decoded")
    if figures is not None:
        _check_figures(path, what, figures, force, drawn)
    listen = None
    if audio and not items and what == "manifest":
        from sertool.corpora.listening import listen as hear

        listen = functools.partial(hear, console=console, **options)
    found = describe(path, items, listen)
    for line in found.get("bad_lines", []):
        console.failed(path, f"line {line}")
    if figures is not None:
        _draw(path, found, figures, drawn or DRAWN, console)
    return found


def _check_figures(path: Path, what: str, folder: Path, force: bool, drawn: int | None) -> None:
    """Raise UsageError for a file that is not drawn, InputError where there is no room for it."""
    from sertool.core.errors import UsageError
    from sertool.corpora import survey_figures
    from sertool.features import item_figures as picture_figures
    from sertool.formats.figures import check_folder

    if what not in ("manifest", "store"):
        raise UsageError(f"--figures: {path} is a {what}; it draws manifests and stores")
    if what == "manifest" and drawn:
        raise UsageError(f"--items {drawn}: {path} is a manifest, only a store's items are drawn")
    if drawn and drawn > picture_figures.MOST:
        raise UsageError(f"--items {drawn}: at most {picture_figures.MOST} are drawn")
    survey_figures.check(folder, force)
    if what == "store":
        check_folder(folder, [picture_figures.NAME], force)


def _draw(path: Path, found: dict[str, Any], folder: Path, wanted: int, console: Console) -> None:
    """Draw the survey, and of a store some of its items."""
    from sertool.commands.info import sample
    from sertool.corpora import survey_figures
    from sertool.features import item_figures as picture_figures

    drawn = survey_figures.draw(found["survey"], path.name, folder)
    if found["what"] == "store" and found["items"]:
        few = f"{min(wanted, found['items'])} of {found['items']} items"
        caption = f"{survey_figures.short(path.name)}: {few} · {found['kind']}"
        caption += f" of {_shape(found)}" if found["shape"] else ""
        samples = sample(path, wanted)
        drawn.append(picture_figures.draw(samples, caption, found["frame_rate"], folder))
    for name in drawn:
        console.note(f"{name}")


def _print(found: dict[str, Any], items: bool, number: int | None, as_json: bool) -> None:
    from sertool.commands.info import evenly
    from sertool.ui.tables import render

    if items:
        rows = found["item_list"] if "item_list" in found else found["report"].get("items", [])
        for i in evenly(len(rows), number):
            print(json.dumps(rows[i], ensure_ascii=False))
    elif as_json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        pages = {"store": _store, "manifest": _manifest, "checkpoint": _checkpoint}
        print(render(*pages.get(found["what"], _report)(found)))


def _store(found: dict[str, Any]) -> list[Any]:
    from sertool.corpora.survey_text import page

    frames = f"{found['frames']} frames of {_shape(found)}"
    frames += f", {found['frames_min']} to {found['frames_max']} an item"
    if found["frame_rate"]:
        frames += f", {found['frame_rate']:g} a second; {found['hours']:.2f} hours"
    if len(found["shape"]) == 3 and found["frames_max"] == 1:
        frames = f"each a picture of {_shape(found)}"
    copies = f", {found['copies']} of them augmented copies" if found["copies"] else ""
    lines = [
        f"feature store, version {found['version']}: kind {found['kind']}, {found['dtype']}",
        f"{found['items']} items{copies}; {frames}",
        f"sample rate {found['sample_rate']} Hz; files below {found['root'] or '/'}",
        "settings: " + ", ".join(f"{k}={v}" for k, v in found["settings"].items()),
    ]
    return [
        *lines,
        *page(found["survey"], found["counts"]),
        *_further(found),
        *_lineage(found),
        f"checksum {found['checksum']}: sha256 {found['sha256']}",
    ]


def _shape(found: dict[str, Any]) -> str:
    """Return the shape of one frame, as people write it."""
    return " x ".join(str(n) for n in found["shape"]) or "1"


def _manifest(found: dict[str, Any]) -> list[Any]:
    from sertool.corpora.survey_text import page

    bad, doubled = len(found["bad_lines"]), found["doubled_ids"]
    lines = [f"manifest: {found['items']} utterances" + (f", bad lines: {bad}" if bad else "")]
    if doubled:
        more = f", and {len(doubled) - SHOWN} more" if len(doubled) > SHOWN else ""
        lines.append(f"doubled ids: {', '.join(doubled[:SHOWN])}{more}")
    return [*lines, *page(found["survey"], found["counts"], found["audio"]), *_further(found)]


def _checkpoint(found: dict[str, Any]) -> list[Any]:
    model = found["model"]
    settings = ", ".join(f"{k}={v}" for k, v in model["settings"].items())
    lines: list[Any] = [
        f"checkpoint, version {found['version']}: model {model['name']}"
        + (f" ({settings})" if settings else ""),
        f"{model['parameters']:,} parameters; classes {', '.join(found['classes'])}{_epoch(found)}",
        *_per(found),
    ]
    for part, n in found["parts"].items():
        speakers = found["speakers"][part]
        listed = f": {', '.join(speakers[:SHOWN])}" if speakers else ""
        lines.append(f"{part}: {n} items, {len(speakers)} speakers{listed}")
    return [*lines, *_lineage(found)]


def _per(found: dict[str, Any]) -> list[str]:
    """Return a line for each of a checkpoint's models, and one for the chooser among them."""
    from sertool.models.per import field_of

    field = field_of(found)
    if field is None:
        return []
    told = {f"{field} {value}": own for value, own in found["per"]["values"].items()}
    told[f"chooser of {field} ({found['per']['chooser']['model']['name']})"] = found["per"][
        "chooser"
    ]
    return [
        f"  {name}: {own['model']['parameters']:,} parameters; classes {', '.join(own['classes'])}"
        f"{_epoch(own)}"
        for name, own in told.items()
    ]


def _epoch(own: dict[str, Any]) -> str:
    """Return which epoch's weights a model has; "" where nothing was trained by epochs."""
    history = own.get("history") or []
    if not history or "loss" not in history[0]:
        return ""
    last = ", kept as the last" if own.get("kept") == "last" else ""
    return f"; weights of epoch {own['best_epoch']} of {len(history)}{last}"


def _report(found: dict[str, Any]) -> list[Any]:
    from sertool.evaluation.report import parse
    from sertool.evaluation.terminal import describe_report

    return [describe_report(parse(found["report"], "report"))]


def _further(found: dict[str, Any]) -> list[str]:
    names = found["further_fields"]
    return ["", "further fields: " + ", ".join(names)] if names else []


def _lineage(found: dict[str, Any]) -> list[str]:
    """Return one line a stage that made the file."""
    lines = ["made by:"]
    for record in found["lineage"]:
        source = record["input"]
        params = json.dumps(record["params"], ensure_ascii=False)
        lines.append(
            f"  {record['stage']} (sertool {record['version']}) of {source['name']}"
            f" (sha256 {source['sha256'][:12]}): {params}"
        )
    return lines
