"""Publishing: a notebook becomes a draft, the draft is checked, the checked draft becomes a version."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from vaas import notebook
from vaas.content import snapshot_of
from vaas.db.base import Query, Records
from vaas.errors import CheckFailed, Conflict, Invalid, NotFound, TooLarge, VaasError
from vaas.model import Access, App, Draft, Entry, File, Grant, Link, Snapshot, User, Version, Visitor
from vaas.portal.core import Core
from vaas.portal.gallery import clean_tags, picture_type
from vaas.portal.opening import draft_server
from vaas.portal.sharing import Sharing, check_subject
from vaas.slug import account_of, check_slug, slugify
from vaas.stores.base import Store, check_path

__all__ = ["Drafts", "Publication"]

#: How many files beside a notebook are looked at to suggest what travels along.
_LOOK_AT = 300
#: Folders and files that never travel with a notebook.
_LEFT_OUT = frozenset({"__pycache__", "node_modules"})


@dataclass(frozen=True)
class Publication:
    """What the publisher says when a draft is published; ``slug`` "" means: made from the title.

    ``subjects`` get VIEW; ``link`` asks for a link as well; ``anyway`` publishes what failed its check.
    """

    title: str = ""
    slug: str = ""
    description: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    subjects: tuple[str, ...] = ()
    link: bool = False
    anyway: bool = False
    cover: bytes = field(default=b"", repr=False)


class Drafts:
    """Drafts of one person at a time; nobody else sees them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._starting: set[str] = set()

    async def around(
        self, user: User, store_id: str, path: str
    ) -> tuple[Store, notebook.Notebook, list[Entry], set[str]]:
        """Return the store, the notebook, what lies in its folder, and which of that it seems to need."""
        store = self.store(user, store_id)
        data = await store.read(check_path(path), limit=self._core.limits.notebook_bytes)
        parsed = notebook.parse(data, name=path.rpartition("/")[2])
        folder = path.rpartition("/")[0]
        entries = [e for e in await store.list(folder) if e.path != path and e.name not in _LEFT_OUT]
        return store, parsed, entries, await self._suggested(store, parsed, entries, folder)

    async def begin(
        self, user: User, store_id: str, path: str, *, include: Collection[str] | None = None, slug: str = ""
    ) -> Draft:
        """Fetch the notebook and what travels with it into a draft, and start its check.

        ``include`` names files and folders beside the notebook by their path in the store; None takes what
        the notebook seems to need. ``slug`` names an app that gets a new version. Raises Invalid for what is
        no notebook, TooLarge and StorageFull.
        """
        path = check_path(path)
        store, parsed, entries, suggested = await self.around(user, store_id, path)
        chosen = suggested if include is None else {check_path(p) for p in include}
        folder = path.rpartition("/")[0]
        wanted = [await store.stat(path)] + [e for e in entries if _is_chosen(e, chosen)]
        files = await self._fetch(store, wanted, chosen={path, *chosen}, strip=len(folder) + 1 if folder else 0)
        name = path.rpartition("/")[2]
        return self._save(user, snapshot_of(name, files), parsed, origin=(store_id, path), slug=slug)

    def begin_upload(self, user: User, uploaded: Mapping[str, bytes], *, slug: str = "", path: str = "") -> Draft:
        """Make a draft from files sent by the browser or the command line, by relative path.

        Files may share one top folder, which is dropped. ``path`` names the notebook among them; "" takes the
        only one, or the one nearest the top. ``slug`` names an app that gets a new version.
        """
        path = check_path(path)
        files = _without_top(uploaded, keep=path)
        self._check_sizes([Entry(p, False, len(d)) for p, d in files.items()])
        name = path or _choose_notebook(files)
        if name not in files:
            raise Invalid(f"There is no “{name}” among these files.")
        if len(files[name]) > self._core.limits.notebook_bytes:
            raise TooLarge(f"“{name}” is larger than {self._core.limits.notebook_bytes // 1_000_000} MB.")
        parsed = notebook.parse(files[name], name=name)
        kept = [File(p, *self._core.content.add(data)) for p, data in files.items()]
        return self._save(user, snapshot_of(name, kept), parsed, origin=("", name), slug=slug)

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
                return self._end(again, "The check stopped before it was done: its process ended.")
            return again
        return draft

    def check_again(self, user: User, draft_id: str) -> Draft:
        """Run the check anew on a fresh server."""
        draft = replace(self.get(user, draft_id), state="waiting", progress={}, report={})
        with self._core.database.begin() as records:
            records.drafts.save(draft)
        self._run_check(draft, again=True)
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
            _require_checked(draft, anyway=publication.anyway)
            app = self._app(records, user, draft, publication)
            self._add_version(records, user, draft, publication, app)
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

    def store(self, user: User, store_id: str) -> Store:
        """Return the person's store. Raises NotFound."""
        found = next((store for store in self._core.stores.of(user) if store.id == store_id), None)
        if found is None:
            raise NotFound("You have no such place for files.")
        return found

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
            gone = self._core.backend.forget(account_of(draft.app_id))
        self._core.spawn(gone)

    async def _suggested(self, store: Store, parsed: notebook.Notebook, entries: list[Entry], folder: str) -> set[str]:
        """Return the entries beside the notebook that it mentions or imports, whole folders for what is in them."""
        strip = len(folder) + 1 if folder else 0
        files = {e.path[strip:]: e async for e in _walk(store, entries, limit=_LOOK_AT) if not e.folder}
        modules = [name for name, e in files.items() if name.endswith(".py") and e.size <= 300_000][:40]
        texts = {
            name: (await store.read(files[name].path, limit=300_000)).decode("utf-8", "replace") for name in modules
        }
        found = notebook.suggest_files(parsed, files, sources=texts)
        tops = {name.partition("/")[0] for name in found}
        return {e.path for e in entries if e.name in tops}

    async def _fetch(self, store: Store, wanted: list[Entry], *, chosen: Collection[str], strip: int) -> list[File]:
        limits, found = self._core.limits, list[File]()
        entries = [entry async for entry in _walk(store, wanted, limit=limits.draft_files, chosen=chosen)]
        self._check_sizes(entries)
        left = limits.draft_bytes  # counted anew: what a store says of its files is not always so
        for entry in entries:
            if not entry.folder:
                chunks = store.chunks(entry.path)
                digest, size = await self._core.content.add_stream(chunks, limit=min(limits.file_bytes, left))
                found.append(File(entry.path[strip:], digest, size))
                left -= size
        return found

    def _check_sizes(self, entries: list[Entry]) -> None:
        limits, total = self._core.limits, sum(entry.size for entry in entries)
        if len(entries) > limits.draft_files:
            raise TooLarge(f"More than {limits.draft_files} files would travel with the notebook. Choose fewer.")
        if any(entry.size > limits.file_bytes for entry in entries):
            raise TooLarge(f"A file is larger than {limits.file_bytes // 1_000_000} MB, the limit of this portal.")
        if total > limits.draft_bytes:
            raise TooLarge(f"The files are {total // 1_000_000} MB; {limits.draft_bytes // 1_000_000} MB may travel.")

    def _save(
        self, user: User, snapshot: Snapshot, parsed: notebook.Notebook, *, origin: tuple[str, str], slug: str = ""
    ) -> Draft:
        with self._core.database.begin() as records:
            app = self._target(records, user, origin, slug)
            title = app.title if app else parsed.title or snapshot.notebook.rpartition("/")[2].removesuffix(".ipynb")
            draft = Draft(
                id=secrets.token_hex(4),
                owner=user.name,
                app_id=app.id if app else self._core.new_id(),
                slug=app.slug if app else "",
                title=title[:200],
                snapshot=snapshot,
                created=self._core.now(),
                origin_store=origin[0],
                origin_path=origin[1],
            )
            records.drafts.save(draft)
        self._run_check(draft)
        return draft

    def _target(self, records: Records, user: User, origin: tuple[str, str], slug: str) -> App | None:
        """Find the app that gets a new version: the one named, or the person's own from the same place."""
        if slug:
            return self._core.see_in(records, Visitor(user), slug, "publish version").app
        mine = records.apps.visible(Visitor(user), Query(show="mine", limit=10_000), now=self._core.now())
        return next((a for a in mine if origin[0] and (a.origin_store, a.origin_path) == origin), None)

    def _run_check(self, draft: Draft, *, again: bool = False) -> None:
        self._starting.add(draft.id)
        self._core.spawn(self._start(draft, again=again))

    async def _start(self, draft: Draft, *, again: bool) -> None:
        try:
            if again:
                await self._stop(draft)
            await self._core.backend.start(draft_server(draft))
        except VaasError as error:
            self._end(draft, f"The check could not start. {error.message}")
            raise
        finally:
            self._starting.discard(draft.id)

    async def _stop(self, draft: Draft) -> None:
        await self._core.backend.stop(draft_server(draft))
        for _ in range(100):
            if (await self._core.backend.state(draft_server(draft))).phase == "stopped":
                break
            await asyncio.sleep(0.1)

    def _end(self, draft: Draft, text: str) -> Draft:
        problem = {
            "kind": "died",
            "text": text,
            "fix": "Check again. If it happens again, the notebook may need less memory.",
        }
        report = {"ok": False, "errors": [], "problems": [problem]}
        ended = replace(draft, state="done", report=report)
        with self._core.database.begin() as records:
            if records.drafts.get(draft.id):
                records.drafts.save(ended)
        return ended

    def _app(self, records: Records, user: User, draft: Draft, said: Publication) -> App:
        now = self._core.now()
        app = records.apps.by_id(draft.app_id)
        if app:
            self._core.see_in(records, Visitor(user), app.slug, "publish version")
        elif draft.slug:
            raise Conflict(f"“{draft.title}” was withdrawn meanwhile. Begin again to publish it as a new app.")
        else:
            slug = check_slug(said.slug) if said.slug else _free_slug(records, said.title or draft.title)
            app = App(draft.app_id, slug, draft.title, user.name, "", now, now)
            app = replace(app, origin_store=draft.origin_store, origin_path=draft.origin_path)
        app = replace(
            app,
            title=(said.title.strip() or app.title)[:200],
            description=said.description.strip()[:5000] or app.description,
            category=said.category.strip()[:60] or app.category,
            tags=clean_tags(said.tags) or app.tags,
            version=draft.snapshot.hash,
            updated=now,
            cover=self._cover(draft, said) or app.cover,
        )
        records.apps.save(app)
        return app

    def _cover(self, draft: Draft, said: Publication) -> str:
        picture = draft.report.get("picture") or {}
        try:
            data = said.cover or base64.b64decode(picture.get("data", ""), validate=True)
        except (binascii.Error, ValueError):
            return ""
        if not picture_type(data) or len(data) > self._core.limits.cover_bytes:
            return ""
        return self._core.content.add(data)[0]

    def _add_version(self, records: Records, user: User, draft: Draft, said: Publication, app: App) -> None:
        versions = records.versions.of(app.id)
        if any(version.snapshot.hash == draft.snapshot.hash for version in versions):
            return  # versions are named by their content: this is that one again
        report = {key: value for key, value in draft.report.items() if key != "picture"}
        number = versions[0].number + 1 if versions else 1
        version = Version(app.id, number, draft.snapshot, user.name, self._core.now(), said.note[:500], report)
        records.versions.add(version)

    def _link(self, user: User, app: App) -> Link:
        return Sharing(self._core).make_link(Visitor(user), app.slug)


def _require_checked(draft: Draft, *, anyway: bool) -> None:
    if draft.state != "done":
        raise Conflict("The check is still running. Wait for its result.")
    if not draft.report.get("ok") and not anyway:
        raise CheckFailed(
            "The notebook failed its check. Mend it and check again, or say “publish anyway”.", field="anyway"
        )


def _free_slug(records: Records, title: str) -> str:
    base, number = slugify(title), 1
    slug = base
    while records.apps.get(slug) is not None:
        number += 1
        slug = f"{base}-{number}"
    return slug


def _without_top(files: Mapping[str, bytes], *, keep: str) -> dict[str, bytes]:
    clean = {check_path(path): data for path, data in files.items()}
    parts = [path.split("/") for path in clean if path]
    kept = {p: d for p, d in clean.items() if not any(x.startswith(".") or x in _LEFT_OUT for x in p.split("/"))}
    shared = {p[0] for p in parts if len(p) > 1} if all(len(p) > 1 for p in parts) else set()
    if len(shared) == 1 and keep not in kept:
        top = len(shared.pop()) + 1
        return {path[top:]: data for path, data in kept.items()}
    return kept


def _choose_notebook(files: Mapping[str, bytes]) -> str:
    notebooks = sorted((p for p in files if p.endswith(".ipynb")), key=lambda p: (p.count("/"), p))
    if not notebooks:
        raise Invalid("There is no notebook (.ipynb) among these files.")
    return notebooks[0]


def _is_chosen(entry: Entry, chosen: Collection[str]) -> bool:
    """Tell whether the entry is chosen, lies in a chosen folder, or is a folder with something chosen in it."""
    inside = any(entry.path.startswith(f"{path}/") for path in chosen if path)
    around = entry.folder and any(path.startswith(f"{entry.path}/") for path in chosen)
    return inside or around or entry.path in chosen


async def _walk(
    store: Store, wanted: list[Entry], *, limit: int, chosen: Collection[str] | None = None
) -> AsyncIterator[Entry]:
    """Yield all files and folders at and under ``wanted`` that are chosen; one more than ``limit`` at most.

    Folders count as well: one with a link to itself has no end, and perhaps no file.
    """
    found, pending = 0, list(wanted)
    while pending and found <= limit:
        entry = pending.pop()
        if entry.folder and entry.name in _LEFT_OUT:
            continue
        found += 1
        yield entry
        if entry.folder:
            pending += [e for e in await store.list(entry.path) if chosen is None or _is_chosen(e, chosen)]
