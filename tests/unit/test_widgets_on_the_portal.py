"""The dashboard's words and the portal's are the same: what is kept, asked of the portal's own verbs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hub_service import asked
from tests.in_place import InPlace
from tests.portal_parts import ADA, EVE, World
from tests.searchable import searchable
from vaas.catalogs.base import Record
from vaas.client.client import Client
from vaas.client.errors import PortalError
from vaas.errors import VaasError
from vaas.model import EVERYONE, User, Visitor
from vaas.widgets import shown, terms
from vaas.widgets.keeping import Keeping


class Within:
    """A wire to a portal in this process."""

    def __init__(self, world: World, user: User) -> None:
        self._world, self._visitor = world, Visitor(user)

    def ask(self, verb: str, args: Mapping[str, Any]) -> Any:
        """Ask it."""
        try:
            return asyncio.run(asked.answer(self._world.portal, self._visitor, verb, args, base="http://x/"))
        except VaasError as error:
            raise PortalError(error.message) from error

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def keeps(world: World) -> Callable[[User], Keeping]:
    """Return what belongs to somebody, as the dashboard has it; ada has an app that everyone sees."""
    asyncio.run(world.published(ADA, title="Waves", to=(EVERYONE,)))

    def keeping(user: User) -> Keeping:
        found = Keeping(lambda: Client(Within(world, user)))
        assert found.arrive()["signed_in"] and "why" not in found.mine
        return found

    return keeping


@pytest.mark.parametrize("access", ["READ", "WRITE"])
def test_what_somebody_asks_for_is_what_the_owner_reads_and_grants(
    keeps: Callable[[User], Keeping], world: World, access: str
) -> None:
    eve, ada = keeps(EVE), keeps(ADA)
    assert eve.ask("waves", access, "Please")["asked"][0]["state"] == "open"
    (request,) = ada.arrive()["to_answer"]
    assert (request["who"], request["access"], request["message"]) == ("eve", access, "Please")
    assert ada.answer(request["id"], grant=True)["to_answer"] == []
    with world.core.database.begin() as records:
        app = records.apps.get("waves")
        assert app is not None
        granted = {grant.subject: grant.access.name for grant in records.grants.of([app.id])}
    assert granted["user:eve"] == access


def test_baskets_are_named_and_another_one_is_begun(keeps: Callable[[User], Keeping]) -> None:
    eve = keeps(EVE)
    assert eve.mine["basket"]["id"] == "" and [each["id"] for each in eve.mine["baskets"]] == [""]
    named = eve.basket("rename", {"name": "Tides"})["basket"]
    assert named["name"] == "Tides" and named["id"]
    empty = eve.basket("new", {"name": ""})
    assert (empty["basket"]["id"], empty["basket"]["mine"]) == ("", True)
    assert [each["name"] for each in empty["baskets"]] == ["", "Tides"]
    assert eve.basket("switch", {"basket": named["id"]})["basket"]["name"] == "Tides"
    assert eve.basket("delete", {})["basket"]["id"] == ""


def test_years_are_those_of_what_somebody_may_see_and_a_folder_is_no_download(world: World, tmp_path: Path) -> None:
    with searchable(world, tmp_path / "index") as found:
        begins, ends = (datetime(year, 1, 1, tzinfo=UTC) for year in (2015, 2017))
        found.put("open", "everyone", begins=begins, ends=ends)
        found.put("secret", "user:ada", begins=datetime(1850, 1, 1, tzinfo=UTC))
        found.put("cube.zarr", "everyone", format="zarr", size=None, catalog="here")
        view = InPlace(lambda: Client(Within(world, EVE)))
        answer = view.search("")
        assert [(span["name"], span["count"]) for span in answer["years"]] == [("2015", 1), ("2016", 1), ("2017", 1)]
        during = view.search(terms.about("", 2016, 2016))
        assert [card["title"] for card in during["records"]] == ["open"] and during["years"] == answer["years"]
        assert view.search(terms.about("", 1850, 1850))["records"] == []
        ada = InPlace(lambda: Client(Within(world, ADA)))
        assert [card["title"] for card in ada.search("during:1850")["records"]] == ["secret"]
        view.search("")
        folder = view.record("here file:p/cube.zarr")
        assert folder is not None
        assert "download" not in [action["do"] for action in shown.detail(folder, visitor="eve")["actions"]]


def test_what_another_catalog_has_comes_behind_what_the_portal_has(world: World, tmp_path: Path) -> None:
    with searchable(world, tmp_path / "index") as found:
        for number in range(3):
            found.put(f"tide-{number}", "everyone")
        for number in range(2):
            far = Record(id=f"far-{number}", type="data", title="Tide", catalog="elsewhere")
            found.elsewhere.kept[far.id] = far
        view = InPlace(lambda: Client(Within(world, EVE)))
        first = view.search("", outside=False)
        assert found.elsewhere.asked == 0
        answer = view.search("", outside=True)
        keys = [card["key"] for card in answer["records"]]
        assert keys == [*(card["key"] for card in first["records"]), "elsewhere far-0", "elsewhere far-1"]
        assert answer["late"]["from"] == [{"catalog": "elsewhere", "count": 2}] and answer["total"] == 5


def test_searches_are_saved_and_forgotten(keeps: Callable[[User], Keeping]) -> None:
    eve = keeps(EVE)
    (kept,) = eve.saved("save", {"q": "tide type:data", "name": ""})["saved"]
    assert (kept["name"], kept["q"]) == ("tide type:data", "tide type:data")
    assert eve.saved("seen", {"id": kept["id"]})["saved"][0]["new"] == 0
    assert eve.saved("forget", {"id": kept["id"]})["saved"] == []
