"""What the doctor looks at of what is kept and what runs: the data folder, the database, the index, ports, the Hub."""

from __future__ import annotations

import os
import pwd
import stat
from datetime import UTC, datetime
from pathlib import Path

from hub_service.checks import BAD, OK, WARN, Check, disk, indexes, made_environments
from hub_service.clusters import runs_folder
from hub_service.data_folder import check_folder, check_writable
from hub_service.database import open_database, revisions
from hub_service.doctor_case import Case, Look
from hub_service.environments import environments_folder
from hub_service.needs import all_answer, free_port, is_free
from vaas.catalogs.own import count
from vaas.db.seal import Seal
from vaas.errors import Invalid, Unavailable
from vaas.portal.work import INDEX

__all__ = ["LOOKS"]

_NOT_YET = "Not there yet: “vaas up” makes it."


def _data(case: Case) -> Check | str:
    """Whether it is ours, can be written, and is closed to others."""
    folder = case.given.data
    if not folder.exists():
        there = next(each for each in folder.parents if each.exists())
        if not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
            raise Invalid(
                f"{folder} cannot be made: {_account()} may not write into {there}. Choose another VAAS_DATA."
            )
        return f"{folder} is not there yet: “vaas up” makes it."
    try:
        check_folder(folder)
        for each in (folder, *(folder / name for name in ("logs", "run", "secrets") if (folder / name).exists())):
            check_writable(each)
    except PermissionError as error:
        raise Invalid(
            f"{_account()} may not use {error.filename or folder}. Do this as the account that runs the portal, "
            "or give the folder to this one."
        ) from error
    if folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Check("Data folder", WARN, f"Others on this machine can look into {folder}: chmod 700 {folder}")
    return f"{folder} can be written."


def _account() -> str:
    try:
        return f"“{pwd.getpwuid(os.geteuid()).pw_name}”"
    except KeyError:
        return f"User {os.geteuid()}"


def _disk(case: Case) -> Check:
    there = next(each for each in (case.given.data, *case.given.data.parents) if each.exists())
    return disk(there)


def _secrets(case: Case) -> str:
    sealed = case.given.secrets / "seal"
    if sealed.is_file() and sealed.stat().st_size:
        return f"The keys are in {case.given.secrets}: back them up apart from the databases."
    if not _made(case):
        return _NOT_YET
    raise Invalid(
        f"{sealed} is missing: passwords and links in the database cannot be read without it. Restore it from a backup."
    )


def _made(case: Case) -> bool:
    return "VAAS_DATABASE_URL" in case.environ or (case.given.data / "portal.sqlite").exists()


def _database(case: Case) -> Check | str:
    if not _made(case):
        return _NOT_YET
    found, newest = revisions(case.given, case.environ)
    if found == newest:
        return f"It answers, and its tables are the newest ({newest})."
    if found > newest:
        raise Invalid(f"Its tables are of a newer VaaS ({found}, this one knows {newest}). Use that version.")
    at = f"at {found}" if found else "not made yet"
    text = f"Its tables are {at}: “vaas up” brings them to {newest}. Back it up first."
    return Check("Database", WARN, text)


def _index(case: Case) -> Check | str:
    if case.note is not None and _made(case):
        database = open_database(case.given, case.environ, seal=Seal(bytes(32)))  # nothing that is sealed is read
        try:
            with database.begin() as records:
                return indexes(records.leases.all(INDEX), datetime.now(UTC))
        finally:
            database.close()
    folder = Path(case.environ.get("VAAS_INDEX") or case.given.data / "index")
    try:
        entries = count(folder)
    except Unavailable as error:
        return Check("Search index", WARN, f"{error.log_message}. “vaas index” makes it anew.")
    return _NOT_YET if entries is None else f"It can be read: {entries:,} entries."


def _environments(case: Case) -> str:
    return made_environments(environments_folder(case.given))


def _spool(case: Case) -> Check | str:
    folder = runs_folder(case.given, case.environ)
    if not folder.exists():
        return _NOT_YET
    check_writable(folder)
    free = disk(folder, "Spool")
    held = sum(each.is_dir() and not each.name.startswith(".") for each in folder.iterdir())
    return free if free.state != OK else f"{folder} can be written and holds {held:,} runs. {free.text}"


def _running(case: Case) -> Check | str:
    """Whether it runs and answers; else whether its ports are free."""
    settings, note = case.given, case.note
    if note is not None:
        if not all_answer(settings, note):
            return Check(
                "Portal", BAD, f"It runs at {note.url}, but Hub or portal do not answer. Look into {settings.logs}."
            )
        if note.deaths:
            times = "once" if note.deaths == 1 else f"{note.deaths} times"
            return Check("Portal", WARN, f"It answers at {note.url}. The Hub died {times}: look into {settings.logs}.")
        return f"Hub and portal answer at {note.url}."
    if not is_free(settings.bind, settings.port):
        other = free_port(settings.port + 10)
        raise Invalid(f"Port {settings.port} is in use by another program. Stop it, or set VAAS_PORT, as to {other}.")
    for name in ("hub_port", "portal_port", "proxy_port"):
        variable, port = f"VAAS_{name.upper()}", getattr(settings, name)
        if variable in case.environ and not is_free("127.0.0.1", port):
            raise Invalid(f"Port {port} ({variable}) is in use by another program. Set another one.")
    return f"It does not run, and port {settings.port} is free: start it with “vaas up”."


LOOKS: tuple[tuple[str, Look], ...] = (
    ("Data folder", _data),
    ("Disk", _disk),
    ("Secrets", _secrets),
    ("Database", _database),
    ("Search index", _index),
    ("Environments folder", _environments),
    ("Spool", _spool),
    ("Portal", _running),
)
