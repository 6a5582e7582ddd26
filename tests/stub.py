"""The types of the Python API as a stub, with every option that the commands declare.

`python tests/stub.py` writes sertool/__init__.pyi.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sertool
from sertool.api.signatures import signature
from sertool.commands.augment import AugmentOptions
from sertool.core.options import declared

STUB = Path(sertool.__file__).with_suffix(".pyi")
HEAD = '''# Written by tests/stub.py from what the commands declare; a test compares.
"""{doc}"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

{imports}

__version__: str
__all__: list[str]

'''
NAMES = {
    "Path": "AnyPath",
    "sertool.core.executors.Executor": "Executor",
    "tuple[Path, ...]": "AnyPath | Sequence[AnyPath]",
    "tuple[str, ...]": "str | Sequence[str]",
    "tuple[float, float]": "str | tuple[float, float]",
}
ALIASES = {
    "pathlib": ["Path"],
    "sertool.api.calls": ["AnyPath"],
    "sertool.core.executors": ["Executor"],
    "sertool.core.errors": ["InputError", "ItemError", "SertoolError", "UsageError"],
    "sertool.ui.console": ["Console"],
}


def spelled(hint: Any) -> str:
    """Return a declared type as what a caller may give."""
    if isinstance(hint, str):
        return hint
    if isinstance(hint, types.UnionType):
        return " | ".join(spelled(kind) for kind in typing.get_args(hint))
    if hint is type(None):
        return "None"
    text = inspect.formatannotation(hint).replace("pathlib.", "").replace("typing.", "")
    return "str | Mapping[str, Any]" if text.startswith("dict[") else NAMES.get(text, text)


def without_augmentations(found: inspect.Signature) -> inspect.Signature:
    """Return the signature of `augment` with its own options: each augmentation brings others."""
    brought = {one.name for one in declared(AugmentOptions.complete())}
    brought -= {one.name for one in declared(AugmentOptions)}
    kept = [one for one in found.parameters.values() if one.name not in brought]
    further = inspect.Parameter("augmentations", inspect.Parameter.VAR_KEYWORD)
    return found.replace(parameters=[*kept, further])


def parameters(found: inspect.Signature) -> Iterator[str]:
    starred = False
    for one in found.parameters.values():
        if one.kind is inspect.Parameter.VAR_KEYWORD:
            yield f"**{one.name}: Any"
            continue
        if one.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        default = "" if one.default is inspect.Parameter.empty else f" = {one.default!r}"
        hint = spelled(one.annotation)
        hint = f"int | {hint}" if one.name.endswith("_fold") and "Literal" not in hint else hint
        yield f"{one.name}: {hint.replace('int | int', 'int')}{default}"


def function(name: str, made: Callable[..., Any]) -> str:
    """Return the stub of a function: of each of its overloads, if it has some."""
    command = getattr(made, "command", None)
    whole = [(o, "@overload\n") for o in typing.get_overloads(inspect.unwrap(made))]
    lines = []
    for one, head in whole or [(made, "")]:
        found = signature(one, command) if command else inspect.signature(one)
        found = without_augmentations(found) if name == "augment" else found
        inner = ", ".join(parameters(found))
        lines.append(f"{head}def {name}({inner}) -> {spelled(found.return_annotation)}: ...\n")
    return "".join(lines)


def text() -> str:
    """Return the stub as ruff formats it."""
    homes = {name: list(names) for name, names in ALIASES.items()}
    functions = []
    for name in sertool.__all__:
        made = getattr(sertool, name)
        if inspect.isfunction(made):
            functions.append(function(name, made))
        elif inspect.isclass(made) and name not in ALIASES["sertool.core.errors"]:
            homes.setdefault(made.__module__, []).append(name)
    imports = "\n".join(
        f"from {home} import {', '.join(f'{name} as {name}' for name in sorted(names))}"
        for home, names in sorted(homes.items())
    )
    doc = (sertool.__doc__ or "").partition("\n")[0]
    whole = HEAD.format(doc=doc, imports=imports) + "\n".join(functions)
    for step in (["check", "--select", "I", "--fix", "--quiet"], ["format"]):
        command = [sys.executable, "-m", "ruff", *step, "--stdin-filename", str(STUB), "-"]
        done = subprocess.run(command, input=whole, capture_output=True, text=True, check=True)
        whole = done.stdout
    return whole


if __name__ == "__main__":
    STUB.write_text(text(), encoding="utf-8")
