"""The site's file of catalogs elsewhere (``VAAS_CATALOGS``), read strictly: what is wrong is named with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hub_service.toml_file import Table, TomlFile

__all__ = ["KINDS", "Elsewhere", "read_catalogs"]

#: What a catalog may speak.
KINDS = ("ckan", "invenio", "stac")
_ID = re.compile(r"[a-z][a-z0-9-]{0,39}")
_MUST = ("id", "kind", "title", "url")
_MAY = ("token_file", "patience")
#: A catalog that takes longer holds up what people search.
_MOST_PATIENCE = 30.0
_TOKENS = frozenset({"invenio"})


@dataclass(frozen=True)
class Elsewhere:
    """One catalog of another site."""

    id: str
    kind: str
    title: str
    url: str
    token: str = field(default="", repr=False)
    patience: float = 8.0


def read_catalogs(
    path: Path | None, *, allowed: Iterable[str] = (), look_up: Callable[[str], Iterable[str]] = lambda host: ()
) -> tuple[Elsewhere, ...]:
    """Return the catalogs that the file names; none without one.

    Parameters
    ----------
    allowed:
        Private hosts and networks that may be asked.
    look_up:
        Returns the addresses that a name leads to; by default nobody is asked for them.

    Raises
    ------
    Invalid
        It cannot be read, or something in it cannot be used; the message says in which line.
    """
    if path is None:
        return ()
    file = TomlFile(path, variable="VAAS_CATALOGS")
    file.only(("catalog",), "Each catalog begins with [[catalog]].")
    found: dict[str, Elsewhere] = {}
    for table in file.tables("catalog", noun="catalog", known=_MUST + _MAY, must=_MUST):
        catalog = _catalog(table)
        if catalog.id in found:
            raise table.wrong("id", f"There are two catalogs with the id “{catalog.id}”.")
        table.reached("url", allowed, look_up)
        found[catalog.id] = catalog
    return tuple(found.values())


def _catalog(table: Table) -> Elsewhere:
    texts = {key: table.text(key) for key in _MUST}
    if not _ID.fullmatch(texts["id"]) or texts["id"] == "here":
        what = f"“{texts['id']}” is no id: use small letters, digits and hyphens; “here” is this portal."
        raise table.wrong("id", what)
    table.choice("kind", KINDS)
    table.address("url")
    if "token_file" in table.said and texts["kind"] not in _TOKENS:
        raise table.wrong("token_file", f"Catalogs of kind “{texts['kind']}” take no token.")
    token = _token(table, table.text("token_file")) if "token_file" in table.said else ""
    patience = table.number("patience", Elsewhere.patience, least=0.1, most=_MOST_PATIENCE, unit="seconds")
    return Elsewhere(**texts, token=token, patience=patience)


def _token(table: Table, name: str) -> str:
    """Return what is in a file of its own: this one may lie open."""
    try:
        token = (table.file.path.parent / Path(name).expanduser()).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise table.wrong("token_file", f"“{name}” cannot be read.") from error
    if not token or not token.isascii() or any(character.isspace() for character in token):
        raise table.wrong("token_file", f"“{name}” holds no token.")
    return token
