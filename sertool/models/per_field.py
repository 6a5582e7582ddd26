"""Several models in one checkpoint: one for each value of a field, and what chooses among them.

What the models share (pipeline, items, protocol, lineage) is there once. The tensors of the model
for `male` are `per.male.model.*`, `per.male.statistics.*`, `per.male.baseline.*`, those of the
chooser `chooser.model.*`; the rest of what describes each is in the meta key `per`:
{"field": "gender", "values": {"male": {…}, …}, "chooser": {…}}, values in sorted order. The
chooser is a model of the field's value, trained on the same items, for items whose value is
unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sertool.core.errors import UsageError
from sertool.corpora import where
from sertool.formats.checkpoint import Checkpoint, Trained
from sertool.items import Item
from sertool.targets import class_name

OWN = Trained.__struct_fields__  # what describes each model on its own
CHOOSER = "chooser"


def prefix(value: str) -> str:
    """Return what the tensors' names of one value's model begin with, before a dot.

    A value's own dots are written %2E, so that no name can be taken for another value's.
    """
    return "per." + value.replace("%", "%25").replace(".", "%2E")


def merge(field: str, models: Mapping[str, Checkpoint], chooser: Checkpoint) -> Checkpoint:
    """Return one checkpoint, without items, of a model for each value, and the chooser.

    Its classes are those of any model, sorted; its baselines those that all of them have. It
    counts the parameters of all models, and the copies that training added for any of them.
    """
    first = next(iter(models.values())).meta
    metas = {value: made.meta for value, made in sorted(models.items())}
    tensors = {
        f"{start}.{name}": array
        for start, made in [*((prefix(v), m) for v, m in models.items()), (CHOOSER, chooser)]
        for name, array in made.tensors.items()
    }
    meta = {name: value for name, value in first.items() if name not in OWN}
    meta["classes"] = sorted({label for own in metas.values() for label in own["classes"]})
    meta["model"] = {name: first["model"][name] for name in ("name", "settings")} | {
        "parameters": sum(own["model"]["parameters"] for own in metas.values())
    }
    meta |= {"history": [], "best_epoch": None}
    meta["baselines"] = [
        name for name in first["baselines"] if all(name in m["baselines"] for m in metas.values())
    ]
    added = sum((own["augment"] or {}).get("added", 0) for own in metas.values())
    meta["augment"] = first["augment"] and first["augment"] | {"added": added}
    meta["per"] = {
        "field": field,
        "values": {value: _own(own) for value, own in metas.items()},
        CHOOSER: _own(chooser.meta),
    }
    return Checkpoint(tensors, [], meta)


def _own(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {name: meta[name] for name in OWN if name in meta}


def take_apart(checkpoint: Checkpoint) -> tuple[dict[str, Checkpoint], Checkpoint]:
    """Return (the checkpoint of each value's model, that of the chooser), as `merge` took them.

    Each has the items of all. Raises KeyError or TypeError for a meta that is none of `merge`.
    """
    shared = {name: v for name, v in checkpoint.meta.items() if name not in (*OWN, "per")}

    def own(start: str, meta: Mapping[str, Any]) -> Checkpoint:
        return Checkpoint(checkpoint.subset(start), checkpoint.items, shared | dict(meta))

    per = checkpoint.meta["per"]
    models = {value: own(prefix(value), meta) for value, meta in per["values"].items()}
    return models, own(CHOOSER, per[CHOOSER])


def match(field: str, word: str, values: Iterable[str]) -> str | None:
    """Return which of `values` a word means, as a condition `field=word` does; None for none."""
    if word in values:
        return word
    try:
        fits = where.parse(f"{field}={word}")
    except UsageError:
        return None
    return next((value for value in values if fits(Item("", extra={field: value}))), None)


def known_value(field: str, item: Item, values: Iterable[str]) -> str | None:
    """Return which of `values` an item has, None where it has none of them."""
    word = class_name(item, field)
    return None if word is None else match(field, word, values)


def requested_value(
    field: str | None, values: Sequence[str], given: Sequence[tuple[str, str]]
) -> str | None:
    """Return the value whose model `predict --field NAME=VALUE` asks for, None without one.

    given: the options' names and values. Raises UsageError for another field than the
    checkpoint's, or a value that it has no model for.
    """
    found = None
    for name, word in given:
        if field is None:
            raise UsageError(
                f"--field {name}: the checkpoint holds a single model; train --per {name} makes one"
                " that holds a model for each value"
            )
        if name != field:
            raise UsageError(f"--field {name}: the checkpoint's models are chosen by {field}")
        found = match(field, word, values)
        if found is None:
            raise UsageError(
                f"--field {name}={word}: the checkpoint has models for {', '.join(values)}"
            )
    return found
