"""The portal's own app: made by the portal alone, changed by nobody, and the only one that speaks for its visitors."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub_service.discovery import DISCOVERY, ensure_discovery
from tests.notebooks import notebook
from tests.portal_parts import ADA, BOB, NOBODY, OK, PUBLIC_URL, ROOT, World
from tests.unit.test_handlers import client
from vaas import tickets
from vaas.db.base import Query
from vaas.errors import Forbidden, NotFound, SignInNeeded, VaasError
from vaas.model import EVERYONE, Access, App, Grant, User, Visitor
from vaas.policy import ACTIONS, decide
from vaas.portal import Publication
from vaas.portal.gallery import Appearance
from vaas.portal.opening import draft_server

AS_ADA, AS_ROOT = Visitor(ADA), Visitor(ROOT)
#: Somebody whose name is that of the app's owner.
OWNER = Visitor(User("This portal"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as the package has it."""
    (tmp_path / "dashboards" / "discovery" / "__pycache__").mkdir(parents=True)
    put(tmp_path / "dashboards", "x = 1")
    for name in ("discovery/view.py", "discovery/__pycache__/view.pyc", "discovery/.hidden", "other.ipynb"):
        (tmp_path / "dashboards" / name).write_text("y = 2")
    return tmp_path / "dashboards"


def put(folder: Path, cell: str) -> None:
    (folder / "discovery.ipynb").write_bytes(notebook(cell))


def own(world: World) -> App:
    with world.core.database.begin() as records:
        app = records.apps.by_id(DISCOVERY)
    assert app is not None
    return app


def versions(world: World) -> list[tuple[int, str, list[str]]]:
    with world.core.database.begin() as records:
        found = records.versions.of(DISCOVERY)
    return [(v.number, v.snapshot.hash, [file.path for file in v.snapshot.files]) for v in found]


async def test_everybody_may_open_it_and_it_speaks_for_them(world: World, folder: Path) -> None:
    ensure_discovery(world.portal, folder=folder)
    app = own(world)
    assert app.speaks and app.slug == "discover"
    assert versions(world) == [(1, app.version, ["discovery.ipynb", "discovery/view.py"])]
    for visitor in (NOBODY, Visitor(BOB), AS_ROOT):
        assert [x.app.slug for x in world.portal.gallery.apps(visitor, Query())] == ["discover"]
        await world.core.backend.start(world.server(app, 1))
        went = await world.portal.opening.begin(visitor, "discover")
        assert went.phase == "ready" and went.ticket


async def test_its_server_is_told_so_and_is_in_no_other_sites_frame(world: World, folder: Path) -> None:
    world.core.frame_ancestors = ("https://elsewhere.example.org",)
    ensure_discovery(world.portal, folder=folder)
    other = await world.published(ADA, title="Mine")
    own_told, told = (
        world.portal.servers.manifest(world.server(app, 1), public_url=PUBLIC_URL) for app in (own(world), other)
    )
    assert (own_told["speaks"], own_told["network"], own_told["knows_visitor"]) == (True, [], False)
    assert own_told["frame_ancestors"] == ["http://vaas.localhost"]
    assert (told["speaks"], told["frame_ancestors"]) == (False, ["https://elsewhere.example.org"])


async def test_it_gets_a_new_version_when_its_files_have_changed_and_only_then(world: World, folder: Path) -> None:
    for _ in range(2):
        ensure_discovery(world.portal, folder=folder)
    first = own(world)
    assert len(versions(world)) == 1
    put(folder, "x = 2")
    world.clock.forward(hours=1)
    ensure_discovery(world.portal, folder=folder)
    second = own(world)
    assert [number for number, *_ in versions(world)] == [2, 1] and second.version != first.version
    assert (second.created, second.speaks) == (first.created, True) and second.updated > first.updated
    # As before an upgrade that was taken back.
    put(folder, "x = 1")
    ensure_discovery(world.portal, folder=folder)
    assert own(world).version == first.version and len(versions(world)) == 2


async def test_what_the_package_holds_can_be_published(world: World) -> None:
    ensure_discovery(world.portal)
    assert own(world).speaks


async def test_what_cannot_be_published_leaves_what_is_there(world: World, folder: Path) -> None:
    ensure_discovery(world.portal, folder=folder)
    before = own(world)
    (folder / "discovery.ipynb").write_text("no notebook")
    ensure_discovery(world.portal, folder=folder)
    ensure_discovery(world.portal, folder=folder / "none")
    assert own(world) == before


async def test_an_app_that_has_its_address_already_gets_nothing_by_it(world: World, folder: Path) -> None:
    theirs = await world.published(ADA, slug="discover", title="Mine")
    ensure_discovery(world.portal, folder=folder)
    assert own(world).slug == "discover-2"
    kept = world.portal.gallery.app(AS_ADA, "discover").app
    assert (kept, kept.speaks) == (theirs, False)


@pytest.mark.parametrize("visitor", [NOBODY, Visitor(BOB), AS_ROOT, OWNER], ids=["nobody", "bob", "root", "owner"])
async def test_nobody_may_change_it(world: World, folder: Path, visitor: Visitor) -> None:
    ensure_discovery(world.portal, folder=folder)
    app, portal = own(world), world.portal
    with world.core.database.begin() as records:  # not even who was given it, by whatever mistake
        records.grants.save(Grant(app.id, "user:bob", Access.WRITE, "root", world.core.now()))
        grants = records.grants.of([app.id])
    changing = {action for action, access in ACTIONS.items() if access > Access.READ}
    allowed = {action for action in ACTIONS if decide(visitor, action, app, grants, now=world.core.now()).allowed}
    assert not changing & allowed and "open" in allowed
    user = visitor.user or User("nobody")
    tried: list[Any] = [
        lambda: portal.gallery.edit(visitor, "discover", Appearance("Other")),
        lambda: portal.gallery.introduce(visitor, "discover", knows_visitor=True),
        lambda: portal.gallery.reach(visitor, "discover", ("example.org",)),
        lambda: portal.gallery.give(visitor, "discover", "bob"),
        lambda: portal.gallery.withdraw(visitor, "discover"),
        lambda: portal.sharing.grant(visitor, "discover", subject="user:eve", access=Access.WRITE),
        lambda: portal.sharing.revoke(visitor, "discover", EVERYONE),
        lambda: portal.sharing.make_link(visitor, "discover"),
        lambda: portal.versions.roll_back(visitor, "discover", app.version),
        lambda: portal.drafts.begin_upload(user, {"a.ipynb": notebook("evil")}, slug="discover"),
    ]
    for attempt in tried:
        with pytest.raises((Forbidden, SignInNeeded)):
            made = attempt()
            if asyncio.iscoroutine(made):
                await made
    assert own(world) == app and len(versions(world)) == 1


async def test_a_draft_for_its_address_or_from_its_place_is_another_app(world: World, folder: Path) -> None:
    ensure_discovery(world.portal, folder=folder)
    draft = world.uploaded(ADA)
    with pytest.raises(VaasError):
        world.portal.drafts.publish(ADA, draft.id, Publication(slug="discover"))
    world.put(OWNER.user or ADA, "discovery.ipynb", notebook("evil"))
    made = await world.portal.drafts.begin(User("This portal"), "home", "discovery.ipynb")
    assert made.app_id != DISCOVERY


async def test_a_draft_of_it_would_not_speak(world: World, folder: Path) -> None:
    """There is no way to one; if there were, it is no version."""
    ensure_discovery(world.portal, folder=folder)
    draft = replace(world.uploaded(ADA), app_id=DISCOVERY, slug="discover", state="done", report=OK)
    with world.core.database.begin() as records:
        records.drafts.save(draft)
    server = draft_server(draft)
    assert world.portal.servers.manifest(server, public_url=PUBLIC_URL)["speaks"] is False
    with pytest.raises(Forbidden):
        await world.portal.speaking.asker(server, "x")
    with pytest.raises(Forbidden):
        world.portal.drafts.publish(ADA, draft.id, Publication(anyway=True))


async def test_a_copy_of_it_speaks_for_nobody(world: World, folder: Path) -> None:
    ensure_discovery(world.portal, folder=folder)
    app = await world.published(BOB, "x = 1", title="Discover")
    assert not app.speaks
    await world.core.backend.start(world.server(app, 1))
    assert world.portal.servers.manifest(world.server(app, 1), public_url=PUBLIC_URL)["speaks"] is False
    went = await world.portal.opening.begin(Visitor(BOB), app.slug)
    key = tickets.derive_key(world.core.master_key, world.server(app, 1))
    now = world.core.now().timestamp()
    assert not tickets.verify(went.ticket, key=key, purpose="visit", server=world.server(app, 1), now=now).proof


class TestRest:
    """The same over HTTP: nothing that is sent makes an app speak."""

    async def test_no_request_sets_it(self, world: World, site: str) -> None:
        files = {"lesson.ipynb": base64.b64encode(notebook("x = 1")).decode()}
        async with client(site, "ada") as ada:
            draft = (await ada.post("api/uploads", json={"files": files, "speaks": True})).json()
            world.report(world.portal.drafts.get(ADA, draft["id"]))
            said = {"speaks": True, "title": "Mine"}
            slug = (await ada.post(f"api/drafts/{draft['id']}/publish", json=said)).json()["slug"]
            assert (await ada.patch(f"api/apps/{slug}", json=said)).status_code == 200
            form = {"do": "save", "title": "Mine", "speaks": "1"}
            assert (await ada.post(f"apps/{slug}/settings", data=form)).status_code == 303
        assert world.portal.gallery.app(AS_ADA, slug).app.speaks is False

    async def test_it_is_changed_by_no_request(self, world: World, site: str, folder: Path) -> None:
        ensure_discovery(world.portal, folder=folder)
        app = own(world)
        files = {"lesson.ipynb": base64.b64encode(notebook("x = 1")).decode()}
        async with client(site, "root") as root:
            tries = [
                root.patch("api/apps/discover", json={"title": "x"}),
                root.patch("api/apps/discover", json={"owner": "ada"}),
                root.delete("api/apps/discover"),
                root.put("api/apps/discover/grants/user:ada", json={"access": "WRITE"}),
                root.put("api/apps/discover/versions/current", json={"hash": app.version}),
                root.post("api/uploads", json={"files": files, "slug": "discover"}),
            ]
            assert [(await each).status_code for each in tries] == [403] * len(tries)
        assert own(world) == app


async def test_unknown_stays_unknown(world: World) -> None:
    with pytest.raises(NotFound):
        world.portal.gallery.app(AS_ADA, "discover")
