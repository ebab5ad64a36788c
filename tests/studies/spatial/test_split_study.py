"""The labels of the settings in the table and the figure of many splits."""

import pytest

from bionets.studies.spatial.split_study import setting_label


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
