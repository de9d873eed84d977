"""The page quotes what the committed files say, and the files say what was found."""

import re

from benchmarks.results import PAGE, RESULTS, Figure, Result, claim, render


def test_the_page_is_made_from_the_committed_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == render()


def test_every_committed_claim_says_whether_it_holds() -> None:
    for file in RESULTS.glob("*.json"):
        result = Result.model_validate_json(file.read_text(encoding="utf-8"))
        assert result.name == file.stem
        assert result.claims == [claim(c.what, c.value, c.comparison, c.goal) for c in result.claims]


def test_every_interval_holds_its_value() -> None:
    for file in RESULTS.glob("*.json"):
        for key, figure in Result.model_validate_json(file.read_text(encoding="utf-8")).figures.items():
            if isinstance(figure, Figure):
                assert figure.low <= figure.value <= figure.high, key


def test_a_claim_that_fails_is_kept_as_failed() -> None:
    assert not claim("faster than light", 0.9, ">=", 1.0).holds
    assert claim("slower than light", 0.9, "<=", 1.0).holds


def test_no_flame_graph_names_a_place_of_the_machine_that_drew_it() -> None:
    for file in RESULTS.glob("*.svg"):
        titles = re.findall("<title>([^<]*)</title>", file.read_text(encoding="utf-8"))
        assert titles
        assert not [title for title in titles if "(/" in title or " /" in title], file.name
