"""What the discovery dashboard asks and shows, without a browser: searching, looking, links, time, keeping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hub_service.settings import ROOT
from tests.in_place import InPlace
from tests.small_portal import SmallPortal, records
from vaas.client import PortalError
from vaas.query import parse
from vaas.widgets import links, shown, terms, timeline
from vaas.widgets.keeping import Keeping


class Refusing(SmallPortal):
    """Refuses some verbs."""

    def __init__(self, *verbs: str, name: str = "ada") -> None:
        self.refused = set(verbs)
        super().__init__(name, asked=self._refuse)

    def _refuse(self, verb: str) -> None:
        if verb in self.refused:
            raise PortalError("The portal is away. Try again in a minute.")


def searching(portal: SmallPortal | None = None) -> tuple[InPlace, SmallPortal]:
    portal = portal or SmallPortal()
    return InPlace(lambda: portal), portal


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


def test_values_that_nobody_counts_are_had_from_the_portal() -> None:
    view, portal = searching()
    known = {"column:sea_l": ["column:sea_level"], "tag:cl": ["tag:climate", "tag:clouds"]}
    portal.suggest = lambda beginning, *, limit=8: {"suggestions": known[beginning]}  # type: ignore[method-assign]
    view.search("")
    assert view.suggest("x column:sea_l") == ["x column:sea_level"]
    assert view.suggest("tag:cl") == ["tag:climate", "tag:clouds"], "each once, those of this search first"


@pytest.mark.parametrize("text", ["", "a", "tide ", "glacier", 'tag:"', "nonsense:x"])
def test_nothing_is_guessed_where_there_is_nothing_to_guess(text: str) -> None:
    view, portal = searching()
    portal.suggest = lambda beginning, *, limit=8: {"suggestions": [beginning]}  # type: ignore[method-assign]
    assert view.suggest(text) == []


# ---- other catalogs, which answer later ----


def keys(answer: Mapping[str, Any]) -> list[str]:
    return [card["key"] for card in answer["records"]]


def test_what_others_answer_later_comes_behind_what_is_on_the_screen() -> None:
    view, portal = searching()
    first = view.search("climate", outside=False)
    ranked = keys(InPlace(lambda: portal).search("climate"))
    answer = view.search("climate", outside=True)
    assert keys(answer)[: len(keys(first))] == keys(first)
    late = [card for card in answer["records"] if card.get("late")]
    assert {card["catalog"] for card in late} == {"zenodo"} and keys(answer)[len(keys(first)) :] == [
        card["key"] for card in late
    ]
    # They are those that would have been among the first.
    assert [key for key in ranked if key.startswith("zenodo")] == [card["key"] for card in late]
    assert answer["total"] == first["total"] + answer["late"]["from"][0]["count"]
    assert [each["catalog"] for each in answer["late"]["from"]] == ["zenodo"]
    assert answer["outside"] and answer["facets"][-1]["field"] == "catalog"
    assert [value["value"] for value in answer["facets"][-1]["values"]] == ["here", "zenodo"]
    # The next search ranks all of them.
    assert keys(view.search("climate")) == ranked


def test_pages_that_were_scrolled_to_stay_and_go_on_where_they_were() -> None:
    view, _ = searching()
    shown_keys = keys(view.search("", outside=False))
    shown_keys += [card["key"] for card in view.more()["records"]]
    answer = view.search("", outside=True)
    assert keys(answer)[:60] == shown_keys and len(keys(answer)) > 60
    found, page = keys(answer), {"more": answer["more"]}
    while page["more"]:
        page = view.more()
        assert page["records"], "A page with nothing new ends the list for who scrolls."
        found += [card["key"] for card in page["records"]]
    assert len(found) == len(set(found)) == answer["total"] == 202


def test_where_nothing_is_shown_others_answer_as_ever() -> None:
    view, _ = searching()
    assert view.search("supplement", outside=False)["records"] == []
    answer = view.search("supplement", outside=True)
    assert len(answer["records"]) == 24 and "late" not in answer


def test_what_others_add_to_another_question_is_a_new_list() -> None:
    view, _ = searching()
    view.search("tide", outside=False)
    answer = view.search("climate", outside=True)
    assert "late" not in answer and "zenodo" in {card["catalog"] for card in answer["records"]}
    view.search("climate", outside=True)
    assert "late" not in view.search("climate", outside=True)


def test_a_work_that_is_shown_already_is_not_added_again() -> None:
    portal = SmallPortal()
    here = next(record for record in portal._all if record["catalog"] == "here" and record["title"].startswith("Tide"))
    far = next(record for record in portal._all if record["catalog"] == "zenodo" and "Tide" in record["title"])
    here["details"] = {**here["details"], "doi": far["details"]["doi"]}
    view, _ = searching(portal)
    view.search("tide", outside=False)
    answer = view.search("tide", outside=True)
    assert shown.key_of(far) not in keys(answer) and any(card.get("late") for card in answer["records"])


def test_others_that_cannot_be_asked_leave_what_is_shown() -> None:
    view, portal = searching(Refusing())
    first = view.search("climate", outside=False)
    view.more()
    portal.refused.add("search")  # type: ignore[attr-defined]
    answer = view.search("climate", outside=True)
    assert (answer["state"], answer["outside"], keys(answer)[:30]) == ("ok", True, keys(first))
    assert len(keys(answer)) == 60
    assert answer["late"]["silent"][0]["why"] == "The portal is away. Try again in a minute."


def test_who_is_silent_later_is_told_apart_from_what_is_known_first() -> None:
    view, portal = searching()
    view.search("climate", outside=False)
    portal.silent = {"Zenodo": "Zenodo does not answer at the moment."}
    answer = view.search("climate", outside=True)
    assert answer["silent"] == []
    assert answer["late"]["silent"] == [{"title": "Zenodo", "why": "Zenodo does not answer at the moment."}]


# ---- looking ----


def test_only_what_was_shown_can_be_looked_at() -> None:
    view, portal = searching()
    key = view.search("tide type:data")["records"][0]["key"]
    assert view.preview(key)["kind"] == "table"
    assert view.preview("here app:1") == {"kind": "none", "why": "This is not among the results any more."}
    assert [verb for verb, _ in portal.log].count("preview") == 1


@pytest.mark.parametrize(
    ("xs", "ends", "ys"),
    [
        (["2018-02-07T00:56:19+00:00", "2018-02-01"], ["1 Feb 2018", "7 Feb 2018"], [2.0, 1.0]),
        (["2018-02-07T09:00", "2018-02-07T12:30"], ["09:00", "12:30"], [1.0, 2.0]),
        ([7, 3], [], [1.0, 2.0]),
        (["2018-02-07", "b"], [], [1.0, 2.0]),
    ],
)
def test_a_plot_over_time_goes_forward_and_says_its_days(xs: list[Any], ends: list[str], ys: list[float]) -> None:
    told = {"kind": "table", "plot": {"kind": "line", "x": xs, "y": [1, 2], "x_name": "time", "y_name": "y"}}
    plot = shown.preview(told)["plot"]
    assert (plot["ends"], plot["y"]) == (ends, ys)
    assert plot["numeric"] is all(isinstance(x, int | float) for x in plot["x"])


def test_a_preview_that_fails_says_why() -> None:
    view, _ = searching(Refusing("preview"))
    key = view.search("tide")["records"][0]["key"]
    assert view.preview(key) == {"kind": "none", "why": "The portal is away. Try again in a minute."}


def test_a_program_is_shown_as_code_and_can_be_had_but_is_loaded_by_no_line() -> None:
    details = {"store": "home", "path": "tides.py"}
    record = {"type": "code", "catalog": "here", "id": "p", "title": "tides.py", "details": details, "format": "py"}
    assert shown.card(record)["type"] == "code" and shown.name_of("type", "code") == "Code"
    about = shown.detail(record, visitor="ada")
    assert [each["do"] for each in about["actions"]] == ["download"]
    for part in ("card", "discovery", "icon"):
        assert "code:" in (ROOT / "vaas" / "widgets" / f"{part}.vue").read_text()
    assert ".dv-of-code" in (ROOT / "vaas" / "widgets" / "discovery.css").read_text()


@pytest.mark.parametrize("kind", ["app", "notebook", "folder"])
def test_what_can_be_done_first_is_what_it_is_for(kind: str) -> None:
    record = next(record for record in records() if record["type"] == kind)
    actions = shown.detail(record, visitor="ada")["actions"]
    assert actions[0]["name"] == {"app": "Open", "notebook": "Publish as an app", "folder": "Show in the portal"}[kind]
    assert actions[0]["url"] == record["url"]


@pytest.mark.parametrize(
    ("launches", "visitor", "access", "why"),
    [
        (True, "ada", "READ", ""),
        (True, "ada", "", ""),
        (True, "ada", "VIEW", "Ask its owner"),
        (True, "", "READ", "Sign in"),
        (False, "ada", "READ", "no place"),
    ],
)
def test_an_app_is_launched_by_who_may_and_others_read_why_not(
    launches: bool, visitor: str, access: str, why: str
) -> None:
    app = next(record for record in records() if record["type"] == "app")
    details = {**app["details"], **({"access": access} if access else {})}
    actions = shown.detail({**app, "details": details}, launches=launches, visitor=visitor)["actions"]
    (launch,) = (each for each in actions if each["do"] == "launch")
    assert why in launch["why"] and bool(launch["why"]) is bool(why)
    assert launch["url"] == f"apps/{app['details']['slug']}/launch"


def test_a_notebook_is_launched_from_its_store_by_its_path() -> None:
    details = {"store": "home", "path": "a b/é&x=1.ipynb"}
    record = {"type": "notebook", "catalog": "here", "id": "n", "details": details}
    (launch,) = (a for a in shown.detail(record, launches=True, visitor="ada")["actions"] if a["do"] == "launch")
    assert launch["url"] == "launch?store=home&path=a+b%2F%C3%A9%26x%3D1.ipynb" and not launch["why"]
    assert links.launch({**record, "type": "folder"}) == ""
    nowhere = shown.detail({**record, "details": {"path": "x.ipynb"}}, launches=True, visitor="ada")["actions"]
    assert [each["why"] for each in nowhere if each["do"] == "launch"] == [
        "This portal has no place where it could be launched."
    ]


@pytest.mark.parametrize(
    ("launches", "visitor", "why"), [(True, "ada", ""), (True, "", "Sign in"), (False, "ada", "no place")]
)
@pytest.mark.parametrize("catalog", ["here", "zenodo"])
def test_data_are_launched_by_themselves(*, launches: bool, visitor: str, why: str, catalog: str) -> None:
    record = {"type": "data", "catalog": catalog, "id": "file:home-ada/a &b=1/\udce9.nc", "title": "Sea"}
    actions = shown.detail(record, launches=launches, visitor=visitor)["actions"]
    (launch,) = (each for each in actions if each["do"] == "launch")
    assert launch["url"] == f"launch?catalog={catalog}&record=file%3Ahome-ada%2Fa+%26b%3D1%2F%3F.nc"
    assert why in launch["why"] and bool(launch["why"]) is bool(why)
    assert links.launch({**record, "id": ""}) == links.launch({**record, "id": "x" * 3000}) == ""


@pytest.mark.parametrize(("visitor", "asks"), [("", False), ("ada", False), ("emil", True)])
def test_who_is_signed_in_can_ask_for_access_to_what_is_not_theirs(visitor: str, *, asks: bool) -> None:
    app = next(record for record in records() if record["type"] == "app" and record["owner"] == "ada")
    assert ("ask" in [each["do"] for each in shown.detail(app, visitor=visitor)["actions"]]) is asks


@pytest.mark.parametrize(
    ("access", "more"),
    [
        ("VIEW", ["READ", "WRITE"]),
        ("READ", ["WRITE"]),
        ("WRITE", None),
        (None, ["READ", "WRITE"]),
        (7, ["READ", "WRITE"]),
    ],
)
def test_nobody_asks_for_what_they_have(access: object, more: list[str] | None) -> None:
    app = next(record for record in records() if record["type"] == "app" and record["owner"] == "ada")
    app["details"] = {**app["details"], "access": access}
    asks = [each["more"] for each in shown.detail(app, visitor="emil")["actions"] if each["do"] == "ask"]
    assert asks == ([more] if more else [])


@pytest.mark.parametrize(("access", "runs"), [("VIEW", False), ("READ", True), ("WRITE", True), (None, False)])
def test_an_app_is_run_by_who_may_read_it(access: object, *, runs: bool) -> None:
    app = next(record for record in records() if record["type"] == "app" and record["owner"] == "ada")
    app["details"] = {**app["details"], "access": access}
    urls = [each["url"] for each in shown.detail(app, visitor="emil")["actions"] if each["do"] == "run"]
    assert urls == ([f"runs/new?app={app['details']['slug']}"] if runs else [])
    assert "run" not in [each["do"] for each in shown.detail(app)["actions"]], (
        "nobody runs what they are not signed in for"
    )


def test_a_notebook_is_run_from_where_it_lies() -> None:
    found = next(record for record in records() if record["type"] == "notebook")
    found["details"] = {"store": "home", "path": "lab/a&b=c.ipynb"}
    (run,) = (each for each in shown.detail(found, visitor="ada")["actions"] if each["do"] == "run")
    assert run["url"] == "runs/new?store=home&path=lab%2Fa%26b%3Dc.ipynb"


def test_a_folder_of_data_is_not_downloaded_and_a_file_is() -> None:
    file = next(record for record in records() if record["format"] == "csv" and record["catalog"] == "here")
    folder = {**file, "format": "zarr", "size": None}
    assert "download" in [each["do"] for each in shown.detail(file)["actions"]]
    assert "download" not in [each["do"] for each in shown.detail(folder)["actions"]]


@pytest.mark.parametrize(
    ("kind", "said", "format"),
    [("notebook", "notebook", ""), ("notebook", "ipynb", ""), ("folder", "folder", ""), ("data", "csv", "csv"),
     ("data", "notebook", "notebook")],
)  # fmt: skip
def test_what_something_is_is_said_once(kind: str, said: str, format: str) -> None:
    detail = shown.detail({"type": kind, "format": said})
    assert detail["format"] == format
    assert [fact["value"] for fact in detail["facts"] if fact["name"] == "Format"] == ([format] if format else [])


@pytest.mark.parametrize(
    ("box", "world"),
    [([-180, -90, 180, 90], True), ([-180, -60, 180, 60], True), ([-180, -30, 180, 30], False),
     ([10, -90, 9, 90], True), ([-130, 24, -60, 50], False), (None, False)],
)  # fmt: skip
def test_what_is_about_nearly_all_of_the_world_is_no_place(box: object, world: bool) -> None:
    assert shown.card({"box": box})["world"] is world


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


@pytest.mark.parametrize(
    ("text", "value", "then"),
    [
        ("tide", "person", "tide type:person"),
        ("tide type:data OR type:app", "person", "tide type:person"),
        ("type:person tide", "data", "tide type:data"),
        ("-type:app type:person", "person", "-type:app"),
        ("-type:app", "person", "-type:app type:person"),
    ],
)
def test_people_are_no_alternative_to_what_is_theirs(text: str, value: str, then: str) -> None:
    assert terms.toggled(text, "type", value) == then


def test_people_can_be_chosen_and_lead_to_what_is_theirs() -> None:
    class Portal(SmallPortal):
        """As the real one: nobody is counted until people alone are asked for."""

        def search(self, text: str, *, limit: int = 20, cursor: str = "", typing: bool = False) -> dict[str, Any]:
            told = super().search(text, limit=limit, cursor=cursor, typing=typing)
            if not parse(text).asked("type"):
                told["facets"]["type"].pop("person", None)
            return told

    def kinds(text: str) -> dict[str, tuple[int, bool]]:
        (facet,) = (each for each in view.search(text)["facets"] if each["field"] == "type")
        return {each["value"]: (each["count"], each["on"]) for each in facet["values"]}

    portal = Portal()
    view = InPlace(lambda: portal)
    assert kinds("tide")["person"] == (4, False), "the owners of what was found"
    assert kinds("type:person")["person"] == (4, True) and kinds("type:person")["data"][0] > 4
    assert "person" not in kinds("type:app")
    person = next(each for each in portal.search("type:person")["records"] if each["owner"] == "ada")
    told = shown.detail({**person, "url": ""}, visitor="sam")
    assert [(each["do"], each["q"]) for each in told["actions"]] == [("find", "owner:ada")]
    assert (told["owner"], told["keeps"]) == ("", False) and "Owner" not in [fact["name"] for fact in told["facts"]]
    assert shown.card({"type": "share", "title": "x"})["keeps"]
    assert not shown.card({"type": "share", "title": "x", "details": {"basket": "b"}})["keeps"]


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


@pytest.mark.parametrize(
    ("text", "first", "last", "then"),
    [
        ("tide", 1990, 2000, "tide year:1990..2000"),
        ("tide", "2000", "1990", "tide year:1990..2000"),
        ("tide", 2016, 2016, "tide year:2016"),
        ("tide", "", "2016", "tide year:2016"),
        ("tide during:1990 type:data", 2016, 2018, "tide type:data year:2016..2018"),
        ("tide during:1990 OR during:1999", "", "", "tide"),
        ("tide -during:1990", "", "", "tide -year:1990"),
        ("tide", 800, 900, "tide year:0800..0900"),
        ("tide", "soon", "-5", "tide"),
    ],
)
def test_the_years_that_it_is_about_are_asked_for(text: str, first: object, last: object, then: str) -> None:
    assert terms.about(text, first, last) == then
    assert parse(then) == parse(terms.about(text, first, last))


@pytest.mark.parametrize(
    ("asked", "years"),
    [("2016", (2016, 2016)), ("1990..2000", (1990, 2000)), ("1990..", (1990, 1990)), ("..1990", None), ("soon", None),
     ("99999", None)],
)  # fmt: skip
def test_years_are_read_as_the_portal_reads_them(asked: str, years: tuple[int, int] | None) -> None:
    assert terms.years_in(asked) == years


def test_years_are_counted_and_filtered_by_the_portal_and_the_others_stay() -> None:
    view, portal = searching()
    every = view.search("in:here tide")
    assert (every["years"][0]["name"], every["about"]) == ("1960–1969", [])
    early = view.search("in:here tide during:1960..1962")
    assert 0 < early["total"] < every["total"]
    assert early["years"] == every["years"]
    assert early["about"] == [{"value": "1960..1962", "years": (1960, 1962)}]
    assert ("search", "in:here tide during:1960..1962") in portal.log
    assert all(card["years"][0] <= 1962 for card in early["records"])


# ---- time ----


def test_few_years_stand_alone_and_many_together_with_as_many_as_the_fullest() -> None:
    few = timeline.years({"2016": 2, "2018": 1})
    assert [(span["name"], span["from"], span["to"], span["count"]) for span in few] == [
        ("2016", 2016, 2016, 2), ("2017", 2017, 2017, 0), ("2018", 2018, 2018, 1)]  # fmt: skip
    many = timeline.years({"1901": 2, "1905": 3, "2020": 1})
    assert (many[0]["name"], many[0]["count"], many[-1]["name"]) == ("1900–1909", 3, "2020–2029")
    assert timeline.years({}) == timeline.years({"soon": 3, "²": 1, "2020": 0}) == []
    assert len(timeline.years({"0001": 1, "9999": 1})) <= 60


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


def test_what_is_new_is_not_known_rather_than_nothing() -> None:
    kept, portal = keeping()
    portal._searches = [{**portal._searches[0], "new": None}]
    assert [each["new"] for each in kept.arrive()["saved"]] == [None]


def test_a_collection_tells_how_much_of_it_one_may_not_see() -> None:
    class Partly(SmallPortal):
        def basket(self, basket: str = "") -> dict[str, Any]:
            return {**super().basket(basket), "hidden": 2}

    kept, _ = keeping(Partly())
    assert kept.arrive()["basket"]["hidden"] == 2
    assert keeping()[0].arrive()["basket"]["hidden"] == 0


def test_requests_are_made_and_answered() -> None:
    kept, portal = keeping()
    kept.arrive()
    assert kept.ask("tide-gauges", "READ", " please ")["asked"][0]["slug"] == "tide-gauges"
    assert ("ask_access", "tide-gauges READ please") in portal.log
    assert kept.answer("r1", grant=True)["to_answer"] == []
    assert ("answer_request", "r1 True") in portal.log
