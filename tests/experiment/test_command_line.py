import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from bionets.experiment.command_line import expand, override_of


def test_an_optimizer_and_a_schedule_are_chosen_by_the_name_of_their_class() -> None:
    words = ["-m", "optimizer.name=Adagrad,SGD", "schedule.name=OneCycleLR", "optimizer.lr=0.1", "model.name=a"]
    assert expand(words) == ["-m", "optimizer=Adagrad,SGD", "schedule=OneCycleLR", "optimizer.lr=0.1", "model.name=a"]


def test_flags_may_stand_between_overrides() -> None:
    words = ["seed=1", "-m", "+a.b=[1,2]", "~callbacks", "--cfg", "job", "-cd", "/a=b", "--info=all", "model=gru"]
    flags = ["-m", "--cfg", "job", "-cd", "/a=b", "--info=all"]
    assert expand(words) == [*flags, "seed=1", "+a.b=[1,2]", "~callbacks", "model=gru"]


@pytest.mark.parametrize(
    "value", ["outputs/a b/seed-0", "a,b", "a(b)", "lr=0.1", "it's", "C:\\runs\\", "1", "null", "[x", "${x}"]
)
def test_a_value_is_quoted_where_the_syntax_of_overrides_needs_it(value: str) -> None:
    assert OverridesParser.create().parse_override(override_of("run", value)).value() == value
    assert override_of("run", "outputs/run-1/seed-0") == "run=outputs/run-1/seed-0"
