"""What is answered to a request that brings more than is taken: how much would be, and what to do."""

from __future__ import annotations

from hub_service.handlers.base import Api, Base, Page
from hub_service.words import size_words
from vaas.errors import TooLarge

__all__ = ["OversizedJson", "OversizedPage"]


class _Oversized(Base):
    """Refuses whatever is asked."""

    def initialize(self, *, access: str, sent: int = 0, most: int = 0) -> None:
        """Take how many bytes were sent, and how many would have been taken."""
        super().initialize(access=access)
        self.sent, self.most = sent, most

    def check_xsrf_cookie(self) -> None:
        """Ask for no token: it was in the body, which is gone, and nothing is done."""

    async def prepare(self) -> None:
        """Find out who asks, for the page's frame, and refuse."""
        await super().prepare()
        sent, most = (size_words(size).replace(".0 ", " ") for size in (self.sent, self.most))
        raise TooLarge(f"You sent {sent}, and at most {most} are taken here.")


class OversizedPage(_Oversized, Page):
    """Says it to people."""


class OversizedJson(_Oversized, Api):
    """Says it to programs."""
