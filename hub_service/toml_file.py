"""A TOML file of the site's, read strictly: what is wrong in it is named with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaas.addresses import AddressRules, check_url
from vaas.errors import Invalid

__all__ = ["Table", "TomlFile"]

_LONGEST = 500
_HEADER = re.compile(r"\s*(\[\[?)\s*([\w\"'.\s-]+?)\s*\]\]?")


class TomlFile:
    """The file that an environment variable names.

    Raises
    ------
    Invalid
        It cannot be read, or is not TOML; the message says why.
    """

    def __init__(self, path: Path, *, variable: str) -> None:
        self.path, self._named = path, f"{variable}={path}"
        try:
            text = path.read_text(encoding="utf-8")
            self.said: Mapping[str, Any] = tomllib.loads(text)
        except OSError as error:
            raise Invalid(f"{self._named} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise Invalid(f"{self._named} is no text in UTF-8.") from error
        except tomllib.TOMLDecodeError as error:
            # It says the line itself.
            raise Invalid(f"{self._named} is not TOML: {error}.") from error
        self._lines = text.split("\n")

    def only(self, known: Collection[str], how: str) -> None:
        """Raise Invalid for a key that is not known; ``how`` says how the file is written."""
        for key in self.said:
            if key not in known:
                raise self.wrong(self.line("", 1, key), f"“{key}” is not known here. {how}")

    def tables(self, name: str, *, noun: str, known: Iterable[str], must: Iterable[str] = ()) -> list[Table]:
        """Return the tables that begin with [[name]], each with known keys alone and with those that it must have."""
        entries = self.said.get(name, [])
        how = f"Each {noun} begins with [[{name}]]."
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self.wrong(self.line("", 1, name), how)
        made = [Table(self, name, number, noun, entry) for number, entry in enumerate(entries, start=1)]
        for table in made:
            table.only(tuple(known), tuple(must))
        return made

    def table(self, name: str, *, noun: str, known: Iterable[str], must: Iterable[str] = ()) -> Table | None:
        """Return the one table that begins with [name]; None without it."""
        if name not in self.said:
            return None
        if not isinstance(self.said[name], dict):
            raise self.wrong(self.line("", 1, name), f"The {noun} begins with [{name}].")
        made = Table(self, name, 1, noun, self.said[name])
        made.only(tuple(known), tuple(must))
        return made

    def line(self, name: str, number: int, key: str) -> int:
        """Return where the key is in the so many-th table of that name; where that begins, if it cannot be seen.

        "" is the file itself. A table's own tables are within it: the key can be "hardware.cores", or
        "storage#2.size" of the second of a name.
        """
        first, end = self._span(name, number)
        *inner, last = key.split(".")
        for part in inner:
            called, _, place = part.partition("#")
            heads = [at for at in range(first, end) if _parts(self._lines[at])[-1:] == [called]]
            if heads:
                first = heads[int(place or 1) - 1]
                end = next((at for at in range(first + 1, end) if _parts(self._lines[at])), end)
        named = re.compile(rf"\s*(?:\[+\s*)?(?:[\w-]+\.)*[\"']?{re.escape(last)}[\"']?\s*(?:[=.\]])")
        return next((at for at in range(first, end) if last and named.match(self._lines[at])), first) + 1

    def _span(self, name: str, number: int) -> tuple[int, int]:
        """Return the first line of the table, and the one after its last."""
        if not name:
            return 0, len(self._lines)
        heads = [(at, _parts(line)) for at, line in enumerate(self._lines)]
        starts = [at for at, parts in heads if parts == [name]]
        first = starts[number - 1] if 0 < number <= len(starts) else 0
        other = (at for at, parts in heads if at > first and parts and (parts[0] != name or parts == [name]))
        return first, next(other, len(self._lines))

    def wrong(self, line: int, what: str) -> Invalid:
        """Return the error that says what is wrong in that line."""
        return Invalid(f"{self._named}, line {line}: {what}")


@dataclass(frozen=True)
class Table:
    """One table of the file: the so many-th of its name; ``under`` is where in that it lies, "" for that itself."""

    file: TomlFile
    name: str
    place: int
    noun: str
    said: Mapping[str, Any]
    under: str = ""

    def only(self, known: tuple[str, ...], must: tuple[str, ...] = ()) -> None:
        """Raise Invalid for a key that is not known, or one that is missing."""
        for key in self.said:
            if key not in known:
                raise self.wrong(key, f"“{key}” is not known. There are {', '.join(known)}.")
        missing = [key for key in must if key not in self.said]
        if missing:
            raise self.wrong("", f"This {self.noun} has no “{missing[0]}”.")

    def text(self, key: str, default: str = "", *, most: int = _LONGEST) -> str:
        """Return a text."""
        if key not in self.said:
            return default
        value = self.said[key]
        if not isinstance(value, str) or not value.strip() or len(value) > most:
            raise self.wrong(key, f"“{key}” must be a text in quotation marks.")
        return value.strip()

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return a list of texts, each once."""
        if key not in self.said:
            return default
        value = self.said[key]
        usable = isinstance(value, list) and all(isinstance(each, str) and 0 < len(each) <= _LONGEST for each in value)
        if not usable:
            raise self.wrong(key, f'“{key}” must be a list of texts, such as ["one", "two"].')
        return tuple(dict.fromkeys(value))

    def number(self, key: str, default: float, *, least: float, most: float, unit: str = "") -> float:
        """Return a number between both."""
        value = self.said.get(key, default)
        usable = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
        if not usable:
            raise self.wrong(key, f"“{key}” is {least:,.9g} to {most:,.9g}{f' {unit}' if unit else ''}.")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.said.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, f"“{key}” is true or false.")
        return value

    def choice(self, key: str, known: Collection[str], default: str = "") -> str:
        """Return one of the words that are known."""
        value = self.text(key, default)
        if value not in known:
            raise self.wrong(key, f"“{value}” is no {key} of {self.noun}. There are {', '.join(known)}.")
        return value

    def address(self, key: str) -> str:
        """Return a web address."""
        value = self.text(key)
        try:
            check_url(value)
        except Invalid as error:
            raise self.wrong(key, f"“{value}” is no web address.") from error
        return value

    def reached(self, key: str, allowed: Iterable[str], look_up: Callable[[str], Iterable[str]]) -> str:
        """Return a web address that the portal connects to.

        Parameters
        ----------
        allowed:
            Private hosts and networks that may be asked.
        look_up:
            Returns the addresses that a name leads to.
        """
        value = self.address(key)
        if AddressRules(allowed).refuses(where := check_url(value), look_up):
            what = f"“{where.hostname}” is inside a private network. If it is to be asked, put {where.netloc}"
            raise self.wrong(key, f"{what} into VAAS_ALLOWED_PRIVATE.")
        return value

    def inner(self, key: str, known: tuple[str, ...]) -> Table:
        """Return the table within this one, empty without it."""
        value = self.said.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, f"“{key}” is a table: write [{self.name}.{key}].")
        made = Table(self.file, self.name, self.place, f"{self.noun}’s {key}", value, self._at(key))
        made.only(known)
        return made

    def inners(self, key: str, known: tuple[str, ...], must: tuple[str, ...]) -> list[Table]:
        """Return the tables of that name within this one."""
        value = self.said.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.wrong(key, f"“{key}” is a list of tables: each begins with [[{self.name}.{key}]].")
        noun = f"{self.noun}’s {key}"
        places = (self._at(f"{key}#{place}") for place in range(1, len(value) + 1))
        made = [Table(self.file, self.name, self.place, noun, *one) for one in zip(value, places, strict=True)]
        for table in made:
            table.only(known, must)
        return made

    def wrong(self, key: str, what: str) -> Invalid:
        """Return the error that says what is wrong at the key, "" for the table as such."""
        return self.file.wrong(self.file.line(self.name, self.place, self._at(key)), what)

    def _at(self, key: str) -> str:
        return f"{self.under}.{key}" if self.under else key


def _parts(line: str) -> list[str]:
    """Return the names in a table's head; none of any other line."""
    found = _HEADER.match(line)
    return [part.strip().strip("\"'") for part in found[2].split(".")] if found else []
