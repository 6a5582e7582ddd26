"""`sertool list`: what there is to choose from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sertool.cli import common

WHAT = ("corpora", "labels", "kinds", "augmentations", "models", "papers")


def command(
    what: Annotated[str, typer.Argument(help=f"One of: {', '.join(WHAT)}.")],
    kind: Annotated[str | None, typer.Option("--kind", help="A kind's settings.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="A model's settings.")] = None,
) -> None:
    """List corpora, label maps, kinds of feature, augmentations, models, or papers.

    [bold]sertool list models[/bold]

    [bold]sertool list kinds --kind mel[/bold]   its settings, defaults and units

    Exit codes: 0 done, 2 wrong usage.
    """
    common.one_of("list", what, WHAT)
    from sertool.ui.tables import render, table

    if what == "kinds" and kind:
        from sertool.features import GROUP, KINDS

        print(render(_settings(KINDS, GROUP, kind)))
    elif what == "models" and model:
        from sertool.models import GROUP, MODELS

        print(render(_settings(MODELS, GROUP, model)))
    else:
        print(render(table(["name", ""], _rows(what), words=2)))


def _rows(what: str) -> list[tuple[str, str]]:
    """Return (name, one line) of everything of one sort."""
    from sertool.core.plugins import lookup, names

    if what == "labels":
        from sertool.corpora.labels import label_maps

        return label_maps()
    if what == "papers":
        from sertool.papers import papers

        return [(name, papers.paper(name).title) for name in papers.names()]
    from sertool import augmentations as augment
    from sertool import corpora, features, models

    tables = {
        "corpora": (corpora.CORPORA, corpora.GROUP),
        "kinds": (features.KINDS, features.GROUP),
        "augmentations": (augment.AUGMENTATIONS, augment.GROUP),
        "models": (models.MODELS, models.GROUP),
    }
    parts, group = tables[what]
    rows = [(name, _line(lookup(parts, group, name))) for name in names(parts, group)]
    return list(map(_of_kind, rows)) if what == "augmentations" else rows


def _of_kind(row: tuple[str, str]) -> tuple[str, str]:
    """Return the row of an augmentation KIND.NAME under the name that its option has."""
    from sertool.augmentations import FAMILIES

    kind, _, name = row[0].partition(".")
    return name, f"{FAMILIES.get(kind, kind)}: {row[1]}"


def _line(part: Any) -> str:
    """Return one line about a part: its summary, its help, or its docstring's first line."""
    for name in ("summary", "help", "__doc__"):
        text = getattr(part, name, None)
        if isinstance(text, str) and text.strip():
            return text.strip().splitlines()[0]
    return ""


def _settings(parts: dict[str, str], group: str, name: str) -> Any:
    """Return a table of a part's settings."""
    from sertool.core import settings
    from sertool.core.plugins import lookup
    from sertool.ui.tables import table

    described = settings.describe(lookup(parts, group, name).Settings)
    rows = [(n, _spell(default), unit, text) for n, default, unit, text in described]
    return table([f"--set {name}", "default", "unit", ""], rows, words=4)


def _spell(default: Any) -> Any:
    """Return a setting's default as `--set` takes it."""
    if isinstance(default, tuple):
        return list(default)
    if isinstance(default, bool):
        return str(default).lower()
    return "none" if default is None else default
