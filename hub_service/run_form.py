"""The form of a run: what it shows for each parameter, and what somebody filled into it, with all that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any

from hub_service.launch_json import WHERE
from hub_service.timetable import zone_of
from hub_service.words import room_words
from vaas.errors import Invalid, VaasError
from vaas.launching import Size
from vaas.portal.run_forms import Form, filled
from vaas.series import TABLE, Table, decoded, read_table

__all__ = [
    "HOW",
    "KIND_WORDS",
    "Answers",
    "asked_of",
    "at_its_field",
    "in_days",
    "size_title",
    "table_of",
    "text_of",
    "until",
]

#: What the form's last question can be answered with.
HOW = ("once", "table", "schedule")
KIND_WORDS: Mapping[str, str] = {
    "int": "whole number",
    "float": "number",
    "bool": "yes or no",
    "str": "text",
    "list": "list",
    "dict": "dictionary",
    "slot": "data",
}
#: What a slot's choice of a file begins with, its choice of an address that is written down, and of what it had.
_FILE, _WRITTEN, _BEFORE = "store:", "written", "before"
Said = Callable[[str], str]


@dataclass
class Answers:
    """What somebody filled in, read against the form; ``wrong`` says of each field what is wrong with it.

    ``sent`` are the names that were sent: an empty text is a value, and what was not asked is none.
    """

    form: Form
    said: Said
    sent: Collection[str]
    wrong: dict[str, str] = field(default_factory=dict)

    def chosen(self) -> dict[str, Any]:
        """Return what is the same for all runs, as the verbs take it."""
        told = {name: self.said(name) for name in ("facility", "title", "email")}
        at = {name: self.said(f"{name}-{told['facility']}") for name in WHERE}
        return {"values": self.values(), "things": self.things(), **told, **at}

    def values(self) -> dict[str, Any]:
        """Return the values; of a field that is left empty, the notebook's counts."""
        found: dict[str, Any] = {}
        for each in self.form.fields:
            text = self.said(f"value.{each.name}")
            if each.slot:
                text = self.said(f"file.{each.name}").strip() if self.said(f"thing.{each.name}") == _WRITTEN else ""
            written = each.kind == "str" and f"value.{each.name}" in self.sent
            if not text and not (written and each.default):
                continue
            try:
                value = _read(self.form, each.name, text)
            except Invalid as error:
                self.wrong[f"value.{each.name}"] = error.message
            else:
                found |= {} if value is None else {each.name: value}
        return found

    def things(self) -> dict[str, str]:
        """Return what fills the slots; "" in a slot leaves it as the notebook has it."""
        found: dict[str, str] = {}
        for each in self.form.fields:
            what = self.said(f"thing.{each.name}") if each.slot else ""
            if what.startswith(_FILE):
                path = self.said(f"file.{each.name}").strip().strip("/")
                if not path:
                    self.wrong[f"value.{each.name}"] = "Write which file or folder, with its folders: data/sea.csv."
                what = f"{what}{path}"
            if f"thing.{each.name}" in self.sent and what not in {_WRITTEN, _BEFORE}:
                found[each.name] = what
        return found

    def table(self, uploaded: bytes | None, *, most: int) -> tuple[str, Table]:
        """Return the text of the table, of the file if there is one, and what it holds."""
        text = self.said("table")
        try:
            text = decoded(uploaded) if uploaded else text
        except Invalid as error:
            self.wrong["table"] = error.message
            return text, Table()
        return text, table_of(self.form, text, most=most)


def _read(form: Form, name: str, text: str) -> Any:
    """Return the value that the text means for that parameter, None for none. Raises Invalid."""
    only = [each for each in form.fields if each.name == name]
    return filled(only, {name: text}).get(name)


def table_of(form: Form, text: str, *, most: int) -> Table:
    """Return what a table of values for the parameters holds, and what is wrong with it."""
    kinds = {each.name: each.kind for each in form.fields}
    return read_table(text, kinds, partial(_read, form), most=most)


def asked_of(said: Said) -> dict[str, str]:
    """Return which notebook an address or a form names. Raises Invalid for none."""
    if app := said("app"):
        return {"app": app}
    asked = {"store": said("store"), "path": said("path")}
    if not all(asked.values()):
        raise Invalid("Choose a notebook first: on an app’s page, or in your files.")
    return asked


def text_of(value: Any) -> str:
    """Return what is shown for a value, in a field and everywhere else."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def size_title(size: Size) -> str:
    """Say how a size is called and how much it is."""
    return f"{size.title}: {room_words(size)}"


def until(text: str, zone: str) -> datetime:
    """Return the end of the day that somebody chose, in that zone. Raises Invalid."""
    try:
        day = datetime.fromisoformat(text.strip()).date()
    except ValueError:
        raise Invalid("Choose the last day.", field="until") from None
    return datetime.combine(day, time(23, 59, 59), zone_of(zone)).astimezone(UTC)


def in_days(now: datetime, days: int) -> str:
    """Return the day so many days from now, as a field for days has it."""
    return (now + timedelta(days=days)).date().isoformat()


def at_its_field(error: VaasError, form: Form) -> VaasError:
    """Return the error at the field of the page that it is about."""
    if error.field in {each.name for each in form.fields}:
        error.field = f"value.{error.field}"
    elif error.field == TABLE:
        error.field = "table"
    elif error.field in WHERE:
        error.field = "facility"
    return error
