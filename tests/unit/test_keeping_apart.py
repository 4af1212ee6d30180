"""Nobody ever reads of another's basket, search or request, whatever people do and in which order."""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.portal_parts import ADA, BOB, EVE, ROOT, World
from tests.searchable import Searchable, searchable
from vaas.errors import VaasError
from vaas.model import SIGNED_IN, Access, App, Visitor

PEOPLE = {person.name: Visitor(person) for person in (ADA, BOB, EVE, ROOT)}
SUBJECTS = ("user:ada", "user:bob", "user:eve", "group:physics", SIGNED_IN)


class Crowd:
    """People who do things at random; every text that they write is a mark, and ``may`` says who may read which."""

    def __init__(self, found: Searchable, dice: random.Random, apps: list[App]) -> None:
        self.found, self.dice, self.apps = found, dice, apps
        self.ids = {"basket": [""], "thing": ["0" * 16], "search": ["0" * 12], "request": ["0" * 12]}
        self.count = 0
        #: mark → who may always read it.
        self.own: dict[str, set[str]] = {}
        #: title of a file that is in the index → who may see it; and which file's it is.
        self.readers: dict[str, frozenset[str]] = {}
        self.files: dict[str, str] = {}
        self.done = 0

    def mark(self, *names: str) -> str:
        """Return a new text that these people may read."""
        self.count += 1
        mark = f"MARK{self.count}X"
        self.own[mark] = set(names)
        return mark

    def some(self, kind: str) -> str:
        return self.dice.choice(self.ids[kind][-12:])

    def change_file(self) -> None:
        """Put a file into the index anew: its title may be read by its readers, until it is changed again."""
        readers = frozenset(self.dice.sample(SUBJECTS, self.dice.randint(0, 2)))
        title = self.mark()
        self.readers[title] = readers
        name = str(self.dice.randint(0, 5))
        for old, file in list(self.files.items()):
            if file == name:
                del self.files[old]
                self.readers[old] = frozenset()
        self.files[title] = name
        self.found.put(name, *readers, title=f"sea {title}")

    def may_read(self, visitor: Visitor, mark: str) -> bool:
        """Say by the simplest means whether this visitor may read this mark now."""
        if visitor.name in self.own[mark] or self.readers.get(mark, frozenset()) & visitor.subjects:
            return True
        with self.found.world.core.database.begin() as records:
            names = {b.name: b for b in map(records.baskets.get, self.ids["basket"]) if b}
        basket = names.get(mark)
        return basket is not None and bool(set(basket.shared_with) & visitor.subjects)

    async def step(self) -> None:
        """Let somebody do something; look at all that they are told."""
        name = self.dice.choice(list(PEOPLE))
        visitor, portal = PEOPLE[name], self.found.portal
        record = f"file:p/{self.dice.randint(0, 6)}"
        subjects = self.dice.sample(SUBJECTS, self.dice.randint(0, 2))
        app, wanted = self.dice.choice(self.apps), self.dice.choice([Access.READ, Access.WRITE])
        acts: list[Any] = [
            lambda: portal.baskets.look(visitor, self.some("basket")),
            lambda: portal.baskets.add(visitor, "here", record, basket_id=self.some("basket")),
            lambda: portal.baskets.add(visitor, "here", record),
            lambda: portal.baskets.remove(visitor, self.some("thing"), basket_id=self.some("basket")),
            lambda: portal.baskets.rename(visitor, self.mark(name), basket_id=self.some("basket")),
            lambda: portal.baskets.new(visitor, self.mark(name)),
            lambda: portal.baskets.share(visitor, self.some("basket"), subjects),
            lambda: portal.saved.save(visitor, f"sea {self.mark(name)}", self.mark(name)),
            lambda: portal.saved.mark(visitor, self.some("search")),
            lambda: portal.saved.forget(visitor, self.some("search")),
            lambda: portal.saved.look(visitor),
            lambda: portal.requests.ask(visitor, app.slug, access=wanted, message=self.mark(name, "ada", "root")),
            lambda: portal.requests.look(visitor),
            lambda: portal.requests.answer(visitor, self.some("request"), grant=False),
            lambda: portal.requests.withdraw(visitor, self.some("request")),
        ]
        if self.dice.random() < 0.03:
            acts = [lambda: portal.baskets.delete(visitor, self.some("basket"))]
        try:
            told = self.dice.choice(acts)()
            told = await told if inspect.isawaitable(told) else told
            self.done += 1
            self._remember(visitor, told)
            said = repr(told)
        except VaasError as error:
            said = repr((error.message, error.log_message, error.field))
        wrong = [mark for mark in re.findall(r"MARK\d+X", said) if not self.may_read(visitor, mark)]
        assert wrong == [], f"{name} was told {said}"

    def _remember(self, visitor: Visitor, told: Any) -> None:
        """Know the ids from now on, as everybody does in the worst case; a title that was kept is its keeper's."""
        for kind, pattern in (("basket", r"Basket\(id='(\w+)'"), ("thing", r"Thing\(id='(\w+)'")):
            self.ids[kind] += [one for one in re.findall(pattern, repr(told)) if one not in self.ids[kind]]
        for kind, pattern in (("search", r"SavedSearch\(id='(\w+)'"), ("request", r"AccessRequest\(id='(\w+)'")):
            self.ids[kind] += [one for one in re.findall(pattern, repr(told)) if one not in self.ids[kind]]
        basket = getattr(told, "basket", None)
        if basket is not None and basket.owner == visitor.name:
            for held in told.things:
                if held.state == "there":
                    for mark in re.findall(r"MARK\d+X", held.thing.title):
                        self.own[mark].add(visitor.name)


@pytest.fixture
def found(world: World, tmp_path: Path) -> Iterator[Searchable]:
    with searchable(world, tmp_path) as made:
        yield made


@pytest.mark.parametrize("seed", range(2))
async def test_nobody_reads_of_anothers_basket_search_or_request(found: Searchable, seed: int) -> None:
    dice = random.Random(seed)
    apps = [await found.world.published(ADA, to=(subject,)) for subject in ("user:bob", "group:physics", SIGNED_IN)]
    crowd = Crowd(found, dice, apps)
    for _ in range(400):
        if dice.random() < 0.15:
            crowd.change_file()
        await crowd.step()
        found.world.clock.forward(seconds=1)
        found.indexing.catch_up()
    assert crowd.done > 100, "they were let do something"
    assert all(len(ids) > 1 for ids in crowd.ids.values()), f"and left something to be read: {crowd.ids}"
