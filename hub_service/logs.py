"""The portal's log: each record begins a line, and no words of anybody's pass for another record."""

from __future__ import annotations

import logging
import re

__all__ = ["Records"]

#: What moves a terminal's cursor, or begins a line where there is none for us.
_ODD = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class Records(logging.Formatter):
    """Writes records; of one with several lines, as of a traceback, those after the first are indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text."""
        return _ODD.sub(" ", super().format(record)).replace("\n", "\n    ")
