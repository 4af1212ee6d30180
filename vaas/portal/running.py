"""Running: a notebook is run once with values for its parameters, over a table of them, or again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from vaas.executors.base import Executor
from vaas.launching import Run, Schedule
from vaas.model import Visitor
from vaas.portal.core import Core
from vaas.portal.run_forms import Field, Form

__all__ = ["Field", "Form", "Running"]


class Running:
    """The runs of each person; nobody else sees them.

    ``asked`` says which notebook: {"app": slug}, or {"store": id, "path": path}. ``values`` are by the name of the
    parameter, as JSON's types or as a form sends them: text is read as the parameter's kind. ``things`` fill slots, by
    the name of the parameter: a thing of the person's current basket by its id, one of another basket as
    "<basket>/<thing>", or a file as "store:<store>/<path>". ``email`` is an address that is told of the end; "": none.

    Parameters
    ----------
    executors:
        By kind of facility ("local", "slurm").
    folder:
        Where the folders of jobs are made.
    """

    def __init__(self, core: Core, executors: Mapping[str, Executor], folder: Path) -> None:
        self._core, self._executors, self._folder = core, executors, folder

    async def form(self, visitor: Visitor, asked: Mapping[str, Any]) -> Form:
        """Return what is asked before this notebook is run. Raises NotFound, Forbidden, Invalid, Unavailable."""
        raise NotImplementedError

    async def start(
        self,
        visitor: Visitor,
        asked: Mapping[str, Any],
        *,
        values: Mapping[str, Any] | None = None,
        things: Mapping[str, str] | None = None,
        environment: str = "",
        size: str = "",
        facility: str = "",
        title: str = "",
        email: str = "",
    ) -> Run:
        """Put the notebook into the queue, as it is now; what is not chosen is what is suggested.

        Raises
        ------
        Invalid
            A value or a choice cannot be; ``field`` is the parameter's name, "environment", "size", "facility" or
            "email".
        Conflict
            The person has as many runs in the queue as one may have.
        """
        raise NotImplementedError

    async def start_series(
        self, visitor: Visitor, asked: Mapping[str, Any], *, table: Sequence[Mapping[str, Any]], **chosen: Any
    ) -> list[Run]:
        """Do the same once for each row of the table, whose values go before those that are the same for all.

        All rows are in the queue or none; Invalid names the row that cannot be ("row").
        """
        raise NotImplementedError

    def runs(self, visitor: Visitor, *, series: str = "") -> list[Run]:
        """Return the person's runs, the newest first, of one series alone when it is named."""
        raise NotImplementedError

    def run(self, visitor: Visitor, run_id: str) -> Run:
        """Return one of the person's. Raises NotFound, for other people's too."""
        raise NotImplementedError

    async def log(self, visitor: Visitor, run_id: str) -> str:
        """Return the end of what it wrote until now, "" while there is nothing."""
        raise NotImplementedError

    async def cancel(self, visitor: Visitor, run_id: str) -> Run:
        """End it, queued or running; no-op when it is over."""
        raise NotImplementedError

    def forget(self, visitor: Visitor, run_id: str) -> None:
        """Take it off the list; its results stay in the store. Conflict while it is not over."""
        raise NotImplementedError

    async def repeat(self, visitor: Visitor, run_id: str, *, values: Mapping[str, Any] | None = None) -> Run:
        """Run the same again: the notebook as it was then, with these values in place of those that it had."""
        raise NotImplementedError

    def news(self, visitor: Visitor) -> int:
        """Return how many runs ended since the person looked last: a number for the navigation, 0 for nobody."""
        raise NotImplementedError

    def seen(self, visitor: Visitor) -> None:
        """Take note that the person has looked at what ended."""
        raise NotImplementedError

    async def schedule(
        self,
        visitor: Visitor,
        asked: Mapping[str, Any],
        *,
        cron: str,
        until: datetime,
        values: Mapping[str, Any] | None = None,
        things: Mapping[str, str] | None = None,
        environment: str = "",
        size: str = "",
        facility: str = "",
        title: str = "",
        email: str = "",
    ) -> Schedule:
        """Run it again and again at these times (five fields, in UTC) until that moment, as it is now.

        Raises Invalid as :meth:`start` does, and for "cron" and "until".
        """
        raise NotImplementedError

    def schedules(self, visitor: Visitor) -> list[Schedule]:
        """Return the person's schedules, the newest first; one that has ended has no next time, and says why."""
        raise NotImplementedError

    def unschedule(self, visitor: Visitor, schedule_id: str) -> None:
        """Take the schedule away; what runs goes on. Raises NotFound, for other people's too."""
        raise NotImplementedError

    async def follow(self) -> None:
        """Hand over, look after and collect what is in the queue, and start what is due; until cancelled."""
        raise NotImplementedError
