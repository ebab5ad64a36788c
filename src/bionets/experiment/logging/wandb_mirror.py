"""W&B: a run under an id from the run folder, offline unless logged in."""

from collections.abc import Sequence
from typing import Any

from bionets.experiment.errors import UserError
from bionets.experiment.logging.mirrors import Mirror, MirroredRun
from bionets.experiment.logging.wandb_login import wandb_mode
from bionets.experiment.logging.wandb_panels import curve_of_tests
from bionets.experiment.run.run_folder import RunFolder

PATIENCE = 300.0  # seconds


class WandbMirror(Mirror):
    """A run at W&B. Runs are grouped by task, model and config: a group's runs differ in seed.

    Args:
        run: the run.
        project, entity: where at W&B; an entity of None is one's own.
        mode: ``auto`` (online where logged in, else offline), ``online``, ``offline`` or ``disabled``.
        tags: beside the names of the task, the model and the experiment.
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

        config = run.config
        experiment = [config["name"]] if config["name"] != "run" else []  # "run" is what a run without a name is called
        # On a loaded machine W&B's own process may take longer to start than the 30 seconds it is given by default.
        wandb.setup(wandb.Settings(silent=True, init_timeout=PATIENCE, x_service_wait=PATIENCE))
        self.logger = WandbLogger(
            name=run.title,
            id=run.folder.wandb_id(),
            project=project,
            entity=entity,
            group=run.group,
            job_type=run.job_type,
            tags=[config["task"]["name"], config["model"]["name"], *experiment, *tags],
            # W&B's own offline files keep neither group nor job type outside the config.
            config={**config, "group": run.group, "job_type": run.job_type, "folder": str(run.folder.path)},
            save_dir=run.folder.path.resolve(),  # its service has a working directory of its own
            mode=wandb_mode(mode),
            resume="allow",
        )

    @classmethod
    def check(cls, mode: str = "auto", tags: Any = (), **others: Any) -> None:
        wandb_mode(mode)
        if isinstance(tags, str) or not isinstance(tags, Sequence):
            raise UserError(f"logger.tags must be a list, as in logger.tags=[demo], got {tags}")

    def write_result(self, result: dict[str, Any], folder: RunFolder) -> None:
        """Headline numbers, test metrics and figures; whoever reads the run there finds what ``result.json`` says.

        Tests under numbered conditions (``length_3``, ``length_4``, ...) are also a curve, ``tests/<metric>`` by
        ``tests/length``.
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
        figures = {f"figures/{file.stem}": wandb.Image(str(file)) for file in sorted(folder.figures.glob("*.png"))}
        if figures:
            run.log(figures)

    def close(self, failed: bool) -> None:
        import wandb

        wandb.finish(exit_code=int(failed))
