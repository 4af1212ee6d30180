"""Runs and schedules by REST."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hub_service.handlers.base import Api
from hub_service.run_form import asked_of, table_of
from hub_service.run_json import form_json, run_json, schedule_json
from vaas.errors import Invalid
from vaas.launching import Run, Schedule
from vaas.series import refusal

__all__ = [
    "RunCancelJson",
    "RunFormJson",
    "RunJson",
    "RunLogJson",
    "RunRepeatJson",
    "RunSeriesJson",
    "RunsJson",
    "ScheduleJson",
    "SchedulesJson",
]

#: What is the same for all that a request starts, besides values and things.
_CHOSEN = ("environment", "size", "facility", "title", "email")


class _Starting(Api):
    """What reads the body of a request that starts something."""

    @property
    def asked(self) -> dict[str, str]:
        """Which notebook the body names."""
        return asked_of(self.text)

    @property
    def chosen(self) -> dict[str, Any]:
        """What the body chooses."""
        told = {name: self.text(name) for name in _CHOSEN}
        return {"values": self.mapping("values"), "things": self.mapping("things"), **told}

    def mapping(self, name: str) -> dict[str, Any]:
        """Return an object of the body. Raises Invalid for another type."""
        value = self.json.get(name, {})
        if not isinstance(value, dict):
            raise Invalid(f"“{name}” must be an object, from names to values.")
        return value

    def told(self, run: Run) -> dict[str, Any]:
        """Return the run as REST shows it."""
        return run_json(run, base=self.public_url)


class RunsJson(_Starting):
    """The caller's runs."""

    def get(self) -> None:
        """Send them, the newest first; ``series`` names those of one table of values."""
        runs = self.portal.running.runs(self.visitor, series=self.get_query_argument("series", ""))
        self.reply([self.told(run) for run in runs])

    async def post(self) -> None:
        """Run a notebook once: that of an ``app`` (its slug), or the one at ``path`` in a ``store``.

        ``values`` are by parameter, in JSON's types or as text; ``things`` fill slots: a thing of the current basket by
        its id, one of another basket as “<basket>/<thing>”, a file as “store:<store>/<path>”. What is left out is as
        in the notebook, and as the site suggests it.
        """
        run = await self.portal.running.start(self.visitor, self.asked, **self.chosen)
        self.reply(self.told(run), status=201)


class RunSeriesJson(_Starting):
    """Runs over a table of values."""

    async def post(self) -> None:
        """Run a notebook once for each row of ``table``: a list of objects from parameters to values, or a CSV's text.

        All rows are checked before any is started, and counted as in the CSV: the first one names the parameters, so
        the first object is row 2. The rest is as for one run; a row's values go before ``values``.
        """
        table = await self._table(self.json.get("table"))
        runs = await self.portal.running.start_series(self.visitor, self.asked, table=table, **self.chosen)
        self.reply({"series": runs[0].series if runs else "", "runs": [self.told(run) for run in runs]}, status=201)

    async def _table(self, said: object) -> Sequence[Mapping[str, Any]]:
        if isinstance(said, str):
            form = await self.portal.running.form(self.visitor, self.asked)
            table = table_of(form, said, most=self.portal.core.limits.series_runs)
            if table.mistakes:
                raise refusal(table.mistakes, more=table.more)
            return table.rows
        if isinstance(said, list) and all(isinstance(row, dict) for row in said):
            return said
        raise Invalid("“table” must be a text as in a CSV file, or a list of objects.", field="table")


class RunFormJson(Api):
    """What is asked before a notebook is run."""

    async def get(self) -> None:
        """Send what the notebook of an ``app``, or that at ``path`` in a ``store``, asks for, and where it can be run.

        Each field has a name, its kind, the notebook's own value as default, and what the author says of it. Of
        ``facilities`` the first is what is suggested; those in ``closed`` cannot be chosen, and say why.
        """
        form = await self.portal.running.form(self.visitor, asked_of(lambda name: self.get_query_argument(name, "")))
        self.reply(form_json(form))


class RunJson(_Starting):
    """One run."""

    def get(self, run_id: str) -> None:
        """Send it: its state (queued, running, done, failed, cancelled), the cell it is at, where its result is."""
        self.reply(self.told(self.portal.running.run(self.visitor, run_id)))

    async def patch(self, run_id: str) -> None:
        """Make ``shared_with`` the only people and groups that may see its result, and send it."""
        self.portal.running.run(self.visitor, run_id)  # whose it is not is told nothing else
        subjects = self.strings("shared_with")
        if subjects is None:
            raise Invalid('Say “shared_with”: a list such as ["user:emil", "group:physics"].')
        self.reply(self.told(await self.portal.showing.share(self.visitor, run_id, subjects)))

    def delete(self, run_id: str) -> None:
        """Take it off the list, when it is over; its result stays in the store."""
        self.portal.running.forget(self.visitor, run_id)
        self.set_status(204)


class RunCancelJson(_Starting):
    """The end of a run before its own."""

    async def post(self, run_id: str) -> None:
        """End it, queued or running, and send it; one that is over stays as it is."""
        self.reply(self.told(await self.portal.running.cancel(self.visitor, run_id)))


class RunLogJson(Api):
    """What a run wrote."""

    async def get(self, run_id: str) -> None:
        """Send the end of its log until now."""
        self.reply({"log": await self.portal.running.log(self.visitor, run_id)})


class RunRepeatJson(_Starting):
    """A run once more."""

    async def post(self, run_id: str) -> None:
        """Run the same again, the notebook as it was then; ``values`` and ``things`` take the place of what it had.

        An empty text in place of a thing leaves its slot as the notebook has it. It is run where it was before, unless
        another ``facility``, ``environment`` or ``size`` is chosen.
        """
        chosen = {name: value for name, value in self.chosen.items() if name not in {"title", "email"}}
        run = await self.portal.running.repeat(self.visitor, run_id, **chosen)
        self.reply(self.told(run), status=201)


class SchedulesJson(_Starting):
    """When the caller's notebooks are run again and again."""

    def get(self) -> None:
        """Send the schedules, the newest first."""
        found = self.portal.running.schedules(self.visitor)
        self.reply([schedule_json(each, self.portal.running.times(each)) for each in found])

    async def post(self) -> None:
        """Run a notebook at the times of ``cron`` (five fields) until the moment ``until`` at the latest.

        They are in the time ``zone``, such as Europe/Paris; without, in the site's. The rest is as for one run.
        """
        running, zone = self.portal.running, self.text("zone")
        said: dict[str, Any] = {"cron": self.text("cron"), "until": _moment(self.text("until")), "zone": zone}
        made: Schedule = await running.schedule(self.visitor, self.asked, **said, **self.chosen)
        self.reply(schedule_json(made, running.times(made)), status=201)


class ScheduleJson(Api):
    """One schedule."""

    def delete(self, schedule_id: str) -> None:
        """Stop it; what runs already goes on."""
        self.portal.running.unschedule(self.visitor, schedule_id)
        self.set_status(204)


def _moment(text: str) -> datetime:
    """Return the moment, of the day's beginning where no time is said, in UTC where no zone is. Raises Invalid."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid("“until” is a moment such as 2027-01-31T12:00Z.", field="until") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
