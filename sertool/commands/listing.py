"""list: the available choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from sertool.core.errors import UsageError
from sertool.core.options import Argument, Command, Options, PluginOptions
from sertool.core.settings import any_of, meant, option
from sertool.features import KINDS
from sertool.models import MODELS
from sertool.ui.console import Console

WHAT = ("corpora", "labels", "kinds", "augmentations", "models", "metrics", "papers")


@dataclass(frozen=True)
class ListOptions(Options):
    """Whose settings are listed."""

    kind: str | None = option(None, "List the settings of this kind.", metavar="KIND",
                              choices=tuple(KINDS), open=True)  # fmt: skip
    model: str | None = option(None, "List the settings of this model.", metavar="NAME",
                               choices=tuple(MODELS), open=True)  # fmt: skip
    format: bool = option(False, "With labels: how to write a map of classes of one's own.")


def listed(
    what: Annotated[str, Argument("WHAT", f"One of {any_of(WHAT)}.", WHAT)],
    options: ListOptions = ListOptions(),
    run: PluginOptions = PluginOptions(),
    console: Console | None = None,
) -> Any:
    """Return a table of everything of one sort, or of the settings of a kind or model, or a text.

    Raises UsageError for an unknown sort, kind or model.
    """
    from sertool.ui.tables import table

    if what not in WHAT:
        raise UsageError(f"{what}: needs {any_of(WHAT)}{meant(what, WHAT)}")
    if what == "labels" and options.format:
        from sertool.corpora.labels import FORMAT

        return FORMAT
    if what == "kinds" and options.kind:
        from sertool.features import GROUP

        return _settings(KINDS, GROUP, options.kind)
    if what == "models" and options.model:
        from sertool.models import GROUP

        return _settings(MODELS, GROUP, options.model)
    header = ["name", "takes", ""] if what == "models" else ["name", ""]
    return table(header, _rows(what), words=3)


def _show(found: Any, options: ListOptions, console: Console) -> None:
    """Print the table, or the text."""
    from sertool.ui.tables import render

    print(found if isinstance(found, str) else render(found))


COMMAND = Command(
    "list",
    listed,
    """sertool list models

    sertool list kinds --kind mel  # its settings, defaults and units

    sertool list labels --format  # how to write one

    Exit codes: 0 done, 2 wrong usage.
    """,
    show=_show,
    no_args_is_help=False,
)


def _rows(what: str) -> Sequence[tuple[str, ...]]:
    """Return (name, one line) of everything of one sort; of a model what it takes, too."""
    from sertool.core.plugins import lookup, names

    if what == "labels":
        from sertool.corpora.labels import label_maps

        return label_maps()
    if what == "papers":
        from sertool.papers import papers

        return [(name, papers.paper(name).title) for name in papers.names()]
    from sertool import augmentations, corpora, features, metrics, models

    if what == "augmentations":
        return augmentations.described()
    tables = {
        "corpora": (corpora.CORPORA, corpora.GROUP),
        "kinds": (features.KINDS, features.GROUP),
        "models": (models.MODELS, models.GROUP),
        "metrics": (metrics.METRICS, metrics.GROUP),
    }
    parts, group = tables[what]
    found = {name: lookup(parts, group, name) for name in names(parts, group)}
    if what == "models":
        return [(name, one.takes(), _line(one)) for name, one in found.items()]
    return [(name, _line(one)) for name, one in found.items()]


def _line(part: Any) -> str:
    """Return one line about a part: its summary, or a docstring's first line."""
    described = getattr(part, "compute", part).__doc__  # of a metric, what it computes
    for text in (getattr(part, "summary", None), described):
        if isinstance(text, str) and text.strip():
            return text.strip().splitlines()[0]
    return ""


def _settings(parts: dict[str, str], group: str, name: str) -> Any:
    """Return a table of a part's settings, below one line on a model and what it takes."""
    from rich.console import Group
    from rich.text import Text

    from sertool.core import settings
    from sertool.core.plugins import lookup
    from sertool.ui.tables import table

    part = lookup(parts, group, name)
    described = settings.describe(part.Settings)
    rows = [(n, _spell(default), unit, text) for n, default, unit, text in described]
    made = table([f"--set {name}", "default", "unit", ""], rows, words=4)
    if not hasattr(part, "takes"):
        return made
    shorter = getattr(part, "shorter_by", None)
    more = f", or shorter with --set {shorter}" if shorter else ""
    said = f"{name}: {_line(part)}\ntakes: {part.takes()}{more}"
    return Group(Text(said), made) if rows else Text(said)


def _spell(default: Any) -> Any:
    """Return a setting's default as `--set` takes it."""
    if isinstance(default, tuple):
        return list(default)
    if isinstance(default, bool):
        return str(default).lower()
    return "none" if default is None else default
