"""The shape of a report: what of it is needed, and of which type."""

from __future__ import annotations

from typing import Any

from sertool import metrics
from sertool.core.paths import show
from sertool.formats import shape
from sertool.formats.shape import COUNT, NAMES, NUMBER, TABLE, TEXT, Every, Leaf, Listed, Table

RATE = Leaf("is no rate", lambda value: NUMBER.fits(value) and 0 <= value <= 1)
MAYBE_RATE = Leaf("is no rate", lambda value: value is None or RATE.fits(value))
FACT = Leaf("is neither true nor false", lambda value: value is None or type(value) is bool)
ROW = Listed(COUNT)
LIMITS = Leaf(
    "is no interval",
    lambda value: type(value) is list and len(value) == 2 and all(map(MAYBE_RATE.fits, value)),
)

GROUP = Table({"n": COUNT, "accuracy": RATE, "uar": RATE, "confusion": Listed(ROW)})
SUMMARY = dict.fromkeys(metrics.SUMMARIES, RATE)
MAYBE_SUMMARY = dict.fromkeys(metrics.SUMMARIES, MAYBE_RATE)
FIGURES = {
    **SUMMARY,
    "confusion": Listed(ROW),
    "ci": Table(
        {"level": RATE, "unit": TEXT, "n_units": COUNT}
        | {f"{name}?": LIMITS for name in metrics.SUMMARIES}
    ),
    "by": Every(Every(GROUP)),
    "mean_of_folds?": Table(MAYBE_SUMMARY | {"sd": Table(MAYBE_SUMMARY)}),
}
OF_CLASS = {
    "support": COUNT,
    **dict.fromkeys(("precision", "recall", "f1"), MAYBE_RATE),
    **dict.fromkeys(("auc?", "mean_probability?"), RATE),
}
PER = {
    "field": TEXT,
    **dict.fromkeys(("by_field", "by_chooser", "known", "right"), COUNT),
    "chooser_accuracy?": RATE,
    "alone": Table(MAYBE_SUMMARY),
}
REPORT = Table(
    {
        **FIGURES,
        "classes": NAMES,
        "per_class": Every(Table(OF_CLASS)),
        "log_loss?": NUMBER,
        "folds": Listed(
            Table(
                {"checkpoint": TEXT, "n?": COUNT, "protocol?": TABLE}
                | {f"{name}?": RATE for name in metrics.SUMMARIES}
            )
        ),
        "baselines": Every(Table(FIGURES)),
        "protocol": Table(
            {f"{name}?": COUNT for name in ("files_split", "n_val", "n_checkpoints")}
            | {f"{name}_most?": COUNT for name in ("n_train", "n_val")}
            | {"n_train": COUNT, "n_test": COUNT, "resplit?": TEXT, "shared?": Every(COUNT)}
        ),
        "per?": Table(PER),
        "model?": Table({"settings?": TABLE, "name?": TEXT}),
        "store?": Table({"name?": TEXT, "kind?": TEXT}),
        "conditions?": Every(NUMBER),
        "tags?": TABLE,
        "level?": TEXT,
        "target?": TEXT,
        "items?": Listed(TABLE),
        "lineage?": Listed(Table({"stage?": TEXT, "params?": Table({"hyperparameters?": TABLE})})),
    }
)


def check(report: Any) -> None:
    """Raise ValueError that names the first place where a report is of another shape."""
    shape.check(report, REPORT)
    for name, value in report["protocol"].items():
        if name.endswith("_disjoint") and not FACT.fits(value):
            raise ValueError(f"{name} {FACT.wrong}")
    for label in report["classes"]:
        if label not in report["per_class"]:
            raise ValueError(f"per_class lacks {show(label)}")
