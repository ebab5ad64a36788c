"""A trained model, back from its run's folder."""

from pathlib import Path

from bionets.experiment.errors import UserError
from bionets.experiment.run.build import build_model, build_task, prepare_data, set_precision
from bionets.experiment.run.checkpoints import read_checkpoint
from bionets.experiment.run.run_folder import RunFolder
from bionets.models import Model
from bionets.tasks import Task


def load_trained(path: Path | str, checkpoint: str = "best", data_dir: str | None = None) -> tuple[Model, Task]:
    """The model of a run with the weights of its ``best`` or ``last`` epoch, ready to be asked, and its task::

        model, task = load_trained("outputs/binary_addition/nbrc/run-110475b5/seed-0")
        x, target = task.test_data("length_40")
        prediction = model(x)

    ``data_dir`` says where the task's files are on this machine, where the run was made on another.
    """
    folder = RunFolder.existing(path)
    if checkpoint not in ("best", "last"):
        raise UserError(f"checkpoint={checkpoint} is unknown: choose best or last")
    config = folder.config()
    if data_dir is not None and "data_dir" in config["task"]:
        config["task"]["data_dir"] = data_dir
    set_precision(config["matmul_precision"])
    task = build_task(config)
    model = build_model(config, task.spec)
    prepare_data(task)
    saved = read_checkpoint(folder.best if checkpoint == "best" else folder.last)
    try:
        model.load_state_dict(saved["state_dict"])
    except RuntimeError as error:
        raise UserError(
            f"checkpoint {checkpoint} of {folder.path} does not fit the model in its config.yaml: "
            "restore one of the two"
        ) from error
    return model.eval(), task
