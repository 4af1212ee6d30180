"""Hub accounts for apps: an authenticator that nobody can sign in to them with, and the API that makes them.

The portal holds one scope of its own, ``custom:vaas:accounts``. It does not hold ``admin:users`` or
``delete:users``, because those reach people too, and Hub scopes on users have no filter by name.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.auth import Authenticator
from jupyterhub.handlers.login import LoginHandler, LogoutHandler
from jupyterhub.scopes import define_custom_scopes, needs_scope
from tornado import web

from hub_service.origins import is_forged
from hub_service.ports import PATH, PortHandler
from vaas.slug import ACCOUNT_PREFIX, is_account

__all__ = ["APP_GROUP", "CUSTOM_SCOPES", "ORIGIN", "AccountHandler", "AppAccounts", "with_app_accounts"]

#: The Hub group of every app account, and of nobody else: the portal's rights on servers are those of this group.
APP_GROUP = "vaas-apps"

#: The Hub's setting that holds its and the portal's own origin.
ORIGIN = "vaas_origin"

#: For how many seconds the removal of an account waits for a server that somebody else stops.
_STOPPING = 30.0

CUSTOM_SCOPES = {
    "custom:vaas:read": {"description": "See and open what you may see and open in VaaS"},
    "custom:vaas:write": {"description": "Publish, change and share in VaaS"},
    "custom:vaas:accounts": {"description": "Make and remove the accounts that run published apps"},
}
# needs_scope looks scopes up when a handler class is made, before the Hub has read its configuration.
define_custom_scopes(CUSTOM_SCOPES)


class AccountHandler(APIHandler):
    """``/hub/api/vaas/accounts/<name>``: make the account of an app, or remove it with all its servers."""

    async def prepare(self) -> None:
        """Refuse what a page of another origin sent."""
        _check_origin(self)
        await super().prepare()

    @needs_scope("custom:vaas:accounts")
    async def put(self, account: str) -> None:
        """Ensure the account: 201 when it was made, 200 when it is there, 409 when a person is called so."""
        existed = self._find(account) is not None
        user = self.user_from_username(account)
        user.sync_groups([APP_GROUP])
        self.set_status(200 if existed else 201)
        self.write(json.dumps({"name": user.name, "groups": [APP_GROUP]}))

    @needs_scope("custom:vaas:accounts")
    async def delete(self, account: str) -> None:
        """Stop the account's servers and remove it; 204 as well when there is none."""
        user = self._find(account)
        if user is not None:
            await self._stop_servers(user)
            await user.delete_spawners()
            self.users.delete(user)
        self.set_status(204)

    def _find(self, account: str) -> Any:
        """Return the Hub's user or None; one that is not an app's is nobody's to change here."""
        user = self.find_user(account)
        if user is not None and APP_GROUP not in {group.name for group in user.groups}:
            raise web.HTTPError(409, f"There is a person called {account}: it is not an app's account.")
        return user

    async def _stop_servers(self, user: Any) -> None:
        for name, spawner in list(user.spawners.items()):
            starting = spawner._spawn_future if spawner.pending == "spawn" else None
            if starting is not None:
                # The Hub stops no server that is still starting: take its process away, and the start fails.
                await spawner.stop(now=True)
                await asyncio.wait([starting], timeout=30)
            await _stopped(spawner)
            if spawner.active and not spawner.pending:
                await self.stop_single_user(user, name)
            if spawner.pending:
                raise web.HTTPError(503, f"A server of {user.name} is still stopping. Try again in a moment.")


class AppAccounts(Authenticator):
    """Keeps people out of app accounts and app accounts out of the authenticator's other business.

    Every method is the outermost one, so that nothing that a site's own class does can go around it.
    """

    async def get_authenticated_user(self, handler: Any, data: Any) -> Any:
        """Refuse a sign-in whose name is, or could become, an app's; take nobody else into their group.

        The Hub's own form is taken from its own page alone: before a sign-in its forgery token is bound to no session,
        so that an app's page could plant one and sign its visitor in as somebody else.
        """
        if isinstance(handler, LoginHandler):
            _check_origin(handler)
        person = await super().get_authenticated_user(handler, data)
        if person and person["name"].startswith(ACCOUNT_PREFIX):
            self.log.warning("Refused the sign-in of %s: names that begin so belong to apps.", person["name"])
            return None
        return _without_group(person)

    async def refresh_user(self, user: Any, handler: Any = None, **options: Any) -> Any:
        """Leave app accounts as they are: no identity provider knows them."""
        if is_account(user.name):
            return True
        return _without_group(await super().refresh_user(user, handler, **options))

    def add_user(self, user: Any) -> Any:
        """Ask no system for an app's account, and never put it among those who may sign in."""
        return None if is_account(user.name) else super().add_user(user)

    def delete_user(self, user: Any) -> Any:
        """Tell no system about the end of an app's account."""
        return None if is_account(user.name) else super().delete_user(user)

    def pre_spawn_start(self, user: Any, spawner: Any) -> Any:
        """Open no session of the system for an app's account."""
        return None if is_account(user.name) else super().pre_spawn_start(user, spawner)

    def post_spawn_stop(self, user: Any, spawner: Any) -> Any:
        """Close none either."""
        return None if is_account(user.name) else super().post_spawn_stop(user, spawner)

    def get_handlers(self, app: Any) -> list[Any]:
        """Add the accounts API, what takes ports of jobs, and a sign-out that no other page can cause, under ``/hub/``.

        The Hub puts them before all others: before batchspawner's own, too.
        """
        given = super().get_handlers(app)
        sign_out = next((handler for path, handler, *_ in given if path == "/logout"), LogoutHandler)
        accounts = rf"/api/vaas/accounts/({ACCOUNT_PREFIX}[a-z0-9]{{12}})"
        return [(accounts, AccountHandler), (PATH, PortHandler), ("/logout", with_asking(sign_out)), *given]


def with_app_accounts(cls: type[Any]) -> type[Any]:
    """Return ``cls`` with app accounts kept apart; ``cls`` itself when it keeps them apart already."""
    if issubclass(cls, AppAccounts):
        return cls
    # Under its own name, so that c.<Name>.… in a site's configuration means what it says.
    return type(cls.__name__, (AppAccounts, cls), {"__doc__": cls.__doc__, "__module__": cls.__module__})


def with_asking(cls: type[Any]) -> type[Any]:
    """Return the Hub's sign-out ``cls`` so that it asks first, unless our own page sends the visitor there."""

    class SignOut(cls):
        """Sign out on a form of ours; a mere address, which any page can open, shows that form."""

        async def get(self) -> None:
            """Sign out for the portal's own form, which leads here; ask everybody else."""
            told = self.request.headers
            if (told.get("Sec-Fetch-Site"), told.get("Sec-Fetch-Mode")) == ("same-origin", "navigate"):
                await super().get()
            else:
                self.finish(await self.render_template("sign_out.html"))

        async def post(self) -> None:
            """Sign out."""
            _check_origin(self)
            await super().get()

    return SignOut


def _check_origin(handler: Any) -> None:
    """Raise HTTPError when a page that is not ours sent this."""
    request = handler.request
    if is_forged(request.method, request.headers, origin=handler.settings.get(ORIGIN, "")):
        raise web.HTTPError(403, "This was sent from a page of another address. Go back and try it from here.")


async def _stopped(spawner: Any) -> None:
    """Wait for a server that is stopping already: the Hub does not stop it twice."""
    deadline = time.monotonic() + _STOPPING
    while spawner.pending == "stop" and time.monotonic() < deadline:
        await asyncio.sleep(0.1)


def _without_group(person: Any) -> Any:
    if isinstance(person, dict) and APP_GROUP in (person.get("groups") or ()):
        return {**person, "groups": [group for group in person["groups"] if group != APP_GROUP]}
    return person
