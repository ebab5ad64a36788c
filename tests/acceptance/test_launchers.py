"""The same sweep with every launcher; small scripts stand in for the programs of SLURM."""

import json
import os
import sys
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore

from bionets.experiment.sweep import launching
from tests.acceptance.conftest import ROOT, SMALL, Command, start, the_run

LAUNCHERS = sorted(file.stem for file in (ROOT / "configs" / "launcher").glob("*.yaml"))
SWEEP = ("-m", *SMALL, "task.length=5,-5")

SBATCH = """#!{python}
# Starts the script of a job array on this machine, a process for each job, and says what sbatch says.
import os, re, subprocess, sys
script = open(sys.argv[-1]).read()
copy = os.path.abspath("batch_script")  # the original is moved once this ends
open(copy, "w").write(script)
first, last = map(int, re.search(r"--array=(\\d+)-(\\d+)", script).groups())
for task in range(first, last + 1):
    job = {{"SLURM_JOB_ID": f"7_{{task}}", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(task)}}
    job |= {{"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "1", "SLURM_NODEID": "0"}}
    null = subprocess.DEVNULL
    subprocess.Popen(["bash", copy], env={{**os.environ, **job}}, stdout=null, stderr=null, start_new_session=True)
print("Submitted batch job 7")
"""
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do [[ $1 == --output || $1 == --error ]] && shift; shift; done
exec "$@"
"""
SACCT = """#!/bin/bash
printf 'JobID|State|NodeList\\n7_0|RUNNING|here\\n7_1|RUNNING|here\\n'
"""


def check(code: int, said: str, workplace: Path) -> None:
    """Assert that one job was trained, and that the failure of the other was reported."""
    assert code == 1, said
    assert "error: 1 of 2 jobs failed" in said
    assert "failed: task.length=-5: task.length must be" in said
    assert the_run(workplace / "outputs").complete()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_a_launcher_runs_jobs_that_share_the_cores(workplace: Path, launcher: str) -> None:
    process = start("train", *SWEEP, f"launcher={launcher}", cwd=workplace)
    out, _ = process.communicate(timeout=500)
    check(process.returncode, out, workplace)
    environment = json.loads(the_run(workplace / "outputs").environment_file.read_text())
    at_once = launching.cores() if launcher == "ray" else min(launching.cores(), 2)
    assert environment["threads"] == launching.cores() // at_once


@pytest.mark.slow
def test_slurm_receives_a_sweep_as_one_job_array(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = workplace / "bin"
    programs.mkdir()
    for name, text in (("sbatch", SBATCH.format(python=sys.executable)), ("srun", SRUN), ("sacct", SACCT)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    settings = ("hydra.launcher.partition=gpu", "hydra.launcher.gpus_per_node=1")
    process = start("train", *SWEEP, "launcher=submitit_slurm", *settings, cwd=workplace)
    out, _ = process.communicate(timeout=500)
    check(process.returncode, out, workplace)
    script = (workplace / "batch_script").read_text()
    for option in ("array=0-1%2", "partition=gpu", "gpus-per-node=1", "cpus-per-task=4", "mem=16GB", "time=1440"):
        assert f"#SBATCH --{option}\n" in script


@pytest.mark.slow
def test_two_commands_work_on_one_search_at_the_same_time(workplace: Path) -> None:
    search = ("sweep=tpe", "optimizer.lr=interval(0.001,0.1)", "hydra.sweeper.n_trials=4", "hydra.sweeper.pruner=null")
    commands = [start("train", "-m", *SMALL, *search, "launcher=joblib", cwd=workplace)]
    commands.append(start("train", "-m", *SMALL, *search, cwd=workplace))  # the same study, from another terminal
    for command in commands:
        out, _ = command.communicate(timeout=500)
        assert command.returncode == 0, out
    assert "4 complete" in out
    assert len(list((workplace / "outputs").rglob("result.json"))) == 4


@pytest.mark.parametrize("launcher", [name for name in LAUNCHERS if name != "basic"])
def test_a_launcher_that_is_not_installed_is_refused_with_the_pip_command(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    import hydra.core.plugins

    hydra.core.plugins.Plugins.instance()  # which registers them
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], f"{launcher}.yaml")
    outcome = cli("train", "-m", *SMALL, f"launcher={launcher}", "seed=0,1")
    assert outcome.code == 1
    assert outcome.error == (
        f"error: In 'launcher/{launcher}': launcher={launcher} needs a package that is not installed: "
        "pip install 'bionets[launchers]'\n"
    ) or outcome.error == (
        f"error: launcher={launcher} needs a package that is not installed: pip install 'bionets[launchers]'\n"
    )


def test_the_slurm_launcher_without_slurm_gives_a_one_line_error(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "which", lambda program: None)
    outcome = cli("train", "-m", *SMALL, "launcher=submitit_slurm", "seed=0,1")
    assert outcome.code == 1
    assert outcome.error.startswith("error: launcher=submitit_slurm needs SLURM")
    assert outcome.error.count("\n") == 1
