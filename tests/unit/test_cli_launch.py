"""`vaas launch`: what it asks the portal for, how it follows, and what it says when something is wrong."""

from __future__ import annotations

import argparse
import asyncio

import pytest

from tests.notebooks import notebook
from tests.own_servers import OFFERING, Labs
from tests.portal_parts import ADA, World
from tests.printed import until_said
from vaas.cli_launch import add_launch, run_launch
from vaas.launching import Launch, launch_server
from vaas.model import Visitor

HOSTILE = "No room. \x1b]0;pwned\x07"


@pytest.fixture
def labs(world: World, monkeypatch: pytest.MonkeyPatch) -> Labs:
    """Where people's servers run; ada has a notebook and a token."""
    world.core.offering, world.core.own_servers = OFFERING, Labs()
    world.put(ADA, "lab/tides.ipynb", notebook("x = 1"))
    monkeypatch.setenv("VAAS_TOKEN", "ada")
    return world.core.own_servers


async def launch(site: str, *words: str) -> int:
    parser = argparse.ArgumentParser()
    add_launch(parser)
    return await asyncio.to_thread(run_launch, parser.parse_args([*words, "--url", site]), every=0.05)


def known(world: World) -> list[Launch]:
    return [now.launch for now in world.portal.launching.known(Visitor(ADA))]


async def begun(world: World) -> Launch:
    """Wait until there is one."""
    while not (found := known(world)) or found[0].state == "asked":
        await asyncio.sleep(0.02)
    return found[0]


async def test_a_notebook_is_launched_followed_and_stopped(
    world: World, site: str, labs: Labs, capsys: pytest.CaptureFixture[str]
) -> None:
    going = asyncio.create_task(launch(site, "home:lab/tides.ipynb", "--title", "Low tide", "--size", "large"))
    made = await begun(world)
    assert (made.title, made.size, made.asked) == ("Low tide", "large", {"store": "home", "path": "lab/tides.ipynb"})
    said = await until_said(capsys, "The server is being started.")
    labs.put("ada", launch_server(made.id), "ready")
    assert await going == 0
    lines = (said + capsys.readouterr().out).splitlines()
    assert lines[0].startswith("Low tide: ") and lines[0].endswith(f"/launches/{made.id}/")
    assert "The server is being started." in lines and lines.count("The server is being started.") == 1
    assert lines[-1] == f"Ready. http://ada.vaas.localhost/user/ada/{launch_server(made.id)}/lab"
    assert await launch(site, "--stop", lines[0].removeprefix("Low tide: ")) == 0
    assert capsys.readouterr().out == "“Low tide” is stopped. Its files stay.\n"
    assert (await begun(world)).progress["ended"] == "asked"
    assert await launch(site, "--stop", made.id) == 0


async def test_what_does_not_start_says_why(
    world: World, site: str, labs: Labs, capsys: pytest.CaptureFixture[str]
) -> None:
    going = asyncio.create_task(launch(site, "home:lab/tides.ipynb"))
    made = await begun(world)
    labs.put("ada", launch_server(made.id), "failed", HOSTILE)
    # It has begun, and the Hub says that it has failed.
    assert await going == 1
    said = capsys.readouterr().err
    assert said.startswith("No room.") and f"/launches/{made.id}/" in said and "\x1b" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tides.ipynb"], "is no app:SLUG, no STORE:PATH"),
        (["home:tides.csv"], "is no app:SLUG, no STORE:PATH"),
        (["app:none"], "There is no such app"),
        (["run:none"], "There is no such run"),
        (["http://elsewhere/services/vaas/runs/new"], "no run:ID"),
        (["home:none.ipynb"], "none.ipynb"),
        (["basket:current"], "nothing in this basket"),
        (["home:lab/tides.ipynb", "--size", "vast"], "This size is not offered here."),
        (["--stop", "app:tides"], "is no launch"),
        (["--stop", "a" * 12], "There is no such launch."),
    ],
)
async def test_what_cannot_be_is_said_and_nothing_is_launched(
    world: World, site: str, labs: Labs, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await launch(site, *words) == 2
    assert said in capsys.readouterr().err and known(world) == []


async def test_an_app_is_launched_and_not_waited_for(world: World, site: str, labs: Labs) -> None:
    app = await world.published(ADA, "x = 1")
    assert await launch(site, f"app:{app.slug}", "--no-wait") == 0
    assert known(world)[0].asked["app"] == app.slug


async def test_without_a_token_it_says_where_to_make_one(
    site: str, labs: Labs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("VAAS_TOKEN")
    assert await launch(site, "app:x") == 2
    assert "/hub/token" in capsys.readouterr().err
