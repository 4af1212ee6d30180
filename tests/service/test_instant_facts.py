"""Forks and the facts of their visit: of the whole notebook where nothing was asked, else of its first cells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.notebooks import code
from tests.service.visiting import Site, serving, soon

pytestmark = [pytest.mark.app, pytest.mark.asyncio(loop_scope="module")]

FIRST = """
import vaas, time
from IPython.display import display
begun, out, seen = time.time(), ipywidgets.Output(), []
before = ipywidgets.Label("made before the question", description="before")
@vaas.on_visit
def hook(who):
    seen.append([who.name, dict(who.query)])
with out:
    print("before the question")
display(out, before)
print(f"first cell: {RAN[1]}")
"""
SECOND = """
from voila.utils import get_query_string
query = get_query_string()
with out:
    print(f"the query is {query!r}")
print(f"asked: {query!r}")
asked_in = [os.getpid(), uuid.uuid4().hex]
"""
THIRD = "print(f'last: {len(query)}'); after = ipywidgets.Label('after', description='after'); display(after)"
FACTS = """
result = {
    "query": query, "environ": os.environ["QUERY_STRING"], "vaas": dict(vaas.visitor().query), "seen": seen,
    "name": vaas.visitor().name, "groups": list(vaas.visitor().groups), "now": get_query_string(),
    "url": os.environ["VOILA_REQUEST_URL"], "kernel": os.environ["VOILA_KERNEL_ID"], "pid": os.getpid(),
    "asked_in": asked_in, "ran": RAN, "forwarded": os.environ.get("VAAS_VISITOR"),
}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["predicted", "found", "cold"])
async def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Return a site whose notebook asks: where its code says so, where nothing says so, and without forks."""
    files = {
        "asks.py": SECOND.encode()
        + b"import __main__\nasked = dict(query=query, asked_in=asked_in, get_query_string=get_query_string)\n"
        + b"__main__.__dict__.update(asked)\n"
    }
    second = (
        SECOND
        if request.param != "found"
        else ("import builtins; builtins.out, builtins.os, builtins.uuid = out, os, uuid; import asks; ")
    )
    limits = {"ahead": int(request.param != "cold")}
    folder = tmp_path_factory.mktemp(request.param)
    async with serving(folder, FIRST, second, THIRD, files=files, limits=limits, knows_visitor=True) as site:
        site.kind = request.param
        if site.kind == "found":
            # Who comes before the second template is there runs all cells.
            (await site.visit()).socket.close()
            assert await soon(lambda: site.app.text().count("The app opens at once") == 2, within=30)
        yield site


async def test_a_visit_without_parameters_is_a_fork_of_the_whole(site: Site) -> None:
    one, other = await site.visit(known=True, groups=("staff",)), await site.visit(user="eve", known=True)
    found = [await visit.do(FACTS) for visit in (one, other)]
    for visit, facts, name in zip((one, other), found, ("bob", "eve"), strict=True):
        assert (facts["query"], facts["environ"], facts["vaas"], facts["now"]) == ("", "", {}, "")
        assert facts["seen"] == [[name, {}]]
        assert (facts["name"], facts["groups"]) == (name, ["staff"] if name == "bob" else [])
        assert facts["kernel"] == visit.page.kernel
        assert "asked: &#39;&#39;" in visit.html and "last: 0" in visit.html
        assert facts["forwarded"] is None
        assert {"bob", "eve"} - {name} & set(visit.html.split()) == set()
    instant = site.kind != "cold"
    assert (found[0]["ran"] == found[1]["ran"]) == instant
    assert (found[0]["asked_in"] == found[1]["asked_in"]) == instant
    for visit in (one, other):
        await visit.leave()


async def test_a_visit_with_parameters_runs_the_cells_after_the_question_for_itself(site: Site) -> None:
    visits = await asyncio.gather(*(site.visit(f"year={n}", user=f"u{n}", known=True) for n in (1990, 2020)))
    found = [await visit.do(FACTS) for visit in visits]
    for (
        visit,
        facts,
        year,
    ) in zip(visits, found, ("1990", "2020"), strict=True):
        assert facts["query"] == facts["environ"] == facts["now"] == f"year={year}"
        assert facts["vaas"] == {"year": year} and facts["seen"] == [[f"u{year}", {"year": year}]]
        assert facts["url"].endswith(f"?year={year}")
        assert facts["kernel"] == visit.page.kernel
        assert facts["asked_in"][0] == facts["pid"]
        assert f"asked: &#39;year={year}&#39;" in visit.html and "last: 9" in visit.html
        out = await visit.do("result = out.model_id")
        outputs = (await visit.states())[out]["state"]["outputs"]
        assert "".join(each["text"] for each in outputs) == f"before the question\nthe query is 'year={year}'\n"
    assert (found[0]["ran"] == found[1]["ran"]) == (site.kind != "cold"), "the first cells ran again"
    assert found[0]["asked_in"] != found[1]["asked_in"]
    assert "2020" not in visits[0].html.replace(visits[1].page.token, "").partition("asked:")[2][:40]
    for visit in visits:
        await visit.leave()


async def test_who_waits_for_the_request_gets_its_own(tmp_path: Path) -> None:
    waits = "from voila.utils import wait_for_request; wait_for_request(); url = os.environ['VOILA_REQUEST_URL']"
    async with serving(tmp_path, "first = uuid.uuid4().hex", waits, "print(url)") as site:
        visits = await asyncio.gather(*(site.visit(query) for query in ("", "a=1", "b=2")))
        found = [await visit.do("result = [first, url]") for visit in visits]
        assert len({first for first, _ in found}) == 1
        assert [url.rpartition("/")[2] for _, url in found] == ["", "?a=1", "?b=2"]
        assert [url in visit.html for (_, url), visit in zip(found, visits, strict=True)] == [True] * 3


async def test_a_cell_that_asks_before_the_one_that_was_expected_hears_the_visit(tmp_path: Path) -> None:
    files = {"asks.py": b"from voila.utils import get_query_string as ask\n"}
    cells = ("import asks; early = asks.ask()", "from voila.utils import get_query_string; late = get_query_string()")
    async with serving(tmp_path, *cells, files=files) as site:
        for query in ("a=1", "", "b=2"):
            visit = await site.visit(query)
            assert await visit.do("result = [early, late]") == [query, query]


async def test_the_tag_visit_stops_a_template_before_its_cell(tmp_path_factory: pytest.TempPathFactory) -> None:
    tagged = code("mine = uuid.uuid4().hex; print(f'mine {mine}')", tags=["visit"])
    async with serving(tmp_path_factory.mktemp("tag"), "shared = uuid.uuid4().hex", tagged, "last = mine") as site:
        one, other = await asyncio.gather(site.visit(), site.visit("a=1"))
        found = [await visit.do("result = [shared, mine, last == mine]") for visit in (one, other)]
        assert found[0][0] == found[1][0] and found[0][1] != found[1][1] and found[0][2]
        assert found[0][1] in one.html


async def test_a_cell_that_takes_too_long_in_a_fork_of_the_stem_is_stopped(tmp_path: Path) -> None:
    slow = (
        "print('begins'); import time; from voila.utils import get_query_string\nif get_query_string(): time.sleep(600)"
    )
    async with serving(tmp_path, "first = 1", slow, "print('never')", limits={"cell_seconds": 6}) as site:
        visit = await site.visit("long=1")
        assert "begins" in visit.html and "never" not in visit.html
        assert await visit.do("result = first") == 1
        assert "took longer than 6 s and was stopped" in site.app.text()


async def test_a_callback_that_takes_too_long_ends_its_own_visit(tmp_path: Path) -> None:
    async with serving(tmp_path, "import time", limits={"cell_seconds": 6}) as site:
        one, other = await site.visit(), await site.visit()
        with pytest.raises(AssertionError, match="closed"):
            await one.do("time.sleep(600)")
        assert await other.do("result = 2") == 2
        assert (await (await site.visit()).do("result = 3")) == 3


async def test_a_cell_that_fails_without_a_visit_runs_in_each(tmp_path: Path) -> None:
    """It asks in a way that no reading of the code finds, so the first run fails at it."""
    files = {"asks.py": b"from voila.utils import get_query_string as ask\n"}
    cells = ("first = uuid.uuid4().hex", "import asks; number = int(asks.ask().partition('=')[2])", "print(number)")
    async with serving(tmp_path, *cells, files=files) as site:
        visits = await asyncio.gather(*(site.visit(query) for query in ("a=1", "b=2")))
        found = [await visit.do("result = [first, number]") for visit in visits]
        assert [number for _, number in found] == [1, 2]
        assert found[0][0] == found[1][0]
