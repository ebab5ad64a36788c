"""MLflow: runs in ``mlruns`` of the working directory, or on the server ``tracking_uri``."""

import json
import os
from collections.abc import Collection, Mapping
from typing import Any

from bionets.atomic import write_atomically
from bionets.experiment.errors import UserError, one_line
from bionets.experiment.logging.mirrors import Mirror, MirroredRun, log_completed
from bionets.experiment.run.run_folder import RunFolder


class MlflowMirror(Mirror):
    """Logs config, metrics and figures to a run of MLflow, which is continued when the run is resumed.

    Args:
        run: the run.
        experiment_name: the name of the experiment in MLflow.
        tracking_uri: address of the server or folder; None for ``$MLFLOW_TRACKING_URI``, otherwise ``mlruns``.
        tags: additional tags, a mapping from names to values.
    """

    needs = ("mlflow", "mlflow")

    def __init__(
        self,
        run: MirroredRun,
        experiment_name: str = "bionets",
        tracking_uri: str | None = None,
        tags: dict[str, Any] | None = None,
    ) -> None:
        from lightning.pytorch.loggers import MLFlowLogger
        from mlflow.exceptions import MlflowException

        class OnceLogger(MLFlowLogger):
            """Leaves out values that the run had before it was resumed, which MLflow would store a second time."""

            before: Collection[tuple[str, int]] = ()  # name and step of each value

            def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
                new = {name: value for name, value in metrics.items() if (name, step) not in self.before}
                super().log_metrics(new, step)

        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3.17 otherwise refuses to write mlruns
        file = run.folder.path / "mlflow.json"
        known = run.folder.mirror_id(file) if file.exists() else None
        where: dict[str, Any] = {} if tracking_uri is None else {"tracking_uri": tracking_uri}
        self.logger = OnceLogger(
            experiment_name,
            run_name=run.title,
            **where,
            tags={"group": run.group, "job_type": run.job_type, **(tags or {})},
            run_id=known,
        )
        if known is None:
            self.logger.log_hyperparams(run.config)
            write_atomically(file, json.dumps({"id": self.logger.run_id}) + "\n")
            self.logged = log_completed(self.logger, run)
            return
        try:
            client = self.logger.experiment
            names = client.get_run(known).data.metrics
        except MlflowException as error:
            raise UserError(
                f"MLflow has no run {known}, with which this run began ({one_line(error)}): give its place with "
                f"logger.mlflow.tracking_uri, or delete {file} to begin another"
            ) from error
        self.logger.before = {(name, each.step) for name in names for each in client.get_metric_history(known, name)}

    def write_result(self, result: dict[str, Any], folder: RunFolder) -> None:
        super().write_result(result, folder)
        for file in folder.figure_files():
            self.logger.experiment.log_artifact(self.logger.run_id, str(file), "figures")
