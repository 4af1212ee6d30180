"""A search whose questions are asked where they are made: for tests of what is found and shown."""

from __future__ import annotations

from typing import Any

from vaas.widgets.searching import Searching

__all__ = ["InPlace"]

Json = dict[str, Any]


class InPlace(Searching):
    """Answers at once."""

    def search(self, text: str, *, typing: bool = False, outside: bool = True) -> Json:  # type: ignore[override]
        """Return what is shown."""
        question = super().search(text, typing=typing, outside=outside)
        return question.take(question.ask())

    def more(self) -> Json:  # type: ignore[override]
        """Return what is shown."""
        question = super().more()
        return question.take(question.ask())
