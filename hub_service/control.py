"""``python -m hub_service.control up|down|status|index``: what ``vaas up`` and its siblings hand over to."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urljoin

from hub_service.data_folder import PRIVATE, ensure_folder
from hub_service.demo_people import ADMIN, GROUPS, PEOPLE
from hub_service.isolation import probe, warning
from hub_service.needs import (
    all_answer,
    answers,
    check_installed,
    check_said,
    check_sign_in,
    free_port,
    is_free,
    listens,
    reach,
)
from hub_service.running import Note, is_held, stop_leftovers
from hub_service.settings import Settings
from vaas.errors import Invalid, Unavailable, VaasError

__all__ = ["main"]

_PATIENCE = 120.0
_TOO_MANY_DEATHS = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it was done, 2 when it cannot be, with a sentence that says why."""
    os.umask(PRIVATE)
    args = _parser().parse_args(argv)
    commands = {"up": up, "down": down, "status": status, "index": index}
    try:
        environ = dict(os.environ) | _said(args)
        if args.command == "doctor":
            return doctor(args, environ)
        return commands[args.command](Settings.from_environ(environ), args, environ)
    except VaasError as error:
        print(error.message, file=sys.stderr)
        return 2
    except PermissionError as error:
        cure = "Do this as the account that runs the portal, or choose another folder with --data."
        print(f"{error.filename} is not for this account. {cure}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def up(settings: Settings, args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Start everything, wait until the portal's page answers, and say how to sign in."""
    began = time.monotonic()
    ensure_folder(settings.data)
    if is_held(settings.run):
        note = Note.read(settings.run)
        print(f"VaaS runs already: {note.url if note else settings.portal_url}")
        print(_how_to_stop(settings))
        return 0
    check_said(settings, environ)
    check_sign_in(settings)
    check_installed(settings, environ)
    _check_database(settings, environ)
    if stop_leftovers(settings):
        print("Stopped what an earlier run had left behind.")
    settings = _with_ports(settings, environ)
    print(f"Starting VaaS with its data in {settings.data}")
    process = _start_supervisor(settings, environ)
    try:
        _wait_until_ready(settings, process, began)
    except (VaasError, KeyboardInterrupt):
        _end(process)
        raise
    print(_welcome(settings, time.monotonic() - began), flush=True)
    if said := warning(probe(settings, environ)):
        print(f"\n{said}", flush=True)
    return _stay(process) if args.foreground else 0


def down(settings: Settings, args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Stop everything that runs for the data folder; what is kept stays."""
    note = Note.read(settings.run) if is_held(settings.run) else None
    if note is None:
        left = stop_leftovers(settings) if settings.run.exists() else 0
        print("Stopped what an earlier run had left behind." if left else f"Nothing runs for {settings.data}.")
        return 0
    print("Stopping…", flush=True)
    os.kill(note.supervisor.pid, signal.SIGTERM)
    deadline = time.monotonic() + 45
    while is_held(settings.run):
        if time.monotonic() > deadline:
            raise Unavailable(f"It does not stop. Look into {settings.logs}, and end process {note.supervisor.pid}.")
        time.sleep(0.1)
    print("Stopped.")
    return 0


def status(settings: Settings, args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Say whether it runs and where; the exit code is 0 when its page answers, else 1."""
    note = Note.read(settings.run) if is_held(settings.run) else None
    if note is None:
        print(f"Nothing runs for {settings.data}.")
        return 1
    well = all_answer(settings, note)
    print(f"VaaS {'answers at' if well else 'runs, but does not answer yet at'} {note.url}")
    print(f"Data in {settings.data}, logs in {settings.logs}")
    if note.deaths:
        print(f"The Hub was started again {note.deaths} times.")
    return 0 if well else 1


def index(settings: Settings, args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Make the index anew, or have the stores swept."""
    # All of the portal is needed for it, which the other commands would wait for.
    from hub_service import index_command

    return index_command.index(settings, args, environ)


def _check_database(settings: Settings, environ: Mapping[str, str]) -> None:
    """Find that a database elsewhere does not answer. Raises Invalid, with what to do."""
    if not environ.get("VAAS_DATABASE_URL"):
        return
    # For this alone: it takes half a second to import.
    from hub_service.database import revisions

    revisions(settings, environ)


def doctor(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Look at all that the portal needs, its settings first; 0 when nothing is broken, else 1."""
    from hub_service import doctor as looking

    return looking.doctor(args, environ)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vaas")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, words in (
        ("up", "start Hub, proxy and portal on this machine"),
        ("down", "stop them and all apps; the data stays"),
        ("status", "say whether they run, and where"),
        ("index", "make the search index anew from the database, also while the portal runs"),
        ("doctor", "look at all that the portal needs, and say for each whether it is well and what to do"),
    ):
        command = commands.add_parser(name, help=words, description=words.capitalize() + ".")
        command.add_argument("--data", metavar="DIR", help="the data folder (VAAS_DATA; ./data beside the checkout)")
        if name == "up":
            command.add_argument("--port", metavar="N", help="the port of its address (VAAS_PORT; 8000)")
            command.add_argument("--host", metavar="NAME", help="its host name (VAAS_HOST; vaas.localhost)")
            command.add_argument("--foreground", action="store_true", help="stay, and stop everything on Ctrl+C")
            command.add_argument("--no-demo", action="store_true", help="no demo people and content: needs a site file")
        if name == "doctor":
            command.add_argument("--port", metavar="N", help="the port of its address (VAAS_PORT; 8000)")
            command.add_argument("--json", action="store_true", help="for programs")
        if name == "index":
            sweep = "instead, have the portal look through all stores at once, and say what it skipped and why"
            command.add_argument("--sweep", action="store_true", help=sweep)
    return parser


def _said(args: argparse.Namespace) -> dict[str, str]:
    """Return the variables that the arguments stand for; a demo, unless it is said or set otherwise."""
    said = {"VAAS_DATA": args.data, "VAAS_PORT": getattr(args, "port", None), "VAAS_HOST": getattr(args, "host", None)}
    found = {name: value for name, value in said.items() if value is not None}
    if args.command in {"up", "doctor"}:
        found["VAAS_DEMO"] = "0" if getattr(args, "no_demo", False) else os.environ.get("VAAS_DEMO", "1")
    return found


def _with_ports(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Return the settings with inner ports that are free; Invalid when the public one, or one that was set, is not."""
    if not is_free(settings.bind, settings.port):
        raise Invalid(
            f"Port {settings.port} is in use by another program. Stop it, or choose another port: "
            f"vaas up --port {free_port(settings.port + 10)}"
        )
    taken = {settings.port}
    chosen: dict[str, int] = {}
    for name in ("hub_port", "portal_port", "proxy_port"):
        wanted: int = getattr(settings, name)
        if not is_free("127.0.0.1", wanted) or wanted in taken:
            if f"VAAS_{name.upper()}" in environ:
                raise Invalid(f"Port {wanted} (VAAS_{name.upper()}) is in use by another program.")
            wanted = free_port(wanted + 10, taken)
        taken.add(wanted)
        chosen[name] = wanted
    return replace(
        settings, hub_port=chosen["hub_port"], portal_port=chosen["portal_port"], proxy_port=chosen["proxy_port"]
    )


def _start_supervisor(settings: Settings, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with (settings.logs / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "hub_service.supervisor"],
            env={**environ, **settings.to_environ()},
            cwd=settings.run,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_until_ready(settings: Settings, process: subprocess.Popen[bytes], began: float) -> None:
    """Wait for the portal's page, with a line for each step.

    Raises
    ------
    Unavailable
        It does not come; the message shows the end of the log.
    """
    here = reach(settings.bind)
    steps = [("proxy", here, settings.port), ("Hub", "127.0.0.1", settings.hub_port)]
    steps.append(("portal", "127.0.0.1", settings.portal_port))
    while time.monotonic() - began < _PATIENCE:
        while steps and listens(*steps[0][1:]):
            print(f"  {time.monotonic() - began:4.1f} s  the {steps.pop(0)[0]} listens", flush=True)
        # First by itself: each try through the proxy that fails is a line in the Hub's log.
        if not steps and answers("127.0.0.1", settings.portal_port, settings.portal_url):
            # The proxy hands the portal what has no route: only a page of the Hub tells that the Hub has set its own.
            hub = urljoin(settings.portal_url, "/hub/api/")
            if answers(here, settings.port, hub) and answers(here, settings.port, settings.portal_url):
                return
            time.sleep(0.2)
        note = Note.read(settings.run)
        mine = note is not None and note.supervisor.pid == process.pid
        if process.poll() is not None or (note and mine and note.deaths >= _TOO_MANY_DEATHS):
            break
        time.sleep(0.1)
    log = settings.logs / ("supervisor.log" if process.poll() is not None else "hub.log")
    raise Unavailable(f"VaaS does not start. The end of {log}:\n\n{_tail(log)}\n")


def _tail(log: Path, lines: int = 20) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(there is none)"


def _welcome(settings: Settings, seconds: float) -> str:
    lines = ["", f"VaaS is ready, after {seconds:.1f} s:  {settings.portal_url}", ""]
    if settings.demo:
        lines.append(f"Sign in with the password “{settings.demo_password}” as")
        for name, words in {**PEOPLE, ADMIN: "an administrator of the Hub"}.items():
            groups = ", ".join(group for group, people in GROUPS.items() if name in people)
            lines.append(f"  {name:<11} {words}{f' (group {groups})' if groups else ''}")
        lines += ["This is a demo: it listens on this machine only, and the password is no secret.", ""]
    return "\n".join([*lines, _how_to_stop(settings)])


def _how_to_stop(settings: Settings) -> str:
    program = Path(sys.executable).with_name("vaas")
    return f"Stop it with: {program} down --data {settings.data}"


def _stay(process: subprocess.Popen[bytes]) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return process.wait()
    except KeyboardInterrupt:
        print("Stopping…", flush=True)
        _end(process)
        return 0


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
