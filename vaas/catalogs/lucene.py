"""Searches in the words of Lucene, which Solr and OpenSearch, and so most catalogs, understand.

Source: the query parser syntax of Apache Lucene, "Terms", "Fields", "Range Searches" and "Escaping Special Characters".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from vaas.query import Clause, Search

__all__ = ["unknown", "written"]

#: Signs that mean something in a query; each may be escaped.
_SIGNS = re.compile(r'([+\-=&|><!(){}\[\]^"~*?:\\/])')
#: Words that mean something in a query, unless they are quoted.
_OPERATORS = frozenset({"AND", "OR", "NOT", "TO"})


def unknown(search: Search, fields: Mapping[str, str]) -> list[str]:
    """Return the fields that are asked for and have no name there."""
    return sorted({clause.field for group in search.groups for clause in group} - fields.keys())


def written(
    search: Search, fields: Mapping[str, str], *, dated: str, day: str = "{}", kinds: Mapping[str, str] | None = None
) -> str:
    """Write the search.

    Parameters
    ----------
    fields:
        Each field that is asked for → its name there; "" for anywhere.
    dated, day:
        The field of the date, and how a day is written in it.
    kinds:
        What our types are called there, if they are called otherwise.
    """
    parts = [
        "(" + " OR ".join(_clause(clause, fields, kinds or {}) for clause in group) + ")" for group in search.groups
    ]
    if search.after or search.before:
        after, before = (day.format(bound) if bound else "*" for bound in (search.after, search.before))
        parts.append(f"{dated}:[{after} TO {before}}}")
    return " AND ".join(parts)


def _clause(clause: Clause, fields: Mapping[str, str], kinds: Mapping[str, str]) -> str:
    name, value = fields[clause.field], _SIGNS.sub(r"\\\1", clause.text)
    if clause.field == "type":
        value = kinds.get(clause.text.lower(), value)
    value = f'"{value}"' if clause.exact or " " in value or value in _OPERATORS else value + "*" * clause.prefix
    return f"{'NOT ' * clause.negated}{name}{':' * bool(name)}{value}"
