"""`vaas publish`: a notebook or a folder from the command line to an app, through the portal's REST interface."""

from __future__ import annotations

import argparse
import asyncio
import base64
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vaas import cli_client
from vaas.cli_client import IN_A_STORE, RUN_PAGE, Client, say
from vaas.client.errors import PortalError
from vaas.errors import Invalid, VaasError
from vaas.locks import LOCK
from vaas.network import connects, entry_of, parse, text_of
from vaas.requirements import FILES
from vaas.slug import check_slug

__all__ = ["add_publish", "run_publish"]

_AUDIENCES = {"me": [], "signed-in": ["signed-in"], "everyone": ["everyone"]}
_OPENS = {
    "instant": "instantly",
    "partly": "partly at once: its first cells have run, the others run for each visitor",
    "warm": "quickly (warm): a few sessions that have run it are kept ready",
    "cold": "slowly (cold): it runs for each visitor",
}
_RUN = re.compile(r"run:(.+)")
#: So many seconds are waited for the word on that, besides those that the notebook takes.
_A_WHILE = 20.0


def add_publish(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "path",
        help="a notebook, or a folder that holds it (and --notebook says which); STORE:PATH for one that is there "
        "(home:lab/waves.ipynb); run:ID, or the address of its page, for what came of a run",
    )
    parser.add_argument(
        "--shares-data",
        action="store_true",
        help="of a run: you may pass on copies of the data that it was given",
    )
    parser.add_argument(
        "--include",
        type=Path,
        action="append",
        default=[],
        help="a file or folder beside the notebook; may be given more than once",
    )
    parser.add_argument("--notebook", default="", help="in a folder: the notebook to run")
    parser.add_argument("--title", default="", help="default: the notebook's first heading")
    parser.add_argument("--slug", default="", help="last part of the app's address")
    parser.add_argument("--update", default="", metavar="SLUG", help="publish a new version of this app")
    parser.add_argument("--description", default="", help="what the app is about, on its page")
    parser.add_argument(
        "--category", default="", help="one, such as Climate or Teaching; the gallery has them to choose"
    )
    parser.add_argument("--tag", action="append", default=[], help="may be given more than once")
    _add_who(parser)
    parser.add_argument("--anyway", action="store_true", help="publish even if the check fails")
    parser.add_argument("--check-only", action="store_true", help="only check, publish nothing")
    cli_client.add_portal(parser)


def _add_who(parser: argparse.ArgumentParser) -> None:
    """Declare who may open the app, and what it may reach and know."""
    parser.add_argument(
        "--access",
        action="append",
        default=[],
        metavar="WHO",
        help="me (default), signed-in, everyone, link, user:NAME or group:NAME; may be given more than once",
    )
    parser.add_argument(
        "--network",
        metavar="HOSTS",
        help="what the app may reach: none (default), all, or hosts such as “*.example.org example.org:8443”; "
        "with --update the default is what the app may reach now",
    )
    parser.add_argument(
        "--environment",
        default="",
        metavar="ID",
        help="what it runs with: beside (the packages that a file beside it asks for), apps (what all apps have), or "
        "an environment of the site's; by default what fits",
    )
    parser.add_argument(
        "--knows-visitor",
        action=argparse.BooleanOptionalAction,
        help="whether the app is told the name and groups of who is looking; by default a new app is not, and with "
        "--update it stays as it is",
    )


def run_publish(options: argparse.Namespace) -> int:
    """Publish; return 0, or 1 when the check failed, or 2 for everything else that went wrong."""
    try:
        return asyncio.run(_publish(options))
    except VaasError as error:
        say(f"vaas publish: {error}", error=True)
    except OSError as error:
        print(f"vaas publish: {error.filename or 'The system says'}: {error.strerror or error}.", file=sys.stderr)
    return 2


async def _publish(options: argparse.Namespace) -> int:
    network = None if options.network is None else parse(options.network)
    publication = _publication(options)
    client = cli_client.of(options)
    whither, sent = _asked(options)
    sent |= {"environment": options.environment} | ({} if network is None else {"network": text_of(network)})
    draft = await _begun(client, whither, sent)
    report = await _await_check(client, draft["id"])
    _print_report(report)
    _print_closed(report, draft["network"])
    if report.get("ok"):
        _print_opens(await _await_opens(client, draft["id"], report))
    if options.check_only or not (report.get("ok") or options.anyway):
        await client.call("DELETE", f"drafts/{draft['id']}")
        if not report.get("ok"):
            say("Not published. Mend the notebook, or say --anyway.", error=True)
        return 0 if report.get("ok") else 1
    app = await client.call("POST", f"drafts/{draft['id']}/publish", publication)
    say(f"Published: {app['url']}")
    if "link" in app:
        say(f"Link for anyone: {app['link']['url']}")
    return 0


def _asked(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return where a draft is asked for, and of what: a run's result, a notebook of a store, or files that are sent."""
    if run := _RUN.fullmatch(RUN_PAGE.sub(r"run:\1", options.path)):
        if options.include or options.notebook or options.update:
            raise Invalid("What came of a run is taken as it is: leave out --include, --notebook and --update.")
        return "drafts", {"run": run[1], "shares": options.shares_data}
    found = IN_A_STORE.fullmatch(options.path)
    if found and not found[2].startswith("//") and not Path(options.path).exists():
        if options.notebook or options.update:
            raise Invalid("A notebook that is there already knows which app it is: leave out --notebook and --update.")
        folder = PurePosixPath(found[2]).parent
        along = [*options.include, *FILES, LOCK] if options.include else []  # else the portal sees what it needs
        beside = {"include": [(folder / each).as_posix() for each in along]} if along else {}
        return "drafts", {"store": found[1], "path": found[2], **beside}
    files, notebook = _collect(Path(options.path), options.include, options.notebook)
    encoded = {path: base64.b64encode(data).decode() for path, data in files.items()}
    say(f"Sending {len(files)} file{'s' if len(files) != 1 else ''}…")
    return "uploads", {"files": encoded, "notebook": notebook, "slug": options.update}


async def _begun(client: Client, whither: str, sent: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for a draft; where the portal wants to hear that data may be passed on, say with which option."""
    try:
        draft: dict[str, Any] = await client.call("POST", whither, sent)
    except PortalError as error:
        if "pass on a copy of the data" not in str(error):
            raise
        raise Invalid(f"{error} To confirm it, add --shares-data; the run’s page lists the data.") from error
    return draft


def _publication(options: argparse.Namespace) -> dict[str, Any]:
    if options.slug:
        check_slug(options.slug)
    subjects: list[str] = []
    for who in options.access:
        named = [who] if who.startswith(("user:", "group:")) else _AUDIENCES.get(who, [] if who == "link" else None)
        if named is None:
            raise Invalid(f"“{who}” is nobody: say me, signed-in, everyone, link, user:NAME or group:NAME.")
        subjects += named
    names = ("title", "slug", "description", "category", "anyway", "knows_visitor")
    said = {name: getattr(options, name) for name in names}
    return {**said, "tags": options.tag, "subjects": subjects, "link": "link" in options.access}


async def _await_check(client: Client, draft_id: str) -> Mapping[str, Any]:
    shown = ""
    while True:
        draft = await client.look(f"drafts/{draft_id}", every=0.5)
        if draft["state"] == "done":
            report: Mapping[str, Any] = draft["report"]
            return report
        line = _told(draft["progress"])
        if line != shown:
            say(line)
        shown = line
        await asyncio.sleep(0.5)


def _told(progress: Mapping[str, Any]) -> str:
    """Return a line that says how far a check is."""
    if progress.get("stage") in {"environment", "copying"}:
        return f"{progress['text']}…"
    return f"Checking: code cell {progress.get('cell', 0)} of {progress.get('cells', '?')}" if progress else "Checking…"


async def _await_opens(client: Client, draft_id: str, report: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how the app will open; nothing if that is not known soon. The notebook runs once more for it."""
    deadline = time.monotonic() + _A_WHILE + 2 * float(report.get("seconds") or 0)
    while "opens" not in report and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
        report = (await client.call("GET", f"drafts/{draft_id}"))["report"]
    opens: Mapping[str, Any] = report.get("opens", {})
    return opens


def _print_opens(opens: Mapping[str, Any]) -> None:
    if opens:
        but = ", with exceptions" if opens["mode"] == "instant" and opens.get("why") else ""
        say(f"It opens {_OPENS[opens['mode']]}{but}.")
    for why in opens.get("why", []):
        say(f"? {why}")


def _print_report(report: Mapping[str, Any]) -> None:
    if report.get("ok"):
        peak = report.get("peak_bytes", 0) / 1e6
        say(f"The check passed: {report.get('seconds', 0):.1f} s, {peak:.0f} MB at most.")
    for problem in report.get("problems", []):
        say(f"! {problem['text']} {problem['fix']}")
    for error in report.get("errors", []):
        say(f"! Cell {error['cell']}: {error['name']}: {error['message']}\n{error['traceback']}")
    for missing in report.get("missing_files", []):
        say(f"? It reads {missing['path']}, which is not included.")
    for hint in report.get("hints", []):
        say(f"? {hint['text']} {hint['fix']}")
    for host in sorted({address["host"] for address in report.get("addresses", [])}):
        say(f"? It uses the outside address {host}.")
    for secret in report.get("secrets", []):
        place = secret.get("file") or f"Cell {secret['cell']}"
        say(f"? {place} looks as if it held a secret: {secret['kind']}.")


def _print_closed(report: Mapping[str, Any], network: Sequence[str]) -> None:
    found = report.get("addresses", [])
    closed = {one["host"] for one in found if one.get("how") == "connects" and not connects(network, one["host"])}
    # What is no host may be a command to the shell into which the line is copied.
    hosts = sorted({entry for host in closed for entry in entry_of(host)})
    if hosts:
        say(f'! It may not reach what it connects to. To allow it: --network "{" ".join([*network, *hosts])}"')


def _collect(path: Path, include: list[Path], notebook: str) -> tuple[dict[str, bytes], str]:
    """Return what to send, by relative path, and the notebook among it ("" for: the portal finds it)."""
    if path.is_dir():
        return _read(path, [path]), notebook
    if path.suffix != ".ipynb":
        raise Invalid(f"{path} is neither a notebook (.ipynb) nor a folder.")
    beside = (path.parent / name for name in (*FILES, LOCK))
    asking = [each for each in beside if each.is_file() and not each.is_symlink()]
    return _read(path.parent, [path, *asking, *include]), path.name


def _read(base: Path, wanted: list[Path]) -> dict[str, bytes]:
    found = {}
    for path in wanted:
        if not path.exists():
            raise Invalid(f"There is no {path}.")
        inside = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file() and not p.is_symlink()]
        for file in inside:
            if not file.resolve().is_relative_to(base.resolve()):
                raise Invalid(f"{file} does not lie beside the notebook, so it cannot travel along. Copy it there.")
            name = file.resolve().relative_to(base.resolve()).as_posix()
            if not any(part.startswith(".") or part == "__pycache__" for part in name.split("/")):
                found[name] = file.read_bytes()
    return found
