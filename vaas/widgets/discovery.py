"""The discovery dashboard: one widget, whose page is in the .vue files beside it, and which asks a portal's client.

Nothing is asked while the notebook runs ahead of its visitors: the first search is part of the visit.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import ipyvuetify
from traitlets import Dict, Int, Unicode

import vaas
from vaas.client import PortalError
from vaas.widgets import shown, terms
from vaas.widgets.beside import Beside
from vaas.widgets.keeping import Keeping
from vaas.widgets.searching import Question, Searching
from vaas.widgets.verbs import Verbs

__all__ = ["Discovery"]

_HERE = Path(__file__).parent
_PARTS = (
    "icon",
    "marked",
    "facets",
    "timeline",
    "map",
    "card",
    "preview",
    "runs",
    "plot",
    "basket",
    "saved",
    "requests",
)
_MOST_TYPED = 1_000
_log = logging.getLogger(__name__)
_WRONG = "Something went wrong here. Try again; if it stays like this, tell those who run the portal."


def _part(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _why(error: Exception) -> str:
    """Return what went wrong in words; what nobody has thought of is in the log."""
    if isinstance(error, PortalError):
        return str(error)
    _log.error("The portal could not be asked", exc_info=error)
    return _WRONG


class Discovery(ipyvuetify.VuetifyTemplate):
    """Finds what there is, shows it, and does with it what can be done.

    Parameters
    ----------
    here:
        Returns the client that asks the portal as the visitor: :func:`vaas.client.here`. It is not called before a
        visit begins.
    """

    #: What was found, and what is to be said of it; see :meth:`Searching.search`. ``n`` is that of the question.
    answer = Dict().tag(sync=True)
    #: The last question that was put to other catalogs, which may take seconds: what comes next is answered meanwhile.
    beside = Int().tag(sync=True)
    #: The pages after the first, of the same question.
    later = Dict().tag(sync=True)
    #: How the text could go on.
    guesses = Dict().tag(sync=True)
    #: The record that is looked at, and what is inside.
    looked = Dict().tag(sync=True)
    #: What belongs to the visitor.
    mine = Dict().tag(sync=True)
    #: The outlines of the continents.
    land = Unicode().tag(sync=True)

    template_file = (__file__, "discovery.vue")

    def __init__(self, here: Callable[[], Verbs]) -> None:
        self._searching, self._keeping = Searching(here), Keeping(here)
        self._lists, self._pages, self._looks = Beside(), Beside(), Beside()
        super().__init__(
            css=_part("discovery.css"),
            components={f"dv-{name}": _part(f"{name}.vue") for name in _PARTS},
            land=json.loads(_part("land.json"))["path"],
            answer={"state": "", "n": 0, "q": ""},
            later={"n": 0, "records": [], "more": False},
            mine=self._keeping.mine,
        )
        vaas.on_visit(self.begin)

    def begin(self, visitor: Any) -> None:
        """Search for what the address asks for, for this visitor."""
        text = str(visitor.query.get("q", ""))[:_MOST_TYPED]
        if terms.leaves(terms.here_first(text)):
            # The page does not wait for others: it asks itself when it is there.
            self.answer = {**self.answer, "q": text}
        else:
            self._search(text, n=1)

    def vue_arrive(self, _said: object) -> None:
        """Find out who is there: the page is up, so nobody waits for this."""
        try:
            self.mine = self._keeping.arrive()
        except Exception as error:
            self.mine = {"state": "failed", "signed_in": False, "why": _why(error)}

    def vue_search(self, said: Mapping[str, Any]) -> None:
        """Search for what was typed, then guess how it goes on."""
        text, typing, outside = str(said["q"])[:_MOST_TYPED], bool(said.get("typing")), bool(said.get("outside"))
        self._search(text, n=int(said["n"]), typing=typing, outside=outside)
        if typing and not outside:
            self._guess(text)

    def vue_turn(self, said: Mapping[str, Any]) -> None:
        """Turn a value of a facet on or off."""
        self._search(terms.toggled(str(said["q"]), str(said["field"]), str(said["value"])), n=int(said["n"]))

    def vue_bound(self, said: Mapping[str, Any]) -> None:
        """Bound the time."""
        self._search(terms.bounded(str(said["q"]), str(said["after"]), str(said["before"])), n=int(said["n"]))

    def vue_bound_years(self, said: Mapping[str, Any]) -> None:
        """Bound the years that it is about."""
        self._search(terms.about(str(said["q"]), said.get("first"), said.get("last")), n=int(said["n"]))

    def vue_next(self, _said: object) -> None:
        """Show more hits."""
        self._ask(self._pages, self._searching.more(), self._further, lambda error: {"why": _why(error)})

    def _further(self, page: Mapping[str, Any]) -> None:
        # The page waits for a change, so there is one in any case.
        now = {"n": self.answer["n"], "turn": self.later.get("turn", 0) + 1}
        if "why" in page:
            self.later = {**self.later, **now, **page}
        else:
            self.later = {**now, "records": [*self.later["records"], *page["records"]], "more": page["more"]}

    def vue_look(self, said: Mapping[str, Any]) -> None:
        """Show a record: what is known at once, then what is inside, which may take long."""
        key, mine, about = str(said["key"]), self._keeping.mine, None
        if (record := self._searching.record(key)) is not None:
            about = shown.detail(record, launches=bool(mine.get("launch")), visitor=str(mine.get("name") or ""))
            self.looked = {"key": key, "about": about, "inside": None}

        def show(inside: Mapping[str, Any]) -> None:
            self.looked = {"key": key, "about": about, "inside": inside}

        look = Question(lambda: self._searching.preview(key), lambda inside: inside, leaves=record is not None)
        self._ask(self._looks, look, show, lambda error: {"kind": "none", "why": _why(error)})

    def vue_keep(self, said: Mapping[str, Any]) -> None:
        """Do something with a basket."""
        self._keep(lambda: self._keeping.basket(str(said["do"]), said), said=str(said.get("say") or ""))

    def vue_save(self, said: Mapping[str, Any]) -> None:
        """Do something with the saved searches."""
        self._keep(lambda: self._keeping.saved(str(said["do"]), said), said=str(said.get("say") or ""))

    def vue_ask(self, said: Mapping[str, Any]) -> None:
        """Ask an owner for access."""
        words = (str(said["slug"]), str(said["access"]), str(said.get("message") or ""))
        self._keep(lambda: self._keeping.ask(*words), said="The owner has your request.")

    def vue_grant(self, said: Mapping[str, Any]) -> None:
        """Answer somebody's request."""
        grant = bool(said.get("grant"))
        told = "They have access now." if grant else "The request is refused."
        self._keep(lambda: self._keeping.answer(str(said["id"]), grant=grant), said=told)

    def _search(self, text: str, *, n: int, typing: bool = False, outside: bool = False) -> None:
        question = self._searching.search(text, typing=typing, outside=outside)
        # Nobody waits any more for what was asked before.
        self._lists.give_up()
        if question.anew:
            self._pages.give_up()

        def show(answer: Mapping[str, Any]) -> None:
            self.answer = {**answer, "n": n}
            if self.later.get("records") or self.later.get("why"):
                self.later = {"n": n, "records": [], "more": False}

        self._ask(self._lists, question, show, lambda error: {"state": "failed", "q": text, "why": _why(error)})
        if question.leaves:
            self.beside = n

    def _ask(
        self,
        beside: Beside,
        question: Question,
        show: Callable[[Mapping[str, Any]], None],
        wrong: Callable[[Exception], Mapping[str, Any]],
    ) -> None:
        """Show what is answered, or what is wrong: a page that gets no answer would wait for ever."""

        def take(asked: Future[Any]) -> None:
            try:
                answer = question.take(asked.result())
            except Exception as error:
                answer = dict(wrong(error))
            show(answer)

        beside.ask(question.ask, take, here=not question.leaves)

    def _guess(self, text: str) -> None:
        try:
            words = self._searching.suggest(text)
        except Exception as error:
            _why(error)
            words = []
        self.guesses = {"q": text, "words": words}

    def _keep(self, work: Callable[[], dict[str, Any]], *, said: str = "") -> None:
        """Do it and show how it is then; what goes wrong is said."""
        try:
            self.mine = work()
        except Exception as error:
            self._say(_why(error), bad=True)
        else:
            if said:
                self._say(said)

    def _say(self, text: str, *, bad: bool = False) -> None:
        self.send({"method": "say", "args": [{"text": text, "bad": bad}]})
