"""Searching, for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from hub_service.handlers.base import Api, plain
from vaas.catalogs.base import Record
from vaas.errors import Invalid

__all__ = ["SearchJson"]

_MOST = 100


class SearchJson(Api):
    """What can be found here and in other catalogs, as far as the caller may see it."""

    async def get(self) -> None:
        """Send the hits for ``q``, ``limit`` of each catalog, and what else there is to know of them.

        ``cursor`` is that of the page before; ``typing``: the last word may not be complete.
        """
        limit = self.get_query_argument("limit", "20")
        if not limit.isdecimal() or len(limit) > 3 or not 1 <= int(limit) <= _MOST:
            raise Invalid(f"“limit” is a number from 1 to {_MOST}.", field="limit")
        page = await self.portal.finding.search(
            self.get_query_argument("q", ""),
            visitor=self.visitor,
            limit=int(limit),
            cursor=self.get_query_argument("cursor", ""),
            typing=self.get_query_argument("typing", "") not in {"", "0", "false"},
        )
        records = [record_json(record, base=self.public_url) for record in page.records]
        self.reply(plain({**vars(page), "records": records}))


def record_json(record: Record, *, base: str) -> dict[str, Any]:
    """Return a record as REST shows it."""
    shown: dict[str, Any] = plain(asdict(record))
    del shown["text"]
    if record.catalog == "here":
        shown["url"] = _page(record, base)
    return shown


def _page(record: Record, base: str) -> str:
    """Return the address of the portal's page of a record: for a data file it is that of its folder."""
    if "slug" in record.details:
        return f"{base}apps/{record.details['slug']}/"
    if "store" not in record.details:
        return record.url
    path = str(record.details.get("path", ""))
    shown = path if record.type in {"notebook", "folder"} else path.rpartition("/")[0]
    return f"{base}files/{record.details['store']}/{quote(shown)}"
