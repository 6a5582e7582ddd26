"""Every option of every command, in Markdown: `python tests/options_page.py > docs/options.md`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sertool.cli import COMMANDS, load
from sertool.cli.parameters import help_of, metavar, typed
from sertool.core.options import EVERY, Declared, RunOptions, declared

HEAD = """\
# Options of every command

What `sertool COMMAND --help` says on one page, made by `python tests/options_page.py`. The settings
of kinds of feature and of models (`--set`) are listed by `sertool list kinds --kind NAME` and
`sertool list models --model NAME`.
"""


def flags_of(one: Declared) -> str:
    """Return an option as it is typed: "`-j`, `--workers N`"."""
    switched = one.hint is bool and one.default and not one.negative
    flag = f"--[no-]{one.flag[2:]}" if switched else one.flag
    short = f"`{one.option.short}`, " if one.option.short else ""
    return f"{short}`{flag} {metavar(one)}".rstrip() + "`"


def lines_of(options: Sequence[Declared]) -> Iterator[str]:
    for one in options:
        shown = one.hint is not bool and one.default not in (None, (), {}, "")
        default = f" [default: {typed(one.default)}]" if shown else ""
        text = re.sub(r"[<|*_]", r"\\\g<0>", f"{help_of(one)}{default}")  # no markup
        yield f"- {flags_of(one)}: {text}"


def page() -> str:
    """Return the page."""
    lines = [HEAD]
    shared = [one for one in declared(RunOptions) if one.option.panel == EVERY]
    lines += ["## Every stage", "", *lines_of(shared), ""]
    for name, summary in COMMANDS.items():
        command = load(name)
        words = " ".join(argument.metavar for _, argument in command.arguments.values())
        lines += [f"## {name} {words}", "", summary, ""]
        own = [one for group in command.groups.values() for one in declared(group)]
        panels: dict[str, list[Declared]] = {}
        for one in own:
            if one not in shared:
                panels.setdefault(one.option.panel, []).append(one)
        for one in command.instead:
            lines += [f"- `--{one.name} {one.metavar}`: {one.help}", ""]
        for heading, options in panels.items():
            lines += [f"**{heading}**", ""] if heading else []
            lines += [*lines_of(options), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
