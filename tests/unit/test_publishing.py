"""Publishing: drafts become versions of apps, versions are compared and gone back to."""

from __future__ import annotations

import base64
import io
import tarfile
from typing import Any

import pytest

from tests.notebooks import markdown, notebook
from tests.portal_parts import ADA, BOB, EVE, NOBODY, OK, PUBLIC_URL, World
from vaas.db.base import Query
from vaas.differences import MAX_FILE, FileChange
from vaas.errors import CheckFailed, Conflict, Forbidden, Invalid, NotFound, SignInNeeded
from vaas.model import EVERYONE, Access, Visitor
from vaas.portal import Publication
from vaas.portal.opening import draft_server

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
AS_ADA, AS_BOB = Visitor(ADA), Visitor(BOB)


def numbers(world: World, slug: str) -> list[int]:
    return [version.number for version in world.portal.versions.list(AS_ADA, slug)[1]]


class TestPublishing:
    """The last click."""

    async def test_a_checked_draft_becomes_an_app_with_its_first_version(self, world: World) -> None:
        draft = world.uploaded(ADA, markdown("# Tides"), "x = 1", waves_csv=b"1,2")
        said = Publication(description=" About tides. ", category="Earth", tags=("sea", " sea ", ""), note="First")
        app, link = world.portal.drafts.publish(ADA, draft.id, said)
        assert (app.slug, app.title, app.owner, app.version) == ("tides", "Tides", "ada", draft.snapshot.hash)
        assert (app.description, app.category, app.tags, link) == ("About tides.", "Earth", ("sea",), None)
        version = world.portal.gallery.current(app)
        assert version and (version.number, version.author, version.note) == (1, "ada", "First")
        assert [file.path for file in version.snapshot.files] == ["lesson.ipynb", "waves.csv"]
        assert version.report == OK
        assert world.portal.gallery.grants(app) == []

    async def test_a_published_draft_is_gone_and_its_server_stops(self, world: World) -> None:
        draft = world.uploaded(ADA)
        world.portal.drafts.publish(ADA, draft.id, Publication())
        await world.settle()
        assert draft_server(draft) in world.machines.stops
        with pytest.raises(NotFound):
            world.portal.drafts.publish(ADA, draft.id, Publication())
        assert len(world.portal.gallery.apps(AS_ADA, Query())) == 1

    async def test_a_draft_is_published_when_its_check_is_done_and_no_sooner(self, world: World) -> None:
        draft = world.portal.drafts.begin_upload(ADA, {"lesson.ipynb": notebook("x")})
        for progress in ({}, {"cell": 1}):
            if progress:
                world.portal.servers.checked(draft_server(draft), progress=progress, report={})
            with pytest.raises(Conflict):
                world.portal.drafts.publish(ADA, draft.id, Publication(anyway=True))
        world.report(draft)
        assert world.portal.drafts.publish(ADA, draft.id, Publication())[0].slug == "lesson"

    @pytest.mark.parametrize("report", [{"ok": False}, {"problems": []}, {"ok": None}])
    async def test_what_failed_its_check_is_published_only_anyway(self, world: World, report: dict[str, Any]) -> None:
        draft = world.portal.drafts.begin_upload(ADA, {"lesson.ipynb": notebook("1/0")})
        world.report(draft, report)
        with pytest.raises(CheckFailed):
            world.portal.drafts.publish(ADA, draft.id, Publication())
        app, _ = world.portal.drafts.publish(ADA, draft.id, Publication(anyway=True))
        assert world.portal.versions.list(AS_ADA, app.slug)[1][0].report == {**report, "ok": False}

    async def test_a_taken_address_is_refused_and_the_draft_stays(self, world: World) -> None:
        await world.published(BOB, slug="tides")
        draft = world.uploaded(ADA)
        with pytest.raises(Conflict):
            world.portal.drafts.publish(ADA, draft.id, Publication(slug="tides", subjects=(EVERYONE,)))
        assert world.portal.gallery.apps(NOBODY, Query()) == []
        app, _ = world.portal.drafts.publish(ADA, draft.id, Publication(slug="tides-2"))
        assert app.slug == "tides-2"

    async def test_addresses_made_from_titles_are_numbered(self, world: World) -> None:
        slugs = [
            (await world.published(user, f"x = {n}", title="Tides!")).slug for n, user in enumerate((ADA, BOB, ADA))
        ]
        assert slugs == ["tides", "tides-2", "tides-3"]

    @pytest.mark.parametrize("said", [{"slug": "Not good"}, {"subjects": ("link:x",)}, {"subjects": ("bob",)}])
    async def test_what_cannot_be_used_publishes_nothing(self, world: World, said: dict[str, Any]) -> None:
        draft = world.uploaded(ADA)
        with pytest.raises(Invalid):
            world.portal.drafts.publish(ADA, draft.id, Publication(**said))
        assert world.portal.gallery.apps(AS_ADA, Query()) == []
        assert world.portal.drafts.get(ADA, draft.id).state == "done"

    async def test_the_audience_gets_view_and_a_link_when_asked_for(self, world: World) -> None:
        draft = world.uploaded(ADA)
        said = Publication(subjects=("user:bob", "group:physics"), link=True)
        app, link = world.portal.drafts.publish(ADA, draft.id, said)
        assert link is not None
        held = {grant.subject: grant.access for grant in world.portal.gallery.grants(app)}
        assert held == {"user:bob": Access.VIEW, "group:physics": Access.VIEW, f"link:{link.id}": Access.VIEW}
        assert world.portal.sharing.enter(link.token)[0] == app

    async def test_naming_somebody_again_takes_nothing_from_them(self, world: World) -> None:
        app = await world.published(ADA)
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.WRITE)
        await world.published(ADA, "x = 2", slug_of=app.slug, to=("user:bob", "user:eve"))
        held = {grant.subject: grant.access for grant in world.portal.gallery.grants(app)}
        assert held == {"user:bob": Access.WRITE, "user:eve": Access.VIEW}

    async def test_the_checks_picture_becomes_the_cover_unless_another_is_given(self, world: World) -> None:
        for picture, given, expected in (
            ({"mime": "image/png", "data": base64.b64encode(PNG).decode()}, b"", PNG),
            ({"mime": "image/png", "data": base64.b64encode(PNG).decode()}, PNG + b"own", PNG + b"own"),
            ({"mime": "image/png", "data": base64.b64encode(b"<svg onload=alert(1)>").decode()}, b"", b""),
            ({"data": "no base64!"}, b"<html>", b""),
            (None, b"", b""),
        ):
            draft = world.portal.drafts.begin_upload(ADA, {"lesson.ipynb": notebook("x")})
            world.report(draft, {**OK, "picture": picture})
            app, _ = world.portal.drafts.publish(ADA, draft.id, Publication(cover=given))
            assert world.portal.gallery.cover(AS_ADA, app.slug)[1] == expected
            assert "picture" not in world.portal.versions.list(AS_ADA, app.slug)[1][0].report


class TestVersions:
    """New versions, and old ones."""

    async def test_versions_are_numbered_from_one(self, world: World) -> None:
        app = await world.published(ADA, "x = 1")
        for value in (2, 3):
            await world.published(ADA, f"x = {value}", slug_of=app.slug)
        assert numbers(world, app.slug) == [3, 2, 1]

    async def test_the_same_content_is_no_new_version(self, world: World) -> None:
        app = await world.published(ADA, "x = 1")
        again = await world.published(ADA, "x = 1", slug_of=app.slug, title="New title")
        assert numbers(world, app.slug) == [1]
        assert (again.title, again.slug, again.version) == ("New title", app.slug, app.version)

    async def test_publishing_old_content_again_is_going_back_to_it(self, world: World) -> None:
        first = await world.published(ADA, "x = 1")
        await world.published(ADA, "x = 2", slug_of=first.slug)
        again = await world.published(ADA, "x = 1", slug_of=first.slug)
        assert (numbers(world, first.slug), again.version) == ([2, 1], first.version)

    async def test_a_new_version_keeps_what_is_not_said_anew(self, world: World) -> None:
        app = await world.published(ADA, "x = 1", title="Tides", description="D", category="C", tags=("t",))
        again = await world.published(ADA, "x = 2", slug_of=app.slug, slug="ignored")
        assert (again.id, again.slug, again.title) == (app.id, "tides", "Tides")
        assert (again.description, again.category, again.tags, again.created) == ("D", "C", ("t",), app.created)
        assert again.version != app.version

    async def test_a_writer_publishes_and_the_owner_stays_the_owner(self, world: World) -> None:
        app = await world.published(ADA, "x = 1")
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.WRITE)
        again = await world.published(BOB, "x = 2", slug_of=app.slug)
        assert again.owner == "ada"
        assert world.portal.versions.list(AS_BOB, app.slug)[1][0].author == "bob"

    async def test_who_may_no_longer_write_cannot_publish_what_they_drafted(self, world: World) -> None:
        app = await world.published(ADA, "x = 1", to=(EVERYONE,))
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.WRITE)
        draft = world.uploaded(BOB, "x = 2", slug=app.slug)
        world.portal.sharing.revoke(AS_ADA, app.slug, "user:bob")
        with pytest.raises(Forbidden):
            world.portal.drafts.publish(BOB, draft.id, Publication())
        world.portal.sharing.revoke(AS_ADA, app.slug, EVERYONE)
        with pytest.raises(NotFound):
            world.portal.drafts.publish(BOB, draft.id, Publication())
        assert numbers(world, app.slug) == [1]

    async def test_a_withdrawn_app_does_not_come_back_under_another_owner(self, world: World) -> None:
        app = await world.published(ADA, "x = 1")
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.WRITE)
        draft = world.uploaded(BOB, "x = 2", slug=app.slug)
        world.portal.gallery.withdraw(AS_ADA, app.slug)
        with pytest.raises(Conflict):
            world.portal.drafts.publish(BOB, draft.id, Publication())
        assert world.portal.gallery.apps(AS_BOB, Query()) == []

    async def test_of_two_drafts_for_one_app_both_become_versions(self, world: World) -> None:
        app = await world.published(ADA, "x = 1")
        second, third = (world.uploaded(ADA, f"x = {n}", slug=app.slug) for n in (2, 3))
        for draft in (third, second):
            world.portal.drafts.publish(ADA, draft.id, Publication())
        found = world.portal.versions.list(AS_ADA, app.slug)
        assert [(v.number, v.snapshot.hash) for v in found[1][:2]] == [
            (3, second.snapshot.hash),
            (2, third.snapshot.hash),
        ]
        assert found[0].version == second.snapshot.hash

    async def test_going_back_is_for_new_visitors_and_for_writers(self, world: World) -> None:
        app = await world.published(ADA, "x = 1", to=(EVERYONE,))
        await world.published(ADA, "x = 2", slug_of=app.slug)
        with pytest.raises(Forbidden):
            world.portal.versions.roll_back(AS_BOB, app.slug, app.version)
        with pytest.raises(SignInNeeded):
            world.portal.versions.roll_back(NOBODY, app.slug, app.version)
        assert world.portal.versions.roll_back(AS_ADA, app.slug, app.version).version == app.version
        assert numbers(world, app.slug) == [2, 1]
        current = world.portal.gallery.current(world.portal.gallery.app(NOBODY, app.slug).app)
        assert current and current.number == 1

    async def test_only_an_apps_own_version_can_be_gone_back_to(self, world: World) -> None:
        app, other = await world.published(ADA, "x = 1"), await world.published(BOB, "x = 2")
        for wrong in (other.version, "", "0" * 64):
            with pytest.raises(NotFound):
                world.portal.versions.roll_back(AS_ADA, app.slug, wrong)

    async def test_a_comparison_names_files_and_cells(self, world: World) -> None:
        first = world.uploaded(ADA, "x = 1", "y = 1", same_csv=b"s", gone_csv=b"g", changed_csv=b"1")
        app, _ = world.portal.drafts.publish(ADA, first.id, Publication())
        second = world.uploaded(ADA, "x = 2", "y = 1", slug=app.slug, same_csv=b"s", new_csv=b"n", changed_csv=b"2")
        world.portal.drafts.publish(ADA, second.id, Publication())
        found = world.portal.versions.compare(AS_ADA, app.slug, old=1, new=2)[1]
        assert (found.added, found.removed) == (("new.csv",), ("gone.csv",))
        assert found.changed == ("changed.csv", "lesson.ipynb")
        assert [(cell.change, cell.old, cell.new) for cell in found.cells] == [("changed", 1, 1)]
        with pytest.raises(NotFound):
            world.portal.versions.compare(AS_ADA, app.slug, old=1, new=9)

    async def test_a_comparison_shows_what_changed_in_files_that_are_text(self, world: World) -> None:
        before = {
            "requirements.txt": b"numpy==1\npandas==2\n",
            "blob.bin": b"\0a",
            "big.csv": b"1\n",
            "other.ipynb": b"{}",
        }
        after = {"requirements.txt": b"numpy==2\npandas==2\n", "blob.bin": b"\0b", "big.csv": b"2\n" * MAX_FILE}
        slug = ""
        for files in (before, {**after, "other.ipynb": b"[]"}):
            draft = world.portal.drafts.begin_upload(ADA, {**files, "lesson.ipynb": notebook("x")}, slug=slug)
            world.report(draft)
            slug = world.portal.drafts.publish(ADA, draft.id, Publication())[0].slug
        found = world.portal.versions.compare(AS_ADA, slug, old=1, new=2)[1]
        assert found.changed == ("big.csv", "blob.bin", "other.ipynb", "requirements.txt")
        lines = (("-", "numpy==1"), ("+", "numpy==2"), (" ", "pandas==2"))
        assert found.texts == (FileChange("requirements.txt", lines),)

    async def test_source_and_versions_are_for_readers(self, world: World) -> None:
        app = await world.published(ADA, "x = 1", to=(EVERYONE,))
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.READ)
        for attempt in (
            lambda visitor: world.portal.versions.list(visitor, app.slug),
            lambda visitor: world.portal.versions.compare(visitor, app.slug, old=1, new=1),
            lambda visitor: world.portal.versions.source(visitor, app.slug),
        ):
            attempt(AS_BOB)
            with pytest.raises(Forbidden):
                attempt(Visitor(EVE))
            with pytest.raises(SignInNeeded):
                attempt(NOBODY)
        _, version, chunks = world.portal.versions.source(AS_BOB, app.slug)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            assert archive.getnames() == ["lesson.ipynb"]
        assert world.portal.versions.file(version, "lesson.ipynb") == notebook("x = 1")
        with pytest.raises(NotFound):
            world.portal.versions.file(version, "../lesson.ipynb")

    async def test_who_is_in_keeps_the_version_they_came_to(self, world: World) -> None:
        app = await world.published(ADA, "x = 1", to=(EVERYONE,))
        await world.published(ADA, "x = 2", slug_of=app.slug)
        for number, source in ((1, "x = 1"), (2, "x = 2")):
            server = world.server(app, number)
            manifest = world.portal.servers.manifest(server, public_url=PUBLIC_URL)
            assert (manifest["version"], manifest["server"]) == (str(number), server.path)
            packed = b"".join(world.portal.servers.content(server))
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                read = archive.extractfile("lesson.ipynb")
                assert read and read.read() == notebook(source)
