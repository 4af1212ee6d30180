"""The portal's database where the site says that it is: whether that can be, and whether it answers."""

from __future__ import annotations

from collections.abc import Mapping

from hub_service.settings import Settings
from vaas.db.seal import Seal
from vaas.db.sql import SqlDatabase
from vaas.errors import Invalid, Unavailable

__all__ = ["open_database", "revisions"]

_LIKE = "Write it like postgresql+psycopg://name:password@host/database."


def open_database(settings: Settings, environ: Mapping[str, str], *, seal: Seal) -> SqlDatabase:
    """Return the database that the site names, else the one in the data folder; nothing is read yet.

    Raises
    ------
    Invalid
        What is said is no address of a database, or its driver is not installed. A password is not repeated.
    """
    said = environ.get("VAAS_DATABASE_URL")
    try:
        return SqlDatabase(said or f"sqlite:///{settings.data / 'portal.sqlite'}", seal=seal)
    except ImportError as error:
        raise Invalid(f"VAAS_DATABASE_URL needs a driver that is not installed: {error}. {_LIKE}") from error
    except Invalid as error:
        raise Invalid(f"VAAS_DATABASE_URL is no address of a database. {_LIKE}") from error


def revisions(settings: Settings, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return which revision the tables are at, "" for none, and the newest. Raises Invalid, with what to do."""
    database = open_database(settings, environ, seal=Seal(bytes(32)))  # nothing that is sealed is read
    try:
        return database.revisions()
    except Unavailable as error:
        cure = (
            "Check that its server runs, and VAAS_DATABASE_URL."
            if environ.get("VAAS_DATABASE_URL")
            else "Restore it from a backup."
        )
        raise Invalid(f"{error.log_message.rstrip('.')}. {cure}") from error
    finally:
        database.close()
