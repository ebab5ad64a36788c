"""Runs ended by a signal or with their parent process: they resume to the same bits and leave no process."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bionets.experiment.run.checkpoints import read_checkpoint
from tests.acceptance.conftest import SMALL, Command, start, the_run
from tests.acceptance.test_runs import assert_equal_runs
from tests.soak.processes import processes_in

LONG = (*SMALL, "task.epochs_per_length=200")
SLURM = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}


def wait_for(condition: Callable[[], object], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


@pytest.fixture
def no_process_left(workplace: Path) -> Iterator[None]:
    yield
    os.chdir("/")
    wait_for(lambda: not processes_in(workplace), 180)  # processes of Ray report the death of their node for a minute


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_with_its_exit_code_and_is_recorded(
    workplace: Path, no_process_left: None, number: int, code: int
) -> None:
    process = start("train", *LONG, cwd=workplace)
    wait_for(lambda: list(workplace.rglob("last.ckpt")))
    process.send_signal(number)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == code, out
    assert "stopped: the same command continues after the last complete epoch" in out
    assert "Traceback" not in out
    result = the_run(workplace / "outputs").result()
    assert result is not None
    assert result["status"] == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_one_signal_ends_both_processes_of_a_ddp_run(workplace: Path, no_process_left: None, number: int) -> None:
    two = ("accelerator=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "model.dropout=0")
    process = start("train", *LONG, *two, cwd=workplace)
    wait_for(lambda: list(workplace.rglob("last.ckpt")))
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}[number]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
@pytest.mark.parametrize("search", [(), ("sweep=random", "hydra.sweeper.n_trials=4")])
def test_workers_end_when_the_process_that_launched_them_is_killed(
    workplace: Path, no_process_left: None, launcher: str, search: tuple[str, ...]
) -> None:
    swept = ("optimizer.lr=interval(0.001,0.1)",) if search else ("seed=0,1",)
    process = start("train", "-m", *LONG, f"launcher={launcher}", *search, *swept, cwd=workplace)
    wait_for(lambda: list(workplace.rglob("last.ckpt")))
    process.kill()
    process.communicate(timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_sigterm_ends_a_sweep_and_its_workers(workplace: Path, no_process_left: None, launcher: str) -> None:
    process = start("train", "-m", *LONG, f"launcher={launcher}", "seed=0,1,2,3", cwd=workplace)
    wait_for(lambda: list(workplace.rglob("last.ckpt")))
    process.terminate()
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 143, out


def is_worker(process: int) -> bool:
    command = Path(f"/proc/{process}/cmdline").read_bytes()
    return b"LokyProcess" in command or b"submitit.local" in command


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "seeds", "number", "code", "message"),
    [
        ("joblib", 2, signal.SIGTERM, 143, "stopped: the same command continues"),
        ("joblib", 2, signal.SIGKILL, 1, "error: a process of the launcher died: the same command continues"),
        ("submitit_local", 1, signal.SIGKILL, 1, "error: a process of the launcher died: the same command continues"),
    ],
)
def test_a_worker_that_is_ended_ends_the_sweep_with_an_exit_code_and_a_message(
    workplace: Path, no_process_left: None, launcher: str, seeds: int, number: int, code: int, message: str
) -> None:
    seed = ",".join(map(str, range(seeds)))
    process = start("train", "-m", *LONG, f"launcher={launcher}", f"seed={seed}", cwd=workplace)
    wait_for(lambda: len(list(workplace.rglob("last.ckpt"))) == seeds)
    os.kill(next(filter(is_worker, processes_in(workplace))), number)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == code, out
    assert message in out
    assert "Traceback" not in out
    recorded = [file.read_text() for file in workplace.rglob("result.json")]
    assert len(recorded) == (number == signal.SIGTERM)
    assert all('"status": "interrupted"' in text for text in recorded)


def test_a_requeue_checkpoint_of_another_run_is_not_loaded(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("train", *SMALL, "seed=1", "paths.output_dir=alone").code == 0
    assert cli("train", *SMALL, "seed=0", "paths.output_dir=other").code == 0
    the_run(workplace / "other").last.rename(workplace / "hpc_ckpt_1.ckpt")
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert cli("train", *SMALL, "seed=1", "paths.output_dir=in_slurm").code == 0
    assert_equal_runs(workplace / "alone", workplace / "in_slurm")


def test_a_job_requeued_by_slurm_resumes_after_its_last_complete_epoch(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*SMALL, "task.epochs_per_length=8")
    assert cli("train", *words, "paths.output_dir=whole").code == 0
    programs = workplace / "bin"
    programs.mkdir()
    (programs / "scontrol").write_text(f"#!/bin/bash\necho $* > {workplace}/requeued\nkill -TERM $PPID\n")
    (programs / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    process = start("train", *words, "paths.output_dir=requeued_run", cwd=workplace)
    wait_for(lambda: list(workplace.glob("requeued_run/**/last.ckpt")))
    process.send_signal(signal.SIGUSR1)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 143, out
    assert (workplace / "requeued").read_text() == "requeue 7\n"
    assert list(workplace.rglob("hpc_ckpt*")) == []
    folder = the_run(workplace / "requeued_run")
    epoch = max(read_checkpoint(file)["epoch"] for file in (folder.best, folder.last))  # best.ckpt is written first
    outcome = cli("train", *words, "paths.output_dir=requeued_run")
    assert outcome.code == 0, outcome.error
    assert f"going on after epoch {epoch}" in outcome.out
    assert_equal_runs(workplace / "whole", workplace / "requeued_run")


def test_ctrl_c_while_pytorch_is_imported_prints_no_error(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bionets.experiment.commands.cli.register", interrupted)
    outcome = cli("train", "model=nbrc")
    assert (outcome.code, outcome.error) == (130, "")
