"""Publishing: a notebook becomes a draft, the draft is checked, the checked draft becomes a version."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from vaas import notebook
from vaas.content import snapshot_of
from vaas.db.base import Query, Records
from vaas.errors import Conflict, Invalid, NotFound, TooLarge, VaasError
from vaas.launching import Run
from vaas.model import Access, App, Draft, Entry, File, Grant, Link, Snapshot, User, Visitor
from vaas.portal import draft_copies
from vaas.portal.choosing import Choosing
from vaas.portal.core import Core
from vaas.portal.environments import Environments
from vaas.portal.gathering import LEFT_OUT, check_sizes, choose_notebook, fetch, is_chosen, suggested, without_top
from vaas.portal.opening import draft_server
from vaas.portal.publishing import Publication, Publishing, require_checked
from vaas.portal.run_belongings import Belongings
from vaas.portal.sharing import Sharing, check_subject
from vaas.prose import clean_text
from vaas.slug import account_of
from vaas.stores.base import Store, check_path

__all__ = ["Drafts", "Publication"]

_log = logging.getLogger("vaas")
#: What to do about a check that ended before it was done.
_AGAIN = "Check again. If it happens again, the notebook may need less memory."
_MEND = "Mend the file that says what the notebook needs, then check it again."
#: What an app may reach; None: what it may already.
Reach = tuple[str, ...] | None


class Drafts:
    """Drafts of one person at a time; nobody else sees them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._publishing = Publishing(core)
        self._environments, self._choosing = Environments(core), Choosing(core)
        self._belongings = Belongings(core)
        self._starting: set[str] = set()

    async def around(
        self, user: User, store_id: str, path: str
    ) -> tuple[Store, notebook.Notebook, list[Entry], set[str]]:
        """Return the store, the notebook, what lies in its folder, and which of that it seems to need."""
        store = self._core.store(user, store_id)
        data = await store.read(check_path(path), limit=self._core.limits.notebook_bytes)
        parsed = await asyncio.to_thread(notebook.parse, data, name=path.rpartition("/")[2])
        folder = path.rpartition("/")[0]
        entries = [e for e in await store.list(folder) if e.path != path and e.name not in LEFT_OUT]
        return store, parsed, entries, await suggested(store, parsed, entries, folder=folder)

    async def begin(
        self,
        user: User,
        store_id: str,
        path: str,
        *,
        include: Collection[str] | None = None,
        slug: str = "",
        network: Reach = None,
        environment: str = "",
    ) -> Draft:
        """Fetch the notebook and what travels with it into a draft, and start its check.

        ``include`` names files and folders beside the notebook by their path in the store; None takes what
        the notebook seems to need. ``slug`` names an app that gets a new version; ``network`` is what it may
        reach, None for what that app may; ``environment`` what it is to be served with, "" for what fits.
        Raises Invalid for what is no notebook or cannot be chosen, TooLarge and StorageFull.
        """
        path = check_path(path)
        store, parsed, entries, needed = await self.around(user, store_id, path)
        chosen = needed if include is None else {check_path(p) for p in include}
        folder = path.rpartition("/")[0]
        wanted = [await store.stat(path)] + [e for e in entries if is_chosen(e, chosen)]
        strip = len(folder) + 1 if folder else 0
        files = await fetch(self._core, store, wanted, chosen={path, *chosen}, strip=strip)
        name = path.rpartition("/")[2]
        made = snapshot_of(name, files)
        target = self._target(user, (store_id, path), slug)
        made = await asyncio.to_thread(self._chosen, user, made, environment, target)
        return self._save(user, made, parsed, origin=(store_id, path), app=target, network=network)

    async def begin_result(
        self, user: User, run_id: str, *, shares: bool = False, network: Reach = None, environment: str = ""
    ) -> Draft:
        """Make a draft of what a run came to; copy all that belongs to it, and then start its check.

        ``shares``: they say that they may pass on copies of the data that were brought to it. Invalid where they do not
        and there are some; else raises as :meth:`Belongings.check` does. The rest is as :meth:`begin` has it.
        """
        run = self._belongings.run(user, run_id)
        if not shares and self._belongings.data(user, run):
            raise Invalid("Confirm that you may pass on a copy of the data, or publish nothing.", field="shares")
        made = await self._belongings.bare(user, run)
        data = self._core.content.read(next(file.sha256 for file in made.files if file.path == made.notebook))
        parsed = await asyncio.to_thread(notebook.parse, data, name=made.notebook)
        origin = (run.result_store, run.executed)
        target = self._target(user, origin, "")
        made = await asyncio.to_thread(self._chosen, user, made, environment, target)
        return self._save(user, made, parsed, origin=origin, app=target, network=network, of=run)

    def begin_upload(
        self,
        user: User,
        uploaded: Mapping[str, bytes],
        *,
        slug: str = "",
        path: str = "",
        network: Reach = None,
        environment: str = "",
    ) -> Draft:
        """Make a draft from files sent by the browser or the command line, by relative path.

        Files may share one top folder, which is dropped. ``path`` names the notebook among them; "" takes the
        only one, or the one nearest the top. ``slug``, ``network`` and ``environment`` are those of :meth:`begin`.
        """
        path = check_path(path)
        files = without_top(uploaded, keep=path)
        check_sizes(self._core.limits, [Entry(p, False, len(d)) for p, d in files.items()])
        name = path or choose_notebook(files)
        if name not in files:
            raise Invalid(f"There is no “{name}” among these files.")
        if len(files[name]) > self._core.limits.notebook_bytes:
            raise TooLarge(f"“{name}” is larger than {self._core.limits.notebook_bytes // 1_000_000} MB.")
        parsed = notebook.parse(files[name], name=name)
        kept = [File(p, *self._core.content.add(data)) for p, data in files.items()]
        made = snapshot_of(name, kept)
        target = self._target(user, ("", name), slug)
        made = self._chosen(user, made, environment, target)
        return self._save(user, made, parsed, origin=("", name), app=target, network=network)

    def get(self, user: User, draft_id: str) -> Draft:
        """Return the person's draft. Raises NotFound, for other people's too."""
        with self._core.database.begin() as records:
            return self._own(records, user, draft_id)

    async def progress(self, user: User, draft_id: str) -> Draft:
        """Return the draft as it is now; a check whose server died is ended with a report that says so."""
        draft = self.get(user, draft_id)
        if draft.state != "done" and draft.id not in self._starting:
            phase = (await self._core.backend.state(draft_server(draft))).phase
            again = self.get(user, draft_id)
            if phase in {"stopped", "failed"} and again.state != "done" and draft.id not in self._starting:
                if draft_copies.lacks(again):
                    return self._end(again, draft_copies.RESTARTED, draft_copies.MEND, kind="copying")
                return self._end(again, "The check stopped before it was done: its process ended.")
            return again
        return draft

    def has_data(self, user: User, draft: Draft) -> bool:
        """Tell whether data of a run go along, or are still to be copied: then it cannot be made anew of a store."""
        return bool(draft_copies.lacks(draft)) or self._belongings.goes_into(user, draft)

    def check_again(self, user: User, draft_id: str, *, network: Reach = None, environment: str = "") -> Draft:
        """Run the check anew on a fresh server.

        ``network`` None leaves what it may reach, ``environment`` "" what it is served with. Raises Invalid.
        """
        chosen = self.get(user, draft_id).snapshot
        if environment:
            chosen = self._choosing.choose(chosen, user, wanted=environment)
        with self._core.database.begin() as records:
            draft = self._own(records, user, draft_id)
            progress = draft_copies.begun(draft_copies.lacks(draft))
            draft = replace(draft, state="waiting", progress=progress, report={}, snapshot=chosen)
            if network is not None:
                draft = replace(draft, network=self._core.check_network(network))
            if draft.slug:  # it runs under the app's account
                self._core.see_in(records, Visitor(user), draft.slug, "publish version")
            records.drafts.save(draft)
        self._run_check(user, draft, again=True)
        return draft

    def publish(self, user: User, draft_id: str, publication: Publication) -> tuple[App, Link | None]:
        """Turn the draft into the app's newest version; a new app if it is for none.

        Raises
        ------
        Conflict
            The check still runs, or the address is taken.
        CheckFailed
            The check failed and ``anyway`` is not set.
        Invalid
            A subject or the address cannot be used.
        """
        subjects = [check_subject(subject) for subject in publication.subjects]
        with self._core.database.begin() as records:
            draft = self._own(records, user, draft_id)
            require_checked(draft, anyway=publication.anyway)
            app = self._publishing.app(records, user, draft, publication)
            self._publishing.version(records, user, draft, said=publication, app=app)
            now = self._core.now()
            held = {grant.subject for grant in records.grants.of([app.id]) if grant.holds(now)}
            for subject in subjects:
                if subject not in held:  # nobody loses more than VIEW because they are named again
                    records.grants.save(Grant(app.id, subject, Access.VIEW, user.name, now))
            records.drafts.remove(draft.id)
        self._core.spawn(self._core.backend.stop(draft_server(draft)))
        self._core.poke_app(app)
        link = self._link(user, app) if publication.link else None
        return app, link

    def discard(self, user: User, draft_id: str) -> None:
        """Throw the draft away."""
        with self._core.database.begin() as records:
            draft = self._own(records, user, draft_id)
            self._drop(records, draft)

    def sweep(self) -> int:
        """Throw away the drafts that are older than the site keeps them; return how many."""
        before = self._core.now() - timedelta(hours=self._core.limits.draft_hours)
        with self._core.database.begin() as records:
            old = records.drafts.older(before)
            for draft in old:
                self._drop(records, draft)
        return len(old)

    def _own(self, records: Records, user: User, draft_id: str) -> Draft:
        draft = records.drafts.get(draft_id)
        if draft is None or draft.owner != user.name:
            raise NotFound("There is no such draft. Perhaps it is published already.")
        return draft

    def _drop(self, records: Records, draft: Draft) -> None:
        records.drafts.remove(draft.id)
        gone = self._core.backend.stop(draft_server(draft))
        if records.apps.by_id(draft.app_id) is None:
            gone.close()
            self._core.outlines.forget(draft.app_id)
            gone = self._core.backend.forget(account_of(draft.app_id))
        self._core.spawn(gone)

    def _save(
        self,
        user: User,
        snapshot: Snapshot,
        parsed: notebook.Notebook,
        *,
        origin: tuple[str, str],
        app: App | None,
        network: Reach = None,
        of: Run | None = None,
    ) -> Draft:
        asked = None if network is None else self._core.check_network(network)
        with self._core.database.begin() as records:
            self._check_share(records, user)
            title = app.title if app else parsed.title or snapshot.notebook.rpartition("/")[2].removesuffix(".ipynb")
            draft = Draft(
                id=secrets.token_hex(4),
                owner=user.name,
                app_id=app.id if app else self._core.new_id(),
                slug=app.slug if app else "",
                title=clean_text(title)[:200],
                snapshot=snapshot,
                created=self._core.now(),
                origin_store=origin[0],
                origin_path=origin[1],
                progress=draft_copies.begun(of.id if of and self._belongings.data(user, of) else ""),
                network=asked if asked is not None else app.network if app else (),
            )
            records.drafts.save(draft)
        self._run_check(user, draft)
        return draft

    def _target(self, user: User, origin: tuple[str, str], slug: str) -> App | None:
        """Find the app that gets a new version: the one named, or the person's own from the same place."""
        with self._core.database.begin() as records:
            if slug:
                return self._core.see_in(records, Visitor(user), slug, "publish version").app
            mine = records.apps.visible(Visitor(user), Query(show="mine", limit=10_000), now=self._core.now())
        return next((a for a in mine if origin[0] and (a.origin_store, a.origin_path) == origin), None)

    def _chosen(self, user: User, made: Snapshot, environment: str, app: App | None) -> Snapshot:
        """Return the snapshot with what it is to be served with."""
        current = self._core.version(app) if app else None
        return self._choosing.choose(made, user, wanted=environment, before=current.snapshot if current else None)

    def _check_share(self, records: Records, user: User) -> None:
        """Raise Conflict for who has as many checks or drafts as one person may have."""
        mine = records.drafts.of(user.name)
        limits = self._core.limits
        if sum(draft.state != "done" for draft in mine) >= limits.checks_each:
            raise Conflict("Some of your checks are still running. Wait for one of them, or discard it.")
        if len(mine) >= limits.drafts_each:
            raise Conflict("You have many drafts that are not published. Publish or discard some of them first.")

    def _run_check(self, user: User, draft: Draft, *, again: bool = False) -> None:
        self._starting.add(draft.id)
        self._core.spawn(self._start(user, draft, again=again))

    async def _start(self, user: User, draft: Draft, *, again: bool) -> None:
        try:
            if again:
                await self._stop(draft)
            whole = await self._complete(user, draft) if draft_copies.lacks(draft) else draft
            draft = whole or draft
            equipped = await self._equip(draft) if whole else None
            if equipped is not None:
                draft = equipped
                await self._core.backend.start(draft_server(draft))
        except VaasError as error:
            self._end(draft, f"The check could not start. {error.message}")
            raise
        finally:
            self._starting.discard(draft.id)

    async def _complete(self, user: User, draft: Draft) -> Draft | None:
        """Return the draft with the data of its run; None: it has ended without them, or is gone or another by now."""

        def told(progress: Mapping[str, Any]) -> bool:
            return self._change(draft, state="running", progress=progress) is not None

        try:
            whole = await draft_copies.completed(self._belongings, user, draft, told=told)
        except VaasError as error:
            _log.info("The data of draft %s are not copied: %s", draft.id, error.log_message)
            self._end(draft, error.message, draft_copies.MEND, kind="copying")
            return None
        made = whole and self._choosing.as_in(draft.snapshot, whole)
        return self._change(draft, state="waiting", progress={}, snapshot=made) if made else None

    async def _equip(self, draft: Draft) -> Draft | None:
        """Have the environment ready that the draft asks for, and return the draft with what is in it.

        None: it has ended over it, is gone, or something else was chosen meanwhile.
        """

        steps: list[str] = []

        def told(step: str) -> None:
            steps.append(step)
            self._change(
                draft, state="running", progress={"stage": "environment", "text": f"Making its environment: {step}"}
            )

        with self._core.database.begin() as records:
            app = records.apps.by_id(draft.app_id)
            versions = records.versions.of(app.id) if app else []
        before = next((each.snapshot for each in versions if app and each.snapshot.hash == app.version), None)
        try:
            snapshot = await self._environments.equip(draft.snapshot, before=before, told=told)
        except VaasError as error:
            _log.info("No environment for draft %s: %s", draft.id, error.log_message)
            self._end(draft, *_explained(error), kind="environment")
            return None
        if not steps and snapshot == draft.snapshot:
            return draft
        return self._change(draft, state="waiting", progress={}, snapshot=snapshot)

    def _change(self, draft: Draft, **changed: Any) -> Draft | None:
        """Keep what has changed of the draft, and return it; None where it is gone, or is of other files by now."""
        with self._core.database.begin() as records:
            kept = records.drafts.get(draft.id)
            if kept is None or kept.snapshot != draft.snapshot:
                return None
            if (new := replace(kept, **changed)) != kept:
                records.drafts.save(new)
        return new

    async def _stop(self, draft: Draft) -> None:
        await self._core.backend.stop(draft_server(draft))
        for _ in range(100):
            if (await self._core.backend.state(draft_server(draft))).phase == "stopped":
                break
            await asyncio.sleep(0.1)

    def _end(self, draft: Draft, text: str, fix: str = _AGAIN, *, kind: str = "died") -> Draft:
        problem = {"kind": kind, "text": text, "fix": fix}
        report = {"ok": False, "errors": [], "problems": [problem]}
        return self._change(draft, state="done", report=report) or draft

    def _link(self, user: User, app: App) -> Link:
        return Sharing(self._core).make_link(Visitor(user), app.slug)


def _explained(error: VaasError) -> tuple[str, str]:
    """Return what is wrong with an environment, and what to do about it, with the reasons that were given."""
    text, because, reasons = error.message.partition(" Because ")
    fix = _MEND if isinstance(error, Invalid | TooLarge) else "Check again in a moment."
    return text, f"{fix} The reasons: {reasons}" if because else fix
