"""The names below the bars of a comparison."""

from bionets.analysis.comparison import short_names


def test_words_that_all_long_names_share_are_left_out() -> None:
    assert short_names(["study-brc-bptt-10", "study-brc-online-10"]) == ["BPTT-10", "online-10"]
    assert short_names(["study-one-name"]) == ["study-one-name"]
    assert short_names(["a-1", "a-2"]) == ["a-1", "a-2"]
    assert short_names(["long-name-a", "long-name-a-b"]) == ["a", "a-b"]
