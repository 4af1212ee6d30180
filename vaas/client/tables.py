"""What is found as a pandas table."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from vaas.client.errors import PortalError
from vaas.client.ways import here

if TYPE_CHECKING:
    import pandas

    Table: TypeAlias = pandas.DataFrame

__all__ = ["COLUMNS", "need_pandas", "table"]

#: In this order.
COLUMNS = (
    *("type", "title", "owner", "changed", "format", "size", "url", "summary", "tags", "authors", "columns"),
    *("licence", "begins", "ends", "box", "catalog", "id", "details"),
)
_TIMES = ("changed", "begins", "ends")
#: So many are asked for at once.
_PAGE = 100


def need_pandas() -> ModuleType:
    """Return pandas. Raises PortalError where it is not installed."""
    try:
        return import_module("pandas")
    except ModuleNotFoundError as error:
        raise PortalError(
            "Tables need pandas, which is not installed here. Install it (pip install pandas), or choose an "
            "environment that has it. What vaas.client answers needs nothing."
        ) from error


def table(text: str, *, limit: int = 100) -> Table:
    """Return what fits, the best first, up to ``limit``; ``.attrs`` has what else was answered."""
    pandas = need_pandas()
    client, records, cursor = here(), list[dict[str, Any]](), ""
    first: dict[str, Any] = {}
    while True:
        page = client.search(text, limit=max(1, min(_PAGE, limit - len(records))), cursor=cursor)
        first, cursor = first or page, page["cursor"]
        records += page["records"]
        if not cursor or not page["records"] or len(records) >= limit:
            break
    rows = [[record.get(name) for name in COLUMNS] for record in records[: max(0, limit)]]
    found: Table = pandas.DataFrame(rows, columns=list(COLUMNS))
    for name in _TIMES:
        found[name] = pandas.to_datetime(found[name], utc=True, format="ISO8601", errors="coerce")
    found["size"] = found["size"].astype("Int64")
    found.attrs.update({name: first.get(name) for name in ("total", "facets", "silent", "notes", "corrected")})
    return found
