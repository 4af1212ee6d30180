"""The site's file of catalogs elsewhere (``VAAS_CATALOGS``), read strictly: what is wrong is named with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vaas.addresses import check_url
from vaas.errors import Invalid

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


def read_catalogs(path: Path | None) -> tuple[Elsewhere, ...]:
    """Return the catalogs that the file names; none without one.

    Raises
    ------
    Invalid
        It cannot be read, or something in it cannot be used; the message says in which line.
    """
    if path is None:
        return ()
    try:
        text = path.read_text(encoding="utf-8")
        said = tomllib.loads(text)
    except OSError as error:
        raise Invalid(f"VAAS_CATALOGS={path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"VAAS_CATALOGS={path} is no text in UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        # It says the line itself.
        raise Invalid(f"VAAS_CATALOGS={path} is not TOML: {error}.") from error
    return _File(path, text).catalogs(said)


class _File:
    """The file, for saying where in it something is."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._lines = path, text.split("\n")

    def catalogs(self, said: Mapping[str, Any]) -> tuple[Elsewhere, ...]:
        entries = said.get("catalog", [])
        for key in said:
            if key != "catalog":
                raise self._wrong(
                    self._line(0, key), f"“{key}” is not known here. Each catalog begins with [[catalog]]."
                )
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self._wrong(self._line(0, "catalog"), "Each catalog begins with [[catalog]].")
        found: dict[str, Elsewhere] = {}
        for number, entry in enumerate(entries, start=1):
            catalog = self._catalog(number, entry)
            if catalog.id in found:
                raise self._wrong(self._line(number, "id"), f"There are two catalogs with the id “{catalog.id}”.")
            found[catalog.id] = catalog
        return tuple(found.values())

    def _catalog(self, number: int, entry: Mapping[str, Any]) -> Elsewhere:
        for key in entry:
            if key not in _MUST + _MAY:
                raise self._wrong(
                    self._line(number, key), f"“{key}” is not known. There are {', '.join(_MUST + _MAY)}."
                )
        missing = [key for key in _MUST if key not in entry]
        if missing:
            raise self._wrong(self._line(number, ""), f"This catalog has no “{missing[0]}”.")
        texts = {key: self._text(number, key, entry[key]) for key in (*_MUST, "token_file") if key in entry}
        self._check(number, texts)
        token = self._token(number, texts["token_file"]) if "token_file" in texts else ""
        patience = self._patience(number, entry.get("patience", Elsewhere.patience))
        return Elsewhere(**{key: texts[key] for key in _MUST}, token=token, patience=patience)

    def _text(self, number: int, key: str, value: object) -> str:
        if not isinstance(value, str) or not value.strip() or len(value) > 500:
            raise self._wrong(self._line(number, key), f"“{key}” must be a text in quotation marks.")
        return value.strip()

    def _check(self, number: int, texts: Mapping[str, str]) -> None:
        if not _ID.fullmatch(texts["id"]) or texts["id"] == "here":
            raise self._wrong(
                self._line(number, "id"),
                f"“{texts['id']}” is no id: use small letters, digits and hyphens; “here” is this portal.",
            )
        if texts["kind"] not in KINDS:
            known = ", ".join(KINDS)
            raise self._wrong(
                self._line(number, "kind"), f"“{texts['kind']}” is no kind of catalog. There are {known}."
            )
        try:
            check_url(texts["url"])
        except Invalid as error:
            raise self._wrong(self._line(number, "url"), f"“{texts['url']}” is no web address.") from error
        if "token_file" in texts and texts["kind"] not in _TOKENS:
            raise self._wrong(self._line(number, "token_file"), f"Catalogs of kind “{texts['kind']}” take no token.")

    def _token(self, number: int, name: str) -> str:
        """Return what is in a file of its own: this one may lie open."""
        try:
            token = (self._path.parent / Path(name).expanduser()).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise self._wrong(self._line(number, "token_file"), f"“{name}” cannot be read.") from error
        if not token or not token.isascii() or any(character.isspace() for character in token):
            raise self._wrong(self._line(number, "token_file"), f"“{name}” holds no token.")
        return token

    def _patience(self, number: int, value: object) -> float:
        usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MOST_PATIENCE
        if not usable:
            raise self._wrong(self._line(number, "patience"), f"“patience” is 1 to {_MOST_PATIENCE:.0f} seconds.")
        return float(value)  # type: ignore[arg-type]

    def _line(self, number: int, key: str) -> int:
        """Return where the key is in the so many-th catalog; where that begins, if it cannot be seen."""
        starts = [at for at, line in enumerate(self._lines) if re.match(r"\s*\[\[\s*[\"']?catalog[\"']?\s*\]\]", line)]
        first = starts[number - 1] if 0 < number <= len(starts) else 0
        end = starts[number] if number < len(starts) else len(self._lines)
        named = re.compile(rf"\s*(?:\[\s*)?[\"']?{re.escape(key)}[\"']?\s*(?:[=.\]])")
        return next((at for at in range(first, end) if key and named.match(self._lines[at])), first) + 1

    def _wrong(self, line: int, what: str) -> Invalid:
        return Invalid(f"VAAS_CATALOGS={self._path}, line {line}: {what}")
