"""How messages put a number before its noun."""

from __future__ import annotations

_IRREGULAR = {"corpus": "corpora"}


def plural(n: int, noun: str, many: str | None = None) -> str:
    """Return a count with its noun; `many` is a plural that no rule makes.

    >>> plural(1, "class"), plural(2, "class"), plural(2, "copy"), plural(3, "near pair")
    ('1 class', '2 classes', '2 copies', '3 near pairs')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {many or of_several(noun)}"


def of_several(noun: str) -> str:
    """Return the plural of a noun, of the last of several words.

    >>> of_several("more corpus"), of_several("fold")
    ('more corpora', 'folds')
    """
    before, space, noun = noun.rpartition(" ")
    if noun in _IRREGULAR:
        return before + space + _IRREGULAR[noun]
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return before + space + noun[:-1] + "ies"
    return before + space + noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")
