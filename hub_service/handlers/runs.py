"""Runs as pages: the form, the list, one run with its progress, log and result, and schedules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from hub_service.handlers.base import Page
from hub_service.launch_json import places
from hub_service.recurring import EVERY, WEEKDAYS, cron_of, words_of
from hub_service.run_form import (
    HOW,
    KIND_WORDS,
    Answers,
    asked_of,
    at_its_field,
    in_days,
    text_of,
    until,
)
from hub_service.run_json import progress_words
from hub_service.timetable import zone_of, zones
from vaas.errors import Conflict, Invalid, NotFound, VaasError
from vaas.launching import Run, Schedule
from vaas.portal.run_forms import Form
from vaas.series import Table

__all__ = [
    "NewRunPage",
    "RunsPage",
    "SchedulePage",
    "SeriesPage",
    "local",
]

#: For how many days a schedule is suggested.
_DAYS = 90


class NewRunPage(Page):
    """The form of a run: values, where, and how often."""

    nav = "runs"

    async def get(self) -> None:
        """Show it, filled with what the notebook or an earlier run has."""
        said = self.get_query_argument
        before = self._before(said("again", ""))
        asked = {} if before else asked_of(lambda name: said(name, ""))
        await self._write(await self._form(asked, before), asked, before=before, how=said("how", ""))

    async def post(self) -> None:
        """Put it into the queue if all is right; otherwise say what is wrong, and start nothing."""
        before = self._before(self.get_body_argument("again", ""))
        asked = {} if before else asked_of(self._said)
        form = await self._form(asked, before)
        sent = self.request.body_arguments.keys()
        answers = Answers(form, self._said, sent)
        how, text, table = self.get_body_argument("how", "once"), "", Table()
        if how == "table" and not before:
            files = self.request.files.get("file") or []
            text, table = answers.table(files[0].body if files else None, most=self.portal.core.limits.series_runs)
        chosen = answers.chosen()
        checks = how == "table" and self.get_body_argument("do", "start") == "check"  # Enter presses the first button
        if not (answers.wrong or table.mistakes or checks):
            try:
                await self._start(how, asked, chosen, table, before)
                return
            except VaasError as error:
                self.fail_form(at_its_field(error, form))
        self.wrong = {**self.wrong, **answers.wrong}
        if self.wrong or table.mistakes:
            self.set_status(400 if self.get_status() < 400 else self.get_status())
        await self._write(form, asked, before=before, how=how, text=text, table=table)

    def _said(self, name: str) -> str:
        return self.get_body_argument(name, "", strip=False)

    def _before(self, run_id: str) -> Run | None:
        return self.portal.running.run(self.visitor, run_id) if run_id else None

    async def _form(self, asked: dict[str, str], before: Run | None) -> Form:
        running = self.portal.running
        return await (running.form_again(self.visitor, before.id) if before else running.form(self.visitor, asked))

    async def _start(
        self, how: str, asked: dict[str, str], chosen: dict[str, Any], table: Table, before: Run | None
    ) -> None:
        running = self.portal.running
        if before is not None:
            again = {name: value for name, value in chosen.items() if name not in {"title", "email"}}
            run = await running.repeat(self.visitor, before.id, **again)
            self.done(f"runs/{run.id}/")
        elif how == "table":
            runs = await running.start_series(self.visitor, asked, table=table.rows, **chosen)
            self.done(f"runs/series/{runs[0].series}", f"{len(runs)} runs are in the queue.")
        elif how == "schedule":
            zone = self._said("zone").strip() or running.zone
            said: dict[str, Any] = {
                "cron": cron_of(self._said),
                "until": until(self._said("until"), zone),
                "zone": zone,
            }
            made = await running.schedule(self.visitor, asked, **said, **chosen)
            self.done("runs/", f"“{made.title}” is run {words_of(made.cron, made.zone)}.")
        else:
            run = await running.start(self.visitor, asked, **chosen)
            self.done(f"runs/{run.id}/")

    async def _write(
        self,
        form: Form,
        asked: dict[str, str],
        *,
        before: Run | None,
        how: str,
        text: str = "",
        table: Table | None = None,
    ) -> None:
        core = self.portal.core
        slots = any(each.slot for each in form.fields)
        things = (await self.portal.baskets.look(self.visitor)).things if slots else ()
        context = {
            "form": form,
            "fields": [(each, text_of(each.default), KIND_WORDS.get(each.kind, "text")) for each in form.fields],
            "asked": asked,
            "tells": self.portal.running.tells,
            "before": before,
            "text_of": text_of,
            "how": how if how in HOW else HOW[0],
            "things": [held.thing for held in things if held.state == "there" and held.thing.kind != "app"],
            "stores": core.stores.of(self.person),
            "places": places(form.choices),
            "most_rows": core.limits.series_runs,
            "now": core.now(),
            "values": {name: self._said(name) for name in self.request.body_arguments},
            "text": text,
            "table": table or Table(),
            "every": EVERY,
            "weekdays": WEEKDAYS,
            "zone": self.portal.running.zone,
            "zones": zones(),
            "today": in_days(core.now(), 0),
            "last_day": in_days(core.now(), _DAYS),
        }
        self.show("run_new.html", title=f"Run “{form.title}”", context=context)


class RunsPage(Page):
    """My runs, those of one table together, and my schedules."""

    nav = "runs"

    def get(self) -> None:
        """Show them, and take note that they were looked at."""
        running = self.portal.running
        runs = running.runs(self.visitor)
        context = {
            "groups": grouped(runs),
            "open": sum(not run.over for run in runs),
            "schedules": [
                (each, words_of(each.cron, each.zone), local(each, [each.until])[0], local(each, running.times(each)))
                for each in running.schedules(self.visitor)
            ],
            "left_out": left_out,
            "progress_words": progress_words,
            "text_of": text_of,
        }
        running.seen(self.visitor)
        self.show("runs.html", title="My runs", context=context)


def left_out(schedule: Schedule) -> tuple[datetime, str] | None:
    """Return when its last time was left out and why, None where it was not."""
    said = schedule.asked.get("left_out")
    return (datetime.fromisoformat(said["at"]), str(said["why"])) if said else None


def local(schedule: Schedule, times: Sequence[datetime]) -> list[datetime]:
    """Return the times as the clocks of its zone show them; in UTC where nobody knows that zone any more."""
    zone = zone_of(schedule.zone if schedule.zone in zones() else "UTC")
    return [each.astimezone(zone) for each in times]


class SeriesPage(Page):
    """The runs over one table of values."""

    nav = "runs"

    def get(self, series: str) -> None:
        """Show each row with its values and how it is doing."""
        runs = self._runs(series)
        rows = [
            (run, {name: text_of(value) for name, value in {**run.parameters, **run.things}.items()}) for run in runs
        ]
        names = list(dict.fromkeys(name for _, row in rows for name in row))
        varied = [name for name in names if len({row.get(name) for _, row in rows}) > 1]
        context = {"runs": runs, "rows": rows, "columns": varied or names, "counts": counted(runs)}
        context |= {"title": runs[0].series_title, "progress_words": progress_words}
        open_ = sum(not run.over for run in runs)
        self.show("series.html", title=runs[0].series_title, context={**context, "open": open_})

    async def post(self, series: str) -> None:
        """Cancel what has not ended, or take all off the list."""
        runs = self._runs(series)
        if self.get_body_argument("do", "") == "cancel":
            for run in runs:
                await self.portal.running.cancel(self.visitor, run.id)
            self.done(f"runs/series/{series}", "Cancelled. What was done before stays.")
        elif self.get_body_argument("do", "") == "forget":
            if not all(run.over for run in runs):
                raise Conflict("Not all of it is over. Cancel it first.")
            for run in runs:
                self.portal.running.forget(self.visitor, run.id)
            self.done("runs/", "Taken off the list. The results stay in your files.")
        else:
            raise Invalid("This button does nothing.")

    def _runs(self, series: str) -> list[Run]:
        runs = self.portal.running.runs(self.visitor, series=series)
        if not runs:
            raise NotFound("There is no such table of runs.")
        return sorted(runs, key=lambda run: (run.created, run.id))


class SchedulePage(Page):
    """One schedule."""

    def post(self, schedule: str) -> None:
        """Stop it."""
        self.portal.running.unschedule(self.visitor, schedule)
        self.done("runs/", "It is not repeated any more. What runs already goes on.")


def grouped(runs: Sequence[Run]) -> list[tuple[Run, list[Run], dict[str, int]]]:
    """Return the runs, those of one series together where its newest is, with how many are in which state."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.series or run.id, []).append(run)
    return [(each[0], each, counted(each)) for each in found.values()]


def counted(runs: Sequence[Run]) -> dict[str, int]:
    """Return how many runs are in which state."""
    return {state: len(list(same)) for state, same in groupby(sorted(run.state for run in runs))}
