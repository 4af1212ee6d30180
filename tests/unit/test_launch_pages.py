"""The pages of launches: one form with all chosen, what is closed and why, each state, and a Hub that is silent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.notebooks import notebook
from tests.own_servers import OFFERING, Labs
from tests.portal_parts import ADA, EVE, World
from tests.searchable import Searchable, searchable
from tests.unit.test_handlers import client
from vaas.keeping import Thing
from vaas.launching import Environment, Facility, Offering, launch_server
from vaas.model import Access, Visitor
from vaas.portal.ends import ENDS
from vaas.portal.gallery import Appearance
from vaas.portal.launch_forms import Forms
from vaas.portal.things import Held

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def labs(world: World) -> Labs:
    """Where people's servers run; the site offers two places, and ada has a notebook."""
    world.core.offering, world.core.own_servers = OFFERING, Labs()
    world.put(ADA, "tides.ipynb", notebook("x = 1"))
    return world.core.own_servers


@pytest.fixture
def found(world: World, tmp_path: Path) -> Iterator[Searchable]:
    """The same portal, with an index."""
    with searchable(world, tmp_path / "searched") as made:
        yield made


def places(page: str) -> dict[str, str]:
    """Return the places that the form offers, each with what is said of it; the closed ones with a bang."""
    rows = re.findall(
        r'<input type="radio" name="facility"[^>]*value="(\w+)"([^>]*)>.*?-hint">(.*?)</span>', page, re.S
    )
    return {id + "!" * ("disabled" in more): " ".join(said.split()) for id, more, said in rows}


async def launched(ada: Any, **more: str) -> str:
    answer = await ada.post("api/launches", json={"store": "home", "path": "tides.ipynb", **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def keep(world: World, launch: str, **changed: Any) -> None:
    """Note of the launch that it is so."""
    with world.core.database.begin() as records:
        kept = records.launches.get(launch)
        assert kept
        records.launches.save(replace(kept, **changed))


async def test_the_form_has_chosen_already_and_says_what_is_closed(world: World, site: str, labs: Labs) -> None:
    app = await world.published(ADA, "x = 1", title=HOSTILE)
    await world.portal.sharing.grant(Visitor(ADA), app.slug, subject="user:eve", access=Access.READ)
    async with client(site, "eve") as eve:
        page = (await eve.get(f"apps/{app.slug}/launch")).text
        assert places(page) == {
            "here": "Your files are there.",
            "cluster!": "It is for members of physics.",
            "nights!": "It takes batch jobs only.",
        }
        assert re.search(r'value="here" checked', page) and 'name="given"' not in page
        assert re.search(r'<option value="deep" disabled>', page) and "It is not mounted." in page
        assert re.search(r'<option value="small" selected>Small: 1 core, 2 GB of memory<', page)
        assert HOSTILE not in page and "Copy" in page and "source.zip" in page
        sent = await eve.post(f"apps/{app.slug}/launch", data={"do": "launch"})
        assert sent.status_code == 303
    (now,) = world.portal.launching.known(Visitor(EVE))
    assert sent.headers["Location"].endswith(f"launches/{now.launch.id}/?go=1")
    assert (now.launch.size, labs.tokens) == ("small", {"eve"})


@pytest.mark.parametrize("form", ["launch?basket=current", "launch?store=home&path=tides.ipynb&basket=current"])
async def test_the_form_says_what_does_not_read_the_data_and_suggests_what_does(
    world: World, site: str, labs: Labs, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    bare = Environment("bare", "Bare", "python", "/bare", state="ready", modules={"numpy": "numpy"})
    reads = replace(bare, id="reads", title="With readers", modules={"netCDF4": "netCDF4"})
    here = Facility("here", "This machine", "local", ("bare", "reads"), ("small",), stores=("home",))
    world.core.offering = Offering((here,), (bare, reads), OFFERING.sizes)
    access = {"how": "store", "via": {"store": "home", "path": "sea.nc"}}
    thing = Thing("0" * 16, "b" * 12, "file", "", "Sea", "here", "r", world.core.now(), 9, access=access)

    async def basket(self: Forms, visitor: Visitor, basket_id: str) -> tuple[tuple[Held, ...], str, str]:
        return ((Held(thing),), "b" * 12, "My basket") if basket_id else ((), "", "")

    monkeypatch.setattr(Forms, "_data", basket)
    async with client(site, "ada") as ada:
        page = " ".join((await ada.get(form)).text.split())
        assert '<option value="bare">Bare (lacks a reader for NetCDF)</option>' in page
        assert '<option value="reads" selected>With readers </option>' in page
        assert "What it has no reader for goes along" not in page
        world.core.offering = Offering((replace(here, environments=("bare",)),), (bare,), OFFERING.sizes)
        page = " ".join((await ada.get(form)).text.split())
        assert "(lacks a reader for NetCDF)" in page and "What it has no reader for goes along all the same." in page


async def test_what_a_running_app_gave_goes_along_again_and_what_is_gone_is_said(
    world: World, site: str, labs: Labs
) -> None:
    app, given = await world.published(ADA, "x = 1"), {"query": "depth=3"}
    async with client(site, "ada") as ada:
        answer = await ada.post("api/launches", json={"app": app.slug})
        launch = answer.json()["id"]
        await ada.post(f"launches/{launch}/", data={"do": "stop"})
        keep(world, launch, asked={"app": app.slug, "version": app.version, "given": given})
        shown = (await ada.get(f"launches/{launch}/")).text
        (again,) = re.findall(r'href="/services/vaas/([^"]*)">Launch with other', shown)
        page = (await ada.get(again)).text
        assert "what you have moved and chosen there goes along" in page and "is not kept" not in page
        (id,) = re.findall(r'name="given" value="([^"]*)"', page)
        assert (await ada.post(f"apps/{app.slug}/launch", data={"given": id})).status_code == 303
        assert world.portal.launching.known(Visitor(ADA))[0].launch.asked["given"] == given
        gone = (await ada.get(f"apps/{app.slug}/launch?given=gone")).text
        assert "What you had chosen in the app is not kept any more" in gone and 'name="given"' not in gone
        late = await ada.post(f"apps/{app.slug}/launch", data={"given": "gone"})
        assert late.status_code == 409 and 'name="given"' not in late.text
        assert 'href="#f-given">What you had chosen' in late.text and 'id="f-given"' in late.text
        assert len(world.portal.launching.known(Visitor(ADA))) == 2, "nothing is launched without a word"


async def test_my_servers_name_the_app_as_it_is_now_and_as_it_was_when_it_is_gone(
    world: World, site: str, labs: Labs
) -> None:
    app = await world.published(ADA, "x = 1", title="Tides & waves")
    await world.portal.sharing.grant(Visitor(ADA), app.slug, subject="user:eve", access=Access.READ)
    async with client(site, "eve") as eve:
        launch = (await eve.post("api/launches", json={"app": app.slug, "title": "My own"})).json()["id"]
        for title in ("Tides & waves", HOSTILE):
            world.portal.gallery.edit(Visitor(ADA), app.slug, Appearance(title))
            for page in ("servers", f"launches/{launch}/"):
                link = f'href="/services/vaas/apps/{app.slug}/">{escape(title)}</a>'
                assert link in (await eve.get(page)).text
        world.portal.sharing.revoke(Visitor(ADA), app.slug, "user:eve")
        for page in ("servers", f"launches/{launch}/"):
            text = (await eve.get(page)).text
            assert "Tides &amp; waves" in text and f'apps/{app.slug}/"' not in text


async def test_data_that_were_found_are_launched_by_themselves(
    world: World, tmp_path: Path, found: Searchable, site: str, labs: Labs
) -> None:
    found.put("sea & more.csv", "user:ada", title=HOSTILE)
    what = {"catalog": "here", "record": "file:p/sea & more.csv"}
    form = f"launch?{urlencode(what)}"
    async with client(site, "ada") as ada, client(site, "eve") as eve:
        page = (await ada.get(form)).text
        assert HOSTILE not in page and "It is put into a basket of its own" in page
        assert 'name="record" value="file:p/sea &amp; more.csv"' in page and places(page)["here"]
        assert (await world.portal.baskets.look(Visitor(ADA))).baskets == (), "nothing is kept by an address"
        assert (await eve.get(form)).status_code == 404
        assert (await eve.post("launch", data=what)).status_code == 404
        assert (await ada.post("launch", data={**what, "facility": "cluster"})).status_code == 403
        assert (await world.portal.baskets.look(Visitor(ADA))).baskets == ()
        sent = await ada.post("launch", data=what)
        assert sent.status_code == 303, sent.text
        (basket, count) = (await world.portal.baskets.look(Visitor(ADA))).baskets[0]
        (now,) = world.portal.launching.known(Visitor(ADA))
        assert (now.launch.asked, now.launch.title, count) == ({"basket": basket.id}, HOSTILE, 1)
        again = await ada.post("api/launches", json=what)
        assert again.status_code == 201 and again.json()["asked"] == {"basket": basket.id}


async def test_a_stranger_reads_that_launching_needs_signing_in_and_comes_back_to_it(
    world: World, site: str, labs: Labs
) -> None:
    app = await world.published(ADA, "x = 1")
    await world.portal.sharing.grant(Visitor(ADA), app.slug, subject="everyone", access=Access.READ)
    here = f"/services/vaas/apps/{app.slug}/launch"
    async with client(site) as stranger, client(site, "eve") as eve:
        links = re.findall(rf'<a[^>]*href="{here}"[^>]*>(.*?)</a>', (await stranger.get(f"apps/{app.slug}/")).text)
        assert len(links) == 2 and all("Sign in to" in each for each in links)
        assert "Sign in to" not in (await eve.get(f"apps/{app.slug}/")).text
        sent = await stranger.get(f"apps/{app.slug}/launch", follow_redirects=False)
        assert (sent.status_code, sent.headers["Location"]) == (302, f"/services/vaas/login?next={here}")


async def test_who_launched_it_already_is_led_there(world: World, site: str, labs: Labs) -> None:
    async with client(site, "ada") as ada:
        page = "launch?store=home&path=tides.ipynb"
        world.put(ADA, "other.ipynb", notebook("1"))
        assert "You launched it already" not in (await ada.get(page)).text
        launch = await launched(ada)
        labs.put("ada", launch_server(launch), "ready")
        again = (await ada.get(page)).text
        assert "You launched it already" in again and f'href="/services/vaas/launches/{launch}/"' in again
        assert "You launched it already" not in (await ada.get("launch?store=home&path=other.ipynb")).text
        await ada.post(f"launches/{launch}/", data={"do": "stop"})
        assert "You launched it already" not in (await ada.get(page)).text


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"facility": "cluster"}, 403, "It is for members of physics."),
        ({"facility": "moon"}, 400, "not offered here"),
        ({"facility": "here", "environment-here": "deep"}, 403, "It is not mounted."),
        ({"facility": "here", "title": "x" * 101}, 400, "longer than 100"),
        ({"facility": "here", "basket": "current"}, 400, "nothing in this basket"),
    ],
)
async def test_what_cannot_be_is_said_in_the_form(
    world: World, site: str, labs: Labs, sent: dict[str, str], status: int, said: str
) -> None:
    async with client(site, "ada") as ada:  # whom this Hub knows without groups
        answer = await ada.post("launch", data={"store": "home", "path": "tides.ipynb", **sent})
    assert answer.status_code == status
    assert said in re.search(r'role="alert".*?</ul>', answer.text, re.S)[0]  # type: ignore[index]
    assert "Launch in JupyterLab" in answer.text and labs.plans == []
    async with client(site, "ada") as program:
        where = {name.partition("-")[0]: value for name, value in sent.items() if value != "current"}
        told = (await program.post("api/launches", json={"store": "home", "path": "tides.ipynb", **where})).text
        assert "Ask its owner" not in told  # nobody's access could change it


async def test_the_tenth_server_is_refused_in_the_form(world: World, site: str, labs: Labs) -> None:
    world.limit(running_each=1)
    async with client(site, "ada") as ada:
        await launched(ada)
        answer = await ada.post("launch", data={"store": "home", "path": "tides.ipynb"})
        assert answer.status_code == 409 and "Stop one of them first" in answer.text
        told = re.search(r'id="error-summary".*?</div>', answer.text, re.S)[0]  # type: ignore[index]
        assert "It was not launched" in told and "My servers" in told and "this field" not in answer.text
        assert len((await ada.get("api/launches")).json()["launches"]) == 1


async def test_where_there_is_no_place_at_all_a_copy_is_left(world: World, site: str) -> None:
    app = await world.published(ADA, "x = 1")
    async with client(site, "ada") as ada:
        page = (await ada.get(f"apps/{app.slug}/launch")).text
        assert "offers no place" in page and "source.zip" in page and 'value="launch"' not in page
        assert (await ada.get("api/me")).json()["launch"] is False


@pytest.mark.parametrize(
    ("phase", "message", "shown"),
    [
        ("queued", "3 jobs are ahead in the queue.", ["3 jobs are ahead", "in about 2 minutes", "Cancel"]),
        ("starting", "", ["The server is being started.", "Cancel"]),
        ("ready", "", ["is ready", "Open JupyterLab", "Stop", "/user/ada/"]),
        ("stopping", "", ["is being stopped"]),
        ("stopped", "", ["did not start", "nobody can tell why", "Try again"]),
        (
            "failed",
            HOSTILE,
            ["did not start", "&lt;script&gt;", "What to try", "launch?store=home&amp;path=tides.ipynb"],
        ),
    ],
)
async def test_each_state_has_its_words_and_its_buttons(
    world: World, site: str, labs: Labs, phase: str, message: str, shown: list[str]
) -> None:
    async with client(site, "ada") as ada:
        launch = await launched(ada)
        labs.put("ada", launch_server(launch), phase, message, **({"starts_in": 120.0} if phase == "queued" else {}))
        page = (await ada.get(f"launches/{launch}/")).text
        listed = (await ada.get("servers")).text
    assert [text for text in shown if text not in page] == [] and HOSTILE not in page + listed
    assert 'files/home/tides.ipynb">tides.ipynb</a>' in page
    # Who waits has their page come again, with scripts or without.
    assert ('http-equiv="refresh"' in page) is (phase in {"queued", "starting", "stopping"})
    assert ("Open JupyterLab" in page) is (phase == "ready") is (">Open<" in listed)


@pytest.mark.parametrize("why", sorted(ENDS))
async def test_what_ended_says_why_and_what_to_do(world: World, site: str, labs: Labs, why: str) -> None:
    async with client(site, "ada") as ada:
        launch = await launched(ada)
        keep(world, launch, state="ready", progress={"ended": why}, folder="Launches/Tides", notebook="tides.ipynb")
        labs.put("ada", launch_server(launch), "stopped")
        page = (await ada.get(f"launches/{launch}/")).text
        listed = (await ada.get("servers")).text
    end = ENDS[why]
    assert end.why in page and end.fix in page and ("What to do:" in page) is bool(end.fix)
    assert f">{end.badge}<" in listed and (end.why in listed) is bool(end.fix)
    assert 'href="/services/vaas/files/home/Launches/Tides">Launches/Tides</a>' in page and "Start it again" in page
    assert ("” is stopped" in page) is (why == "asked")


async def test_a_notebook_in_its_own_place_is_called_no_copy(world: World, site: str, labs: Labs) -> None:
    world.put(ADA, "lab/tides.ipynb", notebook("x = 1"))
    async with client(site, "ada") as ada:
        launch = await launched(ada, path="lab/tides.ipynb")
        keep(world, launch, folder="lab", notebook="tides.ipynb")
        page = (await ada.get(f"launches/{launch}/")).text
        assert "<dt>Its folder</dt>" in page and "Your copy" not in page
        keep(world, launch, folder="Launches/Tides")
        assert "<dt>Your copy</dt>" in (await ada.get(f"launches/{launch}/")).text


async def test_a_full_memory_is_said_while_it_runs(world: World, site: str, labs: Labs) -> None:
    words = f"The largest process was ended: {HOSTILE}"
    async with client(site, "ada") as ada:
        launch = await launched(ada)
        keep(world, launch, state="ready", progress={"notice": words})
        labs.put("ada", launch_server(launch), "ready")
        pages = [(await ada.get(at)).text for at in (f"launches/{launch}/", "servers")]
        assert all("The largest process was ended: &lt;script&gt;" in page for page in pages)
        assert (await ada.get(f"api/launches/{launch}")).json()["notice"] == words


async def test_who_launches_an_app_of_somebody_else_is_told_what_runs_at_once(
    world: World, site: str, labs: Labs
) -> None:
    app = await world.published(ADA, "x = 1")
    await world.portal.sharing.grant(Visitor(ADA), app.slug, subject="user:eve", access=Access.READ)
    async with client(site, "eve") as eve, client(site, "ada") as ada:
        page = (await eve.get(f"apps/{app.slug}/launch")).text
        assert "its cells run when you run them" in page and "“As published”" not in page
        assert "its cells run when you run them" not in (await ada.get(f"apps/{app.slug}/launch")).text


async def test_what_is_staged_and_how_much_memory_is_used_is_shown(world: World, site: str, labs: Labs) -> None:
    async with client(site, "ada") as ada:
        launch = await launched(ada)
        things = {"t1": {"state": "done"}, "t2": {"done": 1, "of": 9, "state": "running"}}
        with world.core.database.begin() as records:
            kept = records.launches.get(launch)
            assert kept
            progress = {"percent": 40, "message": "The data comes.", "things": things, "use": {"memory": 400_000_000}}
            records.launches.save(type(kept)(**{**vars(kept), "state": "placing", "progress": progress}))
        labs.put("ada", launch_server(launch), "starting")
        page = (await ada.get(f"launches/{launch}/")).text
        assert "The data comes." in page and 'data-step="placing" aria-current="step"' in page
        labs.put("ada", launch_server(launch), "ready")
        assert "1 of 2 are there" in (await ada.get(f"launches/{launch}/")).text
        assert "400 MB of memory in use" in (await ada.get("servers")).text


async def test_what_could_not_be_fetched_is_no_longer_said_to_come(world: World, site: str, labs: Labs) -> None:
    async with client(site, "ada") as ada:
        launch = await launched(ada)
        things = {"t1": {"state": "done"}, "t2": {"state": "failed", "message": "There is no room."}}
        with world.core.database.begin() as records:
            kept = records.launches.get(launch)
            assert kept
            records.launches.save(type(kept)(**{**vars(kept), "state": "ready", "progress": {"things": things}}))
        labs.put("ada", launch_server(launch), "ready")
        page = (await ada.get(f"launches/{launch}/")).text
        assert "1 thing of the data is missing" in page and "comes while you work" not in page
        assert "1 thing of the data is missing" in (await ada.get("servers")).text


async def test_while_the_hub_is_silent_what_was_known_last_is_shown(world: World, site: str, labs: Labs) -> None:
    async with client(site, "ada") as ada:
        launch = await launched(ada)
        labs.down = True
        for path in ("servers", f"launches/{launch}/"):
            answer = await ada.get(path)
            assert answer.status_code == 200 and "What is shown here is what was known last" in answer.text
        assert (await ada.post(f"launches/{launch}/", data={"do": "stop"})).status_code == 503
        labs.down, labs.refused = False, True
        assert "may not do this with your servers" in (await ada.get("servers")).text
        assert (await ada.post("launch", data={"store": "home", "path": "tides.ipynb"})).status_code == 403


async def test_it_is_renamed_stopped_started_and_removed_by_buttons(world: World, site: str, labs: Labs) -> None:
    async with client(site, "ada") as ada:
        launch = await launched(ada)
        for form, to in (
            ({"do": "rename", "title": "Spring tides"}, f"launches/{launch}/"),
            ({"do": "stop", "back": "servers"}, "servers"),
            ({"do": "start", "back": "//evil.example"}, f"launches/{launch}/?go=1"),
            ({"do": "stop"}, f"launches/{launch}/"),
            ({"do": "remove"}, "servers"),
        ):
            answer = await ada.post(f"launches/{launch}/", data=form)
            assert (answer.status_code, answer.headers["Location"]) == (303, f"/services/vaas/{to}")
        assert [title for _, title, _ in labs.plans] == ["tides", "Spring tides"]
        assert (await ada.get(f"launches/{launch}/")).status_code == 404
        wrong = await launched(ada)
        answer = await ada.post(f"launches/{wrong}/", data={"do": "rename", "title": " "})
        assert answer.status_code == 400 and "Give the launch a name." in answer.text
        assert (await ada.post(f"launches/{wrong}/", data={"do": "explode"})).status_code == 400


@pytest.mark.parametrize(
    "body", [{}, {"app": 3}, {"basket": ["x"]}, {"store": "home", "path": "tides.ipynb", "size": 1}]
)
async def test_a_body_that_makes_no_sense_launches_nothing(
    world: World, site: str, labs: Labs, body: dict[str, Any]
) -> None:
    async with client(site, "ada") as ada:
        assert (await ada.post("api/launches", json=body)).status_code == 400
        assert (await ada.get("api/launches")).json() == {"launches": []} and labs.plans == []
