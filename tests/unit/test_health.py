"""Health as a page and for programs: administrators are told of all, everybody else of little."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub_service.checks import BAD, OK, WARN
from hub_service.handlers.health import Health
from hub_service.isolation import KernelIsolation
from hub_service.post import post
from hub_service.settings import Settings
from tests.mail import mailbox
from tests.notebooks import notebook
from tests.portal_parts import ADA, World
from tests.run_parts import runs_of
from tests.unit.test_handlers import client
from vaas.catalogs.own import Index
from vaas.launching import Environment, Facility, Offering, Size
from vaas.model import Visitor
from vaas.portal import Indexing
from vaas.portal.facilities import Facilities

LITTLE = ["Database", "Hub", "Disk", "Isolation"]
MORE = ["Search index", "Facilities", "E-mail"]


def health(world: World, folder: Path | None = None) -> Health:
    isolation = KernelIsolation(Settings.from_environ({}), world.portal.servers.isolation)
    return Health(world.portal, isolation, folder)


async def line(world: World, name: str, folder: Path | None = None) -> Any:
    (found,) = [each for each in await health(world, folder).checks(admin=True) if each.name == name]
    return found


async def test_administrators_alone_are_told_of_all(world: World, site: str) -> None:
    world.core.offering = Offering(
        (), (Environment("e", "Ocean", "python", "/x", state="broken", why="It is not there."),), ()
    )
    for name, names in (("", LITTLE), ("ada", LITTLE), ("root", LITTLE + MORE)):
        async with client(site, name) as asker:
            answer, page = await asker.get("api/health"), (await asker.get("health")).text
        said = answer.json()
        assert (answer.status_code, said["well"]) == (200, True)
        assert [each["name"] for each in said["checks"]] == names
        assert ("Ocean" in page, "Ocean" in answer.text, "people" in answer.text) == (name == "root",) * 3


async def test_what_is_broken_is_broken_for_all_and_told_to_administrators(world: World, site: str) -> None:
    root = world.core.content.root
    shutil.rmtree(root)
    for name, sees in (("", False), ("root", True)):
        async with client(site, name) as asker:
            answer, page = await asker.get("api/health"), await asker.get("health")
            asked = await asker.head("health")
            assert (asked.status_code, asked.content) == (page.status_code, b"")
        assert (answer.status_code, page.status_code, answer.json()["well"]) == (503, 503, False)
        disk = next(each for each in answer.json()["checks"] if each["name"] == "Disk")
        assert disk["state"] == BAD and (str(root) in disk["text"]) is sees and (str(root) in page.text) is sees


async def test_the_index_says_whether_it_follows_and_when_it_was_fed(world: World, tmp_path: Path) -> None:
    index = Index(tmp_path / "index", memory=15_000_000)
    world.portal.indexing = indexing = Indexing(world.core, index)
    assert (await line(world, "Search index")).state == BAD
    indexing._catch_up_safely()
    found = await line(world, "Search index")
    assert found.state == OK and "0 entries. It was last fed on" in found.text
    indexing._seen -= 60
    found = await line(world, "Search index")
    assert found.state == BAD and "has not followed the database since" in found.text
    indexing.close()


async def test_facilities_say_which_environments_cannot_be_used_and_what_is_not_offered(world: World) -> None:
    ready = Environment("e", "Ocean", "python", "/x", state="ready")
    world.core.offering = Offering((Facility("f", "F", "local", ("e",), ("s",)),), (ready,), (Size("s", "S"),))
    assert (await line(world, "Facilities")).text == "Environments: 1 of 1 can be used."
    world.core.offering = replace(
        world.core.offering, environments=(replace(ready, state="broken", why="It is away."),)
    )
    found = await line(world, "Facilities")
    assert found.state == WARN and "“Ocean”: It is away." in found.text
    world.portal.facilities = Facilities(world.core, missing=["Facility “f” takes no launches: why."])
    found = await line(world, "Facilities")
    assert found.state == WARN and "what to write. Not to be used" in found.text


async def test_mail_that_could_not_be_sent_is_told(world: World, tmp_path: Path) -> None:
    world.put(ADA, "plain.ipynb", notebook("x = 1"))
    assert (await line(world, "E-mail")).text == "Not set up: no e-mail is sent."

    async def told() -> Any:
        run = await running.start(Visitor(ADA), {"store": "home", "path": "plain.ipynb"}, email="ada@example.org")
        await running._queue._fail(run, "It failed.")
        await world.settle()
        return await line(world, "E-mail")

    with mailbox() as box:
        address = f"smtp://127.0.0.1:{box.port}"
        sends = post({"VAAS_SMTP": address, "VAAS_SMTP_FROM": "p@example.org", "VAAS_SMTP_TO": "*"})
        world.portal.running = running = runs_of(world, tmp_path, post=sends)
        assert "None has been sent" in (await line(world, "E-mail")).text
        found = await told()
        assert found.state == OK and "The last was sent on" in found.text and len(box.letters) == 1
    found = await told()
    assert found.state == WARN and "could not be sent" in found.text and "refused" in found.text


async def test_the_folder_of_environments_is_looked_into(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "environments"
    assert (await line(world, "Environments folder", folder)).text == "None has been made yet."
    (folder / "abc").mkdir(parents=True)
    assert (await line(world, "Environments folder", folder)).text.startswith("1 made for apps")
    folder.rename(tmp_path / "gone")
    folder.write_text("no folder")
    assert (await line(world, "Environments folder", folder)).state == BAD


@pytest.mark.parametrize("path", ["health", "api/health"])
async def test_a_token_that_nobody_has_is_told_nothing_more(path: str, world: World, site: str) -> None:
    async with client(site, "wrong") as asker:
        assert "Ocean" not in (await asker.get(path)).text and "E-mail" not in (await asker.get(path)).text
