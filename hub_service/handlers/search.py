"""Searching, for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from hub_service.handlers.base import Api
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
        told: dict[str, Any] = {**vars(page), "facets": {name: dict(counts) for name, counts in page.facets.items()}}
        told["records"] = [record_json(record, base=self.public_url) for record in page.records]
        self.reply({**told, "notes": list(page.notes), "silent": dict(page.silent)})


def record_json(record: Record, *, base: str) -> Mapping[str, Any]:
    """Return a record as REST shows it."""
    shown = asdict(record)
    del shown["text"]
    for name, value in shown.items():
        if isinstance(value, datetime):
            shown[name] = value.isoformat()
    if record.catalog == "here" and "slug" in record.details:
        shown["url"] = f"{base}apps/{record.details['slug']}/"
    return shown
