"""The reference of the Python API in Markdown, from its docstrings; `conf.py` adds it to api.md."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import sertool
from sertool.cli import COMMANDS, load

OPTION = re.compile(r"^\w+ = ", re.MULTILINE)
SIGNS = re.compile(r"([\\*_<|\[\]])")


def page() -> str:
    """Return what each public name is: an introduction, functions, classes, errors."""
    parts = [_prose(inspect.getdoc(sertool) or "")]
    for name in sertool.__all__:
        made = getattr(sertool, name)
        if inspect.isclass(made):
            parts += [f"## {name}", _prose(inspect.getdoc(made) or ""), *_members(name, made)]
        elif inspect.isfunction(made):
            parts += [f"## {name}", _called(f"sertool.{name}", made), _described(made)]
    return "\n\n".join(parts) + "\n"


def _members(name: str, made: type) -> Iterator[str]:
    for own, member in vars(made).items():
        member = getattr(member, "__func__", member)
        if own.startswith("_") or not made.__module__.startswith("sertool.api"):
            continue
        if isinstance(member, property):
            yield f"### {name}.{own}\n\n{_prose(inspect.getdoc(member) or '')}"
        elif inspect.isfunction(member):
            yield f"### {name}.{own}\n\n{_called(own, member)}\n\n{_described(member)}"


def _called(name: str, made: Any) -> str:
    """Return how a function is called; a command's options are on a page of their own."""
    command = getattr(made, "command", None)
    given = inspect.signature(inspect.unwrap(made)).parameters.values()
    own = [p for p in given if p.name not in ("self", "cls")]
    if command:
        own = [p for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
    words = [str(p.replace(annotation=p.empty)) for p in own] + ["**options"] * bool(command)
    return f"```python\n{name}({', '.join(words)})\n```"


def _described(made: Any) -> str:
    """Return a function's documentation, with a link in place of its list of options."""
    text = inspect.getdoc(made) or ""
    command = getattr(made, "command", None)
    found = OPTION.search(text) if command else None
    if found is None:
        return _prose(text)
    kept = re.sub(r"\n[^\n]+:\n\n\Z", "", text[: found.start()])
    stage = load(command.name if command.name in COMMANDS else "info")  # which audits, too
    words = [stage.name, *(argument.metavar for _, argument in stage.arguments.values())]
    anchor = re.sub(r"[^\w -]", "", " ".join(words).lower()).replace(" ", "-")
    return f"{_prose(kept)}\n\nOptions: those of [sertool {stage.name}](options.md#{anchor})."


def _prose(text: str) -> str:
    """Return a docstring as Markdown: examples are blocks of Python."""
    paragraphs = []
    for paragraph in text.strip().split("\n\n"):
        if paragraph.startswith((">>> ", "... ")):
            paragraphs.append(f"```python\n{paragraph}\n```")
        else:
            pieces = re.split(r"(`[^`]*`)", paragraph)
            marked = (p if p.startswith("`") else SIGNS.sub(r"\\\1", p) for p in pieces)
            paragraphs.append("".join(marked))
    return "\n\n".join(paragraphs)
