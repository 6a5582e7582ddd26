"""Manual pages and shell completion from what the commands declare: `hatch_build.py FOLDER`.

A built wheel installs them under share/: man/man1, bash-completion, zsh and fish. Importing the
commands' options takes msgspec and Typer, no more.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_origin

ROOT = Path(__file__).resolve().parent
SHELLS = {
    "bash": "bash-completion/completions/sertool",
    "zsh": "zsh/site-functions/_sertool",
    "fish": "fish/vendor_completions.d/sertool.fish",
}

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # only the pages are wanted
    BuildHookInterface = object


class Shared(BuildHookInterface):  # type: ignore[misc, valid-type]
    """What hatchling asks before it builds a wheel; an editable one has no pages."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the pages and name them to the builder."""
        if self.target_name == "wheel" and version != "editable":
            folder = Path(self.root) / "build" / "share"
            for name in write(folder):
                build_data["shared_data"][str(folder / name)] = f"share/{name}"


def write(folder: Path) -> list[str]:
    """Write all files below `folder`; return their names there."""
    sys.path.insert(0, str(ROOT))  # these sources, and no other that is installed
    made = {f"man/man1/{name}.1": text for name, text in pages().items()} | completions()
    for name, text in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return list(made)


def completions() -> dict[str, str]:
    """Return what each shell reads to complete a line."""
    from typer.completion import get_completion_script

    made = {}
    for shell, name in SHELLS.items():
        text = get_completion_script(
            prog_name="sertool", complete_var="_SERTOOL_COMPLETE", shell=shell
        )
        # zsh runs the file as a function when a line is first completed: it has to answer then
        more = '\n_sertool_completion "$@"' if shell == "zsh" else ""
        made[name] = f"{text.strip()}{more}\n"
    return made


def pages() -> dict[str, str]:
    """Return the manual page of sertool and of each command, by name."""
    from sertool.cli import COMMANDS, HELP, load
    from sertool.core.options import EVERY, RunOptions, declared

    shared = [one for one in declared(RunOptions) if one.option.panel == EVERY]
    made = {"sertool": "\n".join(_whole(COMMANDS, HELP, shared)) + "\n"}
    for name, summary in COMMANDS.items():
        made[f"sertool-{name}"] = "\n".join(_command(load(name), summary)) + "\n"
    return made


def _whole(commands: Mapping[str, str], text: str, shared: list[Any]) -> Iterator[str]:
    """Yield the lines of the page of sertool itself."""
    yield from _head("sertool", "speech emotion recognition in small stages, connected by files")
    yield ".B sertool\n.I COMMAND\n[\n.I OPTIONS\n]\n.I ARGUMENT ..."
    yield from _text(text)
    yield ".SH COMMANDS"
    for name, summary in commands.items():
        yield f".TP\n.BR sertool\\-{name} (1)\n{_plain(summary)}"
    yield ".SH OPTIONS OF EVERY STAGE"
    yield from _options(shared)


def _command(command: Any, summary: str) -> Iterator[str]:
    """Yield the lines of a command's page."""
    from sertool.core.options import declared

    name = f"sertool-{command.name}"
    yield from _head(name, summary[:1].lower() + summary[1:].rstrip("."))
    yield f".B sertool {command.name}\n[\n.I OPTIONS\n]"
    defaults = inspect.signature(command.function).parameters
    for parameter, (kind, argument) in command.arguments.items():
        word = argument.metavar + ("..." if get_origin(kind) in (list, tuple) else "")
        needed = defaults[parameter].default is inspect.Parameter.empty
        yield f".I {_plain(word)}" if needed else f"[\n.I {_plain(word)}\n]"
    yield from _text(command.help)
    yield ".SH ARGUMENTS"
    for _, argument in command.arguments.values():
        yield f".TP\n.I {_plain(argument.metavar)}\n{_plain(argument.help)}"
    for one in command.instead:
        yield f'.TP\n.BI \\-\\-{_plain(one.name)} " {_plain(one.metavar)}"\n{_plain(one.help)}'
    panels: dict[str, list[Any]] = {}
    for one in (one for group in command.groups.values() for one in declared(group)):
        panels.setdefault(one.option.panel, []).append(one)
    yield ".SH OPTIONS"
    for heading, options in panels.items():
        if heading:
            yield f".SS {_plain(heading)}"
        yield from _options(options)
    yield ".SH SEE ALSO\n.BR sertool (1)"


def _head(name: str, summary: str) -> Iterator[str]:
    """Yield the title, the name and the beginning of the synopsis."""
    from sertool.core.version import VERSION

    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    released = re.search(r"^date-released: (\S+)", cited, re.MULTILINE)
    date = released[1] if released else ""
    yield f'.TH {_plain(name.upper())} 1 "{date}" "sertool {VERSION}" "User Commands"'
    yield f".SH NAME\n{_plain(name)} \\- {_plain(summary)}\n.SH SYNOPSIS"


def _text(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text; its examples have a section of their own."""
    paragraphs = [" ".join(each.split()) for each in inspect.cleandoc(text).split("\n\n")]
    examples = [each for each in paragraphs if each.startswith(("sertool ", "find "))]
    said = [each for each in paragraphs if each not in examples]
    for heading, listed in (("DESCRIPTION", said), ("EXAMPLES", examples)):
        if listed:
            yield f".SH {heading}"
            yield "\n.PP\n".join(map(_plain, listed))


def _options(options: list[Any]) -> Iterator[str]:
    """Yield a tagged paragraph for each option."""
    from sertool.cli.parameters import help_of, metavar, switched, typed

    for one in options:
        flag = f"--[no-]{one.flag[2:]}" if switched(one) else one.flag
        flags = ", ".join(filter(None, [one.option.short, flag]))
        value = f" \\fI{_plain(metavar(one))}\\fR" if metavar(one) else ""
        shown = one.hint is not bool and one.default not in (None, (), {}, "")
        default = f" [default: {typed(one.default)}]" if shown else ""
        yield f".TP\n\\fB{_plain(flags)}\\fR{value}\n{_plain(help_of(one) + default)}"


def _plain(text: str) -> str:
    """Return text in which roff sees no request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    write(Path(sys.argv[1]))
