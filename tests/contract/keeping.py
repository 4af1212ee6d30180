"""What every database does with what people keep of searching: subclass KeepingContract, give it ``database``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from importlib import import_module

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations

from tests.contract.database import NOW, app, grant
from vaas.db.sql import SqlDatabase
from vaas.errors import Conflict
from vaas.keeping import AccessRequest, Basket, SavedSearch, Thing
from vaas.model import EVERYONE, SIGNED_IN, Access, User, Visitor

BASKET = Basket("b1", "ada", "", NOW, NOW)
THING = Thing("t1", "b1", "file", "files/home/é.csv", "Sea ünits", "here", "file:p1/é.csv", NOW, 2**40, "sha256:ab")
SEARCH = SavedSearch("s1", "ada", "Sea", "sea after:7d", NOW, NOW)
REQUEST = AccessRequest("r1", "a1", "bob", Access.READ, "Please, 東京", "App 1", NOW)
LATER = NOW + timedelta(seconds=1)


class KeepingContract:
    """The tests; ``database`` has the newest schema and no rows."""

    @pytest.fixture
    def database(self) -> Iterator[SqlDatabase]:
        raise NotImplementedError

    def test_a_basket_comes_back_as_it_was_saved_with_whom_it_is_shared(self, database: SqlDatabase) -> None:
        named = replace(BASKET, id="b2", name="Été 東京", shared_with=(SIGNED_IN, "user:bob"))
        with database.begin() as records:
            for each in (BASKET, named):
                records.baskets.save(each)
        with database.begin() as records:
            assert records.baskets.get("b1") == records.baskets.current("ada") == BASKET
            assert records.baskets.get("b2") == named
            assert records.baskets.get("b3") is records.baskets.current("bob") is None
            moved = replace(named, name="New", changed=LATER, shared_with=("user:eve",))
            records.baskets.save(moved)
            records.baskets.save(moved)
            assert records.baskets.get("b2") == moved

    def test_what_can_be_found_of_baskets_is_noted(self, database: SqlDatabase) -> None:
        def noted() -> list[str]:
            with database.begin() as records:
                found = [each for each in records.changes.since(before, limit=10) if each.kind == "share"]
            return [each.key for each in found]

        with database.begin() as records:
            before = records.changes.last()
            records.baskets.save(BASKET)
        assert noted() == []
        with database.begin() as records:
            records.baskets.save(replace(BASKET, id="b2", name="Sea", shared_with=("user:bob",)))
            records.baskets.remove("b3")
        assert noted() == ["b2", "b3"]

    def test_collections_of_before_are_noted_when_the_database_is_upgraded(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            records.apps.save(app())
            for key, shared in (("b1", ()), ("b2", ("user:bob", "user:eve")), ("b3", (SIGNED_IN,))):
                records.baskets.save(replace(BASKET, id=key, name=f"Sea {key}", shared_with=shared))
            before = records.changes.last()
        step = import_module("vaas.db.migrations.versions.0009_collections")
        with database._engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
            step.downgrade()
            step.upgrade()
        with database.begin() as records:
            found = records.changes.since(0, limit=10)
            assert [(each.kind, each.key) for each in found] == [("app", "a1"), ("share", "b2"), ("share", "b3")]
            assert [each.number for each in found[1:]] == [
                before + 1,
                before + 2,
            ] and records.changes.last() == before + 2

    def test_one_reads_ones_own_and_what_is_shared_and_nothing_else(self, database: SqlDatabase) -> None:
        names = {"b2": "zoo", "b3": "Ant", "b4": "for bob", "b5": "for physics", "b6": "for eve"}
        shared = {"b4": ("user:bob", "group:x"), "b5": ("group:physics",), "b6": ("user:eve",)}
        with database.begin() as records:
            records.baskets.save(replace(BASKET, id="b1", owner="bob"))
            for key, name in names.items():
                owner = "bob" if key in {"b2", "b3"} else "ada"
                records.baskets.save(replace(BASKET, id=key, name=name, owner=owner, shared_with=shared.get(key, ())))
        with database.begin() as records:
            found = records.baskets.readable("bob", {"user:bob", "group:physics", EVERYONE})
            assert [each.id for each in found] == ["b1", "b3", "b2", "b4", "b5"]
            assert records.baskets.readable("eve", {"user:evel"}) == []

    def test_of_very_many_collections_of_others_the_last_changed_are_listed(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            for number in range(205):
                changed = NOW + timedelta(seconds=number)
                made = replace(BASKET, id=f"b{number}", name=f"n{number}", changed=changed, shared_with=(SIGNED_IN,))
                records.baskets.save(made)
            listed = {each.id for each in records.baskets.readable("bob", {SIGNED_IN})}
            assert listed == {f"b{number}" for number in range(5, 205)}
            assert len(records.baskets.readable("ada", ())) == 205

    def test_a_name_is_taken_once_by_each_person(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            records.baskets.save(BASKET)
            records.baskets.save(replace(BASKET, id="b2", owner="bob"))
            records.searches.save(SEARCH)
            records.searches.save(replace(SEARCH, id="s2", owner="bob"))
        for what in ("baskets", "searches"):
            with pytest.raises(Conflict) as refused, database.begin() as records:
                getattr(records, what).save(replace({"baskets": BASKET, "searches": SEARCH}[what], id="x"))  # type: ignore[type-var]
            assert refused.value.field == "name"

    def test_things_come_back_the_last_first_and_go_with_their_basket(self, database: SqlDatabase) -> None:
        second = replace(THING, id="t2", added=LATER, size=None, access={"how": "store"}, shown={"é": ["\u2028"]})
        with database.begin() as records:
            records.baskets.save(BASKET)
            records.baskets.save(replace(BASKET, id="b2", name="other"))
            for each in (THING, second, replace(THING, title="not this one"), replace(THING, id="t3", basket_id="b2")):
                records.things.add(each)
        with database.begin() as records:
            assert records.things.of("b1") == [second, THING]
            assert records.things.counts(["b1", "b2", "b3"]) == {"b1": 2, "b2": 1}
            assert records.things.counts([]) == {}
            records.things.remove("b2", "t1")
            records.things.remove("b1", "t2")
            records.things.remove("b1", "t2")
            assert records.things.of("b1") == [THING]
            records.baskets.remove("b1")
            records.baskets.remove("b1")
        with database.begin() as records:
            assert records.things.of("b1") == [] and records.baskets.get("b1") is None
            assert records.things.counts(["b1", "b2"]) == {"b2": 1}

    def test_the_longest_words_that_the_portal_lets_in_are_kept(self, database: SqlDatabase) -> None:
        long = replace(THING, title="é" * 300, catalog="c" * 60, record="ü" * 5000, uri="u" * 4000, checksum="c" * 200)
        with database.begin() as records:
            records.baskets.save(replace(BASKET, name="é" * 100, owner="o" * 255, shared_with=("group:" + "g" * 251,)))
            records.things.add(long)
            records.searches.save(replace(SEARCH, name="é" * 100, q="é" * 1000))
        with database.begin() as records:
            assert records.things.of("b1") == [long]

    def test_words_that_no_database_keeps_do_no_harm(self, database: SqlDatabase) -> None:
        bad, kept = "a\0b\ud800c", "a\ufffdb\ufffdc"
        with database.begin() as records:
            records.baskets.save(replace(BASKET, name=bad))
            records.things.add(replace(THING, title=bad, record=bad, shown={"x": bad}))
            records.searches.save(replace(SEARCH, name=bad, q=bad))
            records.apps.save(app())
            records.requests.add(replace(REQUEST, message=bad), keep=5)
        with database.begin() as records:
            (thing,), (search,), (request,) = (
                records.things.of("b1"),
                records.searches.of("ada"),
                records.requests.of("bob"),
            )
            assert (thing.title, thing.record, search.q, request.message) == (kept,) * 4
            assert records.baskets.get(bad) is records.requests.get(bad) is None

    def test_saved_searches_are_their_owners_alone(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            for each in (SEARCH, replace(SEARCH, id="s2", name="ant"), replace(SEARCH, id="s3", owner="bob")):
                records.searches.save(each)
            records.searches.save(replace(SEARCH, seen=LATER))
            records.searches.remove("bob", "s1")
            assert records.searches.of("ada") == [replace(SEARCH, id="s2", name="ant"), replace(SEARCH, seen=LATER)]
            records.searches.remove("ada", "s1")
            records.searches.remove("ada", "s1")
            assert [each.id for each in records.searches.of("ada")] == ["s2"]
            assert [each.id for each in records.searches.of("bob")] == ["s3"]

    def test_one_request_of_a_person_for_an_app_is_open_at_a_time(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            records.apps.save(app())
            records.apps.save(app(2))
            records.requests.add(REQUEST, keep=5)
            records.requests.add(replace(REQUEST, id="r2", app_id="a2"), keep=5)
            records.requests.add(replace(REQUEST, id="r3", who="eve"), keep=5)
        with pytest.raises(Conflict), database.begin() as records:
            records.requests.add(replace(REQUEST, id="r4"), keep=5)
        closed = replace(REQUEST, state="refused", answered_by="ada", answered=LATER)
        with database.begin() as records:
            assert records.requests.get("r1") == REQUEST
            assert records.requests.close(closed) is True
            assert records.requests.close(replace(closed, state="granted")) is False
            assert records.requests.close(replace(closed, id="none")) is False
            assert records.requests.get("r1") == closed
            records.requests.add(replace(REQUEST, id="r4", created=LATER), keep=5)
            assert [each.id for each in records.requests.of("bob")] == ["r4", "r1", "r2"]

    def test_answered_requests_are_forgotten_the_oldest_first_and_all_with_their_app(
        self, database: SqlDatabase
    ) -> None:
        with database.begin() as records:
            records.apps.save(app())
            for number in range(5):
                made = replace(REQUEST, id=f"r{number}", created=NOW + timedelta(seconds=number))
                records.requests.add(made, keep=2)
                if number < 4:
                    records.requests.close(replace(made, state="granted"))
        with database.begin() as records:
            assert [each.id for each in records.requests.of("bob")] == ["r4", "r3", "r2"]
            records.apps.remove("a1")
        with database.begin() as records:
            assert records.requests.of("bob") == []

    def test_requests_are_seen_by_who_may_answer_them(self, database: SqlDatabase) -> None:
        past = NOW - timedelta(days=1)
        with database.begin() as records:
            for number in (1, 2, 3):
                records.apps.save(app(number, owner="wim" if number == 2 else "ada"))
                made = replace(REQUEST, id=f"r{number}", app_id=f"a{number}", created=NOW - timedelta(seconds=number))
                records.requests.add(made, keep=5)
            records.requests.close(replace(REQUEST, id="r3", state="refused"))
            records.grants.save(grant("user:wim", Access.WRITE))
            records.grants.save(grant("group:physics", Access.WRITE))
            records.grants.save(grant("user:rita", Access.READ))
            records.grants.save(grant("user:tom", Access.WRITE, expires=past))
            records.grants.save(grant("user:wim", Access.WRITE, app_id="a3"))

            def asked(name: str, *groups: str) -> list[str]:
                visitor = Visitor(User(name, frozenset(groups)))
                return [each.id for each in records.requests.to_answer(visitor, now=NOW)]

            assert (asked("ada"), asked("wim"), asked("gus", "physics")) == (["r1"], ["r2", "r1"], ["r1"])
            assert asked("rita") == asked("tom") == asked("bob") == []
            assert records.requests.to_answer(Visitor(), now=NOW) == []
