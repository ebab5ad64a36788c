"""The benchmarks run at tiny sizes, whatever is installed, and time what they say they time."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks import cells
from benchmarks.__main__ import comparisons, main
from benchmarks.first_call import FRESH, USED
from benchmarks.floor import Floor, Work
from benchmarks.goals import GOALS
from benchmarks.results import Measured, Results
from benchmarks.stigmergic import stigmergic
from benchmarks.timing import Comparison, Contestant, Row, Run, compare
from bionets.scan import scan


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_quick_run_writes_the_time_or_the_failure_of_every_contestant(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "benchmarks.json"
    options = ["--quick", "--rounds", "2", "--threads", "1", "--plain-allocator", "--output", str(file)]
    assert main(["--only", "lif-round", "--only", "nbrc", "--only", "spiking-conv-round", *options]) == 0
    written = json.loads(file.read_text())
    assert written["environment"]["threads"] == 1
    assert [comparison["name"] for comparison in written["comparisons"]] == [
        "nbrc-5",
        "lif-round",
        "spiking-conv-round",
    ]
    for comparison in written["comparisons"]:
        assert comparison["rows"][0]["times_ours"] == 1
        for row in comparison["rows"]:
            assert row["failure"] if row["median_s"] is None else row["median_s"] > 0
            assert sum(row["floor_bytes"].values()) > 0


def test_a_part_of_the_benchmarks_replaces_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--only", "decay", "--quick", "--rounds", "1", "--threads", "1", "--plain-allocator"]) == 0
    assert "--output names a file" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_an_unknown_comparison_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "transformer"])
    assert "fits nothing" in capsys.readouterr().err


def test_a_contestant_that_fails_has_a_row_with_its_error() -> None:
    calls: list[str] = []

    def missing() -> Run:
        raise ImportError("No module named 'peer'")

    def broken() -> Run:
        def run() -> None:
            raise RuntimeError("shape\nand more")

        return run

    contestants = (
        Contestant("ours", lambda: lambda: calls.append("ours")),
        Contestant("missing", missing),
        Contestant("broken", broken),
        Contestant("slow", lambda: lambda: calls.append("slow"), most_rounds=1),
    )
    rows = compare(Comparison("x", "x", Work({}), contestants), rounds=3)
    assert [row.failure for row in rows] == [None, "ImportError: No module named 'peer'", "RuntimeError: shape", None]
    assert [len(row.seconds) for row in rows] == [3, 0, 0, 1]
    # two to warm up, then in turn, each after an untimed call; the slow one once
    assert calls == ["ours", "ours", "ours", "ours", "slow", "ours", "ours", "ours", "ours"]


def test_goals_refer_to_existing_comparisons_and_contestants() -> None:
    results = Results({})
    for comparison in comparisons(quick=False):
        rows = [Row(contestant, [1.0]) for contestant in comparison.contestants]
        results.comparisons[comparison.name] = Measured(comparison, rows, [Floor(0, 1.0, 0.0, 0.0)] * len(rows))
    results.memory["bionets scan"] = (1.0, None)
    results.conv_memory = {"bionets": (1.0, None), "another": (1.0, None)}
    results.first_calls = {f"cell, {machine}": (1.0, 1.0, None) for machine in (FRESH, USED)}
    assert [goal.measure(results) for goal in GOALS] == [1.0] * len(GOALS)


def measured_all(seconds: float = 1.0, **failures: str) -> Results:
    """Results of all comparisons, in which the rows of `lif_round` with these words in their names have failed."""
    results = Results({})
    for comparison in comparisons(quick=False):
        rows = [Row(contestant, [seconds]) for contestant in comparison.contestants]
        for row in rows:
            if comparison.name == "lif-round" and (why := failures.get(row.contestant.name.split()[-1])):
                row.seconds, row.failure = [], why
        results.comparisons[comparison.name] = Measured(comparison, rows, [Floor(0, 1.0, 0.0, 0.0)] * len(rows))
    return results


def test_a_failure_in_any_row_of_bionets_counts_and_one_of_another_library_does_not() -> None:
    assert not measured_all(Leaky="ImportError: no snntorch").ours_failed()
    assert measured_all(online="RuntimeError: wrong shape").ours_failed()
    assert Results({}, memory={"bionets scan": (1.0, None), "bionets scan, online": (None, "killed")}).ours_failed()


def test_a_goal_is_not_judged_if_a_measurement_that_it_needs_is_missing() -> None:
    goals = {goal.what: goal for goal in GOALS}
    fastest = goals["LIF: time over the fastest of snntorch, spikingjelly, norse"]
    first = goals[f"first call of a new cell, {FRESH}"]
    assert fastest.measure(measured_all()) == 1.0
    assert fastest.measure(measured_all(LIFBoxCell="ImportError: no norse")) is None
    assert fastest.measure(measured_all(ParametricLIFNode="RuntimeError")) is None
    calls = {f"one, {FRESH}": (0.1, 0.1, None), f"another, {FRESH}": (None, None, "killed")}
    assert first.measure(Results({}, first_calls=calls)) is None


def test_the_timed_lib_step_equals_the_published_equation() -> None:
    x, noise = torch.randn(6, 2, 3), torch.rand(6, 2, 3)
    beta, theta = torch.tensor([0.9, 0.5, 0.7]), torch.tensor([1.0, 0.3, 0.6])
    for quantiser in ("round", "bernoulli"):
        mem, expected = torch.zeros(2, 3), []
        for t in range(6):
            mem = beta * mem + x[t]
            p = 1 / (1 + torch.exp(-4 * (mem - theta)))
            expected.append((p > 0.5 if quantiser == "round" else noise[t] < p).float())
            mem = mem - expected[-1] * theta
        step, inputs = (cells.lib_round, x) if quantiser == "round" else (cells.lib_bernoulli, (x, noise))
        y, last = scan(step, inputs, torch.zeros(2, 3), (beta, theta), backend="reference")
        torch.testing.assert_close(y, torch.stack(expected))
        torch.testing.assert_close(last, mem)


def test_the_timed_dsrlits_step_and_its_gradients_equal_the_published_equation() -> None:
    """The original keeps its last output and updates the recurrent trace at the next step; bionets does so at once."""
    torch.manual_seed(0)
    x = (2 * torch.randn(12, 2, 3)).requires_grad_()
    noise = torch.rand(2, 12, 2, 3)
    values = [(0.2 + 0.6 * torch.rand(3)).requires_grad_() for _ in range(12)]
    weights = torch.randn(12, 2, 3)
    pairs = [cells.Pair(*values[i : i + 2]) for i in range(0, 12, 2)]
    zeros = cells.Pair(torch.zeros(2, 3), torch.zeros(2, 3))
    state = cells.DSRLITSState(zeros, zeros, zeros)
    y, _ = scan(
        cells.dsrlits_bernoulli, (x, noise[0], noise[1]), state, cells.DSRLITSParams(*pairs), backend="reference"
    )
    expected = _published_dsrlits(x, noise, values)
    torch.testing.assert_close(y, expected)
    assert set(torch.sign(y.detach()).unique().tolist()) == {-1.0, 0.0, 1.0}
    found = torch.autograd.grad((y * weights).sum(), [x, *values])
    wanted = torch.autograd.grad((expected * weights).sum(), [x, *values])
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def _published_dsrlits(x: Tensor, noise: Tensor, values: list[Tensor]) -> Tensor:
    alpha_p, alpha_n, beta_p, beta_n, gamma_p, gamma_n, theta_p, theta_n, scale_p, scale_n, w_p, w_n = values
    syn_p = syn_n = rec_p = rec_n = mem_p = mem_n = out = torch.zeros(2, 3)
    outputs = []
    for t in range(len(x)):
        syn_p = alpha_p * syn_p + (1 - alpha_p) * _positive(x[t])
        syn_n = alpha_n * syn_n - (1 - alpha_n) * _positive(-x[t])
        rec_p = gamma_p * rec_p + (1 - gamma_p) * _positive(out)
        rec_n = gamma_n * rec_n - (1 - gamma_n) * _positive(-out)
        syn, rec = syn_p + syn_n, rec_p + rec_n
        mem_p = beta_p * mem_p + w_p * _positive(rec) + _positive(syn)
        mem_n = beta_n * mem_n - w_n * _positive(-rec) - _positive(-syn)
        p_up, p_down = torch.sigmoid(4 * (mem_p + mem_n - theta_p)), torch.sigmoid(4 * (-theta_n - mem_p - mem_n))
        up = p_up + ((noise[0, t] < p_up).float() - p_up).detach()
        down = p_down + ((noise[1, t] < p_down).float() - p_down).detach()
        mem_p = mem_p - up * theta_p / 2 + down * theta_n / 2
        mem_n = mem_n - up * theta_p / 2 + down * theta_n / 2
        out = up * scale_p - down * scale_n
        outputs.append(out)
    return torch.stack(outputs)


def _positive(value: Tensor) -> Tensor:
    """max(0, value), whose gradient at exactly 0 is 1."""
    return torch.where(value >= 0, value, torch.zeros_like(value))


def test_the_stigmergic_contestants_compute_the_same_losses() -> None:
    runs = [contestant.build() for contestant in stigmergic(4).contestants]
    ours, *others = [[loss for _ in range(3) for loss in run()] for run in runs]
    for other in others:
        assert other == pytest.approx(ours, rel=1e-3)
    assert len(set(ours)) == len(ours)
