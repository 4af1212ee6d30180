"""Inspecting a notebook: ``python -m vaas.lab.inspect`` reads one and says which parameters it has, as JSON.

Nothing of it is executed: papermill reads the cell with the tag "parameters" line by line, and of languages that it
writes but does not read, we do. The notebook is foreign, so that this is a process of its own, with little time and
memory.
"""

from __future__ import annotations

import ast
import json
import re
import resource
import sys
from collections.abc import Sequence
from typing import Any

from vaas import notebook
from vaas.errors import Invalid
from vaas.lab.assigning import LANGUAGES, assigned

__all__ = ["main", "parameters_of"]

#: Bytes of memory, seconds of computing; characters of the cell, of one line of it, and of what is said of one.
_MEMORY, _SECONDS = 1_000_000_000, 10
_MOST_CELL, _MOST_LINE, _MOST_SAID = 50_000, 2_000, 1_000
_MOST = 100
_NAME = re.compile(r"[A-Za-z_]\w{0,99}\Z")


def parameters_of(data: bytes) -> list[dict[str, Any]]:
    """Return of each parameter "name", "type", "default" (JSON, None: it is none), "help" and whether there "is" one.

    Raises Invalid for what is no notebook.
    """
    parsed = notebook.parse(data)
    cell = next((each for each in parsed.cells if each.kind == "code" and "parameters" in each.tags), None)
    if cell is None:
        return []
    # What is longer than a person writes by hand could take a regular expression for ever.
    lines = [line for line in cell.source[:_MOST_CELL].splitlines() if len(line) <= _MOST_LINE]
    found = _found(lines, kernel=parsed.kernel, language="R" if parsed.language == "r" else parsed.language)
    named = {each.name: each for each in found if _NAME.match(each.name)}
    return [_said(each) for each in list(named.values())[:_MOST]]


def _found(lines: Sequence[str], *, kernel: str, language: str) -> list[Any]:
    """Return what is set in the lines, as papermill says it; nothing in a language that it does not write either."""
    from papermill.exceptions import PapermillException
    from papermill.models import Parameter
    from papermill.translators import papermill_translators

    if own := LANGUAGES.get(kernel) or LANGUAGES.get(language):
        return [Parameter(*each) for each in assigned(lines, own)]
    try:
        found: list[Any] = papermill_translators.find_translator(kernel, language).inspect({"source": "\n".join(lines)})
    except (NotImplementedError, PapermillException):
        return []
    return found


def _said(found: Any) -> dict[str, Any]:
    default, known = _value(found.default[:_MOST_CELL])
    kind = "" if found.inferred_type_name == "None" else found.inferred_type_name
    said = {"name": found.name, "type": kind[:_MOST_SAID], "help": found.help[:_MOST_SAID]}
    return said | {"default": default, "is": known}


def _value(text: str) -> tuple[Any, bool]:
    """Return the value that is written there if JSON has it, and whether it does."""
    text = text.rstrip(";").strip()
    call = re.fullmatch(r"Path\((.*)\)", text)  # of the file that it names
    try:
        value = ast.literal_eval(call[1] if call else text)
        value = list(value) if isinstance(value, tuple) else value
        return json.loads(json.dumps(value, allow_nan=False)), True
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None, False


def main(argv: Sequence[str]) -> int:
    """Read a notebook from standard input and print its parameters; 1 and a sentence when it is none."""
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    try:
        print(json.dumps({"parameters": parameters_of(sys.stdin.buffer.read(notebook.MAX_BYTES + 1))}))
    except Invalid as error:
        print(json.dumps({"error": error.message}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
