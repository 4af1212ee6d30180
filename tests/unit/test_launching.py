"""Launching: of what, with what and by whom; what the Hub is asked for; and that nobody meets another's launch."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.notebooks import notebook
from tests.own_servers import OFFERING, Labs
from tests.portal_parts import ADA, BOB, EVE, NOBODY, World
from vaas.backends.base import Lent
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, SignInNeeded, Unavailable
from vaas.launching import Launch, launch_server
from vaas.model import Access, App, ServerName, User, Visitor
from vaas.plans import read_plan
from vaas.portal.gallery import Appearance
from vaas.portal.launching import Launching

AS_ADA, AS_BOB, AS_EVE = Visitor(ADA), Visitor(BOB), Visitor(EVE)
LENT_ADA, LENT_BOB, LENT_EVE = Lent(ADA, "ada's own"), Lent(BOB, "bob's own"), Lent(EVE, "eve's own")


@pytest.fixture
def labs(world: World) -> Labs:
    """Where people's servers run; the site offers two places."""
    world.core.offering, world.core.own_servers = OFFERING, Labs()
    world.core.folders = lambda user: (user.name, ("everyone",))
    world.put(ADA, "work/tides.ipynb", notebook("x = 1"))
    return world.core.own_servers


@pytest.fixture
def launching(world: World, labs: Labs) -> Launching:
    return world.portal.launching


async def shared(world: World, access: Access | None) -> App:
    """Return an app of ada's on which eve holds this."""
    app = await world.published(ADA, "x = 1", title="Tides")
    if access:
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:eve", access=access)
    return app


async def launched(launching: Launching, lent: Lent = LENT_ADA, **asked: Any) -> Launch:
    """Launch ada's notebook, or what else is asked for."""
    made = await launching.ask(Visitor(lent.user), asked or {"store": "home", "path": "work/tides.ipynb"})
    return await launching.begin(lent, made.id)


class TestOfWhat:
    """What can be launched, and by whom."""

    async def test_an_app_is_launched_in_the_version_that_it_has_with_what_is_suggested(
        self, world: World, launching: Launching
    ) -> None:
        app = await shared(world, Access.READ)
        launch = await launching.ask(AS_EVE, {"app": app.slug})
        assert launch.asked == {"app": app.slug, "version": app.version, "called": "Tides"}
        assert (launch.title, launch.owner, launch.state) == ("Tides", "eve", "asked")
        assert (launch.facility, launch.environment, launch.size) == ("here", "apps", "small")
        assert launching.get(AS_EVE, launch.id) == launch

    @pytest.mark.attack
    @pytest.mark.parametrize(
        ("access", "error"), [(None, NotFound), (Access.VIEW, Forbidden)], ids=["hidden", "may only open it"]
    )
    async def test_an_app_that_one_may_not_read_is_not_launched(
        self, world: World, launching: Launching, access: Access | None, error: type[Exception]
    ) -> None:
        app = await shared(world, access)
        with pytest.raises(error) as said:
            await launching.ask(AS_EVE, {"app": app.slug})
        if error is NotFound:
            with pytest.raises(NotFound, match=str(said.value)):
                await launching.ask(AS_EVE, {"app": "none-such"})
        assert launching.known(AS_EVE) == []

    async def test_nobody_launches_without_being_signed_in(self, world: World, launching: Launching) -> None:
        assert launching.offered(AS_ADA) and not launching.offered(NOBODY)
        with pytest.raises(SignInNeeded):
            await launching.ask(NOBODY, {"store": "home", "path": "work/tides.ipynb"})

    async def test_a_notebook_of_ones_own_is_launched_from_where_it_lies(self, launching: Launching) -> None:
        launch = await launching.ask(AS_ADA, {"store": "home", "path": "/work//tides.ipynb"})
        assert launch.asked == {"store": "home", "path": "work/tides.ipynb"} and launch.title == "tides"

    async def test_a_notebook_of_ones_own_is_opened_where_it_lies_or_as_a_copy(
        self, world: World, launching: Launching
    ) -> None:
        own = {"store": "home", "path": "work/tides.ipynb"}
        told = []
        assert (await launching.ask(AS_ADA, own | {"copy": "0"})).asked == own
        for asked in (own, own | {"copy": "1"}):
            launch = await launching.ask(AS_ADA, asked)
            assert launch.asked == asked
            server = ServerName("ada", launch_server(launch.id))
            told.append(await world.portal.placing.manifest(server, public_url="https://here/"))
        assert [(each["folder"], each["notebook"]) for each in told] == [
            ("work", "tides.ipynb"),
            (f"Launches/tides {world.core.now():%Y-%m-%d}", "tides.ipynb"),
        ]
        assert [[file["path"] for file in each["files"]] for each in told] == [[], ["tides.ipynb"]]

    @pytest.mark.attack
    @pytest.mark.parametrize(
        ("asked", "error"),
        [
            ({"store": "home", "path": "work/tides.ipynb"}, NotFound),
            ({"store": "home", "path": "../ada/work/tides.ipynb"}, Invalid),
            ({"store": "home-ada", "path": "work/tides.ipynb"}, NotFound),
        ],
    )
    async def test_anothers_notebook_is_not_launched(
        self, launching: Launching, asked: dict[str, str], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            await launching.ask(AS_EVE, asked)

    @pytest.mark.parametrize(
        "asked",
        [
            {},
            {"app": "", "path": "", "basket": ""},
            {"store": "home", "path": "work/notes.txt"},
            {"store": "home", "path": "work/broken.ipynb"},
            {"basket": "current"},
        ],
    )
    async def test_what_cannot_be_launched_is_said(
        self, world: World, launching: Launching, asked: dict[str, str]
    ) -> None:
        world.put(ADA, "work/notes.txt", "hello")
        world.put(ADA, "work/broken.ipynb", "{")
        with pytest.raises(Invalid):
            await launching.ask(AS_ADA, asked)

    async def test_what_a_running_app_gave_goes_along_by_its_id(self, world: World, labs: Labs) -> None:
        app, moved = await shared(world, Access.READ), {"query": "year=2020"}
        kept = {("eve", app.slug, "id-1"): moved}
        launching = Launching(
            world.core, world.portal.baskets, given=lambda visitor, slug, id: kept.get((visitor.name, slug, id), {})
        )
        assert (await launching.ask(AS_EVE, {"app": app.slug, "given": "id-1"})).asked["given"] == moved
        assert "given" not in (await launching.ask(AS_EVE, {"app": app.slug, "given": ""})).asked
        for visitor, id in ((AS_ADA, "id-1"), (AS_EVE, "id-2")):
            assert (await launching.form(visitor, {"app": app.slug, "given": id})).lost
            with pytest.raises(Conflict, match="not kept any more"):
                await launching.ask(visitor, {"app": app.slug, "given": id})

    async def test_what_it_is_of_has_the_title_as_it_is_now_or_as_it_was(
        self, world: World, launching: Launching
    ) -> None:
        app = await shared(world, Access.READ)
        launch = await launching.ask(AS_EVE, {"app": app.slug}, title="My own")
        world.portal.gallery.edit(AS_ADA, app.slug, Appearance("Ebb & flow"))
        assert launching.app_of(AS_EVE, launch) == ("Ebb & flow", True)
        world.portal.sharing.revoke(AS_ADA, app.slug, "user:eve")
        assert launching.app_of(AS_EVE, launch) == ("Tides", False)
        assert launching.app_of(AS_EVE, replace(launch, asked={"app": "old"})) == ("old", False)

    @pytest.mark.attack
    async def test_anothers_basket_goes_along_with_nobody(self, world: World, launching: Launching) -> None:
        made = await world.portal.baskets.new(AS_ADA, "Mine")
        for asked in ({"basket": made.basket.id}, {"store": "home", "path": "x.ipynb", "basket": made.basket.id}):
            with pytest.raises(NotFound, match="no such basket"):
                await launching.form(AS_EVE, asked)


class TestWithWhat:
    """Place, environment and size."""

    async def test_the_form_has_every_way_and_says_of_each_that_is_closed_why(self, launching: Launching) -> None:
        form = await launching.form(AS_EVE, {"basket": ""} | {"app": ""} | await self._hers(launching))
        ways = {(c.facility.id, c.environment.id, c.size.id): c.why_not for c in form.choices}
        assert ways["here", "apps", "small"] == ways["here", "apps", "large"] == ""
        assert "not mounted" in ways["here", "deep", "small"]
        assert "physics" in ways["cluster", "slurm-py", "large"]
        assert form.suggested and form.suggested.environment.id == "apps"

    async def test_a_place_that_does_not_answer_is_not_suggested_before_others(
        self, world: World, launching: Launching
    ) -> None:
        asked = {"store": "home", "path": "work/tides.ipynb"}
        world.core.silent = lambda kind: kind == "local"
        form = await launching.form(AS_ADA, asked)
        assert form.suggested and form.suggested.facility.id == "cluster"
        assert any(each.possible and each.facility.id == "here" for each in form.choices)
        world.core.silent = lambda _kind: False
        form = await launching.form(AS_ADA, asked)
        assert form.suggested and form.suggested.facility.id == "here"

    async def _hers(self, launching: Launching) -> dict[str, str]:
        launching._core.stores.of(EVE)  # her home is made when she comes first
        home = launching._core.stores.of(EVE)[0]
        await home.write("own.ipynb", notebook("x = 1"), if_match=None)
        return {"store": "home", "path": "own.ipynb"}

    @pytest.mark.parametrize(
        ("chosen", "expected"),
        [
            ({"size": "large"}, ("here", "apps", "large")),
            ({"facility": "cluster"}, ("cluster", "slurm-py", "large")),
            ({"environment": "slurm-py"}, ("cluster", "slurm-py", "large")),
        ],
    )
    async def test_what_is_left_out_is_what_is_suggested(
        self, launching: Launching, chosen: dict[str, str], expected: tuple[str, ...]
    ) -> None:
        launch = await launching.ask(AS_ADA, {"store": "home", "path": "work/tides.ipynb"}, **chosen)
        assert (launch.facility, launch.environment, launch.size) == expected

    @pytest.mark.parametrize(
        ("chosen", "field", "error"),
        [
            ({"facility": "moon"}, "facility", Invalid),
            ({"facility": "cluster", "environment": "apps"}, "environment", Invalid),
            ({"facility": "cluster", "size": "small"}, "size", Invalid),
            ({"facility": "here", "environment": "deep"}, "environment", Forbidden),
        ],
    )
    async def test_what_is_not_there_is_said_at_its_field(
        self, launching: Launching, chosen: dict[str, str], field: str, error: type[Invalid | Forbidden]
    ) -> None:
        with pytest.raises(error) as said:
            await launching.ask(AS_ADA, {"store": "home", "path": "work/tides.ipynb"}, **chosen)
        assert said.value.field == field

    @pytest.mark.attack
    async def test_a_place_that_is_not_for_ones_groups_is_refused_at_once_and_at_each_start(
        self, world: World, launching: Launching, labs: Labs
    ) -> None:
        app = await shared(world, Access.READ)
        with pytest.raises(Forbidden, match="physics"):
            await launching.ask(AS_EVE, {"app": app.slug}, facility="cluster")
        launch = await launching.ask(AS_ADA, {"app": app.slug}, facility="cluster")
        await launching.begin(LENT_ADA, launch.id)
        await launching.stop(LENT_ADA, launch.id)
        left = Lent(User("ada"), "ada's own")
        with pytest.raises(Forbidden, match="The cluster"):
            await launching.start_again(left, launch.id)
        assert len(labs.plans) == 1 and launching.get(AS_ADA, launch.id).state == "stopped"

    async def test_what_is_not_offered_any_more_is_not_started_again(
        self, world: World, launching: Launching, labs: Labs
    ) -> None:
        launch = await launched(launching)
        await launching.stop(LENT_ADA, launch.id)
        world.core.offering = replace(OFFERING, environments=OFFERING.environments[1:])
        with pytest.raises(Conflict, match="not offered any more"):
            await launching.start_again(LENT_ADA, launch.id)
        assert len(labs.plans) == 1

    @pytest.mark.parametrize(
        ("title", "kept"),
        [("", "tides"), (" My\n tides  \0", "My tides"), ("<b>\u202ebold</b>", "<b>bold</b>")],
    )
    async def test_it_is_called_as_one_likes(self, launching: Launching, title: str, kept: str) -> None:
        asked = {"store": "home", "path": "work/tides.ipynb"}
        assert (await launching.ask(AS_ADA, asked, title=title)).title == kept

    async def test_a_name_that_is_none_is_refused(self, launching: Launching) -> None:
        launch = await launched(launching)
        for title in ("x" * 101, " \n"):
            with pytest.raises(Invalid) as said:
                launching.rename(AS_ADA, launch.id, title)
            assert said.value.field == "title"
        assert launching.rename(AS_ADA, launch.id, "Tides again").title == "Tides again"


class TestTheHub:
    """What the Hub is asked for, with whose right."""

    async def test_it_gets_a_plan_for_this_server_alone(self, world: World, launching: Launching, labs: Labs) -> None:
        launch = await launched(launching)
        ((name, title, plan),) = labs.plans
        assert (name, title, launch.state) == (launch_server(launch.id), "tides", "starting")
        assert labs.tokens == {"ada's own"}
        now = world.clock().timestamp()
        server = ServerName("ada", name)
        said = read_plan(plan, master=world.core.master_key, server=server, now=now)
        assert (said.facility, said.kind, said.size.id) == ("here", "local", "small")
        assert (said.environment.where, said.home, said.shared) == ("/opt/apps/bin/python", "ada", ("everyone",))
        for other, late in ((ServerName("eve", name), 0), (ServerName("ada", "lother"), 0), (server, 1000)):
            with pytest.raises(Forbidden):
                read_plan(plan, master=world.core.master_key, server=other, now=now + late)

    async def test_a_place_without_our_stores_gets_none_of_them(
        self, world: World, launching: Launching, labs: Labs
    ) -> None:
        asked = {"store": "home", "path": "work/tides.ipynb"}
        launch = await launching.ask(AS_ADA, asked, facility="cluster")
        await launching.begin(LENT_ADA, launch.id)
        server = ServerName("ada", launch_server(launch.id))
        plan = read_plan(labs.plans[0][2], master=world.core.master_key, server=server, now=0)
        assert (plan.kind, plan.home, plan.shared, plan.profile) == ("slurm", "", (), "waves")

    @pytest.mark.attack
    def test_what_a_person_lends_is_in_no_log(self) -> None:
        assert "own" not in repr(LENT_ADA) and "own" not in str([LENT_ADA])

    async def test_where_the_hub_is_silent_the_launch_says_so_and_can_be_tried_again(
        self, launching: Launching, labs: Labs
    ) -> None:
        labs.down = True
        launch = await launched(launching)
        assert (launch.state, launch.error) == ("failed", "The Hub does not answer. Try again in a moment.")
        with pytest.raises(Unavailable):
            await launching.look(LENT_ADA)
        assert [each.phase for each in launching.known(AS_ADA)] == ["failed"]
        labs.down = False
        again = await launching.start_again(LENT_ADA, launch.id)
        assert (again.state, again.error, len(labs.plans)) == ("starting", "", 1)

    async def test_what_one_may_not_start_is_forgotten(self, launching: Launching, labs: Labs) -> None:
        labs.refused = True
        with pytest.raises(Forbidden):
            await launched(launching)
        assert launching.known(AS_ADA) == []


class TestLimits:
    """How many."""

    async def test_one_keeps_so_many(self, world: World, launching: Launching) -> None:
        world.limit(launches_each=2)
        first = await launched(launching)
        await launched(launching)
        with pytest.raises(Conflict, match="Remove some"):
            await launched(launching)
        await launching.remove(LENT_ADA, first.id)
        await launched(launching)

    async def test_so_many_run_at_once_and_what_was_refused_leaves_nothing(
        self, world: World, launching: Launching, labs: Labs
    ) -> None:
        world.limit(running_each=2)
        first, second = await launched(launching), await launched(launching)
        with pytest.raises(Conflict, match="Stop one"):
            await launched(launching)
        assert {each.launch.id for each in await launching.look(LENT_ADA)} == {first.id, second.id}
        # One that has ended by itself is not counted.
        labs.put("ada", launch_server(first.id), "stopped")
        third = await launched(launching)
        with pytest.raises(Conflict):
            await launching.start_again(LENT_ADA, first.id)
        assert launching.get(AS_ADA, first.id).state == "failed"
        assert (await launching.start_again(LENT_ADA, third.id)).state == "starting"

    async def test_of_many_at_once_the_first_start(self, world: World, launching: Launching) -> None:
        world.limit(running_each=3)
        asked = []
        for _ in range(8):
            asked.append(await launching.ask(AS_ADA, {"store": "home", "path": "work/tides.ipynb"}))
            world.clock.forward(seconds=1)
        done = await asyncio.gather(*(launching.begin(LENT_ADA, each.id) for each in asked), return_exceptions=True)
        assert [type(each) for each in done] == [Launch] * 3 + [Conflict] * 5
        assert len(launching.known(AS_ADA)) == 3


class TestGoingOn:
    """How a launch goes on."""

    async def test_it_is_followed_from_the_click_to_the_notebook(self, launching: Launching, labs: Labs) -> None:
        launch = await launched(launching)
        name, seen = launch_server(launch.id), []
        for phase, message in (("queued", "3 jobs are ahead in the queue."), ("starting", ""), ("ready", "")):
            labs.put("ada", name, phase, message)
            now = await launching.progress(LENT_ADA, launch.id)
            seen.append((now.phase, now.message, bool(now.url)))
            assert launching.get(AS_ADA, launch.id).state == phase
        assert seen == [
            ("queued", "3 jobs are ahead in the queue.", False),
            ("starting", "The server is being started.", False),
            ("ready", "JupyterLab is ready.", True),
        ]
        assert now.url == f"http://ada.vaas.localhost/user/ada/{name}/lab"

    @pytest.mark.parametrize("lost", [False, True], ids=["told", "the word is lost"])
    @pytest.mark.parametrize("step", ["copying", "starting", "fetching"])
    async def test_it_is_ready_when_its_notebook_and_its_data_are_there(
        self, world: World, launching: Launching, labs: Labs, lost: bool, step: str
    ) -> None:
        launch = await launched(launching)
        name, placing = launch_server(launch.id), world.portal.placing
        server = ServerName("ada", name)
        placing.progressed(server, {"state": "placing", "step": step, "message": "It goes on."})
        labs.put("ada", name, "ready")
        now = await launching.progress(LENT_ADA, launch.id)
        assert (now.phase, now.message, now.url) == ("placing", "It goes on.", "")
        if lost:
            world.clock.forward(minutes=3)
        else:
            placing.progressed(server, {"state": "ready", "step": "ready", "folder": "work", "notebook": "tides.ipynb"})
        now = await launching.progress(LENT_ADA, launch.id)
        opened = "" if lost else "/tree/work/tides.ipynb"
        assert (now.phase, now.url) == ("ready", f"http://ada.vaas.localhost/user/ada/{name}/lab{opened}")

    async def test_who_watches_hears_at_once_that_jupyterlab_listens(self, world: World, launching: Launching) -> None:
        launch, other = await launched(launching), await launched(launching)
        placing, server = world.portal.placing, ServerName("ada", launch_server(launch.id))
        waiting = [asyncio.create_task(placing.pause(each.id, 30)) for each in (launch, launch, other)]
        await asyncio.sleep(0)
        placing.progressed(server, {"state": "placing", "step": "copying"})
        assert not await placing.pause(launch.id, 0.01)
        placing.progressed(server, {"state": "ready", "step": "ready"})
        async with asyncio.timeout(5):
            assert await waiting[0]
        assert not waiting[2].done()
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def test_it_is_cancelled_while_it_starts(self, launching: Launching, labs: Labs) -> None:
        launch = await launched(launching)
        for _ in range(2):
            assert (await launching.stop(LENT_ADA, launch.id)).phase == "stopped"
        assert labs.servers["ada", launch_server(launch.id)].phase == "stopped"

    async def test_a_failed_start_says_why_and_is_tried_again(self, launching: Launching, labs: Labs) -> None:
        launch = await launched(launching)
        labs.put("ada", launch_server(launch.id), "failed", "There is no room on this machine.")
        (now,) = await launching.look(LENT_ADA)
        assert (now.phase, now.message, now.alive) == ("failed", "There is no room on this machine.", False)
        again = await launching.start_again(LENT_ADA, launch.id)
        assert (again.state, again.error) == ("starting", "")
        assert (await launching.start_again(LENT_ADA, launch.id)).state == "starting" and len(labs.plans) == 2

    async def test_how_the_last_start_ended_is_not_taken_for_how_this_one_does(
        self, world: World, launching: Launching, labs: Labs
    ) -> None:
        launch, seen = await launched(launching), []

        class Watched(Labs):
            async def start(self, lent: Lent, name: str, *, title: str, plan: str) -> None:
                seen.append(launching.get(AS_ADA, launch.id).state)
                await super().start(lent, name, title=title, plan=plan)

        world.core.own_servers = watched = Watched()
        watched.put("ada", launch_server(launch.id), "failed", "There is no room.")
        await launching.look(LENT_ADA)
        await launching.start_again(LENT_ADA, launch.id)
        assert seen == ["asked"]

    async def test_removing_it_takes_the_server_too(self, launching: Launching, labs: Labs) -> None:
        launch = await launched(launching)
        await launching.remove(LENT_ADA, launch.id)
        assert labs.servers == {} and launching.known(AS_ADA) == []
        with pytest.raises(NotFound):
            await launching.remove(LENT_ADA, launch.id)

    @pytest.mark.attack
    async def test_anothers_launch_is_as_one_that_does_not_exist(self, launching: Launching, labs: Labs) -> None:
        launch = await launched(launching)
        said = set()
        for id in (launch.id, "aaaaaaaaaaaa"):
            for verb in (launching.progress, launching.stop, launching.start_again, launching.remove, launching.begin):
                with pytest.raises(NotFound) as refused:
                    await verb(LENT_EVE, id)
                said.add(refused.value.message)
            for words in (lambda id=id: launching.get(AS_EVE, id), lambda id=id: launching.rename(AS_EVE, id, "x")):
                with pytest.raises(NotFound) as refused:
                    words()
                said.add(refused.value.message)
        assert len(said) == 1 and launching.get(AS_ADA, launch.id) == launch
        assert await launching.look(LENT_EVE) == [] and launching.known(AS_EVE) == []
        assert "eve's own" not in labs.tokens
