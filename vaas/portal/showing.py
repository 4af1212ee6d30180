"""Results of runs that are shown to others: who may see one, and what they see of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vaas.db.base import Records
from vaas.errors import Conflict, NotFound, VaasError
from vaas.jobs import RESULT
from vaas.launching import Run
from vaas.model import Visitor
from vaas.portal.core import Core
from vaas.portal.keeping import person_of
from vaas.portal.sharing import Sharing
from vaas.stores.base import Store

__all__ = ["Showing"]

#: Bytes of a page or of a notebook that are sent.
_MOST = 30_000_000


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
            There is no result yet.
        """
        with self._core.database.begin() as records:
            before = self._own(records, visitor, run_id).shared_with
        wanted = await self._sharing.circle(subjects, before=before, what="A result")
        with self._core.database.begin() as records:
            run = self._own(records, visitor, run_id)
            if wanted and not (run.over and run.result_store):
                raise Conflict("There is nothing to share yet: wait until it has ended.")
            run = replace(run, shared_with=wanted)
            if run.over:  # what is not is the queue's, and shared with nobody
                records.runs.save(run)
        return run

    async def there(self, visitor: Visitor, run_id: str) -> bool:
        """Whether the page of the result is where it was put, and can be shown."""
        run = self.run(visitor, run_id)
        try:
            found = await (await self._store(run)).list(run.result_path)
        except VaasError:
            return False
        return any(each.path == f"{run.result_path}/{RESULT}" and each.size <= _MOST for each in found)

    async def page(self, visitor: Visitor, run_id: str) -> bytes:
        """Return the page of the result. Raises NotFound, and what a store raises that does not answer."""
        run = self.run(visitor, run_id)
        return await (await self._store(run)).read(f"{run.result_path}/{RESULT}", limit=_MOST)

    async def notebook(self, visitor: Visitor, run_id: str) -> bytes:
        """Return the executed notebook. Raises as :meth:`page` does."""
        run = self.run(visitor, run_id)
        return await (await self._store(run)).read(run.executed, limit=_MOST)

    async def _store(self, run: Run) -> Store:
        """Return the owner's store with the result: they have opened this folder, and it alone, to who looks."""
        owner = await self._core.directory.user(run.owner) if run.result_store else None
        stores = self._core.stores.of(owner) if owner else []
        found = next((store for store in stores if store.id == run.result_store), None)
        if found is None:
            raise NotFound("There is no page of a result.")
        return found

    def _own(self, records: Records, visitor: Visitor, run_id: str) -> Run:
        run = records.runs.get(run_id)
        if run is None or run.owner != person_of(visitor).name:
            raise NotFound("There is no such run.")
        return run
