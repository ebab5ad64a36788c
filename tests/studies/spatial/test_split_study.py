"""The printed tables of many splits, and the labels of the settings in them and in the figure."""

import pytest

from bionets.studies.spatial.split_choice import Choice
from bionets.studies.spatial.split_numbers import READ, Group, summarise
from bionets.studies.spatial.split_study import PLACES, print_choices, print_table, setting_label


@pytest.mark.parametrize(
    ("setting", "names", "label"),
    [
        (["10.0", "30.0"], ["proximity", "transport"], "proximity 10, transport 30"),
        (["10.0", "0.0"], ["proximity", "transport"], "proximity 10"),
        (["0.0", "0.0"], ["proximity", "transport"], "without costs"),
        (["Tanh", "0.0", "0.0"], ["activation", "proximity", "transport"], "activation Tanh, without costs"),
        (["0.0"], ["proximity"], "proximity 0"),  # there may be a transport cost
        (["0.0"], ["positions_lr"], "positions_lr 0"),
        ([], [], "all runs"),
    ],
)
def test_a_setting_is_without_costs_only_if_both_weights_are_known_to_be_zero(
    setting: list[str], names: list[str], label: str
) -> None:
    assert setting_label(setting, names) == label


def test_tables_are_whole_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    quantities = ("retention", READ, *PLACES)
    numbers = {("", "accuracy a"): 0.5} | {("probability", quantity): 0.25 for quantity in quantities}
    print_table(summarise({Group("concatenate", ("10",)): [numbers, numbers]}), ["a"], ["proximity"])
    header, row = (line for line in capsys.readouterr().out.splitlines() if line[0] in "┃│")
    assert [cell.strip() for cell in header.split("┃")[1:-1]] == ["split", *quantities]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == ["probability", *["0.250 ± 0.000"] * 5]
    print_choices([Choice("concatenate", ("10",), 0.9, 0.5, 0.3)], ["proximity"], "greedy")
    assert "│ 0.300 (no setting reaches it: keeps most) │" in capsys.readouterr().out
