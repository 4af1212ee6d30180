"""The result of a run is shown to those with whom its owner shares it, and no more of the run than that."""

from __future__ import annotations

import httpx
import pytest

from tests.notebooks import notebook
from tests.portal_parts import ADA, EVE, World
from tests.run_desk import AS_ADA, AS_BOB, HOSTILE, ada, ended, started
from tests.unit.test_handlers import client, site
from vaas.errors import NotFound
from vaas.model import Visitor

__all__ = ["ada", "site"]


async def test_a_result_is_shared_with_a_person_and_no_longer(ada: httpx.AsyncClient, world: World, site: str) -> None:
    run = ended(world, await started(world, n=7))
    page = f"runs/{run.id}/"
    assert "Share the result" in (await ada.get(page)).text
    done = await ada.post(page, data={"do": "share", "who": "person", "subject": " bob "})
    assert (done.status_code, done.headers["Location"].endswith(page)) == (303, True)
    assert world.portal.running.run(AS_ADA, run.id).shared_with == ("user:bob",)
    async with client(site, "bob") as bob:
        seen = await bob.get(page)
        assert seen.status_code == 200 and "A result that ada shares with you" in seen.text
        assert "<dd>7</dd>" in seen.text and "Cancel" not in seen.text and "Log" not in seen.text
        shown = await bob.get(f"{page}result")
        assert HOSTILE in shown.text and shown.headers["Content-Security-Policy"].startswith("sandbox;")
        kept = await bob.get(f"{page}notebook")
        assert kept.content == notebook("1") and kept.headers["Content-Disposition"].startswith("attachment")
        await ada.post(page, data={"do": "unshare", "subject": "user:bob"})
        assert {(await bob.get(f"{page}{end}")).status_code for end in ("", "result", "notebook")} == {404}
    assert (await ada.get(f"{page}notebook")).status_code == 200


async def test_it_is_shared_by_rest_with_a_person_with_all_with_a_group(
    ada: httpx.AsyncClient, world: World, site: str
) -> None:
    run = ended(world, await started(world))
    api = f"api/runs/{run.id}"
    for subjects, seen in ((["user:bob"], 200), ([], 404), (["signed-in"], 200)):
        answer = await ada.patch(api, json={"shared_with": subjects})
        assert (answer.status_code, answer.json()["shared_with"]) == (200, subjects), answer.text
        async with client(site, "bob") as bob:
            assert (await bob.get(f"runs/{run.id}/")).status_code == seen
    await ada.patch(api, json={"shared_with": ["group:physics"]})
    assert world.portal.showing.run(AS_BOB, run.id).id == run.id
    with pytest.raises(NotFound):
        world.portal.showing.run(Visitor(EVE), run.id)
    async with client(site) as stranger:
        assert (await stranger.get(f"runs/{run.id}/result")).status_code != 200


async def test_what_cannot_be_said_is_said_at_its_field(ada: httpx.AsyncClient, world: World) -> None:
    run = ended(world, await started(world))
    page, api = f"runs/{run.id}/", f"api/runs/{run.id}"
    answer = await ada.post(page, data={"do": "share", "who": "person", "subject": "nobody"})
    assert answer.status_code == 400 and "Nobody here is called “nobody”" in answer.text
    for sent in ({"shared_with": ["everyone"]}, {"shared_with": "user:bob"}, {}, {"shared_with": ["user:nobody"]}):
        assert (await ada.patch(api, json=sent)).status_code == 400, sent
    assert world.portal.running.run(AS_ADA, run.id) == run
    waits = await started(world)
    answer = await ada.patch(f"api/runs/{waits.id}", json={"shared_with": ["user:bob"]})
    assert answer.status_code == 409 and "wait until it has ended" in answer.text
    assert "Share the result" not in (await ada.get(f"runs/{waits.id}/")).text


async def test_a_result_that_was_moved_is_said_to_be_gone(ada: httpx.AsyncClient, world: World, site: str) -> None:
    run = ended(world, await started(world))
    await world.portal.showing.share(AS_ADA, run.id, ["user:bob"])
    (world.homes / ADA.name / "Runs" / "Waves").rename(world.homes / ADA.name / "Elsewhere")
    async with client(site, "bob") as bob:
        seen = await bob.get(f"runs/{run.id}/")
        assert seen.status_code == 200 and "ada has moved or deleted its files" in seen.text
        assert "<iframe" not in seen.text
        assert (await bob.get(f"runs/{run.id}/result")).status_code == 404


async def test_repeated_it_is_shared_with_nobody(ada: httpx.AsyncClient, world: World) -> None:
    run = ended(world, await started(world))
    shared = await world.portal.showing.share(AS_ADA, run.id, ["user:bob", "bob", "group:physics"])
    assert shared.shared_with == ("user:bob", "group:physics")
    assert (await world.portal.running.repeat(AS_ADA, run.id)).shared_with == ()


async def test_another_runs_result_in_the_same_place_is_not_shown(
    ada: httpx.AsyncClient, world: World, site: str
) -> None:
    run = ended(world, await started(world))
    await world.portal.showing.share(AS_ADA, run.id, ["user:bob"])
    ended(world, await started(world))  # lies where the first was
    async with client(site, "bob") as bob:
        assert "<iframe" not in (await bob.get(f"runs/{run.id}/")).text
        for end in ("result", "notebook"):
            answer = await bob.get(f"runs/{run.id}/{end}")
            assert answer.status_code == 404 and "Runs/Waves" not in answer.text


async def test_of_a_job_that_was_killed_there_is_the_notebook(ada: httpx.AsyncClient, world: World, site: str) -> None:
    run = ended(world, await started(world), state="failed")
    (world.homes / ADA.name / "Runs" / "Waves" / "result.html").unlink()
    await world.portal.showing.add(AS_ADA, run.id, "user:bob")
    async with client(site, "bob") as bob:
        seen = (await bob.get(f"runs/{run.id}/")).text
        assert "The notebook did not run to its end" in seen and "Download the notebook" in seen
        assert "<iframe" not in seen and "Download as a page" not in seen and "has moved" not in seen


async def test_sharing_ends_while_the_files_cannot_be_found(ada: httpx.AsyncClient, world: World) -> None:
    run = ended(world, await started(world))
    await world.portal.showing.share(AS_ADA, run.id, ["user:bob", "user:eve"])
    (world.homes / ADA.name / "Runs").rename(world.homes / ADA.name / "Elsewhere")
    assert "Share the result" in (await ada.get(f"runs/{run.id}/")).text
    await ada.post(f"runs/{run.id}/", data={"do": "unshare", "subject": "user:bob"})
    assert world.portal.running.run(AS_ADA, run.id).shared_with == ("user:eve",)


async def test_what_is_taken_back_stays_so_whatever_else_is_done(ada: httpx.AsyncClient, world: World) -> None:
    """As two tabs of the owner's do at once, and the page that takes note of what was seen."""
    run = ended(world, await started(world))
    await world.portal.showing.share(AS_ADA, run.id, ["user:eve"])
    asked = world.core.directory.user

    async def slowly(name: str) -> object:
        world.core.directory.user = asked  # type: ignore[method-assign]
        world.portal.showing.drop(AS_ADA, run.id, "user:eve")
        return await asked(name)

    world.core.directory.user = slowly  # type: ignore[method-assign, assignment]
    await world.portal.showing.add(AS_ADA, run.id, "user:bob")
    world.portal.running.seen(AS_ADA)
    kept = world.portal.running.run(AS_ADA, run.id)
    assert kept.shared_with == ("user:bob",) and kept.progress["seen"]
    world.portal.running.forget(AS_ADA, run.id)
    with pytest.raises(NotFound):
        world.portal.showing.drop(AS_ADA, run.id, "user:bob")
