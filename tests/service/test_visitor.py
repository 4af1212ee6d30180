"""What a notebook may know of its visit, through the real app server: its address's parameters, and who it is."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from tests.notebooks import notebook
from tests.service.portal_stub import REPOSITORY, LoadedPage, PortalStub, Visitor, app_python, running
from vaas.notebook import parse
from vaas.questions import first_question

pytestmark = pytest.mark.app

TELL = """
import json, os, sys
import vaas
from voila.utils import get_query_string, wait_for_request
wait_for_request()
seen = []
vaas.on_visit(lambda who: seen.append(who.name))
who = vaas.visitor()
said = {"name": who.name, "groups": who.groups, "signed_in": who.signed_in, "query": dict(who.query)}
said |= {"all": who.query.all("year"), "voila": get_query_string(), "environ": os.environ["QUERY_STRING"]}
said |= {"url": os.environ["VOILA_REQUEST_URL"], "seen": seen, "variable": os.environ.get("VAAS_VISITOR")}
said |= {"light": "jupyter_server" not in sys.modules, "software": os.environ["SERVER_SOFTWARE"]}
print("<<<" + json.dumps(said) + ">>>")
"""
LESSON = {"lesson.ipynb": notebook(TELL)}


def told(page: LoadedPage) -> dict[str, object]:
    """Return what the notebook was told."""
    text = page.html.partition("&lt;&lt;&lt;")[2].partition("&gt;&gt;&gt;")[0] or page.html
    answer: dict[str, object] = json.loads(text.replace("&quot;", '"').replace("&#34;", '"').replace("&amp;", "&"))
    return answer


async def test_parameters_reach_the_notebook_by_every_way_and_no_other_visit(tmp_path: Path) -> None:
    async with PortalStub(LESSON).served() as portal, running(portal, folder=tmp_path) as app:
        bob, eve = Visitor(app, portal=portal), Visitor(app, portal=portal)
        await bob.enter()
        await eve.enter(portal.ticket(user="eve"))
        one, other = await asyncio.gather(bob.page("year=1990&year=2020&place=a%26b"), eve.page())
        said = told(one)
        assert said["query"] == {"year": "2020", "place": "a&b"}
        assert said["all"] == ["1990", "2020"]
        assert said["voila"] == said["environ"] == "year=1990&year=2020&place=a%26b"
        assert str(said["url"]).endswith("?year=1990&year=2020&place=a%26b")
        assert said["software"] == "voila"
        assert said["light"], "Voilà's own module was imported"
        said = told(other)
        assert (said["query"], said["voila"], said["environ"], said["all"]) == ({}, "", "", [])


@pytest.mark.parametrize("ticket_says", [True, False])
@pytest.mark.parametrize("portal_says", [True, False])
async def test_a_name_reaches_only_an_app_that_may_know(tmp_path: Path, portal_says: bool, ticket_says: bool) -> None:
    async with (
        PortalStub(LESSON, knows_visitor=portal_says).served() as portal,
        running(portal, folder=tmp_path) as app,
    ):
        bob = Visitor(app, portal=portal)
        await bob.enter(portal.ticket(user="bob-unmistakably", known=ticket_says, groups=("physics", "staff")))
        page = await bob.page()
        said = told(page)
        if portal_says and ticket_says:
            assert (said["name"], said["groups"]) == ("bob-unmistakably", ["physics", "staff"])
            assert (said["signed_in"], said["seen"]) == (True, ["bob-unmistakably"])
        else:
            assert (said["name"], said["groups"], said["signed_in"], said["seen"]) == (None, [], False, [None])
            assert "unmistakably" not in page.html
        assert said["variable"] is None
        assert "unmistakably" not in str(said["url"])
        log = app.text()
    assert "<<<" not in log
    assert "unmistakably" not in log


async def test_each_visit_is_told_of_its_own_visitor(tmp_path: Path) -> None:
    async with PortalStub(LESSON, knows_visitor=True).served() as portal, running(portal, folder=tmp_path) as app:
        people = {name: Visitor(app, portal=portal) for name in ("bobolink", "evelina", "")}
        for name, visitor in people.items():
            await visitor.enter(portal.ticket(user=name, known=True, groups=(f"of-{name}",) if name else ()))
        pages = await asyncio.gather(*(visitor.page() for visitor in people.values()))
        found = [told(page) for page in pages]
        assert [said["name"] for said in found] == ["bobolink", "evelina", None]
        assert [said["groups"] for said in found] == [["of-bobolink"], ["of-evelina"], []]
        strangers = {0: "evelina", 1: "bobolink", 2: "elina"}
        assert [number for number, name in strangers.items() if name in pages[number].html] == []


async def test_an_owner_who_takes_it_back_is_heard_within_a_heartbeat(tmp_path: Path) -> None:
    async with PortalStub(LESSON, knows_visitor=True).served() as portal, running(portal, folder=tmp_path) as app:
        bob = Visitor(app, portal=portal)
        await bob.enter(portal.ticket(known=True))
        assert told(await bob.page())["name"] == "bob"
        portal.knows_visitor = False
        beats = len(portal.heartbeats)
        while len(portal.heartbeats) < beats + 2:
            await asyncio.sleep(0.1)
        assert told(await bob.page())["name"] is None


async def test_a_ticket_of_the_next_way_in_says_it_anew(tmp_path: Path) -> None:
    async with PortalStub(LESSON, knows_visitor=True).served() as portal, running(portal, folder=tmp_path) as app:
        bob = Visitor(app, portal=portal)
        await bob.enter()
        assert told(await bob.page())["name"] is None
        await bob.enter(portal.ticket(known=True, groups=("staff",)))
        said = told(await bob.page())
        assert (said["name"], said["groups"]) == ("bob", ["staff"])


FALLS_THROUGH = """
import sys
from voila import utils
from voila.utils import get_query_string
light = "jupyter_server" not in sys.modules
from voila.app import Voila
from voila.utils import get_page_config
import voila
print("<<<" + __import__("json").dumps({
    "light": light, "query": get_query_string(), "again": voila.utils.get_query_string(),
    "app": voila.app.Voila is Voila, "version": voila.__version__, "other": get_page_config.__module__,
}) + ">>>")
"""


async def test_what_else_is_asked_of_voila_comes_from_voila(tmp_path: Path) -> None:
    files = {"lesson.ipynb": notebook(FALLS_THROUGH)}
    async with PortalStub(files).served() as portal, running(portal, folder=tmp_path) as app:
        bob = Visitor(app, portal=portal)
        await bob.enter()
        said = told(await bob.page("a=1"))
        assert (said["light"], said["query"], said["again"]) == (True, "a=1", "a=1")
        assert (said["app"], said["other"]) == (True, "voila.utils")
        assert str(said["version"]).startswith("0.")


VOIS = """
import sys
from vois.vuetify import app
made = app.app(title="Waves")
print("<<<" + __import__("json").dumps({
    "light": "jupyter_server" not in sys.modules, "year": made.urlParameter("year", "none"),
}) + ">>>")
"""


async def test_an_app_of_vois_reads_its_parameters_without_a_server_in_its_kernel(tmp_path: Path) -> None:
    async with PortalStub({"lesson.ipynb": notebook(VOIS)}).served() as portal, running(portal, folder=tmp_path) as app:
        bob = Visitor(app, portal=portal)
        await bob.enter()
        assert told(await bob.page("year=2020")) == {"light": True, "year": "2020"}
        assert told(await bob.page()) == {"light": True, "year": "none"}


STEP_BY_STEP = """
import io, json, sys
from contextlib import redirect_stdout
from IPython.core.interactiveshell import InteractiveShell
from vaas.runtime import asking, voila_stand_in
asking.install(template=True)
voila_stand_in.install()
sys.path.insert(0, "")
shell, found = InteractiveShell.instance(), []
for source in json.load(sys.stdin):
    with redirect_stdout(io.StringIO()):
        shell.run_cell(source).raise_error()
    found.append(sorted(asking.asked()))
print(json.dumps(found))
"""
EXAMPLES = {"climate": ["query"], "sampling": [], "penguins": [], "world-map": []}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_template_of_a_real_app_notices_what_reading_cannot_see(name: str) -> None:
    """The one that is made with vois asks in a module of its own, in its last cell; the others never do."""
    (path,) = (REPOSITORY / "dashboards/examples").rglob(f"{name}.ipynb")
    notebook = parse(path.read_bytes(), name=path.name)
    done = subprocess.run(
        [app_python(), "-P", "-c", STEP_BY_STEP],
        input=json.dumps([cell.source for cell in notebook.code]),
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": "/nonexistent",
            "PYTHONPATH": str(REPOSITORY),
            "SERVER_SOFTWARE": "voila",
        },
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    asked = json.loads(done.stdout.splitlines()[-1])
    assert asked[-1] == EXAMPLES[name]
    assert not any(asked[:-1])
    assert first_question(notebook) is None
