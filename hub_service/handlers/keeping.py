"""REST: what people keep of searching (baskets, saved searches), and requests for access."""

from __future__ import annotations

from hub_service.handlers.base import Api
from hub_service.handlers.sharing import access_named
from hub_service.kept_json import basket_json, baskets_json, request_json, requests_json, saved_json
from vaas.errors import Invalid
from vaas.portal.baskets import Look
from vaas.portal.requests import Asked

__all__ = [
    "BasketJson",
    "BasketThingJson",
    "BasketThingsJson",
    "BasketsJson",
    "RequestJson",
    "RequestsJson",
    "SavedJson",
    "SavedSearchJson",
    "SeenJson",
    "named",
]


def named(basket: str) -> str:
    """Return the basket's id as the portal takes it: an address cannot end in nothing, so it says "current"."""
    return "" if basket == "current" else basket


class _Basket(Api):
    """A handler that answers with a basket."""

    def tell(self, look: Look, *, status: int = 200) -> None:
        """Send the basket with its things."""
        self.reply(basket_json(look, base=self.public_url), status=status)


class BasketsJson(_Basket):
    """The caller's baskets, and the collections that are shared with them."""

    async def get(self) -> None:
        """Send them without their things, the caller's own first."""
        self.reply({"baskets": baskets_json(await self.portal.baskets.look(self.visitor))})

    async def post(self) -> None:
        """Begin an empty one called ``name``."""
        self.tell(await self.portal.baskets.new(self.visitor, self.text("name")), status=201)


class BasketJson(_Basket):
    """One basket: by its id, or ``current`` for the caller's own that has no name."""

    async def get(self, basket: str) -> None:
        """Send it with its things, each as far as the caller may see it now, and with the list of all baskets."""
        self.tell(await self.portal.baskets.look(self.visitor, named(basket)))

    async def patch(self, basket: str) -> None:
        """Give it another ``name``, or make ``shared_with`` the only people and groups that may look into it."""
        name, shared = self.json.get("name"), self.strings("shared_with")
        if name is None and shared is None:
            raise Invalid("Say “name” or “shared_with”.")
        basket = named(basket)
        if name is not None:
            look = await self.portal.baskets.rename(self.visitor, self.text("name"), basket_id=basket)
            basket = look.basket.id
        if shared is not None:
            look = await self.portal.baskets.share(self.visitor, basket, shared)
        self.tell(look)

    async def delete(self, basket: str) -> None:
        """Throw it away with what is in it, for all who see it."""
        await self.portal.baskets.delete(self.visitor, named(basket))
        self.set_status(204)


class BasketThingsJson(_Basket):
    """What lies in a basket."""

    async def post(self, basket: str) -> None:
        """Put ``record`` of ``catalog`` into it, and send the basket; what is in it already stays as it is."""
        catalog, record = self.text("catalog", "here"), self.text("record")
        self.tell(await self.portal.baskets.add(self.visitor, catalog, record, basket_id=named(basket)))


class BasketThingJson(_Basket):
    """One thing in a basket."""

    async def delete(self, basket: str, thing: str) -> None:
        """Take it out."""
        await self.portal.baskets.remove(self.visitor, thing, basket_id=named(basket))
        self.set_status(204)


class SavedJson(Api):
    """The caller's saved searches."""

    async def get(self) -> None:
        """Send them, each with how many records are ``new``: changed since ``seen``, and for the caller to see."""
        self.reply(saved_json(await self.portal.saved.look(self.visitor)))

    async def post(self) -> None:
        """Save the search ``q`` under ``name`` (left out: the search itself), and send all."""
        self.reply(saved_json(await self.portal.saved.save(self.visitor, self.text("q"), self.text("name"))))


class SavedSearchJson(Api):
    """One saved search."""

    async def delete(self, search: str) -> None:
        """Forget it."""
        await self.portal.saved.forget(self.visitor, search)
        self.set_status(204)


class SeenJson(Api):
    """That the caller has seen what a saved search finds."""

    async def put(self, search: str) -> None:
        """Note it, and send all saved searches."""
        self.reply(saved_json(await self.portal.saved.mark(self.visitor, search)))


class RequestsJson(Api):
    """What the caller asked for, and what others ask of them."""

    def get(self) -> None:
        """Send ``asked``, the newest first, and ``to_answer``, the oldest first."""
        asked, to_answer = self.portal.requests.look(self.visitor)
        self.reply(requests_json(asked, to_answer, base=self.public_url))

    def post(self) -> None:
        """Ask for READ or WRITE ``access`` to the app at ``slug``, with a ``message`` for those who may grant it."""
        slug, message = self.text("slug"), self.text("message")
        app = self.portal.core.see(self.visitor, slug, "ask for access").app
        access = access_named(self.text("access", "READ"))
        request = self.portal.requests.ask(self.visitor, slug, access=access, message=message)
        self.reply(request_json(Asked(request, app), base=self.public_url), status=201)


class RequestJson(Api):
    """One request."""

    async def put(self, request: str) -> None:
        """Answer it: ``grant`` true gives the access, false refuses; for who may grant."""
        grant = self.flag("grant")
        if grant is None:
            raise Invalid("Say “grant”: true or false.")
        answered = await self.portal.requests.answer(self.visitor, request, grant=grant)
        self.reply(request_json(answered, base=self.public_url))

    def delete(self, request: str) -> None:
        """Take one's own back."""
        self.portal.requests.withdraw(self.visitor, request)
        self.set_status(204)
