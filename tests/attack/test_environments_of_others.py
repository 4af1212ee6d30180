"""Somebody wants their app in an environment that the site keeps for members of a group."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest

from tests.notebooks import notebook
from tests.portal_parts import ADA, EVE, World
from vaas.errors import Invalid
from vaas.launching import Environment, Facility, Offering, Size
from vaas.model import Access, Snapshot, User, Visitor
from vaas.portal import Publication, serving
from vaas.portal.serving import Serving
from vaas.served import SERVED, Served, read_served

pytestmark = pytest.mark.attack

LESSON = {"lesson.ipynb": notebook("import licensed")}


@pytest.fixture
def site(world: World) -> World:
    """Return a portal with an environment for physicists, of which ada is one and eve is none."""
    kept = Environment("kept", "Kept", "python", "/kept/python", modules={"licensed": "licensed"}, state="ready")
    club = Facility("club", "Club", "local", ("kept",), ("small",), groups=("physics",))
    world.core.common = replace(world.core.common, modules={"tiny": "tiny"})
    world.core.offering = Offering((club,), (kept,), (Size("small", "Small"),))
    return world


async def checked(world: World, user: User, files: dict[str, bytes], *, slug: str = "") -> tuple[str, Snapshot]:
    draft = world.portal.drafts.begin_upload(user, files, slug=slug)
    await world.settle()
    world.report(draft)
    return draft.id, world.portal.drafts.get(user, draft.id).snapshot


async def test_nobody_chooses_what_is_kept_for_others(site: World) -> None:
    with pytest.raises(Invalid, match="for members of physics"):
        site.portal.drafts.begin_upload(EVE, LESSON, environment="kept")
    # Neither is it suggested, nor does a file that says so count, nor what the app had of who may.
    for files in (LESSON, {**LESSON, SERVED: Served("kept").text.encode()}):
        id, snapshot = await checked(site, EVE, files)
        assert Serving(site.core).of(snapshot) is None
    with pytest.raises(Invalid, match="for members of physics"):
        site.portal.drafts.check_again(EVE, id, environment="kept")
    id, snapshot = await checked(site, ADA, LESSON)
    mine = Serving(site.core).of(snapshot)
    assert mine and mine.id == "kept"
    app, _ = site.portal.drafts.publish(ADA, id, Publication(title="Mine"))
    await site.portal.sharing.grant(Visitor(ADA), app.slug, subject="user:eve", access=Access.WRITE)
    _, later = await checked(site, EVE, {"lesson.ipynb": notebook("2")}, slug=app.slug)
    assert Serving(site.core).of(later) is None


@pytest.mark.parametrize("most", [serving.MOST_BYTES, 10])
async def test_what_a_stranger_says_is_not_held_on_to(site: World, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    seen: list[weakref.ref[Served]] = []

    def read(text: str) -> Served:
        found = read_served(text)
        seen.extend([weakref.ref(found)] if found.title == "Evil" else [])
        return found

    monkeypatch.setattr(serving, "read_served", read)
    monkeypatch.setattr(serving, "MOST_BYTES", most)
    evil = Served("kept", "Evil", packages={str(each): "x" for each in range(1000)})
    await checked(site, EVE, {**LESSON, SERVED: evil.text.encode()})
    gc.collect()
    assert bool(seen) == (most > 10) and [each() for each in seen] == [None] * len(seen)
