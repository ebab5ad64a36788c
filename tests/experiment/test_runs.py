"""`bionets runs` lists every run with its status, and deletes runs that ended early."""

import io
import json
import os
from datetime import datetime
from pathlib import Path

import pytest
from filelock import FileLock

from bionets.experiment.commands.runs import SORT, duration_of, in_order
from bionets.experiment.comparison.run_list import STATUSES, ListedRun, delete, listed
from bionets.experiment.errors import UserError
from bionets.experiment.run.run_folder import RunFolder
from tests.acceptance.conftest import Command, cli, workplace
from tests.experiment.run_folders import make_run, result_of

__all__ = ["cli", "workplace"]


def ended(folder: Path, status: str, error: str = "") -> Path:
    (folder / "result.json").write_text(json.dumps({"status": status, "error": error}))
    return folder


@pytest.fixture
def outputs(workplace: Path) -> dict[str, Path]:
    """One run of each status, below ``outputs``."""
    root = workplace / "outputs" / "binary_addition"
    found = {
        "complete": make_run(root, "nbrc", seed=0, accuracy=0.9),
        "second": make_run(root, "brc", seed=1, accuracy=0.7),
        "failed": ended(make_run(root, "gru", seed=0), "failed", "the loss became nan"),
        "interrupted": ended(make_run(root, "gru", seed=1), "interrupted"),
        "pruned": ended(make_run(root, "lstm", layers=2), "pruned"),
        "stopped": make_run(root, "lstm", accuracy=None),
        "unreadable": make_run(root, "rnn"),
    }
    (found["unreadable"] / "config.yaml").write_text("]")
    return found


def rows(out: str) -> list[list[str]]:
    """The cells of the printed lines, without the header, notes and the total."""
    return [line.split() for line in out.splitlines()[1:-1] if not line.startswith("  ")]


def test_every_run_is_listed_with_its_status(cli: Command, outputs: dict[str, Path]) -> None:
    outcome = cli("runs")
    assert outcome.code == 0, outcome.error
    shown = {row[-1]: row for row in rows(outcome.out)}
    for name, folder in outputs.items():
        row = shown[str(folder.relative_to(Path.cwd()))]
        assert row[0] == ("complete" if name == "second" else name)
    row = shown[str(outputs["complete"].relative_to(Path.cwd()))]
    assert row[1:6] == ["binary_addition", "nbrc", "1/270", "test/accuracy_length_60", "0.9"]
    assert row[6] == "0:00:12"
    assert "the loss became nan" in outcome.out
    assert outcome.out.splitlines()[-1].startswith("7 runs: 2 complete, 1 failed, 1 interrupted, 1 pruned, 1 stopped")


def test_a_run_in_training_is_listed_as_running_and_not_deleted(cli: Command, outputs: dict[str, Path]) -> None:
    with FileLock(outputs["stopped"] / ".lock", thread_local=False):
        assert [row[0] for row in rows(cli("runs", "where={model:lstm,model.num_layers:1}").out)] == ["running"]
        assert "0 runs" in cli("runs", "delete=stopped", "yes=true").out
    assert outputs["stopped"].exists()


def test_runs_are_filtered_and_sorted(cli: Command, outputs: dict[str, Path]) -> None:
    def models(*words: str) -> list[str]:
        return [row[2] for row in rows(cli("runs", *words).out)]

    assert models("status=complete", "sort=metric") == ["brc", "nbrc"]
    assert models("status=complete", "sort=-metric") == ["nbrc", "brc"]
    assert models("status=[complete,pruned]", "sort=model") == ["brc", "lstm", "nbrc"]
    assert models("sort=-metric")[:2] == ["nbrc", "brc"]  # those without a number come last
    make_run(outputs["complete"].parents[2], "mgu", accuracy=float("nan"))
    assert models("status=complete", "sort=metric") == ["brc", "nbrc", "mgu"]
    assert models("status=complete", "sort=-metric") == ["nbrc", "brc", "mgu"]
    assert models("where={model.num_layers:2}") == ["lstm"]
    assert "val/loss 0.3" in cli("runs", "metric=val/loss", "status=complete").out


@pytest.mark.parametrize("key", SORT)
def test_every_column_sorts_in_both_directions_and_unknown_values_come_last(key: str) -> None:
    def run(number: int) -> ListedRun:
        config = {"task": {"name": f"task{number}"}, "model": {"name": f"model{number}"}}
        changed = datetime(2026, 1, 1 + number)
        return ListedRun(Path(str(number)), STATUSES[number], config, "", "", number, 9.0 + number, changed)

    runs = [run(number) for number in (1, 0, 2)]
    unknown = ListedRun(Path("3"), STATUSES[3], runs[0].config | {"task": {"name": "z"}, "model": {"name": "z"}})
    for sort, expected in ((key, ["0", "1", "2"]), (f"-{key}", ["2", "1", "0"])):
        found = [str(run.path) for run in in_order([unknown, *runs], sort)]
        at_end = key in ("changed", "metric", "duration") or sort == key
        assert found == ([*expected, "3"] if at_end else ["3", *expected])


def test_the_first_accuracy_or_else_the_first_number_is_listed_with_the_time_of_the_last_change(
    outputs: dict[str, Path],
) -> None:
    folder = outputs["complete"]
    for metrics, name in (
        ({"test/loss": 0.5, "val/accuracy": 0.25, "test/accuracy": 0.75}, "val/accuracy"),
        ({"test/mse": 0.5, "test/mae": 0.25}, "test/mse"),
    ):
        (folder / "result.json").write_text(json.dumps({**result_of(0.5), "metrics": metrics}))
        for number, file in enumerate(("config.yaml", "metrics.csv", "result.json")):
            os.utime(folder / file, (0, 1000 * number))
        found = listed(RunFolder(folder))
        assert (found.metric, found.value) == (name, metrics[name])
        assert found.changed == datetime.fromtimestamp(2000)
    assert listed(RunFolder(folder), "test/mae").value == 0.25


def test_durations_are_printed_in_hours_minutes_and_seconds() -> None:
    assert [duration_of(each) for each in (None, 0.0, 59.6, 3725.4)] == ["", "0:00:00", "0:01:00", "1:02:05"]


@pytest.mark.parametrize(
    ("answer", "deleted"), [("y\n", True), (" YES \n", True), ("\n", False), ("n\n", False), ("", False)]
)
def test_runs_are_deleted_at_a_terminal_only_after_confirmation(
    cli: Command, outputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, answer: str, deleted: bool
) -> None:
    terminal = io.StringIO(answer)  # an empty one is Ctrl-D
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)
    outcome = cli("runs", "delete=[failed,pruned]")
    assert outcome.code == 0 and "delete these 2 folders and all files in them? [y/N]" in outcome.out
    assert outputs["failed"].exists() is outputs["pruned"].exists() is not deleted
    assert ("nothing was deleted" in outcome.out) is not deleted


def test_a_run_that_has_started_again_is_not_deleted(outputs: dict[str, Path]) -> None:
    failed, stopped = (listed(RunFolder(outputs[name])) for name in ("failed", "stopped"))
    ended(outputs["failed"], "interrupted")
    (outputs["stopped"] / ".lock").touch()
    with FileLock(outputs["stopped"] / ".lock", thread_local=False):
        assert not delete(failed) and not delete(stopped)
    assert outputs["failed"].exists() and outputs["stopped"].exists()
    with pytest.raises(UserError, match="only runs that ended early are deleted"):
        delete(listed(RunFolder(outputs["complete"])))


def test_the_figures_of_each_run_are_listed_on_request(cli: Command, outputs: dict[str, Path]) -> None:
    figure = outputs["complete"] / "figures" / "loss.png"
    figure.parent.mkdir()
    figure.touch()
    assert str(figure.relative_to(Path.cwd())) in cli("runs", "figures=true").out
    assert "loss.png" not in cli("runs").out


def test_only_runs_that_ended_early_are_deleted_and_only_with_yes_true(cli: Command, outputs: dict[str, Path]) -> None:
    outcome = cli("runs", "delete=[failed,pruned]")
    assert outcome.code == 1 and "yes=true" in outcome.error and outcome.error.count("\n") == 1
    assert all(folder.exists() for folder in outputs.values())
    assert cli("runs", "delete=[failed,pruned]", "yes=true").code == 0
    gone = {name for name, folder in outputs.items() if not folder.exists()}
    assert gone == {"failed", "pruned"}
    assert not outputs["pruned"].parent.exists()  # which held that run alone
    assert outputs["interrupted"].parent.exists()


def test_a_run_whose_process_was_killed_is_deleted(cli: Command, outputs: dict[str, Path]) -> None:
    (outputs["stopped"] / ".lock").touch()  # which the process has left
    assert cli("runs", "delete=stopped", "yes=true").code == 0
    assert not outputs["stopped"].exists()


def test_several_values_of_an_option_write_no_files(cli: Command, outputs: dict[str, Path], workplace: Path) -> None:
    outcome = cli("runs", "-m", "status=complete,stopped")
    assert outcome.code == 0 and "2 complete" in outcome.out and "1 stopped" in outcome.out
    assert [path.name for path in workplace.iterdir()] == ["outputs"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["delete=complete"], ["delete=complete", "failed"]),
        (["delete=unreadable"], ["delete=unreadable", "failed"]),
        (["status=done"], ["status=done", "complete"]),
        (["sort=size"], ["sort=size", "duration"]),
        (["where=brc"], ["where=brc", "where={"]),
        (["where={model.width:3}"], ["where=model.width"]),
        (["runs=nowhere"], ["runs=nowhere"]),
        (["status=failed", "delete=stopped", "yes=true"], ["delete=", "leave out status="]),
        (["metric=val/los"], ["metric=val/los", "did you mean val/loss?"]),
    ],
)
def test_a_wrong_argument_gives_a_one_line_error(
    cli: Command, outputs: dict[str, Path], words: list[str], named: list[str]
) -> None:
    outcome = cli("runs", *words)
    assert outcome.code == 1
    assert outcome.error.startswith("error: ") and outcome.error.count("\n") == 1
    assert all(name in outcome.error for name in named), outcome.error


def test_control_characters_in_a_folder_name_are_printed_escaped(cli: Command, workplace: Path) -> None:
    make_run(workplace / "shared").rename(workplace / "shared" / "\x1b]0;title\x07")
    for command in ("runs", "compare"):
        outcome = cli(command, "runs=shared")
        assert outcome.code == 0, outcome.error
        assert "\x1b" not in outcome.out and "\x07" not in outcome.out
    assert "\\x1b]0;title\\x07" in cli("runs", "runs=shared").out


def test_a_character_missing_in_the_terminal_encoding_is_printed_escaped(
    cli: Command, outputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(content, encoding="ascii", write_through=True))
    outcome = cli("compare", "runs=outputs")
    assert outcome.code == 0, outcome.error
    assert b"\\xb1" in content.getvalue()  # the plus-minus sign
