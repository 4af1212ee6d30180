"""`vaas launch`: a JupyterLab of one's own from the command line, followed until it is ready; and its end."""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Mapping
from typing import Any

from vaas import cli_client
from vaas.cli_client import RUN_PAGE, Client, say
from vaas.errors import Invalid

__all__ = ["add_launch", "run_launch"]

_OF = re.compile(
    r"app:(?P<app>.+)|basket:(?P<basket>.+)|run:(?P<run>.+)|(?P<store>[A-Za-z0-9_-]{1,60}):(?P<path>.+\.ipynb)"
)
_ID = re.compile(r"(?:.*/launches/)?([a-z0-9]{12})/?")
_OVER = frozenset({"ready", "stopped", "failed"})


def add_launch(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "what",
        help="app:SLUG; STORE:PATH of a notebook there (home:lab/waves.ipynb); run:ID, or the address of its page, for "
        "what came of a run, with copies of its data; basket:ID, or basket:current for yours; with --stop the launch's "
        "id or the address of its page",
    )
    parser.add_argument("--stop", action="store_true", help="stop the launch; its files stay")
    for name, words in (
        ("title", "how the launch is called"),
        ("environment", "what it runs with"),
        ("size", "how much"),
        ("facility", "where"),
        ("basket", "data that goes along: the basket's id, or current for yours"),
    ):
        default = "none" if name == "basket" else "what the site suggests"
        parser.add_argument(f"--{name}", default="", help=f"{words}; default: {default}")
    parser.add_argument(
        "--copy", action="store_true", help="work on a copy of a notebook of the home, not where it lies"
    )
    parser.add_argument("--no-wait", action="store_true", help="do not wait until it is ready")
    cli_client.add_portal(parser)


def run_launch(options: argparse.Namespace, *, every: float = 1.0) -> int:
    """Launch or stop it; return 0, or 1 when it did not start, or 2 for everything else that went wrong.

    ``every``: so many seconds between two looks at how far it is.
    """
    work = _stop(options) if options.stop else _launch(options, every)
    left = "It goes on without you. “My servers” in the portal shows it, and can stop it."
    return cli_client.completed("launch", work, interrupted=left)


async def _launch(options: argparse.Namespace, every: float) -> int:
    client = cli_client.of(options)
    said = {name: getattr(options, name) for name in ("title", "environment", "size", "facility", "basket")}
    if options.copy and not options.what.startswith("home:"):
        raise Invalid("--copy is for notebooks of the home: home:PATH. Of all else a copy is worked on anyway.")
    copy = {"copy": True} if options.copy else {}
    now = await client.call("POST", "launches", {**said, **copy, **_asked(options.what)})
    say(f"{now['title']}: {now['page']}")
    return 0 if options.no_wait else await _follow(client, now, every=every)


def _asked(what: str) -> dict[str, str]:
    """Return how the portal names what is launched."""
    found = _OF.fullmatch(RUN_PAGE.sub(r"run:\1", what))
    if found is None:
        raise Invalid(f"{what} is no app:SLUG, no STORE:PATH of a notebook (.ipynb), no run:ID and no basket:ID.")
    return {name: value for name, value in found.groupdict().items() if value}


async def _follow(client: Client, now: Mapping[str, Any], *, every: float) -> int:
    """Say how far it is until it is ready or over; return 0 when it is ready."""
    shown = ""
    while now["state"] not in _OVER:
        if now["message"] and now["message"] != shown:
            shown = now["message"]
            say(shown)
        await asyncio.sleep(every)
        now = await client.look(f"launches/{now['id']}", every=every)
    if now["state"] == "ready":
        say(f"Ready. {now['url']}")
        return 0
    say(f"{now['message']} {now['page']}", error=True)
    return 1


async def _stop(options: argparse.Namespace) -> int:
    found = _ID.fullmatch(options.what)
    if found is None:
        raise Invalid(f"{options.what} is no launch: give its id, or the address of its page.")
    now = await cli_client.of(options).call("POST", f"launches/{found[1]}/stop", {})
    say(f"“{now['title']}” is {'being ' * (now['state'] == 'stopping')}stopped. Its files stay.")
    return 0
