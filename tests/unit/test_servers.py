"""What app servers ask: what to run, who may stay, and when they are of no more use."""

from __future__ import annotations

import base64
import io
import tarfile
from typing import Any, ClassVar

import pytest

from tests.portal_parts import ADA, BOB, EVE, OK, PUBLIC_URL, World
from vaas.errors import NotFound, Unavailable
from vaas.model import EVERYONE, SIGNED_IN, Access, App, ServerName, User, Visitor
from vaas.portal import Publication
from vaas.portal.capacity import Load
from vaas.portal.opening import draft_server
from vaas.portal.servers import Heartbeat, Servers, Visit
from vaas.runtime.manifest import Manifest
from vaas.tickets import derive_key

AS_ADA = Visitor(ADA)


async def beat(world: World, server: ServerName, *visits: Visit, idle: float = 0.0) -> list[str]:
    answer = await world.portal.servers.heartbeat(server, Heartbeat(visits, idle))
    assert answer["stop"] is False
    await world.settle()
    return sorted(answer["revoked"])


async def revoked(world: World, app: App, *visits: Visit) -> list[str]:
    return await beat(world, world.server(app, 1), *visits)


def visit(who: str = "", *links: str) -> Visit:
    return Visit(f"{who}{'+'.join(links)}" or "nobody", who, links)


class TestManifest:
    """What a server is to run."""

    async def test_an_app_server_reads_its_manifest(self, world: World) -> None:
        app = await world.published(ADA, "x = 1", title="Tides", description="About")
        server = world.server(app, 1)
        sent = world.portal.servers.manifest(server, public_url=PUBLIC_URL)
        read = Manifest.from_json(sent)
        assert (read.server, read.app_id, read.title, read.version) == (server, app.id, "Tides", "1")
        assert (read.hash, read.notebook) == (app.version, "lesson.ipynb")
        assert read.ticket_key == derive_key(world.core.master_key, server)
        assert (read.portal, read.open) == (PUBLIC_URL, f"{PUBLIC_URL}wake/{server.account}")
        assert (read.about, read.launch) == (f"{PUBLIC_URL}apps/tides/", f"{PUBLIC_URL}apps/tides/launch")
        assert (read.check_seconds, read.frame_ancestors) == (None, ("'none'",))
        assert sent["app"]["owner"] == "ada" and sent["app"]["description"] == "About"

    async def test_a_server_gets_the_limits_of_its_kernels_as_the_site_sets_them(self, world: World) -> None:
        app = await world.published(ADA)
        world.limit(kernel_memory=7, stalled_after=8)
        sent = world.portal.servers.manifest(world.server(app, 1), public_url=PUBLIC_URL)["limits"]
        assert sent == {
            "heartbeat": 5,
            "lost_after": 60,
            "visits": 200,
            "cell_seconds": 600,
            "kernel_memory": 7,
            "kernel_disk": 500_000_000,
            "kernel_file": 500_000_000,
            "kernel_processes": 256,
            "server_memory": 4_000_000_000,
            "memory": 0,
            "ahead": 1,
            "spares": 3,
            "warm": 2,
            "template_age": 3600,
            "leave_after": 5,
            "kernel_open_files": 1024,
            "kernel_cpu": 3600,
            "output": 50_000_000,
            "ping": 20,
            "stalled_after": 8,
        }

    async def test_a_drafts_server_checks_and_may_be_framed_by_the_portal_alone(self, world: World) -> None:
        draft = world.portal.drafts.begin_upload(ADA, {"lesson.ipynb": b'{"nbformat": 4, "cells": []}'})
        server = draft_server(draft)
        read = Manifest.from_json(world.portal.servers.manifest(server, public_url=PUBLIC_URL))
        assert (read.server, read.version, read.check_seconds) == (server, "draft", 300)
        assert read.frame_ancestors == ("http://vaas.localhost",)
        assert read.open == read.about == f"{PUBLIC_URL}drafts/{draft.id}/"
        world.report(draft, OK)
        assert Manifest.from_json(world.portal.servers.manifest(server, public_url=PUBLIC_URL)).check_seconds is None

    async def test_a_draft_of_an_app_shows_its_own_content_under_the_apps_name(self, world: World) -> None:
        app = await world.published(ADA, "x = 1", title="Tides")
        draft = world.uploaded(ADA, "x = 2", slug=app.slug)
        sent = world.portal.servers.manifest(draft_server(draft), public_url=PUBLIC_URL)
        assert (sent["hash"], sent["app"]["slug"], sent["app"]["title"]) == (draft.snapshot.hash, "tides", "Tides")

    async def test_each_server_has_a_key_of_its_own_and_none_is_the_master_key(self, world: World) -> None:
        app = await world.published(ADA, "x = 1")
        await world.published(ADA, "x = 2", slug_of=app.slug)
        draft = world.uploaded(ADA, "x = 3", slug=app.slug)
        servers = [world.server(app, 1), world.server(app, 2), draft_server(draft)]
        keys = {world.portal.servers.manifest(s, public_url=PUBLIC_URL)["ticket_key"] for s in servers}
        assert len(keys) == 3
        assert world.core.master_key not in {base64.urlsafe_b64decode(key) for key in keys}
        assert "master_key" not in repr(world.core)

    @pytest.mark.parametrize("name", ["v2", "v0", "v", "v01", "v-1", "", "d", "d00000000", "dv1", "v1 ", "1"])
    async def test_for_any_other_name_nothing_is_published(self, world: World, name: str) -> None:
        app = await world.published(ADA)
        other = world.uploaded(BOB)
        for server in (
            ServerName(f"app-{app.id}", name),
            ServerName(f"app-{app.id}", f"d{other.id}"),
            ServerName("app-aaaaaaaaaaaa", "v1"),
            ServerName(app.id + "x", "v1"),
        ):
            with pytest.raises(NotFound):
                world.portal.servers.manifest(server, public_url=PUBLIC_URL)
            with pytest.raises(NotFound):
                list(world.portal.servers.content(server))

    async def test_the_content_is_that_of_the_servers_own_version(self, world: World) -> None:
        draft = world.uploaded(ADA, "x = 1", waves_csv=b"1,2")
        packed = b"".join(world.portal.servers.content(draft_server(draft)))
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            assert archive.getnames() == ["lesson.ipynb", "waves.csv"]


class TestHeartbeat:
    """Who may stay."""

    async def test_everybody_who_may_open_it_stays(self, world: World) -> None:
        app = await world.published(ADA, to=("user:bob", "group:physics"))
        link = world.portal.sharing.make_link(AS_ADA, app.slug)
        assert await revoked(world, app, visit("ada"), visit("bob"), visit("root"), visit("", link.id)) == []
        assert await revoked(world, app, visit("eve"), visit(), visit("eve", link.id)) == ["eve", "nobody"]

    @pytest.mark.parametrize(
        ("subject", "kept"),
        [
            ("user:bob", ["ada", "bob"]),
            ("group:physics", ["ada", "bob"]),
            (SIGNED_IN, ["ada", "bob", "eve"]),
            (EVERYONE, ["ada", "bob", "eve", "nobody"]),
        ],
    )
    async def test_a_revoked_grant_sends_exactly_those_away_who_came_by_it(
        self, world: World, subject: str, kept: list[str]
    ) -> None:
        app = await world.published(ADA, to=(subject,))
        visits = [visit(name) for name in ("ada", "bob", "eve", "")]
        assert await revoked(world, app, *visits) == sorted({"ada", "bob", "eve", "nobody"} - set(kept))
        world.portal.sharing.revoke(AS_ADA, app.slug, subject)
        assert await revoked(world, app, *visits) == ["bob", "eve", "nobody"]

    async def test_who_holds_another_grant_stays(self, world: World) -> None:
        app = await world.published(ADA, to=("user:bob", "group:physics", "user:eve"))
        world.portal.sharing.revoke(AS_ADA, app.slug, "user:bob")
        assert await revoked(world, app, visit("bob"), visit("eve")) == []

    async def test_who_left_the_group_or_the_hub_goes(self, world: World) -> None:
        app = await world.published(ADA, to=("group:physics", EVERYONE))
        world.portal.sharing.revoke(AS_ADA, app.slug, EVERYONE)
        assert await revoked(world, app, visit("bob")) == []
        world.people.known["bob"] = User("bob")
        assert await revoked(world, app, visit("bob")) == ["bob"]
        await world.portal.sharing.grant(AS_ADA, app.slug, subject=EVERYONE, access=Access.VIEW)
        del world.people.known["bob"]
        assert await revoked(world, app, visit("bob"), visit()) == ["bob"]

    async def test_a_revoked_or_expired_link_sends_those_away_who_came_by_it(self, world: World) -> None:
        app = await world.published(ADA)
        short, long = (world.portal.sharing.make_link(AS_ADA, app.slug, days=days) for days in (1, 0))
        visits = [visit("", short.id), visit("", long.id), visit("", short.id, long.id), visit("", "unknown")]
        assert await revoked(world, app, *visits) == ["unknown"]
        world.clock.forward(days=1)
        assert await revoked(world, app, *visits) == sorted([short.id, "unknown"])
        world.portal.sharing.drop_link(AS_ADA, app.slug, long.id)
        assert len(await revoked(world, app, *visits)) == 4

    async def test_an_old_owner_goes_and_the_new_one_stays(self, world: World) -> None:
        app = await world.published(ADA)
        await world.portal.gallery.give(AS_ADA, app.slug, "bob")
        assert await revoked(world, app, visit("ada"), visit("bob")) == ["ada"]

    async def test_a_withdrawn_app_sends_everybody_away_and_the_server_home(self, world: World) -> None:
        app = await world.published(ADA, to=(EVERYONE,))
        world.portal.gallery.withdraw(AS_ADA, app.slug)
        visits = (visit("ada"), visit())
        answer = await world.portal.servers.heartbeat(world.server(app, 1), Heartbeat(visits, 0.0))
        assert answer == {"revoked": ["ada", "nobody"], "stop": True, "network": [], "knows_visitor": False}

    async def test_a_draft_is_seen_by_its_owner_alone(self, world: World) -> None:
        app = await world.published(ADA, to=(EVERYONE,))
        draft = world.uploaded(ADA, "x = 2", slug=app.slug)
        visits = (visit("ada"), visit("bob"), visit("root"), visit())
        assert await beat(world, draft_server(draft), *visits) == ["bob", "nobody", "root"]
        world.portal.drafts.discard(ADA, draft.id)
        answer = await world.portal.servers.heartbeat(draft_server(draft), Heartbeat(visits, 0.0))
        assert answer["stop"] and len(answer["revoked"]) == 4

    async def test_while_the_hub_is_silent_nobody_is_judged(self, world: World) -> None:
        app = await world.published(ADA, to=(EVERYONE,))
        world.people.down = True
        with pytest.raises(Unavailable):
            await revoked(world, app, visit("bob"))
        assert await revoked(world, app, visit()) == []

    async def test_visitors_of_an_old_version_are_judged_by_the_same_grants(self, world: World) -> None:
        app = await world.published(ADA, "x = 1", to=("user:eve",))
        await world.published(ADA, "x = 2", slug_of=app.slug)
        assert await revoked(world, app, visit("eve"), visit("bob")) == ["bob"]


class TestHowItOpens:
    """What a server says of how its app opens is kept with the version."""

    WARM: ClassVar = {"mode": "warm", "why": ["A thread. Start threads in a callback."]}

    async def said(self, world: World, server: ServerName, opens: dict[str, Any]) -> None:
        await world.portal.servers.heartbeat(server, Heartbeat((), 0.0, opens=opens))

    async def test_it_is_kept_when_the_server_sleeps(self, world: World) -> None:
        app = await world.published(ADA)
        before = world.portal.gallery.current(app)
        await self.said(world, world.server(app, 1), self.WARM)
        await self.said(world, world.server(app, 1), {})
        version = world.portal.gallery.current(app)
        assert before and version
        assert version.report == {**before.report, "opens": self.WARM}
        assert version.snapshot == before.snapshot

    async def test_a_version_that_was_never_checked_has_it_too(self, world: World) -> None:
        app = await world.published(ADA)
        with world.core.database.begin() as records:
            records.versions.annotate(app.id, 1, {})
        await self.said(world, world.server(app, 1), self.WARM)
        version = world.portal.gallery.current(app)
        assert version and version.report == {"opens": self.WARM}

    async def test_a_draft_hands_it_on_to_the_version(self, world: World) -> None:
        draft = world.uploaded(ADA, "x = 1")
        await self.said(world, draft_server(draft), self.WARM)
        app, _ = world.portal.drafts.publish(ADA, draft.id, Publication(title="A", slug="a-slug"))
        version = world.portal.gallery.current(app)
        assert version and version.report["opens"] == self.WARM

    async def test_a_draft_that_is_being_checked_has_no_report_yet(self, world: World) -> None:
        draft = world.portal.drafts.begin_upload(ADA, {"lesson.ipynb": b'{"nbformat": 4, "cells": []}'})
        await self.said(world, draft_server(draft), self.WARM)
        assert world.portal.drafts.get(ADA, draft.id).report == {}


class TestShares:
    """What servers may have of what the site may."""

    async def test_two_servers_never_have_more_together_than_the_site(self, world: World) -> None:
        world.limit(site_visits=5)
        servers = Servers(world.core)
        one, other = [world.server(await world.published(ADA, f"x = {n}"), 1) for n in (1, 2)]
        assert servers.manifest(one, public_url=PUBLIC_URL)["site_visits"] == 5
        assert servers.manifest(other, public_url=PUBLIC_URL)["site_visits"] == 0

        async def share(server: ServerName, *load: int) -> int:
            answer = await servers.heartbeat(server, Heartbeat((), 0.0, load=Load(*load)))
            return int(answer["site_visits"])

        assert await share(one, 4, 3) == 5
        # Both want more than there is: what the first has too much, it gives away as visits end.
        assert await share(other, 0, 4) == 0
        assert await share(one, 4, 3) == 3
        assert await share(other, 0, 4) == 1
        assert await share(one, 2, 5) == 3
        assert await share(other, 1, 3) == 2

    async def test_without_limits_of_the_site_nothing_is_said(self, world: World) -> None:
        server = world.server(await world.published(ADA), 1)
        assert "site_visits" not in world.portal.servers.manifest(server, public_url=PUBLIC_URL)
        assert "site_memory" not in await world.portal.servers.heartbeat(server, Heartbeat((), 0.0))


class TestIdle:
    """When a server is of no more use."""

    async def stopped(self, world: World, server: ServerName, *visits: Visit, idle: float) -> bool:
        world.machines.stops.clear()
        await beat(world, server, *visits, idle=idle)
        return server in world.machines.stops

    async def test_a_current_version_that_nobody_visits_stops_after_a_while(self, world: World) -> None:
        app = await world.published(ADA, to=(EVERYONE,))
        assert not await self.stopped(world, world.server(app, 1), idle=599)
        assert not await self.stopped(world, world.server(app, 1), visit(), idle=0)
        assert await self.stopped(world, world.server(app, 1), idle=600)

    async def test_a_superseded_version_stops_soon_after_its_last_visitor_left(self, world: World) -> None:
        app = await world.published(ADA, "x = 1", to=(EVERYONE,))
        await world.published(ADA, "x = 2", slug_of=app.slug)
        assert not await self.stopped(world, world.server(app, 1), visit(), idle=0)
        assert not await self.stopped(world, world.server(app, 1), idle=14)
        assert await self.stopped(world, world.server(app, 1), idle=15)
        assert not await self.stopped(world, world.server(app, 2), idle=15)
        world.portal.versions.roll_back(AS_ADA, app.slug, app.version)
        assert not await self.stopped(world, world.server(app, 1), idle=15)
        assert await self.stopped(world, world.server(app, 2), idle=15)

    async def test_a_drafts_server_stays_for_its_check_and_its_preview(self, world: World) -> None:
        draft = world.portal.drafts.begin_upload(ADA, {"lesson.ipynb": b'{"nbformat": 4, "cells": []}'})
        assert not await self.stopped(world, draft_server(draft), idle=10_000)
        world.report(draft)
        assert not await self.stopped(world, draft_server(draft), idle=100)
        assert await self.stopped(world, draft_server(draft), idle=600)

    async def test_a_stop_that_failed_is_tried_again_at_the_next_heartbeat(self, world: World) -> None:
        app = await world.published(ADA)
        stop, tried = world.machines.stop, []

        async def silent(server: ServerName) -> None:
            tried.append(server)
            raise Unavailable("The Hub does not answer.")

        world.machines.stop = silent  # type: ignore[method-assign]
        for _ in range(2):
            await beat(world, world.server(app, 1), idle=600)
        assert len(tried) == 2
        world.machines.stop = stop  # type: ignore[method-assign]
        assert await self.stopped(world, world.server(app, 1), idle=600)


async def test_nobody_is_named_whom_the_hub_does_not_know(world: World) -> None:
    app = await world.published(ADA, to=(SIGNED_IN,))
    assert await revoked(world, app, visit("ghost"), visit("eve"), visit(EVE.name + " ")) == ["eve ", "ghost"]
