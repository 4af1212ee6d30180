"""The pages of one run: how it is doing, what it writes, and its result."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from hub_service.handlers.apps import EventStream
from hub_service.handlers.base import Page
from hub_service.handlers.sharing import subject_added
from hub_service.run_form import size_title, text_of
from hub_service.run_json import progress_words, result_url
from vaas.errors import Conflict, Invalid, NotFound, TooLarge, Unavailable, VaasError
from vaas.jobs import RESULT
from vaas.launching import Run
from vaas.policy import subject_title
from vaas.portal.showing import MOST_SHOWN

__all__ = ["RunEvents", "RunLog", "RunNotebook", "RunPage", "RunResult"]


class RunPage(Page):
    """One run: how it is doing, then its result."""

    nav = "runs"

    @property
    def frames(self) -> str:
        """What it shows in a frame: the page of the result, which is in a sandbox there."""
        return f"'self' {super().frames}"

    async def get(self, run_id: str) -> None:
        """Show it, with the end of its log; to those with whom its result is shared, that alone."""
        run = self.portal.showing.run(self.visitor, run_id)
        if run.owner != self.person.name:
            await self._show_to_others(run)
            return
        offering = self.portal.environments.offering(run.asked, run.snapshot)
        found, notebook, page = await self._there(run)
        ready = notebook and run.state == "done"
        context = {
            "run": run,
            "log": await self._written(run_id),
            "parameters": _values(run),
            "things": list(run.things.items()),
            "words": progress_words(run),
            "places": [offering.facility(run.facility), offering.environment(run.environment)],
            "sized": offering.size(run.size),
            "size_title": size_title,
            "source": _source_of(run),
            "result_url": self.base + result_url(run) if run.result_store else "",
            "found": found,
            "notebook": run.executed if notebook else "",
            "page": page,
            "took": _took(run, self.portal.core.now()),
            "launches": notebook and self.portal.launching.offered(self.visitor),
            "along": self.portal.belongings.data(self.person, run) if ready else (),
            "again_url": f"{self.base}runs/new?again={run.id}",
            **(await self._sharing(run) if run.shared_with or (found and run.over) else {}),
        }
        self.show("run.html", title=run.title, context=context)

    async def post(self, run_id: str) -> None:
        """Cancel it, run the same once more, publish or share what came of it, or take it off the list."""
        running, do = self.portal.running, self.get_body_argument("do", "")
        if do == "cancel":
            await running.cancel(self.visitor, run_id)
            self.done(f"runs/{run_id}/")  # its page says how far that is
        elif do == "publish":
            await self._publish(run_id)
        elif do in {"share", "unshare"}:
            await self._share(run_id, do)
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

    async def _show_to_others(self, run: Run) -> None:
        page, notebook = await self.portal.showing.there(self.visitor, run.id)
        said = {"parameters": _values(run), "things": list(run.things.items())}
        self.nav = ""  # it is none of theirs
        self.show("result.html", title=run.title, context={"run": run, "page": page, "notebook": notebook, **said})

    async def _sharing(self, run: Run) -> dict[str, object]:
        """Return what the form shows by which its owner shares the result."""
        directory = self.portal.core.directory
        shared = [(subject, subject_title(subject)) for subject in run.shared_with]
        return {"people": await directory.people(), "groups": await directory.groups(), "shared": shared}

    async def _share(self, run_id: str, do: str) -> None:
        subject = subject_added(self) if do == "share" else self.get_body_argument("subject")
        try:
            if do == "share":
                await self.portal.showing.add(self.visitor, run_id, subject)
            else:
                self.portal.showing.drop(self.visitor, run_id, subject)
        except (Invalid, Conflict) as error:
            error.field = "subject"
            self.fail_form(error)
            await self.get(run_id)
            return
        said = "Shared with" if do == "share" else "No longer shared with"
        self.done(f"runs/{run_id}/", f"{said} {subject_title(subject)}.")

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
            store = self.portal.core.store(self.person, run.result_store)
            sizes = {entry.path: entry.size for entry in await store.list(run.result_path)}
        except VaasError:
            return False, False, False
        return (
            True,
            run.executed in sizes,
            sizes.get(f"{run.result_path}/{RESULT}", MOST_SHOWN + 1) <= MOST_SHOWN,
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
        data = await self.portal.showing.page(self.visitor, run_id)
        # No site's policy that is wider: what is in the page, a notebook said.
        inside = "img-src data:; font-src data:; style-src 'unsafe-inline'"
        self.set_header(
            "Content-Security-Policy", f"sandbox; default-src 'none'; {inside}; base-uri 'none'; frame-ancestors 'self'"
        )
        # In its frame it has no origin, so that it can share no process by one; browsers complain of the wish.
        self.clear_header("Origin-Agent-Cluster")
        framed = [self.request.headers.get(f"Sec-Fetch-{name}") for name in ("Dest", "Site")]
        if framed != ["iframe", "same-origin"]:
            self.set_header("Content-Disposition", f'attachment; filename="result-{run_id}.html"')
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(data)


class RunNotebook(Page):
    """The executed notebook of a run, as a file."""

    async def get(self, run_id: str) -> None:
        """Send it."""
        data = await self.portal.showing.notebook(self.visitor, run_id)
        self.set_header("Content-Disposition", f'attachment; filename="result-{run_id}.ipynb"')
        self.set_header("Content-Type", "application/x-ipynb+json")
        self.finish(data)


def _values(run: Run) -> list[tuple[str, str]]:
    return [(name, text_of(value)) for name, value in run.parameters.items()]


def _took(run: Run, now: datetime) -> int | None:
    """Return for how many seconds it runs or has run; None before that."""
    return int(((run.ended or now) - run.started).total_seconds()) if run.started else None


def _source_of(run: Run) -> str:
    """Return where the notebook is from, below the portal's address; "" for nowhere that can be shown."""
    asked = run.asked
    if "app" in asked:
        return f"apps/{quote(str(asked['app']))}/"
    return f"files/{quote(str(asked['store']))}/{quote(str(asked['path']))}" if "store" in asked else ""
