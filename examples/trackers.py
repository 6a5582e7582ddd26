"""Trackers for `sertool train --plugin examples/trackers.py`: MLflow and Weights & Biases.

sertool train … --track mlflow=http://localhost:5000   # or sqlite:///runs.db
WANDB_MODE=offline sertool train … --track wandb=my-project
"""

from collections.abc import Mapping
from typing import Any

from sertool.training.tracking import Tracker


class MLflow(Tracker):
    """A run of MLflow for each model, in the experiment `sertool`."""

    def __init__(self, place: str) -> None:
        from mlflow import MlflowClient

        self.client = MlflowClient(tracking_uri=place)
        found = self.client.get_experiment_by_name("sertool")
        self.experiment = found.experiment_id if found else self.client.create_experiment("sertool")
        self.runs: dict[str, str] = {}

    def epoch(self, run: str, number: int, values: Mapping[str, float]) -> None:
        """Log the values as metrics, the epoch as the step."""
        if run not in self.runs:
            made = self.client.create_run(self.experiment, run_name=run)
            self.runs[run] = made.info.run_id
        for name, value in values.items():
            self.client.log_metric(self.runs[run], name, value, step=number)

    def close(self) -> None:
        """End the runs."""
        for made in self.runs.values():
            self.client.set_terminated(made)


class WandB(Tracker):
    """A run of Weights & Biases for each model, in the project that is named."""

    def __init__(self, place: str) -> None:
        import wandb

        self.project, self.wandb = place, wandb
        self.runs: dict[str, Any] = {}

    def epoch(self, run: str, number: int, values: Mapping[str, float]) -> None:
        """Log the values, the epoch as the step."""
        if run not in self.runs:
            self.runs[run] = self.wandb.init(
                project=self.project, name=run, reinit="create_new", settings={"silent": True}
            )
        self.runs[run].log(dict(values), step=number)

    def close(self) -> None:
        """End the runs."""
        for made in self.runs.values():
            made.finish()


PLUGINS = {"sertool.trackers": {"mlflow": MLflow, "wandb": WandB}}
