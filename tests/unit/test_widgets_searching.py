"""What the discovery dashboard asks and shows, without a browser: searching, looking, links, time, keeping."""

from __future__ import annotations

from typing import Any

import pytest

from tests.small_portal import SmallPortal, records
from vaas.client import PortalError
from vaas.query import parse
from vaas.widgets import links, shown, terms, timeline
from vaas.widgets.keeping import Keeping
from vaas.widgets.searching import Searching


class Refusing(SmallPortal):
    """Refuses some verbs."""

    def __init__(self, *verbs: str, name: str = "ada") -> None:
        self.refused = set(verbs)
        super().__init__(name, asked=self._refuse)

    def _refuse(self, verb: str) -> None:
        if verb in self.refused:
            raise PortalError("The portal is away. Try again in a minute.")


def searching(portal: SmallPortal | None = None) -> tuple[Searching, SmallPortal]:
    portal = portal or SmallPortal()
    return Searching(lambda: portal), portal


# ---- searching ----


def test_an_answer_has_what_the_page_shows() -> None:
    answer = searching()[0].search("tide type:data")
    assert answer["state"] == "ok" and answer["q"] == "tide type:data"
    assert {card["type"] for card in answer["records"]} == {"data"}
    assert answer["total"] == len(answer["records"]) == 13 and not answer["more"]
    assert answer["words"] == ["tide"] and answer["on"] == [["type", "data"]]
    assert sum(span["count"] for span in answer["timeline"]["spans"]) == 13 and answer["timeline"]["whole"]


def test_a_first_page_is_small() -> None:
    import json

    answer = searching()[0].search("")
    assert answer["total"] > len(answer["records"]) == 30
    assert len(json.dumps(answer)) < 40_000


def test_while_somebody_types_only_this_portal_is_asked_and_the_last_word_may_be_a_beginning() -> None:
    view, portal = searching()
    answer = view.search("sea te", typing=True, outside=False)
    assert portal.log[0] == ("search", "in:here sea te*")
    assert {card["catalog"] for card in answer["records"]} == {"here"} and answer["total"] == 19
    assert answer["whole"] == "sea te*"
    assert "zenodo" in {card["catalog"] for card in view.search("sea te", typing=True)["records"]}


def test_who_names_a_catalog_has_it_asked_with_each_letter() -> None:
    view, portal = searching()
    view.search("in:zenodo ti", typing=True, outside=False)
    assert portal.log[0] == ("search", "in:zenodo ti*".replace("in:", "catalog:"))


def test_the_other_values_of_a_facet_that_is_asked_for_can_still_be_chosen() -> None:
    answer = searching()[0].search("tide type:notebook")
    kinds = {value["value"]: value for value in answer["facets"][0]["values"]}
    assert answer["facets"][0]["field"] == "type"
    assert kinds["notebook"]["on"] and not kinds["data"]["on"]
    assert kinds["data"]["count"] == 10 and kinds["notebook"]["count"] == answer["total"] == 5


def test_bounds_in_time_leave_what_is_beyond_on_the_timeline() -> None:
    view, _ = searching()
    every = view.search("in:here tide")
    bounded = view.search("in:here tide after:2026-01-01")
    assert bounded["total"] < every["total"]
    assert bounded["timeline"] == every["timeline"]
    assert bounded["after"] == "2026-01-01"


def test_the_last_day_is_the_one_before_the_bound() -> None:
    answer = searching()[0].search("before:2026-03-01")
    assert (answer["before"], answer["last"]) == ("2026-03-01", "2026-02-28")


def test_more_comes_after_what_is_there_and_nothing_twice() -> None:
    view, _ = searching()
    first = view.search("climate")
    page, shown_keys = {"more": True}, [card["key"] for card in first["records"]]
    while page["more"]:
        page = view.more()
        shown_keys += [card["key"] for card in page["records"]]
    assert len(shown_keys) == len(set(shown_keys)) == first["total"]
    assert view.more() == {"records": [], "more": False}


def test_what_has_moved_to_the_next_page_meanwhile_is_not_shown_twice() -> None:
    class Growing(SmallPortal):
        def search(self, text: str, *, cursor: str = "", **options: Any) -> dict[str, Any]:
            return super().search(text, cursor=str(int(cursor) - 5) if cursor else "", **options)

    view, _ = searching(Growing())
    first = {card["key"] for card in view.search("climate")["records"]}
    second = [card["key"] for card in view.more()["records"]]
    assert len(second) == 25 and first.isdisjoint(second)


def test_what_is_nearly_right_is_said_to_be_so() -> None:
    answer = searching()[0].search("tidw")
    assert answer["corrected"] and answer["records"]


def test_a_portal_that_does_not_answer_is_an_answer() -> None:
    view, portal = searching(Refusing("search"))
    answer = view.search("tide")
    assert answer["state"] == "failed" and answer["why"] == "The portal is away. Try again in a minute."
    portal.refused.clear()  # type: ignore[attr-defined]
    assert view.search("tide")["state"] == "ok"


def test_who_is_silent_and_what_was_not_understood_is_named() -> None:
    view, portal = searching()
    portal.silent = {"Zenodo": "Zenodo does not answer at the moment."}
    answer = view.search("tide after:soonish")
    assert answer["silent"] == [{"title": "Zenodo", "why": "Zenodo does not answer at the moment."}]
    assert "soonish" in answer["notes"][0]


def test_a_portal_that_counts_no_months_has_those_of_what_is_shown() -> None:
    class Plain(SmallPortal):
        def search(self, text: str, **options: Any) -> dict[str, Any]:
            return {name: said for name, said in super().search(text, **options).items() if name != "timeline"}

    view, _ = searching(Plain())
    answer = view.search("climate")
    assert sum(span["count"] for span in answer["timeline"]["spans"]) == 30
    assert not answer["timeline"]["whole"]
    assert view.search("tide")["timeline"]["whole"]


@pytest.mark.parametrize(
    ("text", "guessed"),
    [
        ("gla", "glacier"),
        ("sea te", "sea temperature"),
        ("tide type:n", "tide type:notebook"),
        ("x owner:e", "x owner:emil"),
    ],
)
def test_what_is_typed_could_go_on(text: str, guessed: str) -> None:
    view, _ = searching()
    view.search("")
    assert guessed in view.suggest(text)


@pytest.mark.parametrize("text", ["", "a", "tide ", "glacier", 'tag:"', "nonsense:x"])
def test_nothing_is_guessed_where_there_is_nothing_to_guess(text: str) -> None:
    view, portal = searching()
    portal.suggest = lambda beginning, *, limit=8: {"suggestions": [beginning]}  # type: ignore[method-assign]
    assert view.suggest(text) == []


# ---- looking ----


def test_only_what_was_shown_can_be_looked_at() -> None:
    view, portal = searching()
    key = view.search("tide type:data")["records"][0]["key"]
    assert view.preview(key)["kind"] == "table"
    assert view.preview("here app:1") == {"kind": "none", "why": "This is not among the results any more."}
    assert [verb for verb, _ in portal.log].count("preview") == 1


def test_a_preview_that_fails_says_why() -> None:
    view, _ = searching(Refusing("preview"))
    key = view.search("tide")["records"][0]["key"]
    assert view.preview(key) == {"kind": "none", "why": "The portal is away. Try again in a minute."}


@pytest.mark.parametrize("kind", ["app", "notebook", "folder"])
def test_what_can_be_done_first_is_what_it_is_for(kind: str) -> None:
    record = next(record for record in records() if record["type"] == kind)
    actions = shown.detail(record, visitor="ada")["actions"]
    assert actions[0]["name"] == {"app": "Open", "notebook": "Publish as an app", "folder": "Show in the portal"}[kind]
    assert actions[0]["url"] == record["url"]


def test_launching_comes_soon_until_the_portal_launches() -> None:
    app = next(record for record in records() if record["type"] == "app")
    (soon,) = (each for each in shown.detail(app)["actions"] if each["do"] == "launch")
    (now,) = (each for each in shown.detail(app, launches=True)["actions"] if each["do"] == "launch")
    assert soon["why"] and not now["why"]
    assert now["url"] == f"apps/{app['details']['slug']}/launch"


@pytest.mark.parametrize(("visitor", "asks"), [("", False), ("ada", False), ("emil", True)])
def test_who_is_signed_in_can_ask_for_access_to_what_is_not_theirs(visitor: str, *, asks: bool) -> None:
    app = next(record for record in records() if record["type"] == "app" and record["owner"] == "ada")
    assert ("ask" in [each["do"] for each in shown.detail(app, visitor=visitor)["actions"]]) is asks


@pytest.mark.parametrize(
    ("size", "said"),
    [(None, ""), (0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (999_499, "999 kB"),
     (999_500, "1.0 MB"), (2_350_000_000, "2.4 GB"), (10**18, "1000 PB"), (-1, ""), ("7", "")],
)  # fmt: skip
def test_sizes_are_said_in_words(size: object, said: str) -> None:
    assert shown.size_of(size) == said


@pytest.mark.parametrize("record", [{}, {"id": 7, "box": [1], "changed": "x", "details": None, "columns": "abc"}])
def test_a_record_that_says_little_is_shown_all_the_same(record: dict[str, Any]) -> None:
    assert shown.card(record)["title"] and shown.card(record)["box"] is None
    assert shown.detail(record)["actions"] == []


@pytest.mark.parametrize("box", [[200, 0, 210, 1], [0, 5, 1, 4], [0, 0, 1, float("nan")], ["a", 0, 1, 1], "1234"])
def test_what_is_no_place_is_not_on_the_map(box: object) -> None:
    assert shown.card({"box": box})["box"] is None


@pytest.mark.parametrize(
    ("begins", "ends", "years", "about"),
    [
        ("1960-01-01T00:00:00+00:00", "2020-12-31", [1960, 2020], "1960 – 2020"),
        ("2024-03-01", "2024-03-09", [2024, 2024], "Mar 2024"),
        ("2024-03-01", "2025-01-09", [2024, 2025], "Mar 2024 – Jan 2025"),
        (None, "2024-03-05", [2024, 2024], "5 Mar 2024"),
        ("2025-01-01", "2020-01-01", None, "Jan 2025 – Jan 2020"),
        ("soon", None, None, ""),
    ],
)
def test_the_time_that_it_is_about(begins: object, ends: object, years: object, about: str) -> None:
    card = shown.card({"begins": begins, "ends": ends})
    assert (card["years"], card["about"]) == (years, about)


def test_a_preview_is_cut_and_cleaned() -> None:
    picture = "data:image/png;base64,AAAA"
    assert shown.preview({"kind": "image", "picture": picture}) == {"kind": "image", "picture": picture}
    for bad in (
        "javascript:alert(1)",
        "data:text/html,x",
        "data:image/svg+xml;base64,AAAA",
        None,
        'data:image/png;base64,"x',
    ):
        assert shown.preview({"kind": "image", "picture": bad})["kind"] == "none"
    table = shown.preview({"kind": "table", "columns": [{"name": "a"}] * 99, "rows": [["x" * 999] * 99] * 99})
    assert len(table["columns"]) == len(table["rows"][0]) == 24
    assert len(table["rows"]) == 20 and len(table["rows"][0][0]) == 120
    assert shown.preview({"kind": "virus"})["kind"] == "none"


@pytest.mark.parametrize(
    "plot",
    [None, {"kind": "pie"}, {"kind": "line", "x": [1], "y": [1]}, {"kind": "bar", "x": [1, 2], "y": ["a", None]}],
)
def test_what_cannot_be_drawn_is_not(plot: object) -> None:
    assert shown.preview({"kind": "table", "plot": plot})["plot"] is None


# ---- links ----


@pytest.mark.parametrize(
    "url", ["https://zenodo.org/records/1", "http://a.example/?b=c", "apps/tide/", "/services/vaas/x"]
)
def test_addresses_that_can_be_followed(url: str) -> None:
    assert links.safe_url(url) == url


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "JavaScript:x", " javascript:x", "data:text/html,x", "//evil.example/", "https:", "ftp://a/b",
     "java\nscript:x", "\\\\evil.example", "x:y", "https://a b/", "", None, 7, "h" * 3000, "vbscript:x", "http://[::1"],
)  # fmt: skip
def test_addresses_that_cannot(url: object) -> None:
    assert links.safe_url(url) == ""


def test_the_line_of_code_holds_a_path_whatever_is_in_it() -> None:
    path = 'it\'s a "test"\n.csv'
    line = links.code_line({"type": "data", "format": "csv", "details": {"path": path}})
    assert line == f"import pandas as pd; data = pd.read_csv({path!r})"
    compile(line, "line", "exec")
    assert links.code_line({"type": "data", "format": "exe", "details": {"path": "a"}}) == ""
    assert links.code_line({"type": "app", "format": "csv", "details": {"path": "a"}}) == ""


def test_a_file_is_downloaded_from_its_store() -> None:
    details = {"store": "home", "path": "a b/ü#?.csv"}
    assert links.download({"details": details}) == "api/stores/home/files/a%20b/%C3%BC%23%3F.csv?content=1"
    assert links.download({"details": {"store": "../x", "path": "a"}}) == ""
    assert links.download({"details": {"download": "javascript:x"}}) == ""


# ---- changing what was typed ----


@pytest.mark.parametrize(
    ("text", "field", "value", "then"),
    [
        ("tide", "type", "data", "tide type:data"),
        ("tide type:data", "type", "app", "tide type:data OR type:app"),
        ("tide type:data OR type:app", "type", "data", "tide type:app"),
        ("tide type:DATA", "type", "data", "tide"),
        ("tide owner:ada", "owner", "ADA", "tide"),
        ("", "owner", "Rossi, M.", 'owner:"Rossi, M."'),
        ('x owner:"Rossi, M."', "owner", "rossi, m.", "x"),
        ('"sea level" -draft', "tag", "ice", '"sea level" -draft tag:ice'),
        ("-type:app", "type", "data", "-type:app type:data"),
        ("tide after:2024", "catalog", "here", "tide catalog:here after:2024-01-01"),
    ],
)
def test_a_value_is_turned_on_and_off(text: str, field: str, value: str, then: str) -> None:
    assert terms.toggled(text, field, value) == then
    assert parse(then) == parse(terms.toggled(text, field, value))


def test_every_value_of_a_facet_can_be_turned_on_and_off_again() -> None:
    view, _ = searching()
    for facet in view.search("")["facets"]:
        for value in facet["values"]:
            text = terms.toggled("tide", facet["field"], value["value"])
            assert [facet["field"], value["value"].lower()] in view.search(text)["on"], text
            assert terms.toggled(text, facet["field"], value["value"]) == "tide"


def test_time_is_bounded_and_not_any_more() -> None:
    assert terms.bounded("tide before:2020", "2021-02-03", "") == "tide after:2021-02-03"
    assert terms.bounded("tide after:2021", "", "") == "tide"
    assert terms.bounded("tide", "soon", "2022-01-01") == "tide before:2022-01-01"


# ---- time ----


def test_few_months_are_months_many_are_years_and_very_many_are_decades() -> None:
    assert [s["name"] for s in timeline.buckets({"2024-11": 1, "2025-01": 2})] == ["Nov 2024", "Dec 2024", "Jan 2025"]
    years = timeline.buckets({"2001-05": 1, "2009-01": 2})
    assert (years[0]["name"], years[0]["from"], years[0]["to"]) == ("2001", "2001-01-01", "2002-01-01")
    assert [s["count"] for s in years] == [1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert timeline.buckets({"1850-01": 1, "2020-01": 1})[0]["name"] == "1850–1859"


@pytest.mark.parametrize("months", [{}, {"soon": 1}, {"2020-13": 1}, {"2020-01": 0}, {"99999-01": 3}])
def test_what_is_no_month_is_left_out(months: dict[str, int]) -> None:
    assert timeline.buckets(months) == []


@pytest.mark.parametrize("months", [{"0001-01": 1}, {"9998-12": 1}, {"0001-01": 1, "9998-12": 1}])
def test_the_first_and_the_last_months_that_there_are(months: dict[str, int]) -> None:
    spans = timeline.buckets(months)
    assert sum(span["count"] for span in spans) == sum(months.values())


# ---- keeping ----


def keeping(portal: SmallPortal | None = None) -> tuple[Keeping, SmallPortal]:
    portal = portal or SmallPortal()
    return Keeping(lambda: portal), portal


def test_nobody_in_particular_is_asked_for_nothing() -> None:
    kept, portal = keeping(SmallPortal(""))
    assert kept.arrive() == {"state": "ok", "name": None, "signed_in": False, "launch": False}
    assert [verb for verb, _ in portal.log] == ["me"]


def test_a_basket_is_filled_named_shared_and_another_begun() -> None:
    kept, portal = keeping()
    kept.arrive()
    record = next(each for each in records() if each["type"] == "data")
    mine = kept.basket("add", {"key": shown.key_of(record)})
    (thing,) = mine["basket"]["things"]
    assert thing["key"] == shown.key_of(record) and not thing["gone"]
    assert kept.basket("rename", {"name": "  For the paper "})["basket"]["name"] == "For the paper"
    assert kept.basket("share", {"subjects": ["user:emil"]})["basket"]["shared_with"] == ["user:emil"]
    new = kept.basket("new", {"name": "Other"})
    assert new["basket"]["things"] == [] and len(new["baskets"]) == 2
    back = kept.basket("switch", {"basket": mine["basket"]["id"]})
    assert back["basket"]["name"] == "For the paper"
    assert kept.basket("remove", {"thing": thing["id"]})["basket"]["things"] == []
    assert {each["name"] for each in kept.basket("delete", {})["baskets"]} == {"", "Other"}


def test_what_goes_wrong_with_a_basket_leaves_it_as_it_was() -> None:
    kept, _ = keeping()
    before = kept.arrive()
    with pytest.raises(PortalError, match="nobody here"):
        kept.basket("share", {"subjects": ["the world"]})
    assert kept.mine == before


def test_a_part_that_does_not_answer_takes_the_others_not_along() -> None:
    kept, _ = keeping(Refusing("basket"))
    mine = kept.arrive()
    assert mine["signed_in"] and "basket" not in mine
    assert mine["why"] and mine["saved"][0]["new"] == 3


def test_searches_are_saved_seen_and_forgotten() -> None:
    kept, _ = keeping()
    kept.arrive()
    assert [each["new"] for each in kept.saved("seen", {"id": "s1"})["saved"]] == [0]
    named = kept.saved("save", {"q": "type:app", "name": ""})["saved"][-1]
    assert (named["name"], named["q"]) == ("type:app", "type:app")
    assert [each["q"] for each in kept.saved("forget", {"id": "s1"})["saved"]] == ["type:app"]


def test_requests_are_made_and_answered() -> None:
    kept, portal = keeping()
    kept.arrive()
    assert kept.ask("tide-gauges", "READ", " please ")["asked"][0]["slug"] == "tide-gauges"
    assert ("ask_access", "tide-gauges READ please") in portal.log
    assert kept.answer("r1", grant=True)["to_answer"] == []
    assert ("answer_request", "r1 True") in portal.log
