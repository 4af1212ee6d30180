"""The form of a run: which parameters a notebook has, what may be filled into them, and what was."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from vaas.errors import Invalid
from vaas.portal.choices import Choice
from vaas.prose import clean_text
from vaas.series import FIRST_ROW, Mistake

__all__ = ["KINDS", "STORE", "Field", "Form", "fields_of", "filled", "filled_slots", "row_of", "wrong_rows"]

#: What a parameter can be: JSON's types, and a slot for data.
KINDS = ("int", "float", "bool", "str", "list", "dict", "slot")
#: What names a file of a store begins with, as "store:<store>/<path>".
STORE = "store:"
#: Parameters of one notebook, characters of what is said about one, of one value, and of all of a run.
MOST_FIELDS, _MOST_HELP, _MOST_VALUE, _MOST_VALUES = 100, 500, 20_000, 100_000


@dataclass(frozen=True)
class Field:
    """One parameter of a notebook.

    Parameters
    ----------
    kind:
        One of :data:`KINDS`; what is not known is a "str".
    default:
        The value that the notebook has for it, None where it is none of JSON's: left empty, the notebook's own counts.
    help:
        What the notebook's author says about it.
    """

    name: str
    kind: str
    default: Any = None
    help: str = ""

    @property
    def slot(self) -> bool:
        """Whether it takes data: a thing of a basket, or a file."""
        return self.kind == "slot"


@dataclass(frozen=True)
class Form:
    """What is asked before a notebook is run.

    Parameters
    ----------
    fields:
        Its parameters in their order; none, where it has no cell for them.
    choices:
        Every place, environment and size, the best first; those that cannot be chosen say why.
    had:
        Of a run that is repeated, what filled its slots.
    """

    title: str
    notebook: str
    fields: tuple[Field, ...] = ()
    choices: tuple[Choice, ...] = ()
    had: Mapping[str, str] = field(default_factory=dict)


#: What papermill calls a type → what kind of field it is.
_TYPES = {
    **{"int": "int", "float": "float", "bool": "bool", "str": "str", "list": "list", "dict": "dict"},
    **{"List": "list", "tuple": "list", "Tuple": "list", "Dict": "dict", "Path": "slot", "PathLike": "slot"},
}
#: Endings of addresses that lead to data.
_DATA = (
    *(".csv", ".tsv", ".txt", ".json", ".geojson", ".parquet", ".arrow", ".feather", ".nc", ".nc4", ".h5", ".hdf5"),
    *(".zarr", ".zip", ".gz", ".tif", ".tiff", ".fits", ".xlsx", ".xls", ".grib", ".root", ".npy", ".npz"),
)
_YES, _NO = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}
_EXPECTED = {
    "int": "a whole number",
    "float": "a number, such as 1.5",
    "bool": "yes or no",
    "str": "text",
    "list": "a list, such as [1, 2]",
    "dict": 'a dictionary, such as {"a": 1}',
}


def fields_of(found: Iterable[Mapping[str, Any]], files: Collection[str], *, at: str = "") -> tuple[Field, ...]:
    """Return the fields for what was found in a notebook.

    A parameter takes data if its type is ``Path``, if its comment begins with the word "data" (``# data: the table``),
    or if what the notebook has for it names one of its files, or an address of data.

    Parameters
    ----------
    files, at:
        The files that travel with the notebook, and the folder in which it lies among them.
    """
    return tuple(_field(each, files, at) for each in list(found)[:MOST_FIELDS])


def _field(found: Mapping[str, Any], files: Collection[str], at: str) -> Field:
    default = found.get("default") if found.get("is") else None
    about = clean_text(str(found.get("help", "")))[:_MOST_HELP]
    word, _, rest = about.partition(":")
    is_data = word.strip().lower() == "data"
    kind = _TYPES.get(str(found.get("type", "")).partition("[")[0].strip(), "") or _kind(default)
    if is_data or kind == "slot" or (kind == "str" and _names_data(default, files, at)):
        kind, about = "slot", (rest if is_data else about).strip()
    return Field(str(found["name"]), kind, default, about)


def _kind(value: object) -> str:
    return type(value).__name__ if isinstance(value, bool | int | float | list | dict) else "str"


def _names_data(value: object, files: Collection[str], at: str) -> bool:
    if not isinstance(value, str):
        return False
    path = value.removeprefix("./")
    named = f"{at}/{path}" if at else path
    address = value.startswith(("https://", "http://")) and value.partition("?")[0].lower().endswith(_DATA)
    return named in files or address


def filled(fields: Sequence[Field], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that were given, each as its kind; what was left empty is left out.

    Raises
    ------
    Invalid
        There is no such parameter, or it cannot have this value; ``field`` names it.
    """
    known = {each.name: each for each in fields}
    for name in given:
        if name not in known:
            close = get_close_matches(str(name), known, n=1)
            hint = f" Is “{close[0]}” meant?" if close else ""
            raise Invalid(f"The notebook has no parameter “{str(name)[:80]}”.{hint}", field=str(name)[:80])
    values = {name: _value(known[name], value) for name, value in given.items()}
    values = {name: value for name, value in values.items() if value is not None}
    if len(values) > 1 and len(json.dumps(values)) > _MOST_VALUES:
        longest = max(values, key=lambda name: len(json.dumps(values[name])))
        words = f"All values together may have {_MOST_VALUES:,} characters. Put what is long into a file."
        raise Invalid(words, field=longest)
    return values


def wrong_rows(fields: Sequence[Field], rows: Iterable[Mapping[str, Any]]) -> list[Mistake]:
    """Return what is wrong in a table of values, each row from parameters to values."""
    wrong = list[Mistake]()
    for number, row in enumerate(rows, start=FIRST_ROW):
        for name, value in row.items():
            try:
                filled(fields, {name: value})
            except Invalid as error:
                wrong.append(Mistake(number, "", error.message))
    return wrong


def row_of(
    fields: Iterable[Field], row: Mapping[str, Any], values: Mapping[str, Any], things: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values and the things of one row of a table, with those that are the same for all."""
    slots = {each.name for each in fields if each.slot}
    brought = {name: said for name, said in row.items() if name in slots and str(said).startswith(STORE)}
    said = {name: value for name, value in row.items() if name not in brought}
    kept = {name: thing for name, thing in things.items() if name not in row}
    return {**values, **said}, {**kept, **brought}


def filled_slots(fields: Sequence[Field], given: Mapping[str, str]) -> dict[str, str]:
    """Return what was given for slots; what was left empty is left out. Raises Invalid for what is no slot."""
    slots = {each.name for each in fields if each.slot}
    for name in given:
        if name not in slots:
            raise Invalid(f"“{str(name)[:80]}” takes no data.", field=str(name)[:80])
    return {name: said for name, said in given.items() if said}


def _value(field: Field, given: Any) -> Any:
    if isinstance(given, str) and field.kind not in {"str", "slot"}:
        given = _read(field, given.strip()) if given.strip() else None
    if given is None or (field.slot and given == ""):
        return None
    if not _fits(field.kind, given):
        raise Invalid(f"“{field.name}” takes {_EXPECTED.get(field.kind, 'a path or an address')}.", field=field.name)
    try:
        given = float(given) if field.kind == "float" else given
        # What stands for no number is none of JSON's, and half a character is none of a file's.
        size = len(json.dumps(given, allow_nan=False, ensure_ascii=False).encode())
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise Invalid(f"“{field.name}” cannot have this value.", field=field.name) from error
    if size > _MOST_VALUE:
        raise Invalid(f"What “{field.name}” is given is longer than {_MOST_VALUE} characters.", field=field.name)
    return given


def _read(field: Field, text: str) -> Any:
    """Read what was written into a form."""
    if field.kind == "bool" and text.lower() in _YES | _NO:
        return text.lower() in _YES
    readers: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "list": json.loads, "dict": json.loads}
    try:
        return readers[field.kind](text[: _MOST_VALUE + 1])
    except (KeyError, ValueError, RecursionError) as error:
        raise Invalid(f"“{field.name}” takes {_EXPECTED[field.kind]}.", field=field.name) from error


def _fits(kind: str, value: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if kind in {"int", "float"}:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole or (isinstance(value, float) and (kind == "float" or value.is_integer()))
    types: dict[str, type] = {"bool": bool, "list": list, "dict": dict}
    return isinstance(value, types.get(kind, str))
