"""The form of a run: what a notebook's parameters are, and what may be filled in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vaas.errors import Invalid
from vaas.portal.run_forms import MOST_FIELDS, Field, fields_of, filled, filled_slots

Json = dict[str, Any]


def found(name: str, default: object = None, *, type: str = "", help: str = "", known: bool = True) -> Json:
    return {"name": name, "type": type, "default": default, "help": help, "is": known}


def test_kinds_are_said_or_seen() -> None:
    said = [
        *(found("a", 1), found("b", 1.5), found("c", True), found("d", "x"), found("e", [1]), found("f", {"a": 1})),
        *(found("g", 1, type="float"), found("h", None, type="List[int]"), found("i", None, known=False)),
        found("j", None, type="a.b.C"),
    ]
    kinds = [(each.name, each.kind, each.default) for each in fields_of(said, ())]
    assert kinds == [
        *(("a", "int", 1), ("b", "float", 1.5), ("c", "bool", True), ("d", "str", "x"), ("e", "list", [1])),
        *(("f", "dict", {"a": 1}), ("g", "float", 1), ("h", "list", None), ("i", "str", None), ("j", "str", None)),
    ]


@pytest.mark.parametrize(
    ("said", "slot"),
    [
        (found("a", "tides.csv"), True),
        (found("a", "./tides.csv"), True),
        (found("a", "missing.csv"), False),
        (found("a", "https://example.org/x/tides.CSV?v=1"), True),
        (found("a", "https://example.org/page"), False),
        (found("a", "ftp://example.org/tides.csv"), False),
        (found("a", "x", type="Path"), True),
        (found("a", None, help="data: the table"), True),
        (found("a", "x", help="Data"), True),
        (found("a", "x", help="database name"), False),
        (found("a", 1), False),
    ],
)
def test_what_takes_data_is_a_slot(said: Json, slot: bool) -> None:
    field = fields_of([said], {"sub/tides.csv"}, at="sub")[0]
    assert field.slot is slot
    assert field.help == ("the table" if "table" in said["help"] else "" if slot else said["help"])


FIELDS = tuple(Field(kind[0], kind) for kind in ("int", "float", "bool", "str", "list", "dict")) + (Field("p", "slot"),)


def test_what_a_form_sends_is_read_as_the_parameters_kind() -> None:
    given = {"i": " 7 ", "f": "1e3", "b": "Yes", "s": " x ", "l": "[1, 2]", "d": '{"a": null}'}
    assert filled(FIELDS, given) == {"i": 7, "f": 1000.0, "b": True, "s": " x ", "l": [1, 2], "d": {"a": None}}
    assert filled(FIELDS, {"i": 7, "f": 2, "b": False, "s": "", "p": "a.csv"}) == {
        **{"i": 7, "f": 2.0, "b": False, "s": "", "p": "a.csv"}
    }
    assert filled(FIELDS, {"i": "", "f": None, "b": " ", "l": "", "p": ""}) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("i", "x"), ("i", 1.5), ("i", True), ("f", "nan"), ("f", float("inf")), ("b", "perhaps"), ("b", 1)),
        *(("s", 1), ("l", "{}"), ("l", "[1"), ("d", "[]"), ("d", {1: object()}), ("p", 3), ("unknown", 1)),
        *(("s", "x" * 30_000), ("l", "[" * 100_000), ("i", "9" * 100_000), ("l", [object()])),
        *(("f", 10**400), ("s", "\ud800"), ("l", [float("nan")]), ("d", '{"a": NaN}')),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(name: str, value: object) -> None:
    with pytest.raises(Invalid) as refused:
        filled(FIELDS, {name: value})
    assert refused.value.field == name


def test_slots_take_data_and_nothing_else_does() -> None:
    assert filled_slots(FIELDS, {"p": "b/t"}) == {"p": "b/t"}
    assert filled_slots(FIELDS, {"p": ""}) == {}
    with pytest.raises(Invalid):
        filled_slots(FIELDS, {"s": "b/t"})


def test_what_is_said_of_parameters_is_bounded() -> None:
    many = [found(f"n{number}", help="\x1b[31m‮" + "x" * 9000) for number in range(1000)]
    fields = fields_of(many, ())
    assert len(fields) == MOST_FIELDS and len(json.dumps([field.help for field in fields])) < 100_000
    assert "\x1b" not in fields[0].help and "‮" not in fields[0].help
