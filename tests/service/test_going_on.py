"""A launch goes on where its visitor was in the app: what the widgets hold and the query travel, and are taken up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.sandbox import NEEDS_SANDBOX
from tests.service.going_on import launch, rerun
from tests.service.visiting import Site, Visiting, serving

pytestmark = [pytest.mark.app, pytest.mark.asyncio(loop_scope="module")]

CELLS = (
    """
import ipywidgets as widgets
depth = widgets.IntSlider(value=3, description="Depth")
twice = widgets.Label()
depth.observe(lambda change: setattr(twice, "value", f"twice is {2 * change.new}"), "value")
other = widgets.IntSlider(value=1, description="Other")
""",
    """
port = widgets.Dropdown(options=["oslo", "bergen"], description="Port")
region = widgets.Dropdown(options=["north", "south"], description="Region")
region.observe(lambda _: setattr(port, "options", ["genoa", "nice"]), "value")
several = widgets.SelectMultiple(options="abc", description="Several")
span = widgets.IntRangeSlider(min=0, max=9, value=(1, 2), description="Span")
secret = widgets.Password(description="Secret")
note = widgets.Text(description="Note")
page = widgets.HTML("<b>at first</b>")
note.observe(lambda change: setattr(page, "value", f"<b>{change.new}</b>"), "value")
""",
    """
import ipyvuetify as v
from vois.vuetify import Slider, Switch
heard = []
year = Slider(2015, 2010, 2021, on_change=lambda value: heard.append(["year", value]))
exact = Switch(False, "Exact", on_change=lambda value: heard.append(["exact", value]))
place = v.TextField(label="Place", v_model="")
hidden = v.TextField(label="Hidden", type="password", v_model="")
""",
)
SHOW = """
import os
found = [depth.value, other.value, region.value, port.value, several.value, span.value, note.value]
print([*found, year.value, exact.value, place.v_model, heard, twice.value, page.value, secret.value, hidden.v_model])
print(os.environ.get("QUERY_STRING"))
"""
MOVED = (
    "[7, 1, 'south', 'nice', ('a', 'c'), (2, 8), '</script><b>', 2018, True, 'Rome',"
    " [['year', 2018], ['exact', True]], 'twice is 14', '<b></script><b></b>', '', '']\ndepth=3&place=A%26B\n"
)
PLAIN = "http://portal.localhost/services/vaas/apps/waves/launch"


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=[pytest.param("fork", marks=NEEDS_SANDBOX), "own kernel"]
)
async def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Return an app with widgets of all kinds, whose visits are forks or have a kernel of their own."""
    limits = {"ahead": int(request.param == "fork")}
    async with serving(tmp_path_factory.mktemp("goes-on"), *CELLS, limits=limits) as site:
        yield site


async def move(visit: Visiting) -> None:
    """Do with the widgets what a person would."""
    for name, state in {
        "Depth": {"value": 7},
        "Region": {"index": 1},
        "Port": {"index": 1},
        "Several": {"index": [0, 2]},
        "Span": {"value": [2, 8]},
        "Note": {"value": "</script><b>"},
        "Secret": {"value": "sesame"},
    }.items():
        await visit.set(name, **state)
    states = await visit.states()

    def labelled(**wanted: Any) -> str:
        return next(id for id, each in states.items() if wanted.items() <= each["state"].items())

    moves: tuple[tuple[dict[str, Any], str, Any], ...] = (
        ({"_model_name": "SliderModel"}, "end", 2018),
        ({"_model_name": "SwitchModel"}, "change", True),
        ({"label": "Place"}, "", "Rome"),
        ({"label": "Hidden"}, "", "sesame"),
    )
    for wanted, event, value in moves:
        comm, data = labelled(**wanted), {"method": "update", "state": {"v_model": value}, "buffer_paths": []}
        await visit.send("comm_msg", {"comm_id": comm, "data": data})
        if event:
            custom = {"method": "custom", "content": {"event": event, "data": value}}
            await visit.send("comm_msg", {"comm_id": comm, "data": custom})


async def test_a_copy_goes_on_with_what_was_moved_and_what_follows_from_it(site: Site, tmp_path: Path) -> None:
    visit = await site.visit("depth=3&place=A%26B", access=2)
    await move(visit)
    status, there = await launch(visit)
    assert (status, there) == (200, f"{PLAIN}?given=given-{len(site.portal.given)}")
    told = site.portal.given[-1]
    assert told["proof"] == "launch-of-bob"
    # Nothing that stayed as it was, no page's HTML, and no secret.
    names = sorted(each["name"] for each in told["given"]["widgets"])
    assert names == ["", "Depth", "Exact", "Note", "Place", "Port", "Region", "Several", "Span"]
    assert "sesame" not in json.dumps(told) and "at first" not in json.dumps(told)
    assert rerun(tmp_path / "copy", told["given"], *CELLS, SHOW)[-1] == MOVED
    await visit.leave()


@pytest.mark.parametrize(
    ("before", "value"),
    [("import sys; sys.modules['vaas'] = None", 7), ("from vaas.runtime import asking; asking.install()", 3)],
    ids=["nothing of ours is there", "the copy was published"],
)
async def test_a_copy_needs_nothing_of_ours_and_begins_anew_in_an_app(tmp_path: Path, before: str, value: int) -> None:
    depth = {"module": "@jupyter-widgets/controls", "model": "IntSliderModel", "name": "Depth", "at": 0}
    cells = ("import ipywidgets\ndepth = ipywidgets.IntSlider(3, description='Depth')", "print(depth.value)")
    assert rerun(tmp_path / "copy", {"widgets": [depth | {"values": {"value": 7}}]}, *cells, before=before) == [
        "",
        f"{value}\n",
    ]


async def test_who_moved_nothing_takes_nothing_along(site: Site) -> None:
    given, visit = len(site.portal.given), await site.visit(access=2)
    assert await launch(visit) == (200, PLAIN)
    assert len(site.portal.given) == given
    await visit.leave()


async def test_the_page_goes_on_after_it_was_asked(site: Site) -> None:
    visit = await site.visit(access=2)
    await visit.set("Depth", value=5)
    assert (await launch(visit))[0] == 200
    label = next(id for id, each in (await visit.states()).items() if each["state"].get("value") == "twice is 10")
    assert visit.changes(await visit.set("Depth", value=6), label) == [{"value": "twice is 12"}]
    await visit.leave()


async def test_a_page_that_was_loaded_again_gives_what_it_holds(site: Site) -> None:
    visit = await site.visit("a=1", access=2)
    await visit.set("Depth", value=5)
    again = await site.visit("b=2", access=2)
    await again.set("Depth", value=9)
    for each, query, value in ((visit, "a=1", 5), (again, "b=2", 9)):
        await launch(each)
        given = site.portal.given[-1]["given"]
        assert given["query"] == query
        assert [widget["values"] for widget in given["widgets"] if widget["name"] == "Depth"] == [{"value": value}]
        await each.leave()


async def test_a_kernel_that_works_keeps_nobody_from_launching(site: Site) -> None:
    visit = await site.visit("a=1", access=2)
    await visit.set("Depth", value=5)
    text = json.dumps(["x", "import time; time.sleep(40)"])
    data = {"method": "update", "state": {"value": text}, "buffer_paths": []}
    await visit.send("comm_msg", {"comm_id": await visit.model("do"), "data": data}, wait=False)
    await asyncio.sleep(0.2)
    began = time.monotonic()
    assert (await launch(visit))[0] == 200
    assert time.monotonic() - began < 30
    # What the page's address said is known all the same.
    assert site.portal.given[-1]["given"] == {"query": "a=1"}
    await visit.leave()


async def test_without_the_portal_it_is_a_plain_launch(site: Site) -> None:
    visit = await site.visit(access=2)
    await visit.set("Depth", value=5)
    site.portal.away = True
    try:
        assert await launch(visit) == (200, PLAIN)
    finally:
        site.portal.away = False
    await visit.leave()
