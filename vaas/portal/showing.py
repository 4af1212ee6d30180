"""Results of runs that are shown to others: who may see one, and what they see of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from vaas.db.base import Records
from vaas.errors import Conflict, NotFound, VaasError
from vaas.jobs import RESULT
from vaas.launching import Run
from vaas.model import Visitor
from vaas.portal.core import Core
from vaas.portal.keeping import person_of
from vaas.portal.run_results import is_of
from vaas.portal.sharing import Sharing
from vaas.stores.base import Store

__all__ = ["MOST_SHOWN", "Showing"]

#: Bytes of a page or of a notebook that are sent.
MOST_SHOWN = 30_000_000


class Showing:
    """Who else sees the result of a run: its page and its executed notebook, as they lie in the owner's store now."""

    def __init__(self, core: Core, sharing: Sharing) -> None:
        self._core, self._sharing = core, sharing

    def run(self, visitor: Visitor, run_id: str) -> Run:
        """Return a run of the visitor's own, or one whose result is shared with them. Raises NotFound."""
        name = person_of(visitor).name
        with self._core.database.begin() as records:
            run = records.runs.get(run_id)
        if run is None or not (run.owner == name or (run.result_store and visitor.subjects & set(run.shared_with))):
            raise NotFound("There is no such run.")
        return run

    async def share(self, visitor: Visitor, run_id: str, subjects: Iterable[str]) -> Run:
        """Let these subjects see the result and nobody else: people, groups, everyone who can sign in.

        Raises
        ------
        Invalid
            A subject is nobody whom the Hub knows.
        Conflict
            There is no result.
        """
        before = self._look(visitor, run_id).shared_with
        wanted = await self._sharing.circle(subjects, before=before, what="A result")
        return self._change(visitor, run_id, lambda _: wanted)

    async def add(self, visitor: Visitor, run_id: str, subject: str) -> Run:
        """Let the subject see it, too. Raises as :meth:`share` does."""
        before = self._look(visitor, run_id).shared_with
        wanted = await self._sharing.circle([*before, subject], before=before, what="A result")
        added = [each for each in wanted if each not in before]
        return self._change(visitor, run_id, lambda now: tuple(dict.fromkeys([*now, *added])))

    def drop(self, visitor: Visitor, run_id: str, subject: str) -> Run:
        """Let the subject not see it any more."""
        return self._change(visitor, run_id, lambda now: tuple(each for each in now if each != subject))

    async def there(self, visitor: Visitor, run_id: str) -> tuple[bool, bool]:
        """Whether the page of the result, and the executed notebook, are where they were put and can be shown."""
        run = self.run(visitor, run_id)
        try:
            found = await (await self._store(run)).list(run.result_path)
        except VaasError:
            return False, False
        shown = {each.path for each in found if each.size <= MOST_SHOWN}
        return _page(run) in shown, run.executed in shown

    async def page(self, visitor: Visitor, run_id: str) -> bytes:
        """Return the page of the result. Raises NotFound, and to its owner what their store raises."""
        run = self.run(visitor, run_id)
        return await self._read(visitor, run, _page(run))

    async def notebook(self, visitor: Visitor, run_id: str) -> bytes:
        """Return the executed notebook. Raises as :meth:`page` does."""
        run = self.run(visitor, run_id)
        return await self._read(visitor, run, run.executed)

    async def _read(self, visitor: Visitor, run: Run, path: str) -> bytes:
        try:
            return await (await self._store(run)).read(path, limit=MOST_SHOWN)
        except VaasError as error:
            if run.owner == visitor.name:
                raise
            # What the owner's places and files are called is nobody else's.
            raise NotFound("It is not there any more, or cannot be had now.", log_message=error.log_message) from error

    async def _store(self, run: Run) -> Store:
        """Return the owner's store with the result: they have opened this folder, and it alone, to who looks."""
        owner = await self._core.directory.user(run.owner) if run.result_store else None
        store = self._core.store(owner, run.result_store) if owner else None
        if store is None or not await is_of(store, run.result_path, run):
            raise NotFound("There is no page of a result.")
        return store

    def _look(self, visitor: Visitor, run_id: str) -> Run:
        with self._core.database.begin() as records:
            return self._own(records, visitor, run_id)

    def _change(self, visitor: Visitor, run_id: str, change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Run:
        with self._core.database.begin() as records:
            run = self._own(records, visitor, run_id)
            wanted = change(run.shared_with)
            if wanted and not run.over:
                raise Conflict("There is nothing to share yet: wait until it has ended.")
            if wanted and not run.result_store:
                raise Conflict("It has no result that could be shared.")
            if run.over and not records.runs.note(run_id, shared_with=list(wanted)):
                raise NotFound("There is no such run.")
        return replace(run, shared_with=wanted)

    def _own(self, records: Records, visitor: Visitor, run_id: str) -> Run:
        run = records.runs.get(run_id)
        if run is None or run.owner != person_of(visitor).name:
            raise NotFound("There is no such run.")
        return run


def _page(run: Run) -> str:
    return f"{run.result_path}/{RESULT}"
