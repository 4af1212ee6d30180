"""What every database does: subclass DatabaseContract and give it the fixture ``database``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from threading import Event, Thread

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from vaas import policy
from vaas.db import schema
from vaas.db.base import Find, Lease, Query, Records
from vaas.db.sql import SqlDatabase
from vaas.errors import Conflict, NotFound
from vaas.model import (
    EVERYONE,
    SIGNED_IN,
    Access,
    App,
    Draft,
    File,
    Grant,
    Incident,
    Link,
    Snapshot,
    StoreAccount,
    User,
    Version,
    Visitor,
)

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
ADA = Visitor(User("ada"))
SNAPSHOT = Snapshot("f" * 64, "lesson.ipynb", (File("data/ä.csv", "b" * 64, 2), File("lesson.ipynb", "a" * 64, 1)))
REPORT = {"ok": False, "errors": [{"cell": 1, "message": "Zürich 東京 🌍"}], "picture": None, "seconds": 1.5}


def app(number: int = 1, **changed: object) -> App:
    """Return an app; ``changed`` as for dataclasses.replace."""
    made = App(f"a{number}", f"app-{number}", f"App {number}", "ada", SNAPSHOT.hash, NOW, NOW)
    return replace(made, **changed)  # type: ignore[arg-type]


def grant(subject: str, access: Access = Access.VIEW, *, app_id: str = "a1", expires: datetime | None = None) -> Grant:
    """Return a grant."""
    return Grant(app_id, subject, access, "ada", NOW, expires)


def find(path: str, *, place: str = "home-ada", **changed: object) -> Find:
    """Return a find; ``changed`` as for dataclasses.replace."""
    made = Find(place, path, "1", "data", {"title": "Zürich"}, frozenset({"user:ada"}), NOW, 12, NOW)
    return replace(made, **changed)  # type: ignore[arg-type]


def draft(**changed: object) -> Draft:
    """Return a draft; ``changed`` as for dataclasses.replace."""
    return replace(Draft("0a1b2c3d", "ada", "a1", "", "Waves", SNAPSHOT, NOW, "home", "x/lesson.ipynb"), **changed)  # type: ignore[arg-type]


PEOPLE, GROUPS, LINKS = ["ada", "bob", "eve", "everyone"], ["physics", "ada", "signed-in"], ["l1", "l2", "ada"]
MOMENTS = [None, None, NOW, NOW + timedelta(microseconds=1), NOW - timedelta(days=1), NOW + timedelta(days=1)]


def _drawn(dice: Random) -> tuple[list[App], list[Grant]]:
    apps = [app(number, owner=dice.choice([*PEOPLE, ""])) for number in range(40)]
    subjects = [EVERYONE, SIGNED_IN]
    subjects += [f"{kind}:{n}" for kind, names in (("user", PEOPLE), ("group", GROUPS), ("link", LINKS)) for n in names]
    grants = [
        Grant(dice.choice(apps).id, dice.choice(subjects), dice.choice(list(Access)), "ada", NOW, dice.choice(MOMENTS))
        for _ in range(90)
    ]
    return apps, grants


def _visitor(dice: Random) -> Visitor:
    links = frozenset(dice.sample(LINKS, dice.randint(0, 2)))
    if dice.random() < 0.25:
        return Visitor(None, links)
    groups = frozenset(dice.sample(GROUPS, dice.randint(0, 2)))
    return Visitor(User(dice.choice(PEOPLE), groups, admin=dice.random() < 0.1), links)


class DatabaseContract:
    """The tests; ``database`` has the newest schema and no rows."""

    @pytest.fixture
    def database(self) -> Iterator[SqlDatabase]:
        raise NotImplementedError

    def test_what_it_names_is_found_in_whichever_table(self, database: SqlDatabase) -> None:
        assert database.hashes() == set()
        with database.begin() as records:
            records.apps.save(app(cover="c" * 64))
            records.versions.add(Version("a1", 1, SNAPSHOT, "ada", NOW, report=REPORT))
            records.drafts.save(Draft("d", "bob", "a2", "", "D", replace(SNAPSHOT, hash="1" * 64), NOW))
            # What was found in stores is no content.
            records.finds.save([find("a.csv", record={"sha256": "9" * 64})])
        assert database.hashes() == {each * 64 for each in "abcf1"}

    def test_it_has_one_number_of_its_own(self, database: SqlDatabase) -> None:
        assert database.identity() == database.identity() > 0

    def test_an_app_comes_back_as_it_was_saved(self, database: SqlDatabase) -> None:
        whole = app(description="d" * 5000, category="Éarth", tags=("a", 'b"c', "東京"), cover="c" * 64)
        whole = replace(
            whole,
            origin_store="home",
            origin_path="a/b.ipynb",
            network=("a.org", "*.b.org:443"),
            knows_visitor=True,
            speaks=True,
        )
        with database.begin() as records:
            records.apps.save(whole)
        with database.begin() as records:
            assert records.apps.get("app-1") == records.apps.by_id("a1") == whole
            assert records.apps.get("a1") is records.apps.by_id("app-1") is None

    def test_saving_an_app_again_replaces_it_and_moves_it(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            records.apps.save(app())
            records.apps.save(app(title="New", slug="new"))
            assert records.apps.get("app-1") is None
            assert records.apps.get("new") == app(title="New", slug="new")

    def test_a_slug_is_taken_once(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            records.apps.save(app())
        for other in (app(2, slug="app-1"),):
            with pytest.raises(Conflict) as refused, database.begin() as records:
                records.apps.save(other)
            assert "app-1" in refused.value.message
        with database.begin() as records:
            assert records.apps.by_id("a2") is None
            records.apps.save(app(2))

    def test_the_longest_words_that_the_portal_lets_in_are_kept(self, database: SqlDatabase) -> None:
        long = app(slug="s" * 60, title="é" * 200, owner="o" * 255, category="k" * 60, tags=("t" * 40,) * 20)
        long = replace(long, origin_store="s" * 60, origin_path="p" * 4000)
        with database.begin() as records:
            records.apps.save(long)
            records.grants.save(replace(grant("group:" + "g" * 251), granted_by="g" * 255))
            records.drafts.save(draft(slug="s" * 60, title="ü" * 200, owner="o" * 255, origin_store="s" * 60))
            assert records.apps.get("s" * 60) == long

    def test_words_that_no_database_keeps_do_no_harm(self, database: SqlDatabase) -> None:
        bad, kept = "a\0b\ud800c", "a\ufffdb\ufffdc"
        with database.begin() as records:
            records.apps.save(app(title=bad, tags=("c\udcffd",)))
            records.drafts.save(draft(title=bad, report={"errors": [{"message": "c\udcffd"}], "nul": "\0"}))
            assert records.apps.get(bad) is None
            assert records.apps.visible(ADA, Query((bad, "\0"), category=bad), now=NOW) == []
            records.grants.remove("a1", bad)
        with database.begin() as records:
            found, unpublished = records.apps.get("app-1"), records.drafts.get("0a1b2c3d")
        assert found and unpublished
        assert (found.title, found.tags, unpublished.title) == (kept, ("c\ufffdd",), kept)
        assert unpublished.report == {"errors": [{"message": "c\ufffdd"}], "nul": "\0"}

    def test_removing_an_app_takes_its_versions_grants_and_links(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            for number in (1, 2):
                records.apps.save(app(number))
                records.versions.add(Version(f"a{number}", 1, SNAPSHOT, "ada", NOW))
                records.grants.save(grant("user:bob", app_id=f"a{number}"))
                records.links.add(Link(f"l{number}", f"a{number}", f"token-{number}", "ada", NOW), Access.VIEW)
        with database.begin() as records:
            records.apps.remove("a1")
            records.apps.remove("a1")
        with database.begin() as records:
            assert records.apps.by_id("a1") is None
            assert records.versions.of("a1") == records.grants.of(["a1"]) == records.links.of("a1") == []
            assert records.links.by_token("token-1") is None
            assert len(records.versions.of("a2")) == len(records.links.of("a2")) == 1
            assert len(records.grants.of(["a2"])) == 2

    def test_versions_come_newest_first_and_as_they_were_added(self, database: SqlDatabase) -> None:
        added = [Version("a1", n, SNAPSHOT, "ada", NOW, f"note {n}", REPORT) for n in (1, 2, 10, 9)]
        with database.begin() as records:
            records.apps.save(app())
            for version in added:
                records.versions.add(version)
        with database.begin() as records:
            assert records.versions.of("a1") == sorted(added, key=lambda v: -v.number)
            assert records.versions.of("a2") == []

    def test_what_is_said_about_a_version_can_be_replaced_and_nothing_else(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            records.apps.save(app())
            for number in (1, 2):
                records.versions.add(Version("a1", number, SNAPSHOT, "ada", NOW, "note", REPORT))
            records.versions.annotate("a1", 1, {"opens": {"mode": "warm", "why": []}})
            records.versions.annotate("a1", 3, {})
        with database.begin() as records:
            second, first = records.versions.of("a1")
            assert second.report == REPORT
            told = {"opens": {"mode": "warm", "why": []}}
            assert first == Version("a1", 1, SNAPSHOT, "ada", NOW, "note", told)

    def test_a_version_number_is_taken_once(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            records.apps.save(app())
            records.versions.add(Version("a1", 1, SNAPSHOT, "ada", NOW, "first"))
        with pytest.raises(Conflict), database.begin() as records:
            records.versions.add(Version("a1", 1, SNAPSHOT, "bob", NOW, "second"))
        with database.begin() as records:
            assert [version.note for version in records.versions.of("a1")] == ["first"]

    def test_a_subject_holds_one_grant_for_an_app(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            for each in (app(), app(2)):
                records.apps.save(each)
            records.grants.save(grant("user:bob", Access.WRITE))
            records.grants.save(grant("user:bob", Access.READ, expires=NOW))
            records.grants.save(grant("group:x"))
            records.grants.save(grant("user:bob", app_id="a2"))
            assert records.grants.of(["a1"]) == [grant("group:x"), grant("user:bob", Access.READ, expires=NOW)]
            assert len(records.grants.of({"a1", "a2"})) == 3
            assert records.grants.of(["a1"], subjects={"group:x", "user:eve"}) == [grant("group:x")]
            assert records.grants.of(["a1"], subjects=()) == []
            assert records.grants.of([]) == records.grants.of(["none"]) == []
            records.grants.remove("a1", "user:bob")
            records.grants.remove("a1", "user:bob")
            assert records.grants.of(["a1", "a2"]) == [grant("group:x"), grant("user:bob", app_id="a2")]
            assert isinstance(records.grants.of(["a1"])[0].access, Access)

    def test_a_link_is_found_by_its_token_and_goes_with_its_grant(self, database: SqlDatabase) -> None:
        later = NOW + timedelta(days=1)
        first, second = Link("l1", "a1", "t1", "ada", NOW), Link("l2", "a1", "t2", "ada", later, later)
        with database.begin() as records:
            records.apps.save(app())
            records.links.add(first, Access.VIEW)
            records.links.add(second, Access.READ)
        with database.begin() as records:
            assert (records.links.by_token("t1"), records.links.by_token("t2")) == (first, second)
            assert records.links.by_token("t3") is records.links.by_token("") is None
            assert records.links.of("a1") == [second, first]
            grants = {g.subject: g for g in records.grants.of(["a1"])}
            assert (grants["link:l1"].access, grants["link:l1"].expires) == (Access.VIEW, None)
            assert (grants["link:l2"].access, grants["link:l2"].expires) == (Access.READ, later)
            records.links.remove("a2", "l1")
            assert records.links.by_token("t1") == first
            records.links.remove("a1", "l1")
            records.links.remove("a1", "l1")
            assert records.links.of("a1") == [second]
            assert [g.subject for g in records.grants.of(["a1"])] == ["link:l2"]

    def test_a_draft_comes_back_as_it_was_saved(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            records.drafts.save(draft())
            changed = draft(state="done", report=REPORT, progress={"cell": 1}, network=("*",))
            records.drafts.save(changed)
            assert records.drafts.get("0a1b2c3d") == changed
            records.drafts.remove("0a1b2c3d")
            records.drafts.remove("0a1b2c3d")
            assert records.drafts.get("0a1b2c3d") is None

    def test_old_drafts_are_those_made_before_a_time(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            records.drafts.save(draft(created=NOW - timedelta(microseconds=1)))
            records.drafts.save(draft(id="1" * 8, created=NOW))
            assert [d.id for d in records.drafts.older(NOW)] == ["0a1b2c3d"]

    def test_incidents_come_newest_first_and_the_oldest_are_forgotten(self, database: SqlDatabase) -> None:
        def incident(number: int, *, app_id: str = "a1") -> Incident:
            return Incident(app_id, 3, "memory", f"It used {number} GB.", NOW + timedelta(seconds=number // 2))

        with database.begin() as records:
            for each in (app(), app(2)):
                records.apps.save(each)
            records.incidents.add(incident(0, app_id="a2"), keep=4)
            for number in range(9):  # two at a time, at the same moment
                records.incidents.add(incident(number), keep=4)
        with database.begin() as records:
            assert records.incidents.of("a1") == [incident(number) for number in (8, 7, 6, 5)]
            assert records.incidents.of("a2") == [incident(0, app_id="a2")]
            records.apps.remove("a1")
            assert records.incidents.of("a1") == records.incidents.of("none") == []
            assert len(records.incidents.of("a2")) == 1

    def test_a_connected_account_is_its_owners_alone(self, database: SqlDatabase) -> None:
        account = StoreAccount("dav-1", "ada", "Cloud", "https://cloud.example.org/dav/", "alice", NOW)
        with database.begin() as records:
            records.accounts.add(account, "pâss wörd")
            records.accounts.add(replace(account, id="dav-2", title="Attic"), "second")
        with database.begin() as records:
            assert [a.title for a in records.accounts.of("ada")] == ["Attic", "Cloud"]
            assert records.accounts.of("ada")[1] == account
            assert records.accounts.of("bob") == []
            assert records.accounts.password("dav-1") == "pâss wörd"
            records.accounts.remove("bob", "dav-1")
            assert len(records.accounts.of("ada")) == 2
            records.accounts.remove("ada", "dav-1")
            with pytest.raises(NotFound):
                records.accounts.password("dav-1")

    def test_a_transaction_that_raises_is_undone_as_a_whole(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            records.apps.save(app())
            records.grants.save(grant("user:bob"))
        with pytest.raises(RuntimeError), database.begin() as records:
            records.apps.save(app(title="Changed"))
            records.apps.save(app(2))
            records.grants.remove("a1", "user:bob")
            records.drafts.save(draft())
            raise RuntimeError("something else went wrong")
        with database.begin() as records:
            assert records.apps.get("app-1") == app()
            assert records.apps.get("app-2") is records.drafts.get("0a1b2c3d") is None
            assert records.grants.of(["a1"]) == [grant("user:bob")]

    def test_a_conflict_undoes_what_came_before_it(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            records.apps.save(app())
        with pytest.raises(Conflict), database.begin() as records:
            records.grants.save(grant("user:bob"))
            records.apps.save(app(2, slug="app-1"))
        with database.begin() as records:
            assert records.grants.of(["a1"]) == []

    def test_times_are_kept_to_the_microsecond_whatever_their_zone(self, database: SqlDatabase) -> None:
        there = NOW.astimezone(timezone(timedelta(hours=-7)))
        with database.begin() as records:
            records.apps.save(app(created=there, updated=there))
        with database.begin() as records:
            found = records.apps.get("app-1")
        assert found and found.created == NOW and found.created.utcoffset() is not None

    def test_a_search_wants_all_words_in_title_description_owner_or_tags(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            records.apps.save(app(1, title="Sea level", description="Tide gauges", tags=("Ocean", "CO₂")))
            records.apps.save(app(2, title="Été à Zürich", description="100% of a_b", category="Earth"))
            records.apps.save(app(3, title="ΣΊΣΥΦΟΣ", tags=("Ämter",)))

        def found(*words: str, category: str = "") -> list[str]:
            with database.begin() as records:
                return sorted(a.id for a in records.apps.visible(ADA, Query(words, category), now=NOW))

        assert found() == ["a1", "a2", "a3"]
        assert found("SEA", "gauge") == found("ocean") == found("co₂") == ["a1"]
        assert found("sea", "zürich") == []
        assert found("été") == found("ÉTÉ") == found("ZÜRICH") == found("100%") == found("a_b") == ["a2"]
        assert found("ämter") == ["a3"]
        assert found("%") == ["a2"] and found("_") == ["a2"]
        assert found("\\") == found("'; drop table apps; --") == []
        assert found("ada") == ["a1", "a2", "a3"]
        assert found(category="Earth") == ["a2"] and found(category="earth") == []

    def test_what_is_listed_is_the_latest_first_and_not_more_than_asked_for(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            for number in (1, 3, 2):
                records.apps.save(app(number, updated=NOW + timedelta(hours=number)))
            assert [a.id for a in records.apps.visible(ADA, Query(), now=NOW)] == ["a3", "a2", "a1"]
            assert [a.id for a in records.apps.visible(ADA, Query(limit=1), now=NOW)] == ["a3"]

    def test_mine_is_what_i_own_and_shared_is_what_names_me(self, database: SqlDatabase) -> None:
        bob = Visitor(User("bob", frozenset({"physics"})), frozenset({"l1"}))
        subjects = {2: EVERYONE, 3: SIGNED_IN, 4: "user:bob", 5: "group:physics", 6: "link:l1", 7: "user:eve"}
        with database.begin() as records:
            records.apps.save(app(1, owner="bob"))
            records.grants.save(grant("user:bob", app_id="a1"))
            for number, subject in subjects.items():
                records.apps.save(app(number))
                records.grants.save(grant(subject, app_id=f"a{number}"))

        def ids(visitor: Visitor, show: str) -> list[str]:
            with database.begin() as records:
                return sorted(a.id for a in records.apps.visible(visitor, Query(show=show), now=NOW))

        assert ids(bob, "mine") == ["a1"]
        assert ids(bob, "shared") == ["a4", "a5", "a6"]
        assert ids(bob, "all") == ["a1", "a2", "a3", "a4", "a5", "a6"]
        assert ids(Visitor(), "mine") == ids(Visitor(), "shared") == []
        admin = Visitor(User("root", admin=True))
        assert len(ids(admin, "all")) == 7
        assert ids(admin, "mine") == ids(admin, "shared") == []

    def test_what_is_listed_is_what_the_policy_lets_see(self, database: SqlDatabase) -> None:
        dice = Random(20260301)
        apps, grants = _drawn(dice)
        with database.begin() as records:
            for each in apps:
                records.apps.save(each)
            for each in grants:
                records.grants.save(each)
            grants = records.grants.of([a.id for a in apps])
            of = {a.id: [g for g in grants if g.app_id == a.id] for a in apps}
            for _ in range(200):
                visitor = _visitor(dice)
                listed = {a.id for a in records.apps.visible(visitor, Query(), now=NOW)}
                allowed = {a.id for a in apps if policy.access_of(visitor, a, of[a.id], now=NOW)[0]}
                assert listed == allowed, visitor

    def test_upgrading_what_is_up_to_date_changes_nothing(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            records.apps.save(app())
        database.upgrade()
        database.upgrade()
        with database.begin() as records:
            assert records.apps.get("app-1") == app()

    def test_the_migrations_make_the_tables_that_the_code_knows(self, database: SqlDatabase) -> None:
        with database._engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, schema.metadata) == []
            assert set(sa.inspect(connection).get_table_names()) == {*schema.metadata.tables, "alembic_version"}

    def test_what_can_be_found_is_noted_when_it_changes(self, database: SqlDatabase) -> None:
        def changed(since: int) -> tuple[list[str], int]:
            with database.begin() as records:
                found = records.changes.since(since, limit=10)
            return [f"{each.kind} {each.key}" for each in found], max((each.number for each in found), default=since)

        def done(change: Callable[[Records], object]) -> list[str]:
            _, before = changed(0)
            with database.begin() as records:
                change(records)
            return changed(before)[0]

        version = Version("a1", 1, SNAPSHOT, "ada", NOW, "", {})
        link = Link("l1", "a1", "token", "ada", NOW)
        assert changed(0)[0] == []
        assert done(lambda records: [records.apps.save(app(2)), records.apps.save(app(1))]) == ["app a2", "app a1"]
        assert done(lambda records: records.versions.add(version)) == ["app a1"]
        assert done(lambda records: records.grants.save(grant("user:eve"))) == ["app a1"]
        assert done(lambda records: records.grants.remove("a1", "user:eve")) == ["app a1"]
        assert done(lambda records: records.links.add(link, Access.VIEW)) == ["app a1"]
        assert done(lambda records: records.links.remove("a1", "l1")) == ["app a1"]
        assert done(lambda records: records.versions.annotate("a1", 1, {"x": 1})) == []
        assert done(lambda records: records.apps.remove("a1")) == ["app a1"]
        assert changed(0)[0] == ["app a2", "app a1"]
        with database.begin() as records:
            assert records.changes.last() == changed(0)[1]
        with database.begin() as records:
            assert [each.key for each in records.changes.since(0, limit=1)] == ["a2"]

    def test_numbers_that_come_again_are_of_another_epoch(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            first = records.changes.epoch()
            assert first == records.changes.epoch() > 0
            records.changes.begin_epoch()
        with database.begin() as records:
            assert records.changes.epoch() != first

    def test_what_is_undone_has_not_changed(self, database: SqlDatabase) -> None:
        with pytest.raises(ZeroDivisionError), database.begin() as records:
            records.changes.note("app", "a1")
            raise ZeroDivisionError
        with database.begin() as records:
            assert records.changes.since(0, limit=10) == []

    def test_who_has_seen_a_change_has_seen_all_before_it(self, database: SqlDatabase) -> None:
        seen, over = list[str](), Event()

        def write(name: str) -> None:
            for number in range(10):
                with database.begin() as records:
                    records.changes.note("app", f"{name}{number}")
                    time.sleep(0.002)

        def read() -> None:
            last = 0
            while True:
                stop = over.is_set()
                with database.begin() as records:
                    found = records.changes.since(last, limit=3)
                seen.extend(each.key for each in found)
                last = max([last, *(each.number for each in found)])
                if stop and not found:
                    return
                time.sleep(0.005)  # as those who follow do: a reader without a pause takes all turns of a process

        reader, writers = Thread(target=read), [Thread(target=write, args=(name,)) for name in "abc"]
        for thread in (reader, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        over.set()
        reader.join()
        assert sorted(seen) == sorted(f"{name}{number}" for name in "abc" for number in range(10))

    def test_what_was_found_comes_back_and_each_write_is_noted(self, database: SqlDatabase) -> None:
        one, two = find("a/one.csv", note="Too large."), find("Été 100%_x.csv", mark="2")
        other = find("a/one.csv", place="home-bob", readers=frozenset({"group:a b", "user:bob"}))
        with database.begin() as records:
            before = records.changes.last()
            records.finds.save([one, two, other])
        with database.begin() as records:
            keys = [one.key, other.key, "home-ada/none"]
            assert sorted(records.finds.some(keys), key=lambda each: each.place) == [one, other]
            assert records.finds.marks("home-ada") == {"a/one.csv": "1", "Été 100%_x.csv": "2"}
            assert records.finds.places() == {"home-ada": 2, "home-bob": 1}
            noted = records.changes.since(before, limit=9)
            assert [(each.kind, each.key) for each in noted] == [("file", each.key) for each in (one, two, other)]
            assert [each.number for each in noted] == list(range(before + 1, before + 4))
            assert (records.changes.count(), records.changes.last()) == (3, before + 3)
        with database.begin() as records:
            records.finds.save([replace(one, mark="9")])
            records.finds.remove("home-bob", ["a/one.csv", "none"])
        with database.begin() as records:
            assert records.finds.some([one.key])[0].mark == "9" and records.finds.places() == {"home-ada": 2}
            assert records.finds.noted(limit=9) == [("home-ada", "a/one.csv", "Too large.")]
            assert records.finds.noted(limit=0) == []
            assert [each.key for each in records.changes.since(before + 3, limit=9)] == [one.key, other.key]
            records.finds.save([])
            records.finds.remove("home-eve")
            records.finds.remove("home-ada", [])
            assert records.changes.last() == before + 5

    def test_what_is_below_a_path_is_not_what_is_called_alike(self, database: SqlDatabase) -> None:
        paths = ("a", "a/b", "A/b", "ab", "a/b/c", "a_b", "x/a/b")
        with database.begin() as records:
            records.finds.save([find(path) for path in paths])
            assert records.finds.marks("home-ada", "a").keys() == {"a", "a/b", "a/b/c"}
            assert records.finds.marks("home-ada", "a/b").keys() == {"a/b", "a/b/c"}
            assert records.finds.marks("home-ada", "a", deep=False).keys() == {"a", "a/b"}
            assert records.finds.marks("home-ada", deep=False).keys() == {"a", "ab", "a_b"}
            assert records.finds.marks("home-ada", "a_b").keys() == {"a_b"}
            assert records.finds.count("home-ada") == 7 and records.finds.count("home-eve") == 0

    def test_what_is_in_a_folder_is_found_whatever_its_name_holds(self, database: SqlDatabase) -> None:
        folders = ("50%", "50!", "5_0", "500", "Été", "été", "a0", "a-", "a", "~", "漢")
        paths = [f"{folder}/{name}" for folder in folders for name in ("x", "y/z")]
        with database.begin() as records:
            records.finds.save([find(path) for path in [*paths, ""]])
            for folder in folders:
                below = {path for path in paths if path.startswith(f"{folder}/")}
                assert records.finds.marks("home-ada", folder).keys() == below
                assert records.finds.marks("home-ada", folder, deep=False).keys() == {f"{folder}/x"}
            assert records.finds.marks("home-ada").keys() == {*paths, ""}
            assert records.finds.marks("home-ada", deep=False).keys() == {""}

    def test_many_finds_are_saved_and_removed_at_once(self, database: SqlDatabase) -> None:
        many = [find(f"{number}.csv") for number in range(1_203)]
        with database.begin() as records:
            records.finds.save(many)
            records.walks.save("home-ada", {"": "1"})
        with database.begin() as records:
            assert len(records.finds.some([each.key for each in many])) == 1_203 == records.changes.count()
            records.finds.remove("home-ada", [each.path for each in many[:1_100]])
            assert records.finds.places() == {"home-ada": 103} and records.walks.of("home-ada") == {"": "1"}
            records.finds.remove("home-ada")
        with database.begin() as records:
            assert records.finds.places() == {} and records.walks.of("home-ada") == {}

    def test_the_etags_of_folders_are_those_of_the_last_walk(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            assert records.walks.of("home-ada") == {}
            records.walks.save("home-ada", {"": "1", "ä": '"2"'})
            records.walks.save("home-ada", {"": "3"})
        with database.begin() as records:
            assert records.walks.of("home-ada") == {"": "3"} and records.walks.of("home-bob") == {}

    def test_a_disconnected_account_takes_what_was_found_in_it_along(self, database: SqlDatabase) -> None:
        account = StoreAccount("dav-1", "ada", "Cloud", "https://c.example.org/", "alice", NOW)
        with database.begin() as records:
            records.accounts.add(account, "x")
            records.accounts.add(replace(account, id="dav-2", owner="bob"), "x")
            records.finds.save([find("x.csv", place="dav-1"), find("x.csv", place="dav-2")])
            assert [each.id for each in records.accounts.all()] == ["dav-1", "dav-2"]
        with database.begin() as records:
            before = records.changes.last()
            records.accounts.remove("ada", "dav-2")
            assert records.finds.places() == {"dav-1": 1, "dav-2": 1}
            records.accounts.remove("ada", "dav-1")
        with database.begin() as records:
            assert records.finds.places() == {"dav-2": 1}
            assert [each.key for each in records.changes.since(before, limit=9)] == ["dav-1/x.csv"]

    def test_one_process_at_a_time_holds_a_lease_until_it_ends(self, database: SqlDatabase) -> None:
        def take(holder: str, *, at: int, until: int, name: str = "sweep", **said: object) -> bool:
            with database.begin() as records:
                lease = Lease(name, holder, NOW + timedelta(seconds=until), said)
                return records.leases.take(lease, now=NOW + timedelta(seconds=at))

        assert take("one", at=0, until=60) and take("one", at=30, until=90, places=3)
        assert not take("two", at=89, until=200)
        assert take("two", at=0, until=60, name="index:two")
        with database.begin() as records:
            held = Lease("sweep", "one", NOW + timedelta(seconds=90), {"places": 3})
            assert records.leases.all("sw") == [held] and len(records.leases.all("")) == 2
        # Whoever died does not give it back.
        assert take("two", at=90, until=150) and not take("one", at=100, until=200)
        with database.begin() as records:
            records.leases.give_back("sweep", "one")
        assert not take("one", at=100, until=200)
        with database.begin() as records:
            records.leases.give_back("sweep", "two")
        assert take("one", at=100, until=200)
        assert take("two", at=8 * 86_400, until=9 * 86_400, name="index:three")
        with database.begin() as records:
            assert [each.name for each in records.leases.all("")] == ["index:three"]

    def test_of_many_that_want_a_lease_at_once_one_gets_it(self, database: SqlDatabase) -> None:
        got = list[str]()

        def take(holder: str) -> None:
            with database.begin() as records:
                if records.leases.take(Lease("sweep", holder, NOW + timedelta(seconds=60)), now=NOW):
                    got.append(holder)

        threads = [Thread(target=take, args=(name,)) for name in "abcdef"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1

    def test_of_files_that_are_gone_only_the_latest_changes_are_remembered(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            assert records.changes.forgotten() == 0 or records.changes.last() >= records.changes.forgotten()
            records.apps.save(app())
            records.apps.remove("a1")
            records.finds.save([find(f"{number}.csv") for number in range(10)])
            records.finds.remove("home-ada", [f"{number}.csv" for number in range(6)])
            last = records.changes.last()
        with database.begin() as records:
            before = records.changes.count()
            for keep in (last, 6):
                assert not records.changes.forget(keep=keep, most=100) and records.changes.count() == before
            assert records.changes.forgotten() == last - 6
            # A piece at a time: two of the four are looked at, then the others.
            assert records.changes.forget(keep=2, most=2)
            assert (records.changes.count(), records.changes.forgotten()) == (before - 2, last - 4)
            while records.changes.forget(keep=2, most=2):
                pass
            assert (records.changes.count(), records.changes.forgotten()) == (before - 4, last - 2)
            kept = [each.key.removeprefix("home-ada/") for each in records.changes.since(0, limit=99)]
        assert kept == ["a1", "6.csv", "7.csv", "8.csv", "9.csv", "4.csv", "5.csv"]
