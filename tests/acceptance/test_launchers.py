"""The same sweep through every launcher; SLURM's programs are played by small scripts."""

import os
import sys
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore

from bionets.experiment.run_folder import RunFolder
from bionets.experiment.sweep import launching
from tests.acceptance.conftest import ROOT, SMALL, Command, start

LAUNCHERS = sorted(file.stem for file in (ROOT / "configs" / "launcher").glob("*.yaml"))
SWEEP = ("-m", *SMALL, "seed=0,1", "task.length=5,-5")

SBATCH = """#!{python}
# Starts the script of a job array on this machine, a process for each job, and says what sbatch says.
import os, re, subprocess, sys
script = open(sys.argv[-1]).read()
open("batch_script", "w").write(script)
first, last = map(int, re.search(r"--array=(\\d+)-(\\d+)", script).groups())
for task in range(first, last + 1):
    job = {{"SLURM_JOB_ID": f"7_{{task}}", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(task)}}
    job |= {{"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "1", "SLURM_NODEID": "0"}}
    subprocess.Popen(["bash", sys.argv[-1]], env={{**os.environ, **job}}, stdout=subprocess.DEVNULL)
print("Submitted batch job 7")
"""
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do [[ $1 == --output || $1 == --error ]] && shift; shift; done
exec "$@"
"""
SACCT = """#!/bin/bash
printf 'JobID|State|NodeList\\n7_0|RUNNING|here\\n7_1|RUNNING|here\\n7_2|RUNNING|here\\n7_3|RUNNING|here\\n'
"""


def check(code: int, said: str, workplace: Path) -> None:
    """Two jobs trained with one thread each, two failed and were named."""
    assert code == 1, said
    assert "error: 2 of 4 jobs failed" in said
    for seed in (0, 1):
        assert f"failed: seed={seed} task.length=-5: task.length must be" in said
    runs = [RunFolder(file.parent) for file in (workplace / "outputs").rglob("result.json")]
    assert {run.path.name for run in runs} == {"seed-0", "seed-1"}
    assert all(run.complete() for run in runs)


def threads(workplace: Path) -> set[str]:
    return {file.read_text().split('"threads": ')[1].split("\n")[0] for file in workplace.rglob("environment.json")}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_a_launcher_runs_jobs_that_share_the_cores(workplace: Path, launcher: str) -> None:
    process = start("train", *SWEEP, f"launcher={launcher}", cwd=workplace)
    out, _ = process.communicate(timeout=500)
    check(process.returncode, out, workplace)
    cores = launching.cores()
    at_once = cores if launcher == "ray" else min(cores, 4)
    assert threads(workplace) == {str(max(1, cores // min(at_once, 4)))}


@pytest.mark.slow
def test_slurm_gets_one_array_of_jobs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    for option in ("array=0-3%256", "partition=gpu", "gpus-per-node=1", "cpus-per-task=4", "mem=16GB", "time=1440"):
        assert f"#SBATCH --{option}\n" in script


@pytest.mark.slow
def test_workers_of_a_search_do_not_wait_for_each_other(workplace: Path) -> None:
    search = ("sweep=tpe", "optimizer.lr=interval(0.001,0.1)", "hydra.sweeper.n_trials=6", "hydra.sweeper.pruner=null")
    commands = [start("train", "-m", *SMALL, *search, "launcher=joblib", cwd=workplace)]
    commands.append(start("train", "-m", *SMALL, *search, cwd=workplace))  # the same study, from another terminal
    for command in commands:
        out, _ = command.communicate(timeout=500)
        assert command.returncode == 0, out
    assert "6 complete" in out
    assert len(list((workplace / "outputs").rglob("result.json"))) == 6


@pytest.mark.parametrize("launcher", [name for name in LAUNCHERS if name != "basic"])
def test_a_launcher_that_is_not_installed_names_what_to_install(
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


def test_slurm_without_slurm_is_one_line(cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "which", lambda program: None)
    outcome = cli("train", "-m", *SMALL, "launcher=submitit_slurm", "seed=0,1")
    assert outcome.code == 1
    assert outcome.error.startswith("error: launcher=submitit_slurm needs SLURM")
    assert outcome.error.count("\n") == 1
