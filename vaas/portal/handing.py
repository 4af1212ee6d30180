"""Handing a basket to an app: what a person is asked before, and what they gave when they said yes.

An app's author must not come by what its visitors may see with a link alone. So a yes is for what was shown: one
version of one app and whose it is, what that may reach and know, one basket, and the things that were listed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from vaas.catalogs.base import Record
from vaas.keeping import Basket, Handed
from vaas.model import App, Visitor
from vaas.network import within
from vaas.portal.baskets import Baskets
from vaas.portal.core import Core, takes, terms
from vaas.portal.finding import Finding
from vaas.portal.things import Held

__all__ = ["Handing", "Offer"]

_MOST_APPS = 100


@dataclass(frozen=True)
class Offer:
    """What a person would give.

    Parameters
    ----------
    things:
        What they may see at this moment, and so what would be given.
    left:
        How many things there are more in the basket, which are not given.
    mark:
        Another one whenever anything else would be given, or to anything else, or anything else was shown of that.
    reach:
        What the app may reach, as :mod:`vaas.network` writes it.
    """

    app: App
    basket: Basket
    things: tuple[Held, ...]
    left: int
    mark: str
    reach: tuple[str, ...]
    terms: str

    @property
    def handed(self) -> Handed:
        """What a yes gives."""
        things = tuple(each.thing.id for each in self.things)
        return Handed(self.basket.id, things, self.app.id, self.app.version, self.terms)


class Handing:
    """What people hand to apps."""

    def __init__(self, core: Core, finding: Finding, baskets: Baskets) -> None:
        self._core, self._finding, self._baskets = core, finding, baskets
        #: Yes → until when it is remembered that it was used.
        self._spent: dict[str, float] = {}

    def takes_basket(self, visitor: Visitor, slug: str) -> bool:
        """Tell whether the version that opens now asks for a basket. Raises NotFound for who may not open the app."""
        app = self._core.see(visitor, slug, "open").app
        with self._core.database.begin() as records:
            versions = records.versions.of(app.id)
        return not app.speaks and any(takes(each.report) for each in versions if each.snapshot.hash == app.version)

    async def offer(self, visitor: Visitor, slug: str, basket_id: str) -> Offer:
        """Return what the visitor would give to that app. Raises NotFound for a basket that they may not look into."""
        app = self._core.see(visitor, slug, "open").app
        look = await self._baskets.look(visitor, basket_id)
        things = tuple(each for each in look.things if each.state == "there")
        reach = within(app.network, self._core.network)
        whose = [app.id, app.version, app.owner, app.title, *reach]
        given = [visitor.name, look.basket.id, look.basket.name, look.basket.owner]
        said = [whose, app.knows_visitor, given, [each.thing.id for each in things]]
        mark = hashlib.sha256(json.dumps(said).encode()).hexdigest()
        left = look.count - len(things)
        return Offer(app, look.basket, things, left, mark, reach, terms(app, self._core.network))

    async def given(self, visitor: Visitor, slug: str, basket_id: str, mark: str) -> Handed | None:
        """Return what they said yes to; None when it is not what they were shown any more, or nothing."""
        offer = await self.offer(visitor, slug, basket_id)
        return offer.handed if offer.mark == mark and offer.things and self.takes_basket(visitor, slug) else None

    def is_spent(self, yes: str) -> bool:
        """Tell whether this yes has led in before."""
        return self._spent.get(yes, 0) > self._core.now().timestamp()

    def spend(self, yes: str, *, seconds: float) -> bool:
        """Use a yes, which is good for ``seconds`` at most; tell whether it was not used before."""
        now = self._core.now().timestamp()
        self._spent = {each: until for each, until in self._spent.items() if until > now}
        return self._spent.setdefault(yes, until := now + seconds) is until

    async def apps(self, visitor: Visitor) -> Sequence[Record]:
        """Return the apps that ask for a basket and that the visitor may open, as they are found."""
        page = await self._finding.search("catalog:here type:app takes:basket", visitor=visitor, limit=_MOST_APPS)
        return sorted(page.records, key=lambda record: (record.title.casefold(), record.id))
