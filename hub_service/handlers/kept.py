"""The pages of what people keep: baskets and collections, and requests for access."""

from __future__ import annotations

from hub_service.handlers.base import Page
from hub_service.handlers.keeping import named
from hub_service.handlers.sharing import access_named, subject_added
from hub_service.kept_json import thing_json
from vaas.errors import Invalid, VaasError
from vaas.policy import subject_title

__all__ = ["AskPage", "BasketAppsPage", "BasketPage", "RequestsPage"]


class BasketPage(Page):
    """One basket with its things, and the list of all that the person may look into."""

    nav = "basket"

    async def get(self, basket: str) -> None:
        """Show it."""
        look = await self.portal.baskets.look(self.visitor, named(basket))
        mine = look.basket.owner == self.person.name
        directory = self.portal.core.directory
        context = {
            "basket": look.basket,
            "look": look,
            "mine": mine,
            "things": [thing_json(held, base=self.public_url) for held in look.things],
            "own": [each for each in look.baskets if each[0].owner == self.person.name and each[0].name],
            "collections": [each for each in look.baskets if each[0].owner != self.person.name],
            "current": next((count for each, count in look.baskets if self._is_current(each.name, each.owner)), 0),
            "action": f"{self.base}basket/{basket}",
            "people": await directory.people() if mine and look.basket.name else [],
            "groups": await directory.groups() if mine and look.basket.name else [],
            "shared": [(subject, subject_title(subject)) for subject in look.basket.shared_with],
        }
        self.show("basket.html", title=look.basket.name or "My basket", context=context)

    async def post(self, basket: str) -> None:
        """Do what the pressed button says."""
        actions = {"remove": self._remove, "rename": self._rename, "new": self._new, "delete": self._delete}
        actions |= {"share": self._share, "unshare": self._unshare, "add": self._add}
        action = actions.get(self.get_body_argument("do", ""))
        if action is None:
            raise Invalid("This button does nothing.")
        try:
            to, notice = await action(named(basket))
        except VaasError as error:
            self.fail_form(_at_its_field(error, self.get_body_argument("do")))
            await self.get(basket)
            return
        self.done(f"basket/{to or 'current'}", notice)

    def _is_current(self, name: str, owner: str) -> bool:
        return not name and owner == self.person.name

    async def _add(self, basket: str) -> tuple[str, str]:
        catalog, record = self.get_body_argument("catalog", "here"), self.get_body_argument("record")
        await self.portal.baskets.add(self.visitor, catalog, record, basket_id=basket)
        return basket, "It is in the basket."

    async def _remove(self, basket: str) -> tuple[str, str]:
        await self.portal.baskets.remove(self.visitor, self.get_body_argument("thing"), basket_id=basket)
        return basket, "Taken out of the basket."

    async def _rename(self, basket: str) -> tuple[str, str]:
        look = await self.portal.baskets.rename(self.visitor, self.get_body_argument("name", ""), basket_id=basket)
        return look.basket.id, f"The basket is called “{look.basket.name}” now."

    async def _new(self, _basket: str) -> tuple[str, str]:
        look = await self.portal.baskets.new(self.visitor, self.get_body_argument("new_name", ""))
        return look.basket.id, f"“{look.basket.name}” is ready to be filled."

    async def _delete(self, basket: str) -> tuple[str, str]:
        await self.portal.baskets.delete(self.visitor, basket)
        return "", "The basket is deleted."

    async def _share(self, basket: str) -> tuple[str, str]:
        subject = subject_added(self)
        before = (await self.portal.baskets.look(self.visitor, basket)).basket.shared_with
        await self.portal.baskets.share(self.visitor, basket, [*before, subject])
        return basket, f"Shared with {subject_title(subject)}."

    async def _unshare(self, basket: str) -> tuple[str, str]:
        subject = self.get_body_argument("subject")
        before = (await self.portal.baskets.look(self.visitor, basket)).basket.shared_with
        await self.portal.baskets.share(self.visitor, basket, [each for each in before if each != subject])
        return basket, f"No longer shared with {subject_title(subject)}."


class BasketAppsPage(Page):
    """The apps that take a basket, to open one of them with it."""

    nav = "basket"

    async def get(self, basket: str) -> None:
        """Show those that the person may open."""
        look = await self.portal.baskets.look(self.visitor, named(basket))
        apps = [(record, record.details.get("slug", "")) for record in await self.portal.handing.apps(self.visitor)]
        there = sum(held.state == "there" for held in look.things)
        context = {"basket": look.basket, "there": there, "apps": apps, "back": f"{self.base}basket/{basket}"}
        self.show("basket_apps.html", title="Open in an app", context={**context, "id": basket})


class RequestsPage(Page):
    """What others ask of the person, each answered by one button, and what they asked for themselves."""

    nav = "requests"

    def get(self) -> None:
        """Show both."""
        asked, to_answer = self.portal.requests.look(self.visitor)
        self.show("requests.html", title="Requests", context={"asked": asked, "to_answer": to_answer})

    async def post(self) -> None:
        """Do what the pressed button says."""
        request, do = self.get_body_argument("request"), self.get_body_argument("do", "")
        if do == "withdraw":
            self.portal.requests.withdraw(self.visitor, request)
            self.done("requests", "Taken back.")
        elif do in {"grant", "refuse"}:
            found = await self.portal.requests.answer(self.visitor, request, grant=do == "grant")
            who = found.request.who
            self.done("requests", f"{who} has access now." if do == "grant" else f"{who} is told that you said no.")
        else:
            raise Invalid("This button does nothing.")


class AskPage(Page):
    """Asking for more access to an app, from its page."""

    def post(self, slug: str) -> None:
        """Ask, and go back to the app."""
        app = self.portal.core.see(self.visitor, slug, "ask for access").app
        access = access_named(self.get_body_argument("access", "READ"))
        self.portal.requests.ask(self.visitor, slug, access=access, message=self.get_body_argument("message", ""))
        self.done(f"apps/{slug}/", f"Asked. {app.owner} sees it, and can say yes with one click.")


def _at_its_field(error: VaasError, do: str) -> VaasError:
    """Return the error at the field of the form that was sent: several on the page ask for a name."""
    if error.field:
        error.field = {"new": "new_name", "share": "subject"}.get(do, error.field)
    return error
