"""Bad input gets one clear line, exit code 1, no traceback, and nothing half-written."""

import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.acceptance.conftest import ROOT, SMALL, Command, Outcome, start, the_run


def refused(outcome: Outcome, *words: str) -> None:
    assert outcome.code == 1
    assert outcome.error.startswith("error: ")
    assert outcome.error.count("\n") == 1
    for word in words:
        assert word in outcome.error


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("modle=brc", ["modle", "did you mean model?"]),
        ("model=nbcr", ["model=nbcr", "did you mean nbrc?", "gru"]),
        ("task=adition", ["task=adition", "binary_addition"]),
        ("experiment=foo", ["experiment=foo", "copy_first_input"]),
        ("model._target_=no.Model", ["model._target_=no.Model cannot be imported"]),
        ("model._target_=collections.Counter", ["is not a model"]),
        ("nbrc", ["nbrc has no value", "model=nbrc"]),
        ("./outputs/", ["./outputs/ has no value", " run=./outputs/", "runs=./outputs/"]),
        ("+callbacks.extra.mine._target_=lightning.pytorch.callbacks.Foo", ["callbacks.Foo cannot be imported"]),
        ("model=brc,gru", ["model=brc,gru has several values", "-m"]),
        ("logger=[csv,foo]", ["there is no logger=foo", "--help"]),
        ("model.layer=nbrc", ["model.layer=nbrc", "package.module.Class"]),
        ("model.hiden_size=3", ["model.hiden_size", "hidden_size"]),
        ("lr=3", ["there is no key lr, did you mean optimizer.lr?"]),
        ("hidden_size=3", ["there is no key hidden_size, did you mean model.hidden_size?"]),
        ("+model.width=3", ["model.width"]),
        ("+modle=3", ["modle"]),
        ("model.hidden_size=many", ["model.hidden_size", "many"]),
        ("model.hidden_size=0", ["model.hidden_size", "0"]),
        ("model.initialisation=zeros", ["zeros", "paper2020", "bistable"]),
        ("model.layer=torch.nn.GRUU", ["model.layer=torch.nn.GRUU"]),
        ("task.length=-5", ["task.length", "-5"]),
        ("task.batch_size=0", ["task.batch_size", "0"]),
        ("task.train_size=ten", ["task.train_size", "ten"]),
        ("schedule=null", ["null", "~schedule"]),
        ("average_weights=1", ["average_weights", "above 0 and below 1"]),
        ("optimizer.lr=-1", ["error: optimizer.lr=-1.0: the optimizer refuses its settings"]),
        ("optimizer.weight_decay=-1", ["error: optimizer.weight_decay=-1.0: "]),
        ("optimizer.betas=[0.9,2]", ["error: optimizer.betas=2.0: "]),
        ("model.dropout=1.5", ["error: model.dropout=1.5: "]),
        ("optimizer.lr=fast", ["optimizer.lr", "fast"]),
        ("trainer.max_epochs=-5", ["max_epochs", "-5"]),
        ("trainer.epochs=5", ["trainer.epochs", "max_epochs"]),
        ("trainer.precision=12", ["12"]),
        ("logger.mode=on", ["logger.mode=on", "offline"]),
        ("logger.mode=online", ["wandb login"]),
        ("logger.mode={a:1}", ["logger.mode", "is not a logger"]),
        ("matmul_precision=low", ["matmul_precision=low", "highest"]),
        ("seed=-1", ["seed", "-1"]),
        ("seed=one", ["seed", "one"]),
        ("seed=5000000000", ["seed", "4294967295"]),
        ("task.seed=1", ["task.seed=1", "leave out task.seed"]),
        ("trainer.limit_val_batches=0", ["trainer.limit_val_batches", "0"]),
        ("trainer.max_steps=1", ["trainer.max_steps=1", "epoch"]),
        ("model.layer_arguments={batch_first:true}", ["batch_first"]),
        ("model=[brc", ["[brc"]),
        ("name=lr=0.1", ["name=lr=0.1 cannot be read", "quotes"]),
        ("paths.output_dir=/proc/nowhere", ["/proc/nowhere"]),
        ("trainer.log_every_n_steps=0", ["trainer.log_every_n_steps", "at least 1"]),
        ("trainer.log_every_n_steps=-1", ["trainer.log_every_n_steps", "-1"]),
        ("trainer.accumulate_grad_batches=0", ["trainer.accumulate_grad_batches", "0"]),
        ("trainer.check_val_every_n_epoch=0", ["trainer.check_val_every_n_epoch", "0"]),
        ("trainer.limit_test_batches=0", ["trainer.limit_test_batches", "0"]),
        ("trainer.limit_test_batches=0.1", ["trainer.limit_test_batches=0.1 of 1 batches is less than one"]),
        ("trainer.limit_val_batches=0.1", ["trainer.limit_val_batches=0.1 of 1 batches is less than one"]),
        ("trainer.limit_train_batches=0.1", ["trainer.limit_train_batches=0.1 of 2 batches is less than one"]),
        ("trainer.overfit_batches=0.1", ["trainer.overfit_batches=0.1 of 2 batches is less than one"]),
        ("trainer.limit_train_batches=x", ["trainer.limit_train_batches", "x"]),
        ("trainer.gradient_clip_val=-1", ["trainer.gradient_clip_val", "-1"]),
        ("trainer.min_steps=-3", ["trainer.min_steps", "-3"]),
        ("trainer.deterministic=wran", ["trainer.deterministic must be true, false or warn", "wran"]),
        ("trainer.min_epochs=100", ["trainer.min_epochs=100", "trainer.max_epochs=6"]),
        ("trainer.accelerator=tpu", ["the trainer cannot be built"]),
        ("optimizer.betas=[0.9]", ["the optimizer refuses its settings"]),
        ("optimizer.lr=inf", ["optimizer.lr", "inf"]),
        ("model.dropout=nan", ["model.dropout", "nan"]),
        ("model._target_=2", ["2"]),
        ("seeds=100000", ["seeds must be between 1 and 128", "100000"]),
        ("sweep=seeds", ["sweep=seeds is for a sweep", "-m"]),
        ("launcher=joblib", ["launcher=joblib is for a sweep", "-m"]),
        ("task.length=1000000000000000", ["task.train_size", "memory"]),
        ("task.length=1000000000000000000", ["task.train_size", "memory"]),
        ("task.train_size=1000000000000000", ["task.train_size", "memory"]),
        ("name=", ["name"]),
        ("paths.output_dir='~/out'", ["paths.output_dir", "~"]),
        ("paths.data_dir='~/data'", ["paths.data_dir", "~"]),
        ("seed=4294967296", ["seed", "4294967296"]),
        ("~name", ["name", "cannot be left out"]),
        ("~optimizer", ["optimizer", "cannot be left out"]),
        ("model=3", ["a group takes a word"]),
        ("experiment=[[1]]", ["the command line cannot be read"]),
        ("optimizer=[1,2]", ["the command line cannot be read"]),
        ("--resolve", ["--resolve", "--cfg"]),
        ("--shell-completion", ["install"]),
    ],
)
def test_a_wrong_argument_gives_a_one_line_error_and_writes_nothing(
    cli: Command, workplace: Path, argument: str, words: list[str]
) -> None:
    refused(cli("train", *SMALL, argument), *words)
    assert list(workplace.iterdir()) == []


def test_a_csv_logger_that_never_writes_is_refused(cli: Command, workplace: Path) -> None:
    outcome = cli("train", *SMALL, "logger=csv", "logger.csv.flush_logs_every_n_steps=0")
    refused(outcome, "logger.csv.flush_logs_every_n_steps must be at least 1")
    assert list(workplace.iterdir()) == []


SEARCH = ("sweep=random", "hydra.sweeper.n_trials=2", "optimizer.lr=interval(0.001,0.1)")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["train", *SMALL, "+task.planted=1"], ["nothing uses the key task.planted"]),
        (["evaluate", "run=x", "+planted=1"], ["nothing uses the key planted"]),
        (["compare", "+planted=1"], ["nothing uses the key planted"]),
        (["analyse", "run=x", "+planted=1"], ["nothing uses the key planted"]),
        (["runs", "+planted=1"], ["nothing uses the key planted"]),
        (["compare", "by=1.0"], ["by must be", "1.0"]),
        (["compare", "by=[]"], ["by must be", "[]"]),
        (["compare", "by=null"], ["by must be", "None"]),
        (["analyse"], ["name the folder of one run with run=, or", "runs="]),
        (["analyse", "run=x", "runs=y"], ["name the folder of one run with run=, or", "runs="]),
        (["analyse", "seed=-1"], ["seed must be", "-1"]),
        (["analyse", "methods=[]"], ["methods must be", "[]"]),
        (["analyse", "by=[]"], ["by must be", "[]"]),
        (["evaluate", "run="], ["run must be"]),
        (["evaluate", "run=x", "data_dir='~/data'"], ["data_dir", "~"]),
        (["compare", "output_dir='~/tables'"], ["output_dir", "~"]),
        (["compare", "leaderboard=''"], ["leaderboard must be"]),
        (["train", "-m", *SMALL, *SEARCH, "paths.output_dir='~/out'"], ["paths.output_dir", "~"]),
        (["compare", "leaderboard=a.md", "report=wandb"], ["report=wandb has no effect with leaderboard="]),
        (["compare", "wandb=sync", "where={model:brc}"], ["where={model:brc} has no effect with wandb=sync"]),
        (["compare", "source=wandb", "unfinished=true"], ["unfinished=true has no effect with source=wandb"]),
        (["analyse", "run=x", "method=dynamics", "steps=[plot]"], ["steps=[plot] has no effect with method=dynamics"]),
        (["analyse", "run=x", "unit=1"], ["unit=1 has no effect with method=spatial"]),
        (["analyse", "run=x", "by=[seed]"], ["by=[seed] has no effect with run="]),
        (["analyse", "runs=x", "steps=[plot]"], ["steps=[plot] has no effect with runs="]),
        (["train", "-m", "--cfg", "job"], ["Only one of"]),
        (["train", "task=custom", "task.inputs=a"], ["task.inputs needs a list, as in task.inputs=[a,b]"]),
    ],
)
def test_a_wrong_argument_of_any_command_gives_a_one_line_error(
    cli: Command, workplace: Path, command: list[str], words: list[str]
) -> None:
    refused(cli(*command), *words)
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize("words", [("model=brc", "model=gru"), ("seed=1", "seed=2"), ("-m", "seed=0,1", "seed=2")])
def test_an_error_names_both_of_two_values_for_one_key(workplace: Path, words: tuple[str, ...]) -> None:
    process = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words], cwd=workplace, capture_output=True, text=True, timeout=300
    )
    first, second = words[-2:]
    refused(Outcome(process.returncode, process.stdout, process.stderr), f"{first} and {second} both set")
    assert list(workplace.iterdir()) == []


def test_a_flag_that_does_not_exist_is_a_usage_error(cli: Command, workplace: Path) -> None:
    assert cli("train", "--nonsense").code == 2


@pytest.mark.parametrize("value", ["x" * 5000, "'\x1b[31mred'", "'a\nb'"])
def test_an_error_is_short_and_contains_no_control_characters(cli: Command, workplace: Path, value: str) -> None:
    outcome = cli("train", *SMALL, f"matmul_precision={value}")
    refused(outcome, "matmul_precision")
    assert len(outcome.error) < 1000
    assert outcome.error.strip().isprintable()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_requesting_a_missing_gpu_suggests_accelerator_cpu(cli: Command, workplace: Path) -> None:
    refused(cli("train", *SMALL, "accelerator=gpu"), "accelerator=cpu")
    assert list(workplace.iterdir()) == []


def test_a_misspelt_key_in_a_config_file_is_reported(cli: Command, workplace: Path) -> None:
    (workplace / "mine" / "model").mkdir(parents=True)
    file = workplace / "mine" / "model" / "mine.yaml"
    file.write_text("defaults: [/schema/model/brc@_here_, _self_]\nname: mine\nhiden_size: 5\n")
    refused(cli("train", "--config-dir", str(workplace / "mine"), "model=mine"), "hiden_size", "hidden_size")
    file.write_text("defaults: [/schema/model/brc@_here_, _self_]\nname: mine\nhidden_size: [\n")
    refused(cli("train", "--config-dir", str(workplace / "mine"), "model=mine"), "mine.yaml")


def test_an_output_folder_that_is_a_file_gives_a_one_line_error(cli: Command, workplace: Path) -> None:
    (workplace / "outputs").write_text("a file")
    refused(cli("train", *SMALL), "outputs")


def test_a_full_disk_gives_an_error_and_leaves_no_partial_file(workplace: Path) -> None:
    limit = 20_000  # bytes a file may have: less than the checkpoint of 50 units

    process = start(
        "train",
        *SMALL,
        "model.hidden_size=50",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        cwd=workplace,
    )
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in out
    assert "error: " in out
    assert [file for file in (workplace / "outputs").rglob("*") if file.name.endswith((".ckpt", ".partial"))] == []


def test_a_non_finite_loss_is_reported_with_its_step_and_keeps_the_last_finite_checkpoint(
    cli: Command, workplace: Path
) -> None:
    good = cli("train", *SMALL, "trainer.max_epochs=2", "optimizer=sgd")
    assert good.code == 0
    arguments = ("trainer.max_epochs=4", "optimizer=sgd", "optimizer.lr=1e38", "name=wild")
    outcome = cli("train", *SMALL, *arguments)
    refused(outcome, "became", "at step", "optimizer.lr")
    folder = the_run(next((workplace / "outputs").rglob("wild-*")))
    result = folder.result()
    assert result is not None
    assert result["status"] == "failed"
    assert "at step" in result["error"]
    if folder.last.exists():
        state = torch.load(folder.last, weights_only=True)["state_dict"]
        assert all(torch.isfinite(value).all() for value in state.values())


def test_evaluate_and_compare_refuse_a_folder_that_is_not_a_run(cli: Command, workplace: Path) -> None:
    refused(cli("evaluate"), "run")
    refused(cli("evaluate", "run=nowhere"), "nowhere", "train.py")
    refused(cli("compare", "runs=nowhere"), "nowhere", "train.py")
    (workplace / "config.yaml").write_text("lr: 1\n")
    refused(cli("evaluate", "run=."), "config.yaml", "not written by bionets")


class Trap:
    """An object whose unpickling creates a file."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("trap-was-sprung"),)  # type: ignore[return-value]


def test_a_foreign_checkpoint_is_refused_and_never_unpickled(cli: Command, workplace: Path) -> None:
    assert cli("train", *SMALL).code == 0
    folder = the_run(workplace / "outputs")
    evaluate = ("evaluate", f"run={folder.path}")
    whole = folder.best.read_bytes()

    folder.best.write_bytes(whole[: len(whole) // 2])
    refused(cli(*evaluate), "best.ckpt", "truncated")
    folder.best.write_bytes(pickle.dumps(Trap()))
    refused(cli(*evaluate), "best.ckpt", "not written by bionets")
    torch.save({"state_dict": {}, "trap": Trap()}, folder.best)
    refused(cli(*evaluate), "best.ckpt", "not written by bionets")
    torch.save({"state_dict": {}}, folder.best)
    refused(cli(*evaluate), "best.ckpt", "not written by")
    folder.best.unlink()
    refused(cli(*evaluate), "best.ckpt", "missing")
    refused(cli(*evaluate, "checkpoint=first"), "best or last")
    assert not (workplace / "trap-was-sprung").exists()

    folder.best.write_bytes(whole)
    assert cli(*evaluate).code == 0


def test_a_damaged_result_file_gives_a_one_line_error(cli: Command, workplace: Path) -> None:
    assert cli("train", *SMALL).code == 0
    folder = the_run(workplace / "outputs")
    folder.result_file.write_text('{"status": "comp')
    refused(cli("train", *SMALL), "result.json")
    refused(cli("compare", "runs=outputs"), "result.json")


def test_a_config_that_names_a_missing_schema_gives_a_one_line_error(cli: Command, workplace: Path) -> None:
    (workplace / "configs" / "task").mkdir(parents=True)
    (workplace / "configs" / "task" / "parity.yaml").write_text(
        "defaults: [/schema/task/parity@_here_]\nname: parity\n"
    )
    refused(cli("train", "--config-dir", "configs", "task=parity"), "task/parity", "_target_")
