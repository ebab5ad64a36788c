"""W&B: runs under an id that is stored in the run folder, offline unless logged in."""

from collections.abc import Sequence
from typing import Any

from bionets.experiment.logging.mirrors import Mirror, MirroredRun, log_completed
from bionets.experiment.logging.wandb_login import wandb_mode
from bionets.experiment.run.run_folder import RunFolder

PATIENCE = 300.0  # seconds
STEP = "trainer/global_step"  # the x axis of panels, named by Lightning


class WandbMirror(Mirror):
    """Logs a run to W&B, in a group with the runs that differ only in their seed.

    Args:
        run: the run.
        project, entity: project and owner at W&B; an entity of None is the user's default.
        mode: ``auto`` (online if logged in, otherwise offline), ``online``, ``offline`` or ``disabled``.
        tags: in addition to the names of the task, the model and the experiment.
    """

    needs = ("wandb", "wandb")

    def __init__(
        self,
        run: MirroredRun,
        project: str = "bionets",
        entity: str | None = None,
        mode: str = "auto",
        tags: Sequence[str] = (),
    ) -> None:
        import wandb
        from lightning.pytorch.loggers import WandbLogger

        config, new = run.config, not run.folder.wandb_file.exists()
        experiment = [config["name"]] if config["name"] != "run" else []  # "run" is the default name
        # On a loaded machine, W&B's own process may take longer to start than the default limit of 30 seconds.
        wandb.setup(wandb.Settings(silent=True, init_timeout=PATIENCE, x_service_wait=PATIENCE))
        self.logger = WandbLogger(
            name=run.title,
            id=run.folder.wandb_id(),
            project=project,
            entity=entity,
            group=run.group,
            job_type=run.job_type,
            tags=[config["task"]["name"], config["model"]["name"], *experiment, *tags],
            # Offline files of W&B hold group and job type only within the config.
            config={**config, "group": run.group, "job_type": run.job_type, "folder": str(run.folder.path)},
            save_dir=run.folder.path.resolve(),  # W&B's process has another working directory
            mode=wandb_mode(mode),
            resume="allow",
        )
        self.logged = log_completed(self.logger, run) if new else 0

    @classmethod
    def check(cls, mode: str = "auto", **others: Any) -> None:
        wandb_mode(mode)

    def write_result(self, result: dict[str, Any], folder: RunFolder) -> None:
        """Log the headline numbers, the test metrics and the figures.

        Tests under numbered conditions (``length_3``, ``length_4``, ...) are also logged as a curve, ``tests/<metric>``
        over ``tests/length``.
        """
        import wandb

        run = self.logger.experiment
        run.summary.update(
            {
                **result["metrics"],
                "headline": list(result["metrics"]),
                "tests": result["tests"],
                "parameters": result["parameters"],
                "wall_time": result["wall_time"],
            }
        )
        rows = curve_of_tests(result["tests"])
        for name in list(rows[0])[1:] if rows else ():
            run.define_metric(name, step_metric=next(iter(rows[0])), summary="none")
        for row in rows:
            run.log(row)
        figures = {f"figures/{file.stem}": wandb.Image(str(file)) for file in folder.figure_files()}
        if figures:
            run.log(figures)

    def close(self, failed: bool) -> None:
        import wandb

        wandb.finish(exit_code=int(failed))


def curve_of_tests(tests: dict[str, dict[str, float]]) -> list[dict[str, float]]:
    """A row for each test set whose name ends in a number, in the order of the tests: the number, then the metrics."""
    rows = []
    for name, metrics in tests.items():
        condition, _, number = name.rpartition("_")
        if condition and number.isdigit():
            values = {f"tests/{metric}": value for metric, value in metrics.items()}
            rows.append({f"tests/{condition}": float(number), **values})
    return rows
