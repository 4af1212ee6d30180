"""`vaas run`: what it sends to the portal, how it follows, and what it says when something is wrong."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import httpx
import pytest

from tests.notebooks import write_notebook
from tests.portal_parts import ADA, World
from tests.printed import until_said
from tests.run_desk import AS_ADA, CELLS, HOSTILE, ada, becomes, ended, kept
from vaas.cli_run import add_run, run_run

__all__ = ["ada"]

THERE = "home:lab/waves.ipynb"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAAS_TOKEN", "ada")


async def run(site: str, *words: str) -> int:
    parser = argparse.ArgumentParser()
    add_run(parser)
    return await asyncio.to_thread(run_run, parser.parse_args([*words, "--url", site]), every=0.05)


async def begun(world: World, count: int = 1) -> None:
    """Wait until so many runs are in the queue."""
    while len(kept(world)) < count:
        await asyncio.sleep(0.02)


async def test_a_notebook_there_is_run_and_followed(
    ada: httpx.AsyncClient, world: World, site: str, capsys: pytest.CaptureFixture[str]
) -> None:
    going = asyncio.create_task(run(site, THERE, "-p", "n=5", "-p", "name=a=b", "--title", "Five"))
    await begun(world)
    (one,) = kept(world)
    assert (one.title, one.parameters["n"], one.parameters["name"]) == ("Five", 5, "a=b")
    one = becomes(world, one, state="running", started=world.clock(), progress={"cell": 2, "of": 3})
    said = await until_said(capsys, "Cell 2 of 3 is running.")
    ended(world, one)
    assert await going == 0
    lines = (said + capsys.readouterr().out).splitlines()
    assert lines[0].startswith("Five: ") and "Cell 2 of 3 is running." in lines
    assert lines[-1].startswith("Done. ") and lines[-1].endswith("/files/home/Runs/Waves")


@pytest.mark.parametrize("said", ["home:lab/sea.csv", "store:home/lab/sea.csv"])
async def test_data_is_named_as_notebooks_are_or_as_in_tables(
    ada: httpx.AsyncClient, world: World, site: str, said: str
) -> None:
    assert await run(site, THERE, "--thing", f"table={said}", "--no-wait") == 0
    assert [each.asked["things"]["table"]["path"] for each in kept(world)] == ["lab/sea.csv"]


async def test_a_failure_is_told_with_the_end_of_the_log(
    ada: httpx.AsyncClient, world: World, site: str, capsys: pytest.CaptureFixture[str]
) -> None:
    going = asyncio.create_task(run(site, THERE))
    await begun(world)
    (one,) = kept(world)
    log = "".join(f"line {number}\n" for number in range(40)) + "\x1b[31mred\x1b[0m\n"
    world.put(ADA, "Runs/Waves/log.txt", log)
    ended(world, one, state="failed", error=f"Cell 2: ValueError: {HOSTILE}\x1b]0;pwned\x07")
    assert await going == 1
    said = capsys.readouterr().err
    assert "ValueError" in said and "line 39" in said and "line 5\n" not in said and "\x1b" not in said


async def test_a_notebook_of_this_machine_is_kept_there_once(
    ada: httpx.AsyncClient, world: World, site: str, tmp_path: Path
) -> None:
    mine = write_notebook(tmp_path / "local.ipynb", *CELLS)
    (tmp_path / "sea.csv").write_text("a\n1\n")
    for _ in range(2):
        assert await run(site, str(mine), "--include", str(tmp_path / "sea.csv"), "--no-wait") == 0
    (folder,) = (world.homes / "ada" / "Sent").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["local.ipynb", "sea.csv"]
    assert [each.asked["path"] for each in kept(world)] == [f"Sent/{folder.name}/local.ipynb"] * 2


async def test_a_table_is_one_run_for_each_row(
    ada: httpx.AsyncClient, world: World, site: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "values.csv"
    table.write_text("n;name;height\n1;one;2,5\n2;;\n")
    going = asyncio.create_task(run(site, THERE, "--table", str(table), "-p", "name=all"))
    await begun(world, 2)
    runs = sorted(kept(world), key=lambda each: each.parameters["n"])
    assert [(each.parameters["n"], each.parameters["name"]) for each in runs] == [(1, "one"), (2, "all")]
    assert runs[0].parameters["height"] == 2.5
    ended(world, runs[0])
    await world.portal.running.cancel(AS_ADA, runs[1].id)
    assert await going == 1
    said = capsys.readouterr()
    assert "2 runs are in the queue." in said.out and "It was cancelled." in said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.ipynb"], "none.ipynb"),
        (["notes.txt"], "no notebook"),
        (["home:none.ipynb"], "none.ipynb"),
        (["app:none"], "There is no"),
        ([THERE, "-p", "n"], "NAME=VALUE"),
        ([THERE, "-p", "n=many"], "“n” takes a whole number"),
        ([THERE, "-p", "nope=1"], "no parameter “nope”."),
        ([THERE, "-p", "heigth=1"], "no parameter “heigth”. Is “height” meant?"),
        ([THERE, "--thing", "table=home:sea.csv"], "There is no “sea.csv” in “Home”. Write its whole path there."),
        ([THERE, "--table", "none.csv"], "none.csv"),
        ([THERE, "--size", "giant"], "This size is not offered"),
    ],
)
async def test_what_cannot_be_run_is_said_and_nothing_starts(
    ada: httpx.AsyncClient,
    world: World,
    site: str,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    assert await run(site, *words, "--no-wait") == 2
    told = capsys.readouterr()
    assert said in told.err and "Traceback" not in told.err and told.out == ""
    assert world.portal.running.runs(AS_ADA) == []


async def test_a_wrong_table_is_told_row_by_row(
    ada: httpx.AsyncClient, world: World, site: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "values.csv"
    table.write_text("n;height;what\n1;2,5;2\n\nmany;1;\n")
    assert await run(site, THERE, "--table", str(table)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines[1:]] == ["Row 1, column “what”", "Row 4"] and kept(world) == []
    table.write_bytes(b"PK\x03\x04")
    assert await run(site, THERE, "--table", str(table)) == 2
    assert "CSV UTF-8" in capsys.readouterr().err
