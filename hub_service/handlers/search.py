"""Searching, for programs, and all else that they ask by a verb."""

from __future__ import annotations

from typing import Any

from hub_service import asked
from hub_service.handlers.base import Api
from vaas.errors import Invalid

__all__ = ["AskJson", "PreviewJson", "RecordJson", "SearchJson", "SuggestJson"]


class _Asked(Api):
    """A verb with an address of its own."""

    async def say(self, verb: str, args: dict[str, Any]) -> None:
        """Answer the caller."""
        answer = asked.answer(self.portal, self.visitor, verb, args, base=self.public_url)
        self.reply(await self.while_heard(answer))

    def number(self, name: str, default: int) -> int:
        """Return a number of the query, 0 for what is none."""
        text = self.get_query_argument(name, str(default))
        return int(text) if text.isdecimal() and len(text) <= 4 else 0


class SearchJson(_Asked):
    """What can be found here and in other catalogs, as far as the caller may see it."""

    async def get(self) -> None:
        """Send the hits for ``q``, ``limit`` of each catalog, and what else there is to know of them.

        ``cursor`` is that of the page before; ``typing``: the last word may not be complete.
        """
        args = {
            "text": self.get_query_argument("q", ""),
            "limit": self.number("limit", 20),
            "cursor": self.get_query_argument("cursor", ""),
            "typing": self.get_query_argument("typing", "") not in {"", "0", "false"},
        }
        await self.say("search", args)


class SuggestJson(_Asked):
    """What could be meant by a beginning, among what the caller may see."""

    async def get(self) -> None:
        """Send up to ``limit`` suggestions for ``q``."""
        await self.say("suggest", {"beginning": self.get_query_argument("q", ""), "limit": self.number("limit", 8)})


class RecordJson(_Asked):
    """One thing that can be found, by its catalog and its id there."""

    async def get(self, catalog: str, record: str) -> None:
        """Send it."""
        await self.say("record", {"catalog": catalog, "id": record})


class PreviewJson(_Asked):
    """What is inside one thing that can be found."""

    async def get(self, catalog: str, record: str) -> None:
        """Send its preview, by its ``kind``; kind “none” where nothing can be shown."""
        await self.say("preview", {"catalog": catalog, "id": record})


class AskJson(_Asked):
    """Any verb that the portal's own app may ask, for programs."""

    async def post(self) -> None:
        """Answer the ``verb`` with the arguments ``args``."""
        args = self.json.get("args", {})
        if not isinstance(args, dict):
            raise Invalid("“args” must be an object.")
        await self.say(self.text("verb"), args)
