"""The overhead of the template over a bare PyTorch script: python -m benchmarks.overhead start|step|jobs

start: seconds of a whole command that trains one epoch of one step, of a script that does just that, and of commands
that do not train.
step: milliseconds of a step in a bare loop, and with our Trainer with all its callbacks, metrics and checkpoints; and
what the Trainer adds, as a share of a step of 20 ms.
jobs: seconds of four runs with one launcher: basic, one after another on all cores; joblib, at the same time.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.child import ROOT

OUTPUT = Path("results/benchmarks/overhead.json")
STEP = 20.0  # duration of a step in milliseconds
SMALL = ("model=gru", "model.hidden_size=8", "task=copy_first_input", "task.length=4", "task.test_size=100")
ONE_STEP = (*SMALL, "task.train_size=100", "task.val_size=100", "trainer.max_epochs=1", "callbacks=quiet")
FOUR = ("task=copy_first_input", "task.train_size=15000", "trainer.max_epochs=1", "callbacks=quiet", "logger=none")


def start(rounds: int) -> dict[str, float]:
    """Median seconds of ``bare`` and ``train``, of ``help``, and of a misspelt word, each in new processes that take
    turns.
    """
    script = [sys.executable, "-m", "benchmarks.overhead", "bare"]
    commands = {
        "bare": script,
        "train": train(*ONE_STEP, "logger=none"),
        "train_with_offline_wandb": train(*ONE_STEP, "logger=wandb", "logger.mode=offline"),
        "help": train("--help"),
        "misspelt": train("modle=brc"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            seconds[name].append(seconds_of(command, expected=1 if name == "misspelt" else 0))
    return {name: statistics.median(times) for name, times in seconds.items()}


def bare() -> None:
    """The same training step, validation, test and checkpoint without a template."""
    import torch

    torch.manual_seed(0)
    network, readout = torch.nn.GRU(1, 8), torch.nn.Linear(8, 1)
    parameters = [*network.parameters(), *readout.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    for training in (True, False, False):
        x = torch.randn(4, 100, 1)
        loss = (readout(network(x)[0][-1]) - x[0]).square().mean()
        if training:
            loss.backward()
            optimizer.step()
    with tempfile.TemporaryDirectory() as folder:
        torch.save([network.state_dict(), readout.state_dict()], Path(folder) / "last.ckpt")


def step(rounds: int, steps: int = 50, epochs: int = 10) -> dict[str, float]:
    """Median milliseconds per step of a tiny model, in a bare loop and with the Trainer; an epoch has steps of 20 ms
    for one second.
    """
    import torch

    from bionets.experiment.commands.train import silence_libraries
    from bionets.experiment.config.schemas.run import Trainer
    from bionets.experiment.run.build import build_trainer
    from bionets.experiment.run.callbacks import Record
    from bionets.experiment.run.run_folder import RunFolder
    from bionets.models import RecurrentModel
    from bionets.tasks import CopyFirstInput

    silence_libraries()
    torch.set_num_threads(1)
    arguments = {**vars(Trainer()), "accelerator": "cpu", "devices": 1, "max_epochs": epochs}
    config = {"seed": 0, "trainer": arguments, "callbacks": {"progress": False}}

    def fresh() -> tuple[CopyFirstInput, RecurrentModel]:
        task = CopyFirstInput(length=4, train_size=steps * 10, val_size=10, test_size=10, batch_size=10, epochs=epochs)
        adam = lambda parameters: torch.optim.Adam(parameters, lr=1e-3)  # noqa: E731
        return task, RecurrentModel(task.spec, "torch.nn.GRU", hidden_size=8, optimizer=adam)

    def bare_loop() -> float:
        task, model = fresh()
        optimizer = model.optimizer(model.parameters())  # type: ignore[misc]
        began = time.perf_counter()
        for epoch in range(epochs):
            for x, target in task.train_batches(epoch):
                optimizer.zero_grad()
                task.loss(model(x), target).backward()
                optimizer.step()
            with torch.no_grad():
                for x, target in task.val_dataloader():
                    task.loss(model(x), target)
        return time.perf_counter() - began

    def whole_loop() -> float:
        task, model = fresh()
        with tempfile.TemporaryDirectory() as path:
            folder = RunFolder(path)
            folder.checkpoints.mkdir()
            record = Record(folder.metrics_file, folder.last)
            trainer = build_trainer(config, task, folder, [record])
            trainer.fit(model, datamodule=task)
            return record.total_seconds

    bare_loop(), whole_loop()
    times = [(bare_loop(), whole_loop()) for _ in range(rounds)]
    bare_ms, whole_ms = (1e3 * statistics.median(column) / (steps * epochs) for column in zip(*times, strict=True))
    return {"bare_ms": bare_ms, "whole_ms": whole_ms, "share_of_20_ms": (whole_ms - bare_ms) / STEP}


def jobs(launcher: str, epochs: int) -> dict[str, float]:
    """Seconds of a sweep over four seeds with this launcher."""
    others = cpu_seconds_of_others()
    sweep = train("-m", f"launcher={launcher}", *FOUR, f"trainer.max_epochs={epochs}", "seed=0,1,2,3")
    seconds = seconds_of(sweep)
    return {f"{launcher}_seconds": seconds, f"{launcher}_cpu_seconds_of_others": cpu_seconds_of_others() - others}


def cpu_seconds_of_others() -> float:
    """The CPU time of all other processes so far, which shows whether the machine was idle."""
    user, nice, system = map(int, Path("/proc/stat").read_text().split()[1:4])
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - own.ru_utime - own.ru_stime


def train(*words: str) -> list[str]:
    return [sys.executable, str(ROOT / "train.py"), *words]


def seconds_of(command: list[str], expected: int = 0) -> float:
    """Wall time of a command in an empty folder, without a W&B account."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": path, "NETRC": f"{folder}/none"}
        began = time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode != expected:
            raise SystemExit(done.stderr or done.stdout)
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["start", "step", "jobs", "bare"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--launcher", default="joblib", help="of jobs: joblib, or basic for one after another")
    parser.add_argument("--epochs", type=int, default=1, help="of each of the four jobs")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    match options.what:
        case "bare":
            return bare()
        case "start":
            measured = start(options.rounds)
        case "step":
            measured = step(options.rounds)
        case _:
            measured = jobs(options.launcher, options.epochs)
    known: dict[str, Any] = json.loads(options.output.read_text()) if options.output.exists() else {}
    known.setdefault(options.what, {}).update(measured)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(known, indent=1) + "\n")
    for name, value in measured.items():
        print(f"{name:>26}  {value:.4g}")
    return None


if __name__ == "__main__":
    main()
