"""A template, or a kernel that ran ahead, as it is kept: with the pages that were recorded of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from vaas.runtime.recorded import Recorded, Recordings
from vaas.runtime.rendering import Begun, Renders
from vaas.runtime.sources import changed
from vaas.runtime.template import Template

__all__ = ["Ready", "look"]


class Ready:
    """A template that has run, since ``made``; ``changed``: what it has read is not as it was."""

    def __init__(self, template: Template, rendering: Renders) -> None:
        self.template = template
        self.made = time.monotonic()
        self.changed = False
        self._rendering = rendering
        self._recordings = Recordings(self._record)

    def is_old(self, most: float) -> bool:
        """Tell whether it is older than its author or the site want it: ``most`` seconds; 0: no limit."""
        age = min(filter(None, (most, self.template.sources.every)), default=0)
        return bool(age and time.monotonic() - self.made > age)

    async def page(self, facts: Mapping[str, object]) -> Recorded:
        """Return the page that shows this."""
        return await self._recordings.get(facts)

    async def _record(self, page: Mapping[str, object]) -> str:
        ran = self.template.whole[1] if self.template.whole else self.template.ran
        assert ran is not None  # who did not run to the end has no page
        shown = {**page, "state": self._rendering.address_of(ran.state)}
        begun = Begun(str(page["kernel"]), None, ran.cells, state=ran.state)
        return await self._rendering.record(str(page["title"]), page=shown, begun=begun)


def look(kept: Iterable[Ready]) -> None:
    """See whether what they have read has changed. It may take long where a network drive hangs."""
    for ready in kept:
        ready.changed = ready.changed or changed(ready.template.sources)
