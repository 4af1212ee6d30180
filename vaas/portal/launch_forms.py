"""What can be launched by whom, out of what it is gathered, and what a person can choose before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vaas import notebook
from vaas.errors import Conflict, Invalid, NotFound, SignInNeeded
from vaas.launching import Launch, Offering
from vaas.model import App, Snapshot, User, Version, Visitor
from vaas.portal.baskets import Baskets
from vaas.portal.choices import Choice
from vaas.portal.core import Core
from vaas.portal.environments import BESIDE, Environments
from vaas.portal.offering import Needs, choices, needs_of, needs_of_snapshot, suggested
from vaas.portal.run_belongings import Belongings, Heard, as_then, files_in, unheard, with_files
from vaas.portal.things import OWN, Held
from vaas.stores.base import Store, check_path

__all__ = ["LONGEST_TITLE", "Asked", "Form", "Forms", "Given", "person_of"]

#: What a launch is asked of, in words of the wires.
Asked = Mapping[str, Any]
#: Returns what a running app gave to this visitor's launch of that app, by its id; {} for nothing.
Given = Callable[[Visitor, str, str], Mapping[str, Any]]

LONGEST_TITLE = 100
_LOST = "What you had chosen in the app is not kept any more. Launch it from there again, or without that."
_NOTHING = "Say what is to be launched: an app, a notebook of yours, the result of a run, a basket, or data."


@dataclass(frozen=True)
class Form:
    """What a person can choose before they launch.

    Parameters
    ----------
    asked:
        What it is asked of, checked: they may launch it.
    title:
        What it is called, and so the launch unless they call it something else.
    choices:
        Every place, environment and size, the best first; those that cannot be chosen say why.
    things:
        What of the basket goes along.
    lost:
        Whether what a running app gave was asked for, and is gone.
    """

    asked: Asked
    title: str
    choices: tuple[Choice, ...]
    things: tuple[Held, ...] = ()
    lost: bool = False

    @property
    def suggested(self) -> Choice | None:
        """The best that can be chosen; None where nothing can."""
        return suggested(self.choices)


class Forms:
    """Finds what a person asks to launch, by the rights that they have now."""

    def __init__(self, core: Core, baskets: Baskets, given: Given) -> None:
        self._core, self._baskets, self._given = core, baskets, given
        self._environments, self._belongings = Environments(core), Belongings(core)

    async def form(self, visitor: Visitor, asked: Asked) -> Form:
        """Return what can be chosen for it.

        ``asked`` names an "app", and by the id in "given" what travels along from where it runs; a notebook by "store"
        and "path", which is opened where it lies if that is the home, unless a "copy" is wanted; or a "run", whose
        result is launched with its data. With any of them, or alone, a "basket" goes along, of which "current" is the
        one without a name. Data that were found are launched alone by "catalog" and "record"; they go into a basket of
        their own only when they are launched, by :meth:`kept`.

        Raises
        ------
        NotFound
            There is no such app, notebook, basket or record for them.
        Forbidden
            They may open the app, but not launch it.
        """
        user = person_of(visitor)
        offering = self._core.offered
        things, basket, called = await self._data(visitor, str(asked.get("basket") or ""))
        if asked.get("app"):
            whole, title, needs, offering = await self._app(visitor, str(asked["app"]), things)
            given = self._given(visitor, whole["app"], str(asked.get("given") or ""))
            whole |= {"given": given} if given else {}
        elif asked.get("path"):
            whole, title, needs, offering = await self._notebook(user, asked, things)
        elif asked.get("run"):
            whole, title, needs, offering = await self._result(user, str(asked["run"]), things)
        elif basket:
            whole, title, needs = {}, called, needs_of(None, held=things)
        elif asked.get("record"):
            things = (await self._baskets.found(visitor, *_record(asked)),)
            whole, title, needs = {}, things[0].thing.title, needs_of(None, held=things)
        else:
            raise Invalid(_NOTHING)
        found = choices(offering, needs, user)
        lost = bool(asked.get("app") and asked.get("given")) and "given" not in whole
        return Form(whole | ({"basket": basket} if basket else {}), title[:LONGEST_TITLE].strip(), found, things, lost)

    async def whole(self, visitor: Visitor, asked: Asked) -> Form:
        """Return the form, and raise as :meth:`form` does; Conflict where what a running app gave is gone."""
        form = await self.form(visitor, asked)
        if form.lost:
            raise Conflict(_LOST, field="given")
        return form

    async def kept(self, visitor: Visitor, asked: Asked) -> Asked:
        """Return the basket in which data lie that are launched by themselves; nothing where something else is."""
        if not asked.get("record") or any(asked.get(name) for name in ("app", "path", "run", "basket")):
            return {}
        return {"basket": (await self._baskets.alone(visitor, *_record(asked))).basket.id}

    async def gathered(self, user: User, asked: Asked, choice: Choice) -> Asked:
        """Return what was asked for with what belongs to it: gathered now, so that who has it no more is told at once.

        That is the result of a run, and what says which packages a notebook of a store is to have. A result with data,
        which may be large, is looked at alone: :meth:`lacks` says so.
        """
        if asked.get("run"):
            run = self._belongings.run(user, str(asked["run"]))
            return asked if self._belongings.data(user, run) else with_files(asked, await self.complete(user, asked))
        if choice.environment.id == BESIDE:
            store = self._store(user, str(asked["store"]))
            if wanted := await self._environments.beside(store, str(asked["path"])):
                return with_files(asked, wanted)
            raise Conflict("What said which packages the notebook needs is gone. Choose another environment.")
        return asked

    def lacks(self, asked: Asked) -> bool:
        """Tell whether what belongs to the result is still to be copied."""
        return bool(asked.get("run")) and "files" not in asked

    async def complete(self, user: User, asked: Asked, *, told: Heard = unheard) -> Snapshot:
        """Return the result with copies of its data; raises as :meth:`Belongings.gather` does."""
        return await self._belongings.gather(user, self._belongings.run(user, str(asked["run"])), told=told)

    def offering(self, user: User, launch: Launch) -> tuple[Offering, Snapshot | None]:
        """Return what is offered for a launch, and the files that bring an environment of its own. Raises NotFound."""
        asked = launch.asked
        if launch.environment != BESIDE and not launch.environment.startswith("lock-"):
            return self._core.offering, None
        if "files" in asked:
            snapshot = files_in(asked)
        elif asked.get("run"):
            snapshot = self._belongings.run(user, str(asked["run"])).snapshot
        elif not asked.get("app"):
            return self._core.offering, None
        else:
            app = self._core.see(Visitor(user), str(asked["app"]), "launch").app
            snapshot = self._version(app, str(asked.get("version") or "")).snapshot
        return self._environments.offering(asked, snapshot), snapshot

    async def _data(self, visitor: Visitor, basket_id: str) -> tuple[tuple[Held, ...], str, str]:
        """Return the things that go along, the basket's id, and what it is called."""
        if not basket_id:
            return (), "", ""
        look = await self._baskets.look(visitor, "" if basket_id == "current" else basket_id)
        things = tuple(each for each in look.things if each.state == "there")
        if not things:
            raise Invalid("There is nothing in this basket that you could take along.", field="basket")
        return things, look.basket.id, look.basket.name or "My basket"

    def _version(self, app: App, wanted: str = "") -> Version:
        version = self._core.version(app, wanted)
        if version is None:
            raise NotFound("This app has no version to launch. Its owner can publish one.")
        return version

    async def _app(
        self, visitor: Visitor, slug: str, things: Sequence[Held]
    ) -> tuple[dict[str, Any], str, Needs, Offering]:
        app = self._core.see(visitor, slug, "launch").app
        version = self._version(app)
        content, snapshot, report = self._core.content, version.snapshot, version.report
        needs = await asyncio.to_thread(needs_of_snapshot, content, snapshot, held=things, report=report)
        asked = {"app": app.slug, "version": app.version, "called": app.title}
        offering = await asyncio.to_thread(self._environments.offering, asked, snapshot)
        return asked, app.title, needs, offering

    async def _result(
        self, user: User, run_id: str, things: Sequence[Held]
    ) -> tuple[dict[str, Any], str, Needs, Offering]:
        run = self._belongings.run(user, run_id)
        await self._belongings.check(user, run)
        needs = await asyncio.to_thread(needs_of_snapshot, self._core.content, run.snapshot, held=things)
        asked = {"run": run.id} | ({"of": run.asked["app"]} if run.asked.get("app") else {})
        offering = await asyncio.to_thread(self._environments.offering, asked, run.snapshot)
        return asked, run.title, needs, as_then(offering, run)

    async def _notebook(
        self, user: User, asked: Asked, things: Sequence[Held]
    ) -> tuple[dict[str, Any], str, Needs, Offering]:
        path, store = check_path(str(asked["path"])), self._store(user, str(asked.get("store") or ""))
        limit = self._core.limits.notebook_bytes
        name = path.rpartition("/")[2]
        if not name.endswith(".ipynb"):
            raise Invalid("Only notebooks can be launched.")
        parsed = await asyncio.to_thread(notebook.parse, await store.read(path, limit=limit), name=name)
        wants_copy = asked.get("copy") == "1" and store.id == "home"
        whole = {"store": store.id, "path": path} | ({"copy": "1"} if wants_copy else {})
        offering = self._environments.offering(whole, await self._environments.beside(store, path))
        return whole, name.removesuffix(".ipynb"), needs_of(parsed, held=things), offering

    def _store(self, user: User, store_id: str) -> Store:
        store = next((each for each in self._core.stores.of(user) if each.id == store_id), None)
        if store is None:
            raise NotFound("You have no such place for files.")
        return store


def _record(asked: Asked) -> tuple[str, str]:
    """Return the catalog and the id of the record that is asked for."""
    return str(asked.get("catalog") or OWN), str(asked["record"])


def person_of(visitor: Visitor) -> User:
    """Return who launches. Raises SignInNeeded."""
    if visitor.user is None:
        raise SignInNeeded("Sign in to launch a JupyterLab of your own.")
    return visitor.user
