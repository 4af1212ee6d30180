"""The form of a run: which parameters a notebook has, what may be filled into them, and what was."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vaas.errors import Invalid
from vaas.launching import Facility
from vaas.prose import clean_text

__all__ = ["KINDS", "Field", "Form", "fields_of", "filled", "filled_slots"]

#: What a parameter can be: JSON's types, and a slot for data.
KINDS = ("int", "float", "bool", "str", "list", "dict", "slot")
#: Parameters of one notebook, characters of what is said about one, and of one value.
MOST_FIELDS, _MOST_HELP, _MOST_VALUE = 100, 500, 20_000


@dataclass(frozen=True)
class Field:
    """One parameter of a notebook.

    Parameters
    ----------
    kind:
        One of :data:`KINDS`; what is not known is a "str".
    default:
        The value that the notebook has for it, None where that is none of JSON's: left empty, the notebook's own counts.
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
    facilities:
        Where this person may run it; what can be chosen there is in the site's offering.
    """

    title: str
    notebook: str
    fields: tuple[Field, ...] = ()
    facilities: tuple[Facility, ...] = field(default=())
