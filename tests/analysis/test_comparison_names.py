"""The names below the bars of a comparison."""

from matplotlib import cbook

from bionets.analysis.comparison import short_names
from bionets.analysis.names import label_of, name_of


def test_words_that_all_long_names_share_are_left_out() -> None:
    assert short_names(["study-brc-bptt-10", "study-brc-online-10"]) == ["BPTT-10", "online-10"]
    assert short_names(["study-one-name"]) == ["study-one-name"]
    assert short_names(["a-1", "a-2"]) == ["a-1", "a-2"]
    assert short_names(["long-name-a", "long-name-a-b"]) == ["a", "a-b"]


def test_dollar_signs_are_kept_and_begin_no_formula() -> None:
    assert name_of("$x{$ nbrc") == r"\$x{\$ nBRC"
    assert not any(cbook.is_math_text(shown) for shown in (name_of("a$b$c"), label_of("test/$x$")))
