"""`vaas run`: a notebook run once, or over a table of values, from the command line, and followed to its end."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vaas import cli_client
from vaas.cli_client import IN_A_STORE, Client, say
from vaas.errors import Invalid
from vaas.launching import ENDED
from vaas.prose import clean_text
from vaas.series import decoded

__all__ = ["add_run", "run_run"]

_FILE = re.compile(r"(?!store:)([A-Za-z0-9_-]{1,60}):/*(.+)")
_LAST_LINES = 20
_HOME = "home"


def add_run(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "notebook",
        help="a notebook on this machine, which is copied into your home there; STORE:PATH for one that is there "
        "(home:lab/waves.ipynb); or app:SLUG for that of an app",
    )
    for name, metavar, words in (
        ("--parameter", "NAME=VALUE", "a value for a parameter"),
        (
            "--thing",
            "NAME=WHAT",
            "data for a parameter: STORE:PATH (home:lab/sea.csv), or a thing of your basket by its id",
        ),
    ):
        short = ["-p"] if name == "--parameter" else []
        said = f"{words}; may be given more than once"
        parser.add_argument(*short, name, action="append", default=[], metavar=metavar, help=said)
    parser.add_argument("--table", type=Path, help="a CSV file whose columns are parameters: one run for each row")
    parser.add_argument(
        "--include", type=Path, action="append", default=[], help="a file beside the notebook that it needs"
    )
    for name, words in (
        ("title", "how the run is called"),
        ("environment", "what it runs with"),
        ("size", "how much"),
        ("facility", "where"),
    ):
        parser.add_argument(f"--{name}", default="", help=f"{words}; default: what the site suggests")
    parser.add_argument("--no-wait", action="store_true", help="do not wait until it has ended")
    cli_client.add_portal(parser)


def run_run(options: argparse.Namespace, *, every: float = 1.0) -> int:
    """Run it; return 0, or 1 when it did not work, or 2 for everything else that went wrong.

    ``every``: so many seconds between two looks at how far it is.
    """
    work = _run(options, every)
    left = "It goes on without you. “My runs” in the portal shows it, and can cancel it."
    return cli_client.completed("run", work, interrupted=left)


async def _run(options: argparse.Namespace, every: float) -> int:
    client = cli_client.of(options)
    said: dict[str, Any] = {name: getattr(options, name) for name in ("title", "environment", "size", "facility")}
    said |= {"values": _pairs(options.parameter), "things": _things(options.thing)}
    table = options.table.read_bytes() if options.table else None
    said |= await _asked(client, options.notebook, options.include)
    if table is not None:
        said["table"] = decoded(table)
        runs = (await client.call("POST", "runs/series", said))["runs"]
        say(f"{len(runs)} runs are in the queue.")
    else:
        runs = [await client.call("POST", "runs", said)]
    if table is None:
        say(f"{runs[0]['title']}: {runs[0]['url']}")
    return 0 if options.no_wait else await _follow(client, [run["id"] for run in runs], every=every)


async def _asked(client: Client, notebook: str, include: Sequence[Path]) -> dict[str, str]:
    """Return how the portal names the notebook; one of this machine is kept there first."""
    path = Path(notebook)
    if not path.exists() and notebook.startswith("app:"):
        return {"app": notebook.removeprefix("app:")}
    found = IN_A_STORE.fullmatch(notebook)
    if found and not path.exists():
        return {"store": found[1], "path": found[2]}
    if path.suffix != ".ipynb":
        raise Invalid(f"{notebook} is no notebook (.ipynb), no STORE:PATH and no app:SLUG.")
    files = {each.name: each.read_bytes() for each in (path, *include)}
    digest = hashlib.sha256(b"".join(name.encode() + data for name, data in sorted(files.items()))).hexdigest()
    folder = f"Sent/{path.stem}-{digest[:8]}"  # the same again is the same place
    for name, data in files.items():
        await client.write(_HOME, f"{folder}/{name}", data)
    return {"store": _HOME, "path": f"{folder}/{path.name}"}


async def _follow(client: Client, ids: Sequence[str], *, every: float) -> int:
    """Say how far they are until all have ended; return 0 when all worked."""
    ended: dict[str, Mapping[str, Any]] = {}
    shown = ""
    while len(ended) < len(ids):
        for run_id in (each for each in ids if each not in ended):
            run = await client.look(f"runs/{run_id}", every=every)
            if run["state"] in ENDED:
                ended[run_id] = run
                await _tell(client, run, which=f"Run {ids.index(run_id) + 1}: " if len(ids) > 1 else "")
            elif len(ids) == 1 and (line := run["words"]) != shown:
                shown = line
                say(line)
        if len(ended) < len(ids):
            await asyncio.sleep(every)
    return 0 if all(run["state"] == "done" for run in ended.values()) else 1


async def _tell(client: Client, run: Mapping[str, Any], *, which: str) -> None:
    if run["state"] == "done":
        say(f"{which}Done. {(run['result'] or run)['url']}")
        return
    say(f"{which}{run['error'] or run['state'].capitalize()} {run['url']}", error=True)
    if run["state"] == "failed":
        log = (await client.call("GET", f"runs/{quote(run['id'])}/log"))["log"]
        for line in log.splitlines()[-_LAST_LINES:]:
            print(f"  {clean_text(line)}", file=sys.stderr)


def _things(said: Sequence[str]) -> dict[str, str]:
    """Return what fills slots as the portal names it; a file is named as a notebook is, or as tables name it."""
    found = {name: (what, _FILE.fullmatch(what)) for name, what in _pairs(said).items()}
    return {name: f"store:{file[1]}/{file[2]}" if file else what for name, (what, file) in found.items()}


def _pairs(said: Sequence[str]) -> dict[str, str]:
    found = {}
    for each in said:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise Invalid(f"“{each}” does not say what is what: write NAME=VALUE.")
        found[name.strip()] = value
    return found
