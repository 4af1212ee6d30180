"""The page of a notebook that ran ahead: made once, and filled for each visit."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from uuid import uuid4

__all__ = ["Recorded", "Recordings"]


class Recorded:
    """A page of which only the token and the kernel are another one for each visit."""

    def __init__(self, html: str, *, token: str, kernel_id: str) -> None:
        self._html, self._token, self._kernel_id = html, token, kernel_id

    def filled(self, *, token: str, kernel_id: str) -> str:
        """Return the page of one visit."""
        return self._html.replace(self._token, token).replace(self._kernel_id, kernel_id)


class Recordings:
    """One page for each set of what it shows; ``make`` gets that, with the token and the kernel to be replaced."""

    def __init__(self, make: Callable[[Mapping[str, object]], Awaitable[str]]) -> None:
        self._make = make
        self._pages: dict[str, asyncio.Future[Recorded]] = {}

    async def get(self, facts: Mapping[str, object]) -> Recorded:
        """Return the page, whosever the token among the facts is; one that could not be made is tried again."""
        shown = repr({**facts, "token": ""})
        making = self._pages.get(shown)
        if making is None or (making.done() and (making.cancelled() or making.exception())):
            making = self._pages[shown] = asyncio.ensure_future(self._record(facts))
        # Others wait for it too.
        return await asyncio.shield(making)

    async def _record(self, facts: Mapping[str, object]) -> Recorded:
        token, kernel_id = secrets.token_hex(16), str(uuid4())
        html = await self._make({**facts, "token": token, "kernel": kernel_id})
        return Recorded(html, token=token, kernel_id=kernel_id)
