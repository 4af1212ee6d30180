"""What an app is to be served with: packages that it asks for itself, or one of the site's environments, by choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vaas.content import snapshot_of
from vaas.errors import Invalid
from vaas.locks import digest_of
from vaas.model import Snapshot, User
from vaas.portal.core import Core
from vaas.portal.environments import BESIDE, Environments, without_lock
from vaas.portal.offering import needs_of_snapshot
from vaas.portal.serving import Fit, Serving, without_served
from vaas.served import APPS, Served, served_file

__all__ = ["Choosing"]


class Choosing:
    """Finds what fits an app, and writes down what was chosen."""

    def __init__(self, core: Core) -> None:
        self._core, self._environments, self._serving = core, Environments(core), Serving(core)

    def fits(self, snapshot: Snapshot, user: User) -> list[Fit]:
        """Return what the snapshot can be served with: what it asks for itself, what all apps share, what else is."""
        own = self._environments.of_file(snapshot)
        needs = needs_of_snapshot(self._core.content, without_served(snapshot))
        return [*([Fit(own)] if own else []), *self._serving.fits(needs, user)]

    def chosen(self, snapshot: Snapshot) -> str:
        """Return the id of what the snapshot is served with: ``BESIDE`` for packages of its own."""
        if served := self._serving.of(snapshot):
            return served.id
        # What is locked was asked for, and is not read for it: all versions of an app may be asked about at once.
        if digest_of(snapshot) and self._environments.asks(snapshot):
            return BESIDE
        return BESIDE if self._environments.of_file(snapshot) else APPS

    def suggested(self, fits: Sequence[Fit]) -> str:
        """Return the id of what fits best: its own packages, what all apps share, or what lacks less than that."""
        if fits[0].environment.id == BESIDE:
            return BESIDE
        common, best = fits[0], next((fit for fit in fits[1:] if not fit.why_not), None)
        if best is None or best.missing is None or not common.missing:
            return APPS
        return best.environment.id if len(best.missing) < len(common.missing) else APPS

    def choose(
        self, snapshot: Snapshot, user: User, *, wanted: str | None = None, before: Snapshot | None = None
    ) -> Snapshot:
        """Return the snapshot with what it is to be served with: what is ``wanted``, else what fits.

        What fits is what the version ``before`` was given, or what came along with the files, as long as it is offered.
        Raises Invalid where it cannot be chosen.
        """
        found = self.fits(snapshot, user)
        fits, default = {fit.environment.id: fit for fit in found}, found[0].environment.id
        if wanted and wanted not in fits:
            raise Invalid("This environment is not offered here. Choose another one.", field="environment")
        if wanted and (why := fits[wanted].why_not):
            raise Invalid(f"“{fits[wanted].environment.title}” cannot be chosen. {why}", field="environment")
        chosen = wanted or self._kept(snapshot, before, fits) or self.suggested(found)
        # What is the case without a word is not written down.
        if chosen == default:
            return without_served(snapshot)
        return self._serving.written(without_lock(snapshot), Served(chosen))

    def as_in(self, before: Snapshot, whole: Snapshot) -> Snapshot:
        """Return the whole of what was chosen for when it was not there yet, with that choice."""
        file, bare = served_file(before), without_served(whole)
        return snapshot_of(bare.notebook, (*bare.files, file)) if file else bare

    def _kept(self, snapshot: Snapshot, before: Snapshot | None, fits: Mapping[str, Fit]) -> str:
        """Return what was chosen before and can be chosen still; "" where nothing was."""
        asks, asked = BESIDE in fits, before is not None and bool(self._environments.asks(before))
        for each in (before, snapshot):
            served = self._serving.brought(each) if each else None
            if served is None or served.id not in fits or fits[served.id].why_not:
                continue
            # A file that asks for packages counts more where it is new; what all apps share was a choice against one.
            if asked if asks and each is before else served.id != APPS:
                return served.id
        return ""
