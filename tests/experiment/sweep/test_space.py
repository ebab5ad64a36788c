"""Hydra's sweep syntax, as a grid and as Optuna distributions."""

import re
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bionets.experiment.errors import UserError
from bionets.experiment.sweep.space import MOST_JOBS, Space


def space(*words: str, **params: str) -> Space:
    return Space.of(params, words, config_loader=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "distribution"),
    [
        ("k=interval(0.1,1)", FloatDistribution(0.1, 1.0)),
        ("k=interval(1,8)", FloatDistribution(1.0, 8.0)),
        ("k=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("k=int(interval(1,8))", IntDistribution(1, 8)),
        ("k=tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("k=range(1,10,2)", IntDistribution(1, 9, step=2)),
        ("k=range(10,1,-3)", IntDistribution(4, 10, step=3)),
        ("k=tag(log,range(1,5))", IntDistribution(1, 4, log=True)),
        ("k=range(0.1,0.5,0.1)", FloatDistribution(0.1, 0.4, step=0.1)),
        ("k=range(0,1,0.3)", FloatDistribution(0.0, 0.9, step=0.3)),
        ("k=a,b", CategoricalDistribution(["a", "b"])),
        ("k=1,null", CategoricalDistribution(["1", "null"])),
        ("k=choice(1,[2,3])", CategoricalDistribution(["1", "[2,3]"])),
    ],
)
def test_sweep_syntax_becomes_an_optuna_distribution(word: str, distribution: Any) -> None:
    assert space(word).distributions() == {"k": distribution}


@pytest.mark.parametrize("word", ["k=tag(log,interval(0,1))", "k=tag(log,range(0.1,1,0.1))", "k=range(1,1)"])
def test_an_override_that_cannot_be_searched_is_refused_by_name(word: str) -> None:
    with pytest.raises(UserError, match=re.escape(word)):
        space(word).distributions()


def test_a_search_covers_every_value_of_the_grid() -> None:
    for word in ("k=range(0,1,0.3)", "k=range(1e-4,1e-3,1e-4)", "k=range(0.9,0,-0.3)", "k=range(0,2.1,0.7)"):
        listed = sorted(float(each[-1].removeprefix("k=")) for each in space(word).grid())
        (found,) = space(word).distributions().values()
        assert isinstance(found, FloatDistribution)
        assert found.step is not None
        searched = [
            found.low + number * found.step for number in range(round((found.high - found.low) / found.step) + 1)
        ]
        assert searched == pytest.approx(listed)


def test_an_interval_in_a_grid_is_refused() -> None:
    with pytest.raises(UserError, match="sweep=random"):
        space("k=interval(0,1)").grid()


def test_a_grid_with_too_many_or_no_values_is_refused() -> None:
    assert len(space(f"k=range(0,{MOST_JOBS})").grid()) == MOST_JOBS
    for words in ([f"k=range(0,{MOST_JOBS + 1})"], [f"k=range(0,{MOST_JOBS // 2 + 1})", "l=1,2"]):
        with pytest.raises(UserError, match=f"at most {MOST_JOBS}"):
            space(*words).grid()
    with pytest.raises(UserError, match=r"k=range\(1,1\) has no values"):
        space("k=range(1,1)").grid()


def test_one_value_for_a_key_of_a_chosen_sweep_is_refused() -> None:
    with pytest.raises(UserError, match="the sweep says seed=0,1, and the command line seed=3: leave out one"):
        space("sweep=seeds", "seed=3", seed="0,1")
    with pytest.raises(UserError, match="the sweep says seed=0,1, and the command line seed=3: leave out one"):
        space("sweep=seeds", "seed=3", "model=brc,gru", seed="0,1")
    assert space("experiment=mine", "sweep=grid", "seed=3", "model=brc,gru", seed="0,1").words() == ["model=brc,gru"]
    assert space("seed=3", seed="0,1").grid() == [["seed=3"]]
    assert space("sweep=seeds", "seed=3,4", seed="0,1").words() == ["seed=3,4"]
    assert space("sweep=seeds", "lr=3", seed="0,1").words() == ["seed=0,1"]


def test_a_grid_is_all_combinations_and_the_command_line_takes_precedence() -> None:
    both = space("model=b,c", "lr=0.1", "task=x", seed="0,1", model="a,b", task="x,y")
    assert both.fixed == ["task=x", "lr=0.1"]
    assert both.grid() == [
        ["task=x", "lr=0.1", f"seed={seed}", f"model={model}"] for seed in (0, 1) for model in ("b", "c")
    ]
    assert both.varied(both.grid()[0]) == ["seed=0", "model=b"]
    assert space("lr=0.1").grid() == [["lr=0.1"]]


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["plain", "with space", "a=b", "it's", '"quoted"', "[1, 2]", "{a: 1}", "null", "1e-3", "a\\,b"]),
)
def test_the_overrides_of_a_trial_parse_back_to_its_values(number: float, text: str) -> None:
    parser = OverridesParser.create()
    quoted = "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    searched = space("number=interval(0,1)", f"text={quoted},other", "fixed=1")
    distribution = searched.distributions()["text"]
    assert isinstance(distribution, CategoricalDistribution)
    choice = distribution.choices[0]
    fixed, first, second = searched.overrides({"number": number, "text": choice})
    assert fixed == "fixed=1"
    assert parser.parse_override(first).value() == number
    assert parser.parse_override(second).value() == parser.parse_override(f"text={quoted}").value()


def test_shuffled_choices_always_give_the_same_distribution() -> None:
    found = [space("k=shuffle(a,b,c,d,e,f)").distributions()["k"] for _ in range(5)]
    assert found == [CategoricalDistribution(list("abcdef"))] * 5


@pytest.mark.parametrize("word", ["k=interval(0,inf)", "k=interval(nan,1)"])
def test_an_interval_that_is_not_finite_is_refused(word: str) -> None:
    with pytest.raises(UserError, match="must be finite"):
        space(word).distributions()
