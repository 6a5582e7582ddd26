"""Models: one module per paper, and the table that lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sertool.core.errors import UsageError
from sertool.core.plugins import lookup
from sertool.core.settings import make
from sertool.models.contract import (
    Combined,
    Examples,
    Losses,
    Model,
    Network,
    Output,
    Regressor,
    Tabular,
)

__all__ = [
    "BASELINES",
    "GROUP",
    "MODELS",
    "NUMBER_BASELINES",
    "Combined",
    "Examples",
    "Losses",
    "Model",
    "Network",
    "Output",
    "Regressor",
    "Tabular",
    "create",
    "model",
    "regressor",
    "tabular",
]  # fmt: skip

MODELS = {
    "majority": "sertool.models.majority:Majority",
    "linear": "sertool.models.linear:Linear",
    "mean": "sertool.models.ridge:Mean",
    "ridge": "sertool.models.ridge:Ridge",
    "logistic": "sertool.models.logistic:Logistic",
    "boosting": "sertool.models.boosting:Boosting",
    "svm": "sertool.models.svm:SupportVectors",
    "sertool": "sertool.models.house:House",
    "sundharam-cnn": "sertool.models.sundharam.cnn:SundharamCnn",
    "sundharam-bilstm": "sertool.models.sundharam.parallel:SundharamBilstm",
    "sundharam-transformer": "sertool.models.sundharam.parallel:SundharamTransformer",
    "badshah2017": "sertool.models.badshah2017:Badshah2017",
    "badshah2017-alexnet": "sertool.models.badshah2017:Badshah2017Alexnet",
    "fser2021": "sertool.models.fser2021:Fser2021",
    "ma2018": "sertool.models.ma2018:Ma2018",
    "ma2018-fixed": "sertool.models.ma2018:Ma2018Fixed",
    "huang2014": "sertool.models.huang2014.model:Huang2014",
    "fused": "sertool.evaluation.fused:Fused",
    "probe": "sertool.models.probe:Probe",
    "finetune": "sertool.models.finetune:Finetune",
}
GROUP = "sertool.models"  # entry points of other packages
BASELINES = ("majority", "linear")  # fitted beside every model, on the same items
NUMBER_BASELINES = ("mean", "ridge")  # the same, of numbers


def model(name: str) -> type[Model]:
    """Return a model's class by name, importing its module only now.

    UsageError lists the known names.
    """
    found: type[Model] = lookup(MODELS, GROUP, name)
    return found


def create(name: str, settings: Mapping[str, Any]) -> Model:
    """Return a model with the settings that a checkpoint gives it.

    Raises UsageError for an unknown name, ValueError for settings that do not fit.
    """
    found = model(name)
    try:
        return found(make(found.Settings, settings))
    except UsageError as error:
        raise ValueError(str(error)) from error


def tabular(name: str) -> Tabular:
    """Return one of our own tabular models, with its default settings."""
    found = model(name)()
    assert isinstance(found, Tabular)
    return found


def regressor(name: str) -> Regressor:
    """Return one of our own models of numbers, with its default settings."""
    found = model(name)()
    assert isinstance(found, Regressor)
    return found
