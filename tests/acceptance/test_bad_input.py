"""Bad input gets one clear line, exit code 1, no traceback, and nothing half-written."""

import pickle
import resource
from pathlib import Path

import pytest
import torch

from tests.acceptance.conftest import SMALL, Command, Outcome, start, the_run


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
        ("model.hiden_size=3", ["model.hiden_size", "hidden_size"]),
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
        ("average_weights=1", ["average_weights", "between 0 and 1"]),
        ("optimizer.lr=-1", ["learning rate", "-1"]),
        ("optimizer.lr=fast", ["optimizer.lr", "fast"]),
        ("trainer.max_epochs=-5", ["max_epochs", "-5"]),
        ("trainer.epochs=5", ["trainer.epochs", "max_epochs"]),
        ("trainer.precision=12", ["12"]),
        ("logger.mode=on", ["logger.mode=on", "offline"]),
        ("logger.mode=online", ["wandb login"]),
        ("matmul_precision=low", ["matmul_precision=low", "highest"]),
        ("seed=-1", ["seed", "-1"]),
        ("seed=one", ["seed", "one"]),
        ("seed=5000000000", ["seed", "4294967295"]),
        ("trainer.limit_val_batches=0", ["trainer.limit_val_batches", "0"]),
        ("trainer.max_steps=1", ["trainer.max_steps=1", "epoch"]),
        ("model.layer_arguments={batch_first:true}", ["batch_first"]),
        ("model=[brc", ["[brc"]),
        ("paths.output_dir=/proc/nowhere", ["/proc/nowhere"]),
    ],
)
def test_a_wrong_word_is_one_line_and_writes_nothing(
    cli: Command, workplace: Path, argument: str, words: list[str]
) -> None:
    refused(cli("train", *SMALL, argument), *words)
    assert list(workplace.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_asking_for_a_gpu_where_there_is_none_says_what_to_choose(cli: Command, workplace: Path) -> None:
    refused(cli("train", *SMALL, "accelerator=gpu"), "accelerator=cpu")
    assert list(workplace.iterdir()) == []


def test_a_misspelt_key_in_a_file_is_found(cli: Command, workplace: Path) -> None:
    (workplace / "mine" / "model").mkdir(parents=True)
    file = workplace / "mine" / "model" / "mine.yaml"
    file.write_text("defaults: [/schema/model/brc@_here_, _self_]\nname: mine\nhiden_size: 5\n")
    refused(cli("train", "--config-dir", str(workplace / "mine"), "model=mine"), "hiden_size", "hidden_size")
    file.write_text("defaults: [/schema/model/brc@_here_, _self_]\nname: mine\nhidden_size: [\n")
    refused(cli("train", "--config-dir", str(workplace / "mine"), "model=mine"), "mine.yaml")


def test_a_pair_that_does_not_fit_names_the_models_that_do(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bionets.models.RecurrentModel.accepts", frozenset({"sequence_to_value"}))
    refused(cli("train", *SMALL), "model=brc does not fit task=binary_addition", "choose model=stigmergic")
    assert list(workplace.iterdir()) == []


def test_an_output_folder_that_is_a_file_is_one_line(cli: Command, workplace: Path) -> None:
    (workplace / "outputs").write_text("a file")
    refused(cli("train", *SMALL), "outputs")


def test_a_full_disk_is_one_line_and_keeps_what_was_whole(workplace: Path) -> None:
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


def test_a_loss_that_is_not_finite_names_the_step_and_keeps_the_last_good_checkpoint(
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


def test_evaluating_what_is_no_run_is_one_line(cli: Command, workplace: Path) -> None:
    refused(cli("evaluate"), "run")
    refused(cli("evaluate", "run=nowhere"), "nowhere", "train.py")
    refused(cli("compare", "runs=nowhere"), "nowhere", "train.py")
    (workplace / "config.yaml").write_text("lr: 1\n")
    refused(cli("evaluate", "run=."), "config.yaml", "not written by bionets")


class Trap:
    """Pickles to a call that leaves a file."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("trap-was-sprung"),)  # type: ignore[return-value]


def test_a_checkpoint_that_is_not_ours_is_refused_and_never_unpickled(cli: Command, workplace: Path) -> None:
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


def test_a_folder_whose_files_are_broken_is_one_line(cli: Command, workplace: Path) -> None:
    assert cli("train", *SMALL).code == 0
    folder = the_run(workplace / "outputs")
    folder.result_file.write_text('{"status": "comp')
    refused(cli("train", *SMALL), "result.json")
    refused(cli("compare", "runs=outputs"), "result.json")
