"""The chosen setting is the most accurate of those that separate the tasks in every run."""

from bionets.studies.spatial.split_choice import choose_settings
from bionets.studies.spatial.split_numbers import READ, Group, Row, summarise


def rows(runs: dict[tuple[str, str], list[tuple[float, float, float]]]) -> list[Row]:
    """(presentation, transport) -> (accuracy, the lower retention, what is read) of each run."""
    measured = {
        Group(presentation, (transport,)): [
            {
                ("", "accuracy a"): accuracy + 0.1,
                ("", "accuracy b"): accuracy - 0.1,
                ("greedy", "retention a"): 1.0,
                ("greedy", "retention b"): kept,
                ("greedy", "retention"): (1 + kept) / 2,
                ("greedy", READ): read,
                ("rescale", "retention b"): 0.0,
                ("rescale", READ): 1.0,
            }
            for accuracy, kept, read in each
        ]
        for (presentation, transport), each in runs.items()
    }
    return summarise(measured)


def test_the_most_accurate_setting_that_separates_the_tasks_in_every_run_is_chosen() -> None:
    found = rows(
        {
            ("mix", "1"): [(0.95, 1.0, 0.1), (0.95, 0.94, 0.1)],  # one run keeps too little of one task
            ("mix", "3"): [(0.94, 1.0, 0.21), (0.94, 1.0, 0.1)],  # one run lets too much be read
            ("mix", "10"): [(0.92, 0.96, 0.1), (0.94, 0.99, 0.19)],
            ("mix", "30"): [(0.92, 1.0, 0.1), (0.92, 1.0, 0.1)],
        }
    )
    (choice,) = choose_settings(found, "greedy")
    assert (choice.presentation, choice.setting, choice.parts) == ("mix", ("10",), True)
    assert abs(choice.accuracy - 0.93) < 1e-12 and (choice.kept, choice.read) == (0.96, 0.19)


def test_without_a_separating_setting_the_one_with_the_highest_retention_is_chosen() -> None:
    found = rows({("mix", "1"): [(0.95, 0.7, 0.1)], ("mix", "3"): [(0.9, 0.8, 0.1)]})
    (choice,) = choose_settings(found, "greedy")
    assert choice.setting == ("3",) and not choice.parts


def test_one_setting_for_all_presentations_must_separate_the_tasks_in_each() -> None:
    found = rows(
        {
            ("mix", "1"): [(0.95, 1.0, 0.1)],
            ("mix", "3"): [(0.90, 1.0, 0.1)],
            ("mix", "30"): [(0.99, 1.0, 0.1)],  # the other presentation was not trained with it
            ("sequential", "1"): [(0.95, 0.5, 0.1)],
            ("sequential", "3"): [(0.90, 0.98, 0.1)],
        }
    )
    chosen = {choice.presentation: choice for choice in choose_settings(found, "greedy")}
    assert {name: choice.setting for name, choice in chosen.items()} == {
        "mix": ("30",),
        "sequential": ("3",),
        "all": ("3",),
    }
    assert chosen["all"].kept == 0.98
