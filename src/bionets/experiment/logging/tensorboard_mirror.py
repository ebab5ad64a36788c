"""TensorBoard: ``tensorboard --logdir outputs`` shows the event files in the folders ``tensorboard`` of all runs."""

from typing import Any

from bionets.experiment.logging.mirrors import Mirror, MirroredRun, log_completed
from bionets.experiment.run.run_folder import RunFolder


class TensorBoardMirror(Mirror):
    """Logs the metrics of a run, and at its end the figures and headline numbers.

    Args:
        run: the run.
        flush_secs: seconds after which events are written to the disk.
    """

    needs = ("tensorboard", "tensorboard")

    def __init__(self, run: MirroredRun, flush_secs: int = 120) -> None:
        from lightning.pytorch.loggers import TensorBoardLogger

        new = not (run.folder.path / "tensorboard").exists()
        # A resumed run trains again from this step on: TensorBoard ignores the events that were written before.
        _, first = run.completed
        self.logger = TensorBoardLogger(
            run.folder.path, name="", version="tensorboard", flush_secs=flush_secs, purge_step=first
        )
        self.logged = log_completed(self.logger, run) if new else 0

    def write_result(self, result: dict[str, Any], folder: RunFolder) -> None:
        from matplotlib.image import imread

        super().write_result(result, folder)
        for file in folder.figure_files():
            self.logger.experiment.add_image(f"figures/{file.stem}", imread(file), dataformats="HWC")
