"""The comparison with other libraries skips what is not installed, and fails for a difference."""

from importlib.metadata import version

import pytest
import torch

from benchmarks import agreement


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ((1.0, 1.0), 0),
        ((1.0, 1.1), 1),
        ((1.0, float("nan")), 1),
        ((True, True), 0),
        (([1.0, 1.0], 1.0), 1),
        (([1.0], 1.0), 0),
    ],
)
def test_a_difference_gives_the_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], values: tuple, status: int
) -> None:
    cases = {("torch", "same"): lambda: [(1, 1), values], ("no_such_library", "other"): lambda: [(0, 1)]}
    monkeypatch.setattr(agreement, "CASES", cases)
    assert agreement.main([]) == status
    printed = capsys.readouterr().out.splitlines()
    assert printed[2].startswith(f"| torch {version('torch')} | same | ")
    assert printed[3] == "| no_such_library | other | not installed |"
    assert agreement.main(["torch"]) == status and "no_such_library" not in capsys.readouterr().out
    assert torch.get_default_dtype() == torch.float32


def test_a_library_without_cases_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"no case compares with snntroch; choose from brian2, .*snntorch"):
        agreement.main(["snntorch", "snntroch"])
