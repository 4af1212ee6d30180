"""The index is what the database is: after each change, after a restart, and when it is made anew."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from tests.notebooks import markdown
from tests.portal_parts import ADA, BOB, EVE, NOBODY, ROOT, World, made
from vaas.catalogs.own import Index, OwnCatalog
from vaas.db.base import Find, Query
from vaas.errors import Unavailable
from vaas.keeping import Thing
from vaas.model import EVERYONE, SIGNED_IN, Access, App, Grant, User, Visitor
from vaas.portal import Portal
from vaas.portal.gallery import Appearance
from vaas.portal.indexing import Indexing
from vaas.query import parse

AS_ADA, AS_BOB, AS_ROOT = Visitor(ADA), Visitor(BOB), Visitor(ROOT)


@pytest.fixture
def index(world: World, tmp_path: Path) -> Iterator[Index]:
    opened = Index(tmp_path / "index", memory=30_000_000, now=world.core.now)
    yield opened
    opened.close()


@pytest.fixture
def indexing(world: World, index: Index) -> Indexing:
    return Indexing(world.core, index)


async def found(index: Index, text: str = "", visitor: Visitor = AS_ADA) -> list[str]:
    page = await OwnCatalog(index).search(parse(text), visitor=visitor, limit=50)
    assert page.total == len(page.records)
    return sorted(record.title for record in page.records)


async def test_an_app_is_found_by_what_it_says(world: World, index: Index, indexing: Indexing) -> None:
    app = await world.published(
        ADA, markdown("# Tides of the Adriatic\nHigh water in *Venice*."), title="Sea", to=(EVERYONE,)
    )
    world.portal.gallery.edit(AS_ADA, app.slug, Appearance("Sea level", "For schools", "Earth", ("ocean",)))
    assert indexing.catch_up() == 1
    for text in ("sea", "venice", "schools", "tag:ocean", "category:earth", "by:ada", "type:app", f"id:{app.slug}"):
        assert await found(index, text, NOBODY) == ["Sea level"], text
    for text in ("uses:numpy", "mountains", "by:bob"):
        assert await found(index, text, NOBODY) == []


async def test_what_changes_is_followed(world: World, index: Index, indexing: Indexing) -> None:
    app = await world.published(ADA, title="Old")
    indexing.catch_up()
    assert indexing.catch_up() == 0
    world.portal.gallery.edit(AS_ADA, app.slug, Appearance("New"))
    await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.VIEW)
    assert await found(index, visitor=AS_BOB) == []
    assert indexing.catch_up() == 1
    assert await found(index, "title:old") == [] and await found(index, visitor=AS_BOB) == ["New"]
    world.portal.sharing.revoke(AS_ADA, app.slug, subject="user:bob")
    indexing.catch_up()
    assert await found(index, visitor=AS_BOB) == [] and await found(index, visitor=AS_ROOT) == ["New"]
    world.portal.gallery.withdraw(AS_ADA, app.slug)
    indexing.catch_up()
    assert await found(index) == [] and len(index) == 0


async def test_a_collection_is_found_by_its_owner_and_those_it_is_shared_with(
    world: World, index: Index, indexing: Indexing
) -> None:
    baskets = world.portal.baskets
    basket = (await baskets.new(AS_ADA, "Tides")).basket
    with world.core.database.begin() as records:
        records.things.add(Thing("t1", basket.id, "file", "", "Harbour", "here", "file:p/secret.csv", world.clock()))
    indexing.catch_up()
    assert await found(index, "type:share", AS_ADA) == [], "it is shared with nobody"
    await baskets.share(AS_ADA, basket.id, ["group:physics"])
    indexing.catch_up()
    # Sent and received; nobody else knows of it, administrators neither.
    for visitor, titles in ((AS_ADA, ["Tides"]), (AS_BOB, ["Tides"]), (Visitor(EVE), []), (AS_ROOT, []), (NOBODY, [])):
        assert await found(index, "type:share", visitor) == await found(index, "tides owner:ada", visitor) == titles
        assert await found(index, "harbour type:share", visitor) == []
    (record,) = (await OwnCatalog(index).search(parse("tides"), visitor=AS_BOB, limit=5)).records
    assert record.summary == "A collection that ada shares: 1 thing." and record.details == {"basket": basket.id}
    assert "physics" not in repr(record)
    await baskets.rename(AS_ADA, "Waves", basket_id=basket.id)
    indexing.catch_up()
    assert await found(index, "type:share", AS_BOB) == ["Waves"]
    await baskets.share(AS_ADA, basket.id, ["user:eve"])
    indexing.catch_up()
    assert await found(index, "type:share", AS_BOB) == [] and await found(index, "waves", Visitor(EVE)) == ["Waves"]
    indexing.rebuild()
    assert await found(index, "waves", Visitor(EVE)) == ["Waves"]
    await baskets.delete(AS_ADA, basket.id)
    indexing.catch_up()
    assert await found(index, "type:share", AS_ADA) == []


async def test_who_could_see_it_until_now_does_so_no_more(world: World, index: Index, indexing: Indexing) -> None:
    app = await world.published(ADA, title="Exam")
    link = world.portal.sharing.make_link(AS_ADA, app.slug, days=1)
    comer = Visitor(EVE, frozenset({link.id}))
    indexing.catch_up()
    assert await found(index, visitor=comer) == ["Exam"]
    world.clock.forward(days=1, seconds=1)
    # At that very moment, before anything has followed.
    assert await found(index, visitor=comer) == []
    assert indexing.catch_up() == 1
    assert await found(index, visitor=comer) == [] and await found(index) == ["Exam"]
    assert indexing.catch_up() == 0


async def test_another_process_goes_on_where_the_last_one_ended(
    world: World, index: Index, indexing: Indexing, tmp_path: Path
) -> None:
    await world.published(ADA, title="One")
    indexing.catch_up()
    again = Indexing(world.core, index)
    assert again.catch_up() == 0
    await world.published(ADA, title="Two")
    assert again.catch_up() == 1
    # One of its own, as each portal process has.
    other = Index(tmp_path / "other", memory=30_000_000)
    assert Indexing(world.core, other).catch_up() == 2
    assert await found(other) == await found(index) == ["One", "Two"]
    other.close()


async def test_it_can_be_made_anew_and_says_how_far_it_is(world: World, index: Index, indexing: Indexing) -> None:
    for title in ("One", "Two"):
        await world.published(ADA, title=title)
    gone = await world.published(ADA, title="Gone")
    world.portal.gallery.withdraw(AS_ADA, gone.slug)
    told: list[tuple[int, int]] = []
    assert indexing.rebuild(told=lambda done, of: told.append((done, of))) == 2
    # What is gone has changed, too.
    assert told == [(3, 3)] and await found(index) == ["One", "Two"]
    assert indexing.catch_up() == 0


async def test_what_changes_while_it_is_made_anew_is_in_it_once(world: World, index: Index, indexing: Indexing) -> None:
    apps = [await world.published(ADA, title=title) for title in ("One", "Two")]

    def edit(_done: int, _of: int) -> None:
        world.portal.gallery.edit(AS_ADA, apps[0].slug, Appearance("One again"))

    indexing.rebuild(told=edit)
    indexing.catch_up()
    assert await found(index) == ["One again", "Two"] and len(index) == 2


async def test_a_notebook_that_cannot_be_read_keeps_nothing_from_being_found(
    world: World, index: Index, indexing: Indexing
) -> None:
    broken, whole = await world.published(ADA, "'x'", title="Broken"), await world.published(ADA, "'y'", title="Whole")
    with world.core.database.begin() as records:
        digest = records.versions.of(broken.id)[0].snapshot.files[0].sha256
    path = world.core.content.path(digest)
    path.chmod(0o600)
    path.write_bytes(b"{" * 100_000)
    indexing.catch_up()
    assert await found(index) == ["Broken", whole.title]
    path.unlink()
    indexing.rebuild()
    assert await found(index) == ["Broken", whole.title]


async def test_a_hostile_notebook_keeps_nobody_from_losing_access(
    world: World, index: Index, indexing: Indexing
) -> None:
    app = await world.published(ADA, title="Secret", to=("user:bob",))
    indexing.catch_up()
    assert await found(index, visitor=AS_BOB) == ["Secret"]
    await world.published(BOB, markdown("half a character: \ud800, and much <!--" + "<" * 90_000), title="Hostile")
    world.portal.sharing.revoke(AS_ADA, app.slug, subject="user:bob")
    indexing.catch_up()
    assert await found(index, visitor=AS_BOB) == ["Hostile"] == await found(index, "character", AS_BOB)


async def test_what_the_page_does_not_show_is_not_found(world: World, index: Index, indexing: Indexing) -> None:
    text = (
        "# Waves\nSee [the *data*](https://hidden.example.org/elsewhere) <!-- solution: fourteen -->\n"
        '<img src="unseen.png" alt="x">\n\n[note]: # (nobody reads this)\n'
    )
    await world.published(ADA, markdown(text), "answer = 'forty'", title="Exam", to=(EVERYONE,))
    indexing.catch_up()
    assert await found(index, "waves", NOBODY) == ["Exam"] == await found(index, "data", NOBODY)
    for word in (
        "hidden",
        "solution",
        "fourteen",
        "unseen",
        "nobody",
        "forty",
        "answer",
        "lesson.ipynb",
        "name:lesson",
    ):
        assert await found(index, word, NOBODY) == [], word


async def test_another_database_is_not_taken_for_this_one(
    world: World, index: Index, indexing: Indexing, tmp_path: Path, empty_database: bytes
) -> None:
    for title in ("One", "Two", "Three"):
        await world.published(ADA, title=title)
    indexing.catch_up()
    (tmp_path / "elsewhere").mkdir()
    other = made(tmp_path / "elsewhere", empty=empty_database)
    with other.core.database.begin() as records:
        records.changes.begin_epoch()
    await other.published(ADA, title="Another")
    assert Indexing(other.core, index).catch_up() == 1
    assert await found(index) == ["Another"]
    other.core.database.close()


async def test_an_older_copy_of_the_database_is_seen_by_all(
    world: World, index: Index, indexing: Indexing, tmp_path: Path
) -> None:
    second = Index(tmp_path / "second", memory=30_000_000)
    await world.published(ADA, title="Early")
    file = Path(str(world.core.database._engine.url.database))  # type: ignore[attr-defined]
    with world.core.database._engine.connect() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = file.read_bytes()
    await world.published(ADA, title="Late")
    for each in (index, second):
        Indexing(world.core, each).catch_up()
    world.core.database.close()  # type: ignore[attr-defined]
    for path in file.parent.glob(f"{file.name}-*"):
        path.unlink()
    file.write_bytes(kept)
    indexing.catch_up()
    assert await found(index) == ["Early"]
    for title in ("Then", "And then", "At last"):
        await world.published(ADA, title=title)
    Indexing(world.core, second).catch_up()
    assert await found(second) == ["And then", "At last", "Early", "Then"]
    second.close()


async def test_where_the_database_cannot_be_followed_nothing_is_shown(
    world: World, index: Index, indexing: Indexing
) -> None:
    await world.published(ADA, title="Here")
    here = OwnCatalog(index, is_fresh=lambda: indexing.is_fresh)
    with pytest.raises(Unavailable):
        await here.search(parse("here"), visitor=AS_ADA, limit=5)
    indexing.catch_up()
    assert (await here.search(parse("here"), visitor=AS_ADA, limit=5)).total == 1


async def test_it_is_followed_within_a_moment(world: World, index: Index, indexing: Indexing) -> None:
    following = asyncio.ensure_future(indexing.follow())
    await world.published(ADA, title="Here")
    async with asyncio.timeout(20):
        while await found(index) != ["Here"]:
            await asyncio.sleep(0.02)
    following.cancel()
    await asyncio.wait({following})
    assert following.cancelled()


async def test_after_any_changes_it_shows_what_the_gallery_shows(
    world: World, index: Index, indexing: Indexing
) -> None:
    chance = random.Random(8)
    subjects = [EVERYONE, SIGNED_IN, "user:bob", "user:eve", "group:physics", "group:art"]
    people = [Visitor(), AS_ADA, AS_BOB, AS_ROOT, Visitor(User("eve", frozenset({"art", "physics"})))]
    apps: list[App] = []
    for step in range(60):
        chosen = chance.choice(apps) if apps else None
        owner = Visitor(User(chosen.owner)) if chosen else AS_ADA
        action = chance.choice(["publish", "grant", "grant", "revoke", "edit", "withdraw"])
        if action == "publish" or chosen is None:
            apps.append(await world.published(chance.choice([ADA, BOB]), title=f"App {step}"))
        elif action == "grant":
            now, hours = world.core.now(), chance.choice([0, 12, 24])
            expires = now + timedelta(hours=hours) if hours else None
            grant = Grant(chosen.id, chance.choice(subjects), Access.VIEW, chosen.owner, now, expires)
            with world.core.database.begin() as records:
                records.grants.save(grant)
        elif action == "revoke":
            world.portal.sharing.revoke(owner, chosen.slug, subject=chance.choice(subjects))
        elif action == "edit":
            world.portal.gallery.edit(owner, chosen.slug, Appearance(f"App {step} again"))
        else:
            apps.remove(chosen)
            world.portal.gallery.withdraw(owner, chosen.slug)
        world.clock.forward(hours=chance.randrange(12))
        if step % 3 == 0:
            indexing.catch_up()
            for visitor in people:
                listed = world.portal.gallery.apps(visitor, Query())
                assert await found(index, visitor=visitor) == sorted(each.app.title for each in listed)


async def test_who_closes_does_not_wait_until_all_is_made(world: World, index: Index, indexing: Indexing) -> None:
    await world.published(ADA, title="Sea", to=(EVERYONE,))
    indexing.catch_up()
    record = {"id": "x", "type": "data", "title": "x"}
    finds = [Find("home-ada", f"{n}", "1", "data", record, frozenset({"user:ada"}), world.clock()) for n in range(2000)]
    with world.core.database.begin() as records:
        records.finds.save(finds)
    pieces = list[int]()
    with ThreadPoolExecutor(1) as beside:

        def told(done: int, _all: int) -> None:
            pieces.append(done)
            if len(pieces) == 1:
                closing.append(beside.submit(indexing.close))
                while not indexing._is_closed:
                    time.sleep(0.001)

        closing = list[Future[None]]()
        with pytest.raises(Unavailable):
            indexing.rebuild(told=told)
        closing[0].result(30)
    assert pieces == [500] and len(index) == 1
    with pytest.raises(Unavailable):
        indexing.catch_up()


async def test_a_portal_that_ends_lets_go_of_all(world: World, index: Index, indexing: Indexing) -> None:
    portal = Portal(world.core, indexing=indexing)
    ended = list[str]()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async def follow() -> None:
        await indexing.follow()

    world.core.spawn(work())
    following = asyncio.create_task(follow())
    async with asyncio.timeout(30):
        while not _leases(world):
            await asyncio.sleep(0.02)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await portal.close()
    assert ended == ["work"] and not world.core.tasks and _leases(world) == []
    # A thread that was on its way says nothing after the end.
    indexing._work.tell_sometimes(epoch=7)
    assert not indexing._work.tell(epoch=8) and _leases(world) == []
    with pytest.raises(Unavailable):
        index.put()


def _leases(world: World) -> list[str]:
    with world.core.database.begin() as records:
        return [each.name for each in records.leases.all("")]
