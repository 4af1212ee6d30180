"""Runs as pages: the form, the list, one run with its progress, log and result, and schedules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import quote

from hub_service.handlers.apps import EventStream
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
    size_title,
    text_of,
    until,
)
from hub_service.run_json import progress_words, result_url
from vaas.errors import Conflict, Invalid, NotFound, TooLarge, Unavailable, VaasError
from vaas.jobs import RESULT
from vaas.launching import Run
from vaas.portal.run_forms import Form
from vaas.series import Table

__all__ = [
    "NewRunPage",
    "RunEvents",
    "RunLog",
    "RunPage",
    "RunResult",
    "RunsPage",
    "SchedulePage",
    "SeriesPage",
]

#: Bytes of a result's page that are shown, and for how many days a schedule is suggested.
_RESULT_BYTES, _DAYS = 30_000_000, 90


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
            made = await running.schedule(
                self.visitor, asked, cron=cron_of(self._said), until=until(self._said("until")), **chosen
            )
            self.done("runs/", f"“{made.title}” is run {words_of(made.cron)}.")
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
            "schedules": [(each, words_of(each.cron)) for each in running.schedules(self.visitor)],
            "progress_words": progress_words,
            "text_of": text_of,
        }
        running.seen(self.visitor)
        self.show("runs.html", title="My runs", context=context)


class SeriesPage(Page):
    """The runs over one table of values."""

    nav = "runs"

    def get(self, series: str) -> None:
        """Show each row with its values and how it is doing."""
        runs = self._runs(series)
        rows = [
            (run, {name: text_of(value) for name, value in {**run.parameters, **_things(run)}.items()}) for run in runs
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


class RunPage(Page):
    """One run: how it is doing, then its result."""

    nav = "runs"

    @property
    def frames(self) -> str:
        """What it shows in a frame: the page of the result, which is in a sandbox there."""
        return f"'self' {super().frames}"

    async def get(self, run_id: str) -> None:
        """Show it, with the end of its log."""
        run = self.portal.running.run(self.visitor, run_id)
        offering = self.portal.environments.offering(run.asked, run.snapshot)
        found, notebook, page = await self._there(run)
        ready = notebook and run.state == "done"
        context = {
            "run": run,
            "log": await self._written(run_id),
            "values": [(name, text_of(value)) for name, value in run.parameters.items()],
            "things": list(_things(run).items()),
            "words": progress_words(run),
            "places": [offering.facility(run.facility), offering.environment(run.environment)],
            "sized": offering.size(run.size),
            "size_title": size_title,
            "source": source_of(run),
            "result_url": self.base + result_url(run) if run.result_store else "",
            "found": found,
            "notebook": run.executed if notebook else "",
            "page": page,
            "took": took(run, self.portal.core.now()),
            "launches": notebook and self.portal.launching.offered(self.visitor),
            "along": self.portal.belongings.data(self.person, run) if ready else (),
            "again_url": f"{self.base}runs/new?again={run.id}",
        }
        self.show("run.html", title=run.title, context=context)

    async def post(self, run_id: str) -> None:
        """Cancel it, run the same once more, publish what came of it, or take it off the list."""
        running, do = self.portal.running, self.get_body_argument("do", "")
        if do == "cancel":
            await running.cancel(self.visitor, run_id)
            self.done(f"runs/{run_id}/", "It is being cancelled.")
        elif do == "publish":
            await self._publish(run_id)
        elif do == "repeat":
            self.done(f"runs/{(await running.repeat(self.visitor, run_id)).id}/")
        elif do == "forget":
            running.forget(self.visitor, run_id)
            self.done("runs/", "Taken off the list. The result stays in your files.")
        else:
            raise Invalid("This button does nothing.")

    async def _publish(self, run_id: str) -> None:
        shares = self.get_body_argument("shares", "") == "1"
        try:
            draft = await self.portal.drafts.begin_result(self.person, run_id, shares=shares)
        except (Invalid, NotFound, Conflict, TooLarge) as error:
            self.portal.running.run(self.visitor, run_id)  # whose it is not is told nothing else
            error.field = error.field or "publish"
            self.fail_form(error)
            await self.get(run_id)
            return
        self.done(f"drafts/{draft.id}/")

    async def _written(self, run_id: str) -> str:
        try:
            return await self.portal.running.log(self.visitor, run_id)
        except Unavailable as error:
            return error.message  # what else is known of it is worth showing

    async def _there(self, run: Run) -> tuple[bool, bool, bool]:
        """Whether the result, its notebook and its page are there: it may have been moved, or the store be silent."""
        if not run.result_store:
            return False, False, False
        try:
            store = self.portal.drafts.store(self.person, run.result_store)
            sizes = {entry.path: entry.size for entry in await store.list(run.result_path)}
        except VaasError:
            return False, False, False
        return (
            True,
            run.executed in sizes,
            sizes.get(f"{run.result_path}/{RESULT}", _RESULT_BYTES + 1) <= _RESULT_BYTES,
        )


class RunEvents(EventStream):
    """How far a run is, and what it wrote meanwhile."""

    #: The log as it was told last, None: not at all.
    _written: str | None = None

    async def get(self, run_id: str) -> None:
        """Stream until it is over."""
        self._run = self.portal.running.run(self.visitor, run_id).id
        await self.stream(every=1.0)

    async def state(self) -> tuple[bool, dict[str, object]]:
        """Return the event for the run's page: of the log what is new, or all when its beginning has gone."""
        try:
            run = self.portal.running.run(self.visitor, self._run)
        except VaasError as error:
            return True, {"over": True, "error": error.message}
        log, before = await self._log_now(), self._written
        fresh = before is None or not log.startswith(before)
        added, self._written = log if fresh else log[len(before or "") :], log
        told = {name: run.progress.get(name) for name in ("cell", "of")}
        value: dict[str, object] = {"state": run.state, "words": progress_words(run), **told, "over": run.over}
        return run.over, value | ({"log": added, "fresh": fresh} if added or fresh else {})

    async def _log_now(self) -> str:
        try:
            return await self.portal.running.log(self.visitor, self._run)
        except VaasError:
            return self._written or ""  # where it runs does not answer at the moment


class RunLog(Page):
    """What a run wrote, as text."""

    async def get(self, run_id: str) -> None:
        """Send its end."""
        text = await self.portal.running.log(self.visitor, run_id)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(text or "Nothing was written yet.")


class RunResult(Page):
    """The page of a run's result: foreign HTML, in a frame without scripts, forms and an origin, or as a download."""

    async def get(self, run_id: str) -> None:
        """Send it. Outside of the frame on the run's page it is a file, and no page at our address."""
        run = self.portal.running.run(self.visitor, run_id)
        if not run.result_store:
            raise NotFound("There is no page of a result.")
        store = self.portal.drafts.store(self.person, run.result_store)
        data = await store.read(f"{run.result_path}/{RESULT}", limit=_RESULT_BYTES)
        # No site's policy that is wider: what is in the page, a notebook said.
        inside = "img-src data:; font-src data:; style-src 'unsafe-inline'"
        self.set_header(
            "Content-Security-Policy", f"sandbox; default-src 'none'; {inside}; base-uri 'none'; frame-ancestors 'self'"
        )
        # In its frame it has no origin, so that it can share no process by one; browsers complain of the wish.
        self.clear_header("Origin-Agent-Cluster")
        framed = [self.request.headers.get(f"Sec-Fetch-{name}") for name in ("Dest", "Site")]
        if framed != ["iframe", "same-origin"]:
            self.set_header("Content-Disposition", f'attachment; filename="result-{run.id}.html"')
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(data)


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


def took(run: Run, now: datetime) -> int | None:
    """Return for how many seconds it runs or has run; None before that."""
    return int(((run.ended or now) - run.started).total_seconds()) if run.started else None


def _things(run: Run) -> dict[str, str]:
    """Return what fills its slots."""
    return {name: str(thing["title"]) for name, thing in run.asked.get("things", {}).items()}


def source_of(run: Run) -> str:
    """Return where the notebook is from, below the portal's address; "" for nowhere that can be shown."""
    asked = run.asked
    if "app" in asked:
        return f"apps/{quote(str(asked['app']))}/"
    return f"files/{quote(str(asked['store']))}/{quote(str(asked['path']))}" if "store" in asked else ""
