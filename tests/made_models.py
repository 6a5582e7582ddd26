"""Models with the settings that `--set` gives them."""

from __future__ import annotations

from made_settings import parse

from sertool.models import Model, Network, Tabular, model


def _with(name: str, assignments: tuple[str, ...]) -> Model:
    found = model(name)
    return found(parse(found.Settings, list(assignments)))


def network(name: str, *assignments: str) -> Network:
    made = _with(name, assignments)
    assert isinstance(made, Network)
    return made


def tabular(name: str, *assignments: str) -> Tabular:
    made = _with(name, assignments)
    assert isinstance(made, Tabular)
    return made
