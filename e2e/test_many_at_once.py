"""A class launches the same app at the same moment: everybody gets a JupyterLab with a copy of their own."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from playwright.sync_api import expect

from e2e.people import Person, Site
from tests.launched import Launches
from tests.portal_fixture import RunningPortal

pytestmark = [pytest.mark.browser, pytest.mark.hub, pytest.mark.slow]
_API = "/services/vaas/api/launches"
#: Seconds, on a machine that may be busy with more than this class.
_PATIENCE = 240.0


class Class:
    """Ten pupils, each with a browser of their own; what they have is also looked at by REST."""

    def __init__(self, portal: RunningPortal, site: Site) -> None:
        self.portal, mark = portal, secrets.token_hex(2)
        self.names = [f"pupil-{mark}-{number}" for number in range(10)]
        for name in self.names:
            portal.hub("POST", f"/users/{name}").raise_for_status()
        self.tokens = {name: portal.token_for(name) for name in self.names}
        self.people = [site.person(name) for name in self.names]
        self.pool = ThreadPoolExecutor(len(self.names))

    def rest(self, method: str, path: str, *, who: str) -> Any:
        """Ask for one of them what is answered well."""
        answer = self.portal.request(method, _API + path, token=self.tokens[who])
        assert answer.status_code < 300, f"{who}: {answer.text}"
        return answer.json() if answer.content else None

    def all(self, does: Callable[[str], Any]) -> list[Any]:
        """Have all do it at once, and return what came of it."""
        return list(self.pool.map(does, self.names))

    def launch(self, who: str) -> Any:
        """Return the one thing that one of them has launched."""
        (found,) = self.rest("GET", "", who=who)["launches"]
        return found

    def end(self, who: str) -> None:
        """Remove what one of them has launched."""
        for launch in self.rest("GET", "", who=who)["launches"]:
            self.rest("DELETE", f"/{launch['id']}", who=who)


@pytest.fixture
def pupils(hub: RunningPortal, site: Site) -> Iterator[Class]:
    made = Class(hub, site)
    yield made
    for person in made.people:
        person.page.close()  # JupyterLab complains of a server that ends
    made.all(made.end)
    made.pool.shutdown()


def test_ten_launch_the_same_app_at_once_and_each_works_on_a_copy_of_their_own(pupils: Class) -> None:
    for person in pupils.people:
        person.goes("apps/world-map/launch")
    began = time.monotonic()
    for person in pupils.people:
        button = person.page.get_by_role("main").get_by_role("button", name="Launch in JupyterLab")
        button.click(no_wait_after=True)
    clicked = time.monotonic() - began
    seen = [_sees_the_notebook(person, began) for person in pupils.people]
    print(f"Ten clicked within {clicked:.1f} s; all see the notebook after {seen[-1]:.0f} s.")

    def computes(who: str) -> str:
        theirs = Launches(pupils.portal, who)
        return asyncio.run(theirs.run(theirs.known(pupils.launch(who)["id"]), "import os; print(os.listdir())"))

    assert all("world-map.ipynb" in said for said in pupils.all(computes))
    copies = [list((pupils.portal.data / "homes" / who).glob("Launches/*/world-map.ipynb")) for who in pupils.names]
    assert [len(each) for each in copies] == [1] * 10
    first = pupils.people[0]
    first.goes("servers")
    row = first.page.locator("[data-launch]").first
    row.get_by_role("button", name="Stop").click()
    expect(row).to_contain_text("Stopped")
    assert [pupils.launch(who)["state"] for who in pupils.names[1:]] == ["ready"] * 9, "nobody else's"


def _sees_the_notebook(person: Person, began: float) -> float:
    """Wait until the person sees it in a JupyterLab of their own, and return how long (seconds) that took."""
    expect(person.page.locator(".jp-NotebookPanel .jp-Cell").first).to_be_visible(timeout=_PATIENCE * 1000)
    assert f"/user/{person.name}/l" in person.page.url, person.page.url
    return time.monotonic() - began
