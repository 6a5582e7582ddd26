"""Settings from NAME=VALUE: values are TOML or words, wrong ones are refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
from made_settings import parse

from sertool.core.errors import UsageError
from sertool.core.settings import describe, make, setting


@dataclass(frozen=True)
class Example:
    size: int = setting(3, "how many", "frames")
    rate: float = setting(0.5, "how fast", "Hz")
    top: float | Literal["none"] = setting(80.0, "limit", "dB")
    width: int | None = setting(None, "window", "samples")
    mode: Literal["a", "b"] = setting("a", "which")
    on: bool = setting(False, "whether")
    name: str = setting("x", "a word")
    sizes: tuple[int, ...] = setting((1, 2), "several")
    rates: float | tuple[float, ...] = setting((0.5, 1.0), "one or several")


def test_values() -> None:
    got = parse(
        Example, ["size=4", "rate=2", "top=none", "width=7", "mode=b", "on=true", "name=hann"]
    )
    assert got == Example(4, 2.0, "none", 7, "b", True, "hann")
    assert isinstance(got.rate, float)
    assert parse(Example, ["width=none"]).width is None
    assert parse(Example, ['name="5"']).name == "5"
    assert parse(Example, ["sizes=[4, 5, 6]"]).sizes == (4, 5, 6)
    assert parse(Example, ["sizes=[]"]).sizes == ()
    rates = parse(Example, ["rates=[2, 0.5]"]).rates
    assert rates == (2.0, 0.5)
    assert all(type(rate) is float for rate in rates)
    assert parse(Example, ["rates=2"]).rates == 2.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("size", "NAME=VALUE"),
        ("colour=red", "size, rate"),
        ("size=1.5", "whole number"),
        ("size=true", "whole number"),
        ("rate=fast", "a number"),
        ("mode=c", "a or b"),
        ("on=1", "true or false"),
        ("sizes=3", "a list in brackets, each a whole number"),
        ("sizes=[3, 4.5]", "a list in brackets"),
        ("sizes=[true]", "a list in brackets"),
        ("rates=[true]", "a number or a list in brackets, each a number"),
    ],
)
def test_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(Example, [text])


def test_describe() -> None:
    assert describe(Example)[0] == ("size", 3, "frames", "how many")


def test_types_of_what_a_file_says() -> None:
    make(Example, {"size": 4, "rate": 2, "sizes": [1, 2], "width": None})
    for name, value in (("size", "x"), ("size", 10**19), ("on", 1), ("mode", "c"), ("sizes", 3)):
        with pytest.raises(UsageError, match=name):
            make(Example, {name: value})


def test_a_number_or_word_too_long_is_cut() -> None:
    for text in ("size=99999999999999999999", f"size={'x' * 9000}"):
        with pytest.raises(UsageError, match="size") as caught:
            parse(Example, [text])
        assert len(str(caught.value)) < 200
