"""Pages whose blocks are run: `python tests/pages.py docs/tutorial.md` writes what they print.

The blocks of a page run in order, in one folder that begins empty:

- `console`: a line that begins with "$ " is a command of the shell, one that ends in "\" goes on in
  the next line; below it stands what it prints, standard error first. A line "…" is any lines.
- `sh`: commands whose output is not shown. `python` and `r`: a program; what it prints is shown in
  a block `text` right after it.
- `<!-- file: NAME -->` before a block: it is the content of a file. `<!-- run: COMMAND -->`: what a
  reader has already, such as a folder of recordings; $DEMO is the demo corpus, $ROOT the
  repository. `<!-- not run: WHY -->` before a block: it is only shown.

What differs from run to run is left out by a rule (`steady`), rounding is allowed for (`alike`).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import warm

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "data" / "demo" / "corpus"
PART = re.compile(
    r"^<!-- (?P<mark>run|file|not run): (?P<what>(?:(?!-->).)*?) -->$"
    r"|^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
NUMBER = re.compile(r"[+-]?\d+\.\d+(?:e[+-]\d+)?|\d+(?=% )|(?<=% )\d+")  # and "72% 69" of a table
ANY = "…"  # a line of a page: any lines
POINTS, SHARE = 5.0, 0.05  # by which a number may differ, one of at most 1 by `FRACTION`
FRACTION = 0.1


@dataclass
class Block:
    """A block of a page. mark: "run", "file" or "not run", with `what` was said of it."""

    language: str
    text: str
    mark: str = ""
    what: str = ""
    start: int = 0  # where its text begins in the page


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page, and what comments run as blocks of their own, in order."""
    mark = what = ""
    for found in PART.finditer(page):
        if found["mark"] == "run":
            yield Block("sh", f"{found['what']}\n")
        elif found["mark"]:
            mark, what = found["mark"], found["what"]
        else:
            yield Block(found["language"], found["text"], mark, what, found.start("text"))
            mark = what = ""


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console block, each with the output below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        n = next(i for i, line in enumerate(lines, 1) if not line.endswith("\\\n"))
        yield "".join(lines[:n]), "".join(lines[n:])


def said(words: list[str], folder: Path) -> tuple[int, str]:
    """Run a program in `folder`; return its exit code and what it printed, errors first."""
    path = f"{warm.folder()}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "FORCE_COLOR")}
    environment |= {"PATH": path, "DEMO": str(DEMO), "ROOT": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= {"HOME": str(folder), "PYTHONPATH": os.pathsep.join([str(ROOT), *_paths()])}
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, steady(done.stderr + done.stdout)


def _paths() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def shell(command: str, folder: Path) -> str:
    """Return what a command line prints; AssertionError where it fails."""
    code, text = said(["bash", "-e", "-o", "pipefail", "-c", command], folder)
    assert code in (0, 141), f"exit {code}: {command}{text}"  # 141: `head` has read enough
    return text


def steady(text: str) -> str:
    """Return output with `…` for what differs from run to run: hashes, and folders.

    What a slow machine shows is left out: progress, and Matplotlib's line about its cache of fonts.
    """
    slow = r"^(Matplotlib is building the font cache|sertool \w+: \w+ \d+ of \d+(, .* left)?\b).*\n"
    text = re.sub(slow, "", text, flags=re.MULTILINE)
    text = re.sub(r"(?<=@)[0-9a-f]{12}\b|(?<=sha256 )[0-9a-f]{12,}", ANY, text)
    text = re.sub(r"(?<=of its listing )[0-9a-f]+…", ANY, text)
    text = text.replace(str(ROOT), ANY)
    return re.sub(r"/[^\s\"':]*/pages-\w+/work", ANY, text)


def plain(text: str) -> str:
    """Return output with one space for several, and bars of one length: they follow numbers."""
    text = re.sub(r"[█▉▊▋▌▍▎▏]+", "█", text)
    return "\n".join(re.sub(r" +", " ", line.rstrip()) for line in text.splitlines())


def alike(shown: str, printed: str, free: bool = False) -> bool:
    """Return whether output is as shown: words and whole numbers equal, others nearly.

    Features and figures are rounded in other ways by another processor or library: a number with
    decimals, or a percentage and the count beside it, may differ by 5 or by 5 %, and one of at most
    1 by 0.1. free: any number will do, as of a comparison, whose p values hang on small things.

    >>> alike("UAR 62.0\\n…\\n", "UAR  61.9\\nmore\\n"), alike("UAR 62.0\\n", "UAR 68.0\\n")
    (True, False)
    """
    parts = re.split(rf"(?m)^{ANY}\n", plain(shown) + "\n")
    pattern = r"(?:.*\n)*?".join(_pattern(part) for part in parts)
    found = re.fullmatch(rf"{pattern}\n*", plain(printed) + "\n")
    if found is None:
        return False
    numbers = [float(n) for part in parts for n in NUMBER.findall(part)]
    return free or all(map(_near, numbers, map(float, found.groups())))


def _near(a: float, b: float) -> bool:
    small = max(abs(a), abs(b)) <= 1
    return abs(a - b) <= (FRACTION if small else max(POINTS, SHARE * abs(a)))


def _pattern(part: str) -> str:
    """Return a part of the shown output as a pattern with a group for each decimal."""
    words = [re.escape(word).replace(re.escape(ANY), ".*?") for word in NUMBER.split(part)]
    return f"({NUMBER.pattern})".join(words)


def run(page: Path, folder: Path, write: bool = False) -> list[str]:
    """Run a page's blocks in a new folder "work" in `folder`; return what is not as shown, and
    correct it if `write`. Raises AssertionError where a command fails.
    """
    folder = folder / "work"
    folder.mkdir()
    text = page.read_text(encoding="utf-8")
    wrong: list[str] = []
    fresh: list[tuple[Block, str]] = []
    last = ""  # what the last program printed
    for block in blocks(text):
        if block.mark == "not run":
            continue
        if block.mark == "file":
            path = folder / block.what
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            made = ""
            for command, shown in commands(block.text):
                printed = shell(command, folder)
                same = alike(shown, printed, free="report --compare" in command)
                if not same:
                    wrong.append(f"$ {command}{printed}\n--- the page shows\n{shown}")
                made += f"$ {command}{shown if same else printed}"
            fresh.append((block, made))
        elif block.language == "text" and last:
            if not alike(block.text, last):
                wrong.append(f"{last}\n--- the page shows\n{block.text}")
                fresh.append((block, last))
        elif block.language == "sh":
            shell(block.text, folder)
        last = _program(block, folder) if block.language in ("python", "r") else ""
    for block, made in reversed(fresh):
        text = text[: block.start] + made + text[block.start + len(block.text) :]
    if write:
        page.write_text(text, encoding="utf-8")
    return wrong


def _program(block: Block, folder: Path) -> str:
    """Return what a program prints, "" where its language is not installed."""
    if block.mark == "file":
        return ""
    if block.language == "r" and said(["Rscript", "-e", "library(rhdf5)"], folder)[0]:
        return ""
    words = [sys.executable, "-c"] if block.language == "python" else ["Rscript", "-e"]
    code, text = said([*words, block.text], folder)
    assert code == 0, f"exit {code}: {block.text}{text}"
    return text


if __name__ == "__main__":
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory(prefix="pages-") as made:
            for each in run(Path(name), Path(made), write=True):
                print(f"{name}: now\n{each}")
