"""info: what a file is, what it holds and how it was made; with --audit, what two files share."""

from __future__ import annotations

import dataclasses
import functools
import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from sertool.core import boxes
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.core.options import Argument, Command, Options, RunOptions, nested, seed
from sertool.core.paths import show
from sertool.core.settings import option
from sertool.core.texts import json_text, visible, whole
from sertool.evaluation.options import AUDIT, AuditOptions
from sertool.formats import box
from sertool.formats import made as side
from sertool.ui.console import Console

if TYPE_CHECKING:
    from sertool.evaluation.audit_files import Audit
    from sertool.evaluation.description import Description

ALL = "all"
DRAWN = 12  # items that --figures draws of a store
DEEP = Path("deep")  # `--audit deep` is `--audit --deep`


@dataclass(frozen=True)
class InfoOptions(Options):
    """What is shown of a file."""

    json: bool = option(False, "Print everything as one JSON object.", recorded=False)
    items: str | None = option(
        None,
        "Print every item as a line of JSON, or N of them, evenly spaced. With --figures: how many"
        f" are drawn ({DRAWN}).",
        metavar="[N]",
        bare=ALL,
    )
    figures: Path | None = option(
        None,
        "Draw classes, lengths and speakers, and what a store's items look like, into DIR.",
        metavar="DIR",
    )
    commands: bool = option(
        False,
        "Print the command lines that make the file, from prepare on, with $CORPUS for the folder.",
        recorded=False,
    )
    all: bool = option(False, "Decode every recording of a manifest, not a sample of 2000.")
    audio: bool = option(True, "Examine a manifest's recordings.")
    untrusted: bool = option(
        False,
        "Have a process with limits (--file-timeout, SERTOOL_MEMORY) read every byte of the file"
        " first: what crashes or fills that is refused.",
        recorded=False,
    )
    schema: str | None = option(
        None,
        "Print the JSON Schema of a file format: manifest, store, checkpoint or report.",
        metavar="FORMAT",
    )
    audit: bool = option(
        False,
        "What TRAIN and TEST share (two files), or the folds or parts of one file; --items prints"
        " every pair.",
        panel=AUDIT,
    )
    auditing: AuditOptions = nested(AuditOptions)
    seed: int = seed()

    def check(self) -> None:
        """Raise UsageError for a number that is none, and values that contradict each other."""
        if self.items not in (None, ALL) and not self.number:
            raise UsageError(f"--items {self.items}: needs a number of items above 0, or none")
        if self.commands and (self.json or self.items or self.figures or self.audit):
            raise UsageError("--commands excludes --json, --items, --figures and --audit")
        if self.all and (self.items or not self.audio):
            raise UsageError(f"--all contradicts {'--items' if self.items else '--no-audio'}")
        given = {"--figures": self.figures, "--all": self.all, "number after --items": self.number}
        idle = [name for name, value in given.items() if value]
        if self.audit and idle:
            raise UsageError(f"--audit takes no {' and no '.join(idle)}")

    @property
    def number(self) -> int | None:
        """The number after --items; None for none."""
        return whole(self.items or "") or None

    @property
    def listed(self) -> bool:
        """Whether items are printed: the number may be of the figures."""
        return self.items is not None and not (self.figures and self.number)


@dataclass(frozen=True)
class Schema:
    """The JSON Schema of a file format."""

    schema: dict[str, Any]

    def to_json(self, with_items: bool = False) -> dict[str, Any]:
        """Return it as `sertool.info` does."""
        return {"what": "schema", "schema": self.schema}


@dataclass(frozen=True)
class Card:
    """The card of the model in the box, and where that lies; None where there is only the card."""

    card: str
    model: Path | None

    def to_json(self, with_items: bool = False) -> dict[str, Any]:
        """Return it as `sertool.info` does."""
        model = show(self.model) if self.model else None
        return {"what": "card", "model": model, "card": self.card}

    @property
    def text(self) -> str:
        """What it says to people: all but the metadata above."""
        return self.card.split("---\n", 2)[2].lstrip("\n")


def info(
    files: Annotated[
        list[Path],
        Argument(
            "FILE",
            "A manifest, store, checkpoint, ONNX model or report, what convert wrote; or box.",
        ),
    ] = [],  # noqa: B006 (never changed)
    options: InfoOptions = InfoOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> Description | Schema | Audit | Card:
    """Return the description of a file, a format's schema, what an audit found, or, for the word
    box where no file has that name, the card of the model that comes with sertool.

    Raises UsageError for options that do not suit the file, InputError for one that is not ours.
    """
    console = console or Console.silent()
    options.auditing.files.begin()
    if options.schema is not None:
        from sertool.evaluation.description import json_schema

        return Schema(json_schema(options.schema))
    if not files:
        raise UsageError("describes a FILE; which one?")
    if options.untrusted:
        for path in filter(Path.exists, files):
            _try(path)
    if options.audit:
        from sertool.evaluation.audit_files import audit

        paths = [path for path in files if path != DEEP or path.exists()]
        deep = options.auditing.deep or len(paths) < len(files)
        return audit(paths, dataclasses.replace(options.auditing, deep=deep), console)
    if options.auditing.deep or options.auditing.require or len(files) > 1:
        raise UsageError("describes one FILE; two files, --deep and --require go with --audit")
    if files == [Path(box.NAME)] and not files[0].exists():
        return Card(box.card(), box.model())
    return _described(files[0], options, run.force or run.resume, console)


def _try(path: Path) -> None:
    """Have another process read a file; InputError where that does not come back from it."""
    limits = boxes.limits()
    if limits is None or not boxes.FORKS:
        raise UsageError("--untrusted: needs a limit of time, and a system that forks processes")
    try:
        with closing(boxes.Box(limits)) as box:
            box.call(_read, path)
    except ItemError as error:
        raise InputError(f"{show(path)}: {error}; it is damaged, or made to do that") from error


def _read(path: Path) -> None:
    """Read all of a file, and nothing that it names; runs in a process of its own."""
    from sertool.evaluation.description import describe

    describe(path)


def _described(path: Path, options: InfoOptions, replace: bool, console: Console) -> Description:
    """Describe the file, its recordings too where it is a manifest, and draw the figures."""
    from sertool.evaluation.description import (
        ItemsDescription,
        ManifestDescription,
        ReportDescription,
        describe,
        recognise,
    )
    from sertool.evaluation.report import doubt

    what = recognise(path)
    if options.all and what != "manifest":
        raise UsageError(f"--all: {path} is a {what}, only a manifest's recordings can be decoded")
    if options.figures is not None:
        _check_figures(path, what, options, replace)
    listen = None
    if options.audio and not (options.listed or options.commands) and what == "manifest":
        from sertool.corpora.listening import listen as examine

        listen = functools.partial(
            examine,
            console=console,
            everything=options.all,
            seed=options.seed,
            workers=options.auditing.workers,
            limits=boxes.limits(),
        )
    found = describe(path, listen)
    if isinstance(found, ReportDescription):
        doubt([(show(path), report) for report in found.reports], console.warn)
    if isinstance(found, ItemsDescription):
        for line in found.table.doubts():
            console.warn(line)
    if isinstance(found, ManifestDescription):
        for line in found.bad_lines:
            console.failed(path, f"line {line}")
        if unsure := side.doubt(path):
            console.warn(unsure)
    if options.figures is not None:
        _draw(found, options.figures, options.number or DRAWN, console)
    return found


def _check_figures(path: Path, what: str, options: InfoOptions, replace: bool) -> None:
    """Raise UsageError for a file that is not drawn, InputError where there is no room for it."""
    from sertool.corpora import survey_figures
    from sertool.features import item_figures
    from sertool.formats.figures import check_folder

    drawn, folder = options.number, options.figures
    assert folder is not None
    if what not in ("manifest", "store"):
        raise UsageError(f"--figures: {path} is a {what}; it draws manifests and stores")
    if what == "manifest" and drawn:
        raise UsageError(f"--items {drawn}: {path} is a manifest, only a store's items are drawn")
    if drawn and drawn > item_figures.MOST:
        raise UsageError(f"--items {drawn}: at most {item_figures.MOST} are drawn")
    survey_figures.check(folder, replace)
    if what == "store":
        check_folder(folder, [item_figures.NAME], replace)


def _draw(found: Description, folder: Path, wanted: int, console: Console) -> None:
    """Draw the survey, and of a store some of its items."""
    from sertool.corpora import survey_figures
    from sertool.evaluation.description import ManifestDescription, StoreDescription, sample
    from sertool.evaluation.description_text import shape
    from sertool.features import item_figures

    assert isinstance(found, StoreDescription | ManifestDescription)
    drawn = survey_figures.draw(found.survey, found.path.name, folder)
    if isinstance(found, StoreDescription) and found.items:
        few = f"{min(wanted, len(found.items))} of {len(found.items)} items"
        caption = f"{survey_figures.short(found.path.name)}: {few} · {found.store.kind}"
        caption += f" of {shape(found.store)}" if found.store.shape else ""
        samples = sample(found.path, wanted)
        drawn.append(item_figures.draw(samples, caption, found.store, folder))
    for name in drawn:
        console.note(f"{name}")


def _show(
    found: Description | Schema | Audit | Card, options: InfoOptions, console: Console
) -> None:
    """Print items, JSON or a page; InputError where what was found must not be so."""
    from sertool.evaluation.description import Description, StoreDescription, evenly

    if isinstance(found, Schema):
        print(json.dumps(found.schema, indent=1))
        return
    if isinstance(found, Card):
        print(json_text(found.to_json()) if options.json else visible(found.text))
        return
    if not isinstance(found, Description):
        _show_audit(found, options)
        return
    if options.commands:
        _show_commands(found)
    elif options.listed:
        values = found.to_json(with_items=True)
        rows = values.get("item_list") or values.get("reports")
        rows = values.get("report", {}).get("items", []) if rows is None else rows
        for i in evenly(len(rows), options.number):
            print(json_text(rows[i]))
    elif options.json:
        print(json_text(found.to_json(), indent=1))
    else:
        from sertool.evaluation.description_text import page
        from sertool.ui.tables import render

        print(render(*page(found)))
    if isinstance(found, StoreDescription) and not found.intact:
        raise InputError(
            f"{show(found.path)}: the content does not have the checksum it was written with"
        )


def _show_commands(found: Description) -> None:
    """Print the lines that make a file; InputError where nothing is known of how it was made."""
    from sertool.commands.retrace import commands

    lineage = found.lineage()
    if not lineage:
        raise InputError(f"{show(found.path)}: does not say how it was made")
    for line in commands(lineage, found.path.name):
        print(visible(line))


def _show_audit(result: Audit, options: InfoOptions) -> None:
    """Print what is shared (with `items` each link); InputError where a required fact is not so."""
    from sertool.evaluation.audit_files import check
    from sertool.evaluation.audit_text import render

    if options.items:
        for link in result.links:
            print(json_text(link.to_json()))
    elif options.json:
        print(json_text(result.to_json(), indent=1))
    else:
        print(render(result))
    check(result, options.auditing.require)


COMMAND = Command(
    "info",
    info,
    """sertool info manifest.jsonl --figures figures/

    sertool info --items features.h5 | head -1

    sertool info features.h5 --figures items/ --items 12

    sertool info --commands model.ckpt  # what to type to make it again

    sertool info --untrusted other.h5

    sertool info --audit model.ckpt other.h5

    sertool info box  # the card of the model that comes with sertool

    Exit codes: 0 fine, 1 a recording or line of a manifest is missing or bad, 2 wrong usage, 3 not
    sertool's, too new, damaged, or a required fact does not hold.
    """,
    show=_show,
)
