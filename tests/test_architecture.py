"""The house stands as it was drawn: who may import whom, how long, how typed, how documented."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import house
import pytest

# What is still to be mended: a number that may only fall.
LOOSE_DICTIONARIES = 13

SCREEN = 30  # lines of a function of the command line
DOORS = {  # the modules that may import a library which reads or writes a format
    "h5py": "sertool.formats.store",
    "onnx": "sertool.formats.onnx",  # and its graph
    "pickle": "sertool.core.executors",  # tasks that an engine carries between our own processes
    "soundfile": "sertool.audio.decoding",
    "safetensors": "sertool.formats.checkpoint",
}
UNSAFE = {"marshal", "shelve", "dill", "cloudpickle"}
# Modules that read or write JSON, TOML or rows of a table, where a dictionary is what the file
# holds; so do functions that say so by their name.
EDGE = (
    "sertool.core.options",
    "sertool.core.settings",
    "sertool.corpora.crema_d",
    "sertool.corpora.export",
    "sertool.corpora.iemocap_labels",
    "sertool.corpora.table",
    "sertool.evaluation.report",
    "sertool.formats",
    "sertool.papers.study_json",
)
MAKES_JSON = ("to_dict", "to_json", "json_schema", "json_value", "json_values")
# Definitions whose name appears nowhere else in sertool/, and who calls them.
CALLED_FROM_OUTSIDE = {
    "__all__": "Python, `from sertool import *`",
    "parse_args": "typer, an override",
    "get_code": "importlib, an override",
    "get_feature_names_out": "scikit-learn, for `set_output`",
    "process_renderables": "rich, before it prints",
    "symbolic": "torch.onnx, of a function that it exports",
    "section": "recipes/results.py, the page of all papers",
    "forest": "recipes/results.py, its picture",
}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def functions(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(house.tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_package_has_its_place() -> None:
    assert {house.package(module) for module in house.modules()} <= set(house.ORDER)


def test_a_package_imports_only_what_lies_below_it() -> None:
    height = {name: i for i, name in enumerate(house.ORDER)}
    for (high, low), found in house.arrows().items():
        if height[high] < height[low]:
            pytest.fail("; ".join(f"{module} imports {other}" for module, other in found))


def test_no_two_modules_import_each_other() -> None:
    assert house.cycles({module: house.imports(module) for module in house.modules()}) == []


def test_no_two_packages_import_each_other() -> None:
    graph: dict[str, set[str]] = {name: set() for name in house.ORDER}
    for high, low in house.arrows():
        graph[high].add(low)
    assert house.cycles(graph) == []


def test_a_cycle_is_found() -> None:
    assert house.cycles({"a": "b", "b": "c", "c": "a", "d": "a"}) == [{"a", "b", "c"}]
    assert house.cycles({"a": "bc", "b": "c", "c": ""}) == []


def test_a_function_of_the_command_line_fits_a_screen() -> None:
    long = [
        f"{module}.{function.name}: {lines} lines"
        for module in house.modules()
        if house.package(module) == "cli"
        for function in functions(module)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > SCREEN
    ]
    assert not long, "\n".join(long)


@functools.cache
def dictionaries(module: str) -> frozenset[str]:
    """Return `dict[str, Any]` and the names that a module has for it, its own or imported."""
    found = {"dict[str, Any]"}
    for node in house.tree(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.value) in found:
            found |= {ast.unparse(target) for target in node.targets}
        elif isinstance(node, ast.ImportFrom) and node.module in house.modules():
            known = dictionaries(node.module)
            found |= {name.asname or name.name for name in node.names if name.name in known}
    return frozenset(found)


def is_loose(module: str, annotation: str) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(n)}(?!\w)", annotation) for n in dictionaries(module))


def annotations(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    parts = function.args
    given = [*parts.posonlyargs, *parts.args, *parts.kwonlyargs, parts.vararg, parts.kwarg]
    for annotation in [*(a.annotation for a in given if a), function.returns]:
        if annotation is not None:
            yield ast.unparse(annotation)


def test_dictionaries_of_anything_stay_where_files_are_read() -> None:
    loose = [
        f"{module}.{function.name}"
        for module in house.modules()
        if not module.startswith(EDGE)
        for function in functions(module)
        if not function.name.startswith("_")
        and function.name not in MAKES_JSON
        and any(is_loose(module, text) for text in annotations(function))
    ]
    assert len(loose) <= LOOSE_DICTIONARIES, "\n".join(loose)


def test_every_module_opens_with_one_sentence() -> None:
    for module in house.modules():
        first = (ast.get_docstring(house.tree(module)) or "").partition("\n")[0]
        assert re.fullmatch(r"\S.*[.:]", first), f"{module}: {first!r}"


def test_one_door_a_format() -> None:
    for module in house.modules():
        for node in ast.walk(house.tree(module)):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            for name in names:
                library = name.partition(".")[0]
                assert module.startswith(DOORS.get(library, "")), f"{module} imports {library}"
                assert library not in UNSAFE, f"{module} imports {library}"


def words(node: ast.AST, skip: set[ast.AST]) -> Counter[str]:
    """Count the names that code uses, those in short strings (getattr, tables) counted in."""
    found: Counter[str] = Counter()
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            found[each.id] += 1
        elif isinstance(each, ast.Attribute):
            found[each.attr] += 1
        elif isinstance(each, ast.keyword) and each.arg:
            found[each.arg] += 1
        elif isinstance(each, ast.Constant) and isinstance(each.value, str) and each not in skip:
            found.update(re.findall(r"[A-Za-z_]\w*", each.value))
    return found


def docstrings(module: ast.AST) -> set[ast.AST]:
    found: set[ast.AST] = set()
    for node in ast.walk(module):
        if isinstance(node, (*DEFINITIONS, ast.Module)) and isinstance(node.body[0], ast.Expr):
            found.add(node.body[0].value)
    return found


def test_nothing_is_there_for_the_tests_alone() -> None:
    used: Counter[str] = Counter()
    defined: list[tuple[str, str, Counter[str]]] = []
    for module in house.modules():
        whole = house.tree(module)
        skip = docstrings(whole)
        used += words(whole, skip)
        for node in ast.walk(whole):
            if isinstance(node, DEFINITIONS) and not node.name.startswith("__"):
                defined.append((module, node.name, words(node, skip)))
        for node in whole.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                defined.append((module, node.targets[0].id, words(node, skip)))
    alone = [
        f"{module}.{name}"
        for module, name, own in defined
        if used[name] <= own[name] and name not in CALLED_FROM_OUTSIDE
    ]
    assert alone == []


def test_importing_the_library_imports_nothing_heavy() -> None:
    code = "import sertool, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "torch", "h5py", "librosa", "scipy", "sklearn", "matplotlib", "typer", "rich"}
    assert heavy & set(done.stdout.split()) == set()
