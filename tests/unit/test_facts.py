"""Which visits a template that heard of none is right for, and what a visit's parameters look like."""

from __future__ import annotations

import itertools

import pytest

from vaas.facts import ASPECTS, BASKET, EMPTY, PORTAL, QUERY, REQUEST, VISITOR, Facts, Query, Way, fits

ASKED = [frozenset(some) for n in range(4) for some in itertools.combinations((QUERY, VISITOR, REQUEST), n)]
WHOLE = Facts("a=1", "bob", ("physics", "staff"), {"SERVER_NAME": "app.example.org", "SCRIPT_NAME": "/user/x/"})


@pytest.mark.parametrize("asked", ASKED, ids=sorted)
def test_a_template_is_right_for_who_would_have_told_it_nothing(asked: frozenset[str]) -> None:
    assert fits(asked, EMPTY)
    cases = {QUERY: Facts(query="a=1"), VISITOR: Facts(name="bob"), REQUEST: Facts(request={"SERVER_NAME": "x"})}
    for aspect, told in cases.items():
        assert fits(asked, told) == (aspect not in asked)
    assert fits(asked, WHOLE) == (not asked)


def test_groups_alone_tell_who_it_is() -> None:
    assert not fits({VISITOR}, Facts(groups=("physics",)))


def test_what_is_the_same_for_all_visits_keeps_none_away() -> None:
    assert fits({REQUEST}, Facts(request={"SERVER_SOFTWARE": "voila", "SCRIPT_NAME": "/user/app-x/v1/"}))


def test_what_is_not_known_fits_no_visit() -> None:
    assert not fits({"the weather"}, EMPTY)


def test_what_asked_the_portal_fits_no_visit() -> None:
    assert not fits({PORTAL}, EMPTY) and not fits({PORTAL}, Facts(way=Way(1, "s")))


def test_who_comes_with_a_basket_has_no_template_that_heard_of_none() -> None:
    assert fits({BASKET}, EMPTY) and fits({BASKET}, Facts(query="a=1"))
    assert not fits({BASKET}, Facts(way=Way(1, "s")))


def test_how_to_ask_the_portal_keeps_no_visit_away_and_is_in_no_variable() -> None:
    facts = Facts(way=Way(1, "unmistakable"))
    assert fits({QUERY, VISITOR, REQUEST}, facts)
    assert "unmistakable" not in str(facts.environ) + repr(facts)
    assert Facts.from_environ(facts.environ).way is None


@pytest.mark.parametrize("facts", [EMPTY, WHOLE, Facts("", "bob"), Facts(way=Way(3128, "s"))])
def test_facts_survive_their_way_to_the_kernel(facts: Facts) -> None:
    assert Facts.from_json(facts.to_json()) == facts
    assert Facts.from_json({}) == EMPTY


def test_facts_are_read_from_what_a_kernel_is_started_with() -> None:
    environ = {"QUERY_STRING": "a=1", "VAAS_VISITOR": '{"name": "bob", "groups": ["staff"]}', "SERVER_NAME": "x"}
    assert Facts.from_environ({**environ, "PATH": "/bin"}) == Facts("a=1", "bob", ("staff",), {"SERVER_NAME": "x"})
    assert Facts.from_environ({"PATH": "/bin"}) == EMPTY


def test_who_it_is_is_in_no_variable() -> None:
    assert "bob" not in str(WHOLE.variables)
    assert WHOLE.variables["QUERY_STRING"] == "a=1"
    assert set(ASPECTS) >= {"QUERY_STRING", "VOILA_REQUEST_URL"}


def test_a_parameter_has_its_last_value_and_all_of_them() -> None:
    query = Query("year=1990&year=2020&name=a%20b&empty=")
    assert dict(query) == {"year": "2020", "name": "a b", "empty": ""}
    assert (query.all("year"), query.all("none")) == (("1990", "2020"), ())
    assert (query.get("none", "x"), len(query), "name" in query) == ("x", 3, True)
    with pytest.raises(TypeError):
        query["year"] = "2000"  # type: ignore[index]
