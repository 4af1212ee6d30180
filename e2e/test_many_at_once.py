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

from e2e.people import Person
from tests.launched import Launches
from tests.portal_fixture import RunningPortal, until
from vaas.launching import launch_server

pytestmark = [pytest.mark.browser, pytest.mark.hub, pytest.mark.slow]
_API = "/services/vaas/api/launches"
#: Seconds, on a machine that may be busy with more than this class.
_PATIENCE = 180.0


class Class:
    """Nine pupils who do the same at once, by REST."""

    def __init__(self, portal: RunningPortal) -> None:
        self.portal, mark = portal, secrets.token_hex(2)
        self.names = [f"pupil-{mark}-{number}" for number in range(9)]
        for name in self.names:
            portal.hub("POST", f"/users/{name}").raise_for_status()
        self.tokens = {name: portal.token_for(name) for name in self.names}
        self.pool = ThreadPoolExecutor(len(self.names))

    def rest(self, method: str, path: str, *, who: str, body: Any = None) -> Any:
        """Ask for one of them what is answered well."""
        answer = self.portal.request(method, _API + path, token=self.tokens[who], json=body)
        assert answer.status_code < 300, f"{who}: {answer.text}"
        return answer.json() if answer.content else None

    def all(self, does: Callable[[str], Any]) -> list[Any]:
        """Have all do it, and return what came of it."""
        return list(self.pool.map(does, self.names))

    def launches(self, who: str) -> list[Any]:
        """Return what one of them has launched; nothing of it may have failed."""
        found: list[Any] = self.rest("GET", "", who=who)["launches"]
        assert not {each["state"] for each in found} & {"failed", "stopped"}, f"{who}: {found}"
        return found

    def end(self, who: str) -> None:
        """Remove what one of them has launched."""
        for launch in self.rest("GET", "", who=who)["launches"]:
            self.rest("DELETE", f"/{launch['id']}", who=who)


@pytest.fixture
def pupils(hub: RunningPortal) -> Iterator[Class]:
    made = Class(hub)
    yield made
    made.all(made.end)
    made.pool.shutdown()


def test_ten_launch_the_same_app_at_once_and_each_works_on_a_copy_of_their_own(pupils: Class, sam: Person) -> None:
    page = sam.page
    sam.goes("apps/world-map/launch")
    began = time.monotonic()
    asked = pupils.pool.map(lambda who: pupils.rest("POST", "", who=who, body={"app": "world-map"}), pupils.names)
    page.get_by_role("main").get_by_role("button", name="Launch in JupyterLab").click()
    list(asked)
    expect(page.locator(".jp-NotebookPanel .jp-Cell").first).to_be_visible(timeout=_PATIENCE * 1000)
    seen = time.monotonic() - began

    def is_ready(who: str) -> bool:
        return [each["state"] for each in pupils.launches(who)] == ["ready"]

    until(lambda: all(pupils.all(is_ready)), seconds=_PATIENCE, what="the class")
    print(f"Ten at once: one sees the notebook after {seen:.0f} s, all could after {time.monotonic() - began:.0f} s.")

    def works(who: str) -> int:
        (launch,) = pupils.launches(who)
        server = f"/user/{who}/{launch_server(launch['id'])}/api/contents/{launch['folder']}/{launch['notebook']}"
        return pupils.portal.get(server, host=f"{who}.vaas.localhost", token=pupils.tokens[who]).status_code

    assert pupils.all(works) == [200] * 9

    def computes(who: str) -> str:
        (launch,) = pupils.launches(who)
        theirs = Launches(pupils.portal, who)
        return asyncio.run(theirs.run(theirs.known(launch["id"]), "import os; print(os.listdir())"))

    assert all("world-map.ipynb" in said for said in pupils.all(computes))
    copies = [list((pupils.portal.data / "homes" / who).glob("Launches/*/world-map.ipynb")) for who in pupils.names]
    assert [len(each) for each in copies] == [1] * 9
    sam.goes("servers")
    row = page.locator("[data-launch]").first
    row.get_by_role("button", name="Stop").click()
    expect(row).to_contain_text("Stopped")
