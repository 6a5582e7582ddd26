"""What a resumed run finds: nothing, parts, the whole output, or another run's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sertool.core.errors import InputError
from sertool.formats.outputs import Parts
from sertool.formats.reuse import Made, State, decide
from sertool.ui.console import Console

MINE = {"params": {"a": 1, "b": 2}, "input": {"name": "x.jsonl", "sha256": "0" * 64}}
JOB = {"params": {"a": 1, "b": 2}, "input": "0" * 64}


def found(output: Path, made: dict[str, Any] | None = None, **given: Any) -> State:
    options = {"resume": True, "job": JOB} | given
    origins = options.pop("made_of", None)
    return decide(output, MINE, lambda path: Made(made or {}, origins), Console.silent(), **options)


def test_nothing_and_a_run_that_starts_afresh(tmp_path: Path) -> None:
    output = tmp_path / "o"
    assert found(output) is State.NOTHING
    output.write_bytes(b"x")
    assert found(output, MINE, resume=False) is State.NOTHING
    assert found(output, MINE, force=True) is State.NOTHING


def test_parts_of_this_run_and_of_another(tmp_path: Path) -> None:
    Parts(tmp_path / "o", JOB, resume=False)._lock.close()
    assert found(tmp_path / "o") is State.PARTS
    with pytest.raises(InputError, match=r"other settings or input \(b\)"):
        found(tmp_path / "o", job={"params": {"a": 1, "b": 3}})


def test_whole_and_then_its_parts_go(tmp_path: Path) -> None:
    Parts(tmp_path / "o", JOB, resume=False)._lock.close()
    (tmp_path / "o").write_bytes(b"x")
    assert found(tmp_path / "o", MINE) is State.WHOLE
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


@pytest.mark.parametrize(
    ("made", "given", "why"),
    [
        ({}, {}, "other settings"),
        (MINE | {"params": {"a": 1, "b": 3}}, {}, r"other settings \(b\)"),
        (MINE | {"input": {"name": "x.jsonl", "sha256": "1" * 64}}, {}, "another input"),
        (MINE, {"origins": ["c/a"], "made_of": ["c/a", "c/b"]}, "another input"),
    ],
)
def test_of_another_run(tmp_path: Path, made: Any, given: dict[str, Any], why: str) -> None:
    (tmp_path / "o").write_bytes(b"x")
    with pytest.raises(InputError, match=f"{why}.*--force replaces it"):
        found(tmp_path / "o", made, **given)


def test_some_utterances_may_lack(tmp_path: Path) -> None:
    (tmp_path / "o").write_bytes(b"x")
    assert found(tmp_path / "o", MINE, origins=["c/a", "c/b"], made_of=["c/a"]) is State.WHOLE


def test_one_of_two_outputs_is_made_again(tmp_path: Path) -> None:
    both = [tmp_path / "a", tmp_path / "b"]
    both[0].write_bytes(b"x")
    read = lambda path: Made(MINE)  # noqa: E731
    assert decide(both, MINE, read, Console.silent(), resume=True) is State.NOTHING
    both[1].write_bytes(b"x")
    assert decide(both, MINE, read, Console.silent(), resume=True) is State.WHOLE
