"""The structure of the code, read from it: modules, what each imports, and the order of packages.

`python tests/house.py` prints the picture that CONTRIBUTING.md shows.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "sertool"

# Lowest first: a module imports from its own package and from those above it in this list.
ORDER = {
    "core": "errors, settings, paths, seeds, plug-ins, worker processes",
    "items": "Item and Target: the data types that packages exchange",
    "votes": "raters' votes, their majority and their shares",
    "targets": "what a model learns to predict",
    "ui": "console, tables, terminal blocks, figures",
    "formats": "manifest, store, checkpoint, report; written atomically",
    "audio": "all reading of audio files",
    "corpora": "corpus layouts and labels; folders to items",
    "splits": "folds that keep speakers, sessions or sentences apart",
    "metrics": "WA, UAR, F1 and others, with bootstrap intervals",
    "regression": "CCC, RMSE and others, from sums that add up",
    "models": "networks and classifiers, one module or package per paper",
    "features": "waveform to array, one module per kind; the pipeline",
    "augmentations": "copies of waveforms, frames and pictures",
    "training": "the loop, losses, batches",
    "evaluation": "scoring, leaks, intervals, reports",
    "papers": "published tables next to measured ones",
    "extras": "separation, explanation, the server",
    "commands": "one module per stage: its options and its function",
    "cli": "the command line, built from the stages' options",
    "api": "the Python API: the same stages, on objects",
    "sertool": "what `import sertool` offers, loaded lazily",
}


@functools.cache
def modules() -> Mapping[str, Path]:
    """Return every module of the package by its dotted name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def tree(module: str) -> ast.Module:
    """Return the parsed source of a module."""
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def running(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every node that can run: all but the bodies of `if TYPE_CHECKING:`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from running(other)
        else:
            yield from running(child)


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Return the modules of sertool that `module` imports, anywhere in its code."""
    found = set()
    for node in running(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in modules() else str(node.module))
    return frozenset(found & set(modules())) - {module}


def package(module: str) -> str:
    """Return the package that a module belongs to, by its name in ORDER."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__main__" else "sertool"


def cycles(graph: Mapping[str, Iterable[str]]) -> list[set[str]]:
    """Return the sets of nodes that reach each other (strongly connected, two or more)."""
    reach = {}
    for start in graph:
        seen: set[str] = set()
        todo = list(graph[start])
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                todo += graph.get(node, ())
        reach[start] = seen
    found: list[set[str]] = []
    for node in graph:
        if node in reach[node] and not any(node in each for each in found):
            found.append({other for other in reach[node] if node in reach.get(other, ())})
    return found


def arrows() -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Return the imports that cross from one package to another, by the pair of packages."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for module in modules():
        for other in sorted(imports(module)):
            if package(module) != package(other):
                found.setdefault((package(module), package(other)), []).append((module, other))
    return found


def picture() -> str:
    """Return the packages, highest first, each with those that it imports from."""
    names = [name for name in ORDER if any(package(m) == name for m in modules())]
    used = {name: [low for low in names if (name, low) in arrows()] for name in names}
    lines = []
    for name in reversed(names):
        lines.append(f"{name:<14}{ORDER[name]}")
        # what a package reaches through another one would only repeat that arrow
        reached = {far for low in used[name] for far in closure(low, used)}
        direct = [low for low in reversed(used[name]) if low not in reached]
        if direct:
            lines.append(f"{'':<14}  ↳ {', '.join(direct)}")
    return "\n".join(lines)


def closure(name: str, used: Mapping[str, Iterable[str]]) -> set[str]:
    """Return every package that one reaches, itself left out."""
    found: set[str] = set()
    todo = list(used[name])
    while todo:
        low = todo.pop()
        if low not in found:
            found.add(low)
            todo += used[low]
    return found


if __name__ == "__main__":
    print(picture())
