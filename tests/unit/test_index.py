"""The portal's index: what is found, and that nobody learns anything of what they may not see."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vaas.catalogs import own
from vaas.catalogs.base import Entry, Record
from vaas.catalogs.own import Index, OwnCatalog
from vaas.errors import Invalid, NotFound, Unavailable
from vaas.model import User, Visitor
from vaas.query import Clause, Search, parse

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
EVERYONE = frozenset({"everyone"})
APP = Record(
    "app:1",
    "app",
    "Sea level rise",
    summary="How high the water stands",
    owner="ada",
    tags=("Climate", "Ocean"),
    names=("sea-level.ipynb",),
    packages=("xarray",),
    changed=NOW,
    box=(1.0, 2.0, 3.0, 4.0),
    details={"shape": [3, 4]},
)
DATA = Record(
    "data:1",
    "data",
    "Température des océans",
    owner="bob",
    tags=("climate",),
    names=("doi:10.5281/zenodo.123", "obs_2024_final.csv"),
    columns=("station name", "T_max"),
    format="CSV",
    changed=NOW - timedelta(days=400),
)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    found = Index(tmp_path / "index")
    yield found
    found.close()


@pytest.fixture
def two(index: Index) -> Index:
    """Return an index with two records that everybody sees."""
    index.put([Entry(APP, EVERYONE), Entry(DATA, EVERYONE)])
    return index


def ids(index: Index, text: str, subjects: Collection[str] = EVERYONE) -> list[str]:
    return [record.id for record in index.search(parse(text, now=NOW), subjects=subjects).records]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "app data"),
        ("sea", "app"),
        ("SEA water", "app"),
        ("sea station", ""),
        ("ocean*", "app data"),
        ("temperature", "data"),
        ("OCEANS", "app data"),
        ("tag:climate", "app data"),
        ("tag:CLI*", "app data"),
        ("tag:cli", ""),
        ("type:data", "data"),
        ("type:app OR type:data", "app data"),
        ("-type:data", "app"),
        ("-sea", "data"),
        ("column:station", "data"),
        ('column:"station name"', "data"),
        ("column:sea", ""),
        ("by:ada", "app"),
        ("uses:xarray", "app"),
        ("format:csv", "data"),
        ('"level rise"', "app"),
        ('"rise level"', ""),
        ("obs_2024_final.csv", "data"),
        ("name:2024_fin", "data"),
        ("name:ob", "data"),
        ("name:2025", ""),
        ("doi:10.5281/zenodo.123", "data"),
        ("10.5281/zenodo.123", "data"),
        ("id:doi:10.5281/zenodo.123", "data"),
        ("after:30d", "app"),
        ("before:2026", "data"),
        ("after:2025-01 before:2025-12-31", "data"),
        ("T_max", "data"),
    ],
)
def test_it_finds_what_was_asked_for(two: Index, text: str, found: str) -> None:
    assert sorted(ids(two, text)) == [f"{name}:1" for name in found.split()]


def test_what_is_found_is_as_it_was_put(two: Index) -> None:
    (record,) = two.search(parse("sea"), subjects=EVERYONE).records
    assert record == replace(APP, details={"shape": [3, 4]})
    assert two.get("data:1", subjects=EVERYONE) == DATA
    assert two.get("data:2", subjects=EVERYONE) is None


def test_a_word_in_the_title_counts_more_and_an_identifier_most(index: Index) -> None:
    records = [
        Record("text", "data", "Other", text="ozone " * 3),
        Record("title", "data", "Ozone"),
        Record("name", "data", "Thing", names=("ozone",)),
    ]
    index.put(Entry(record, EVERYONE) for record in records)
    assert ids(index, "ozone") == ["name", "title", "text"]


def test_one_and_many_are_the_same_question_and_what_was_typed_comes_first(index: Index) -> None:
    index.put(Entry(Record(name, "data", name, columns=(name,)), EVERYONE) for name in ("river", "rivers", "riverbank"))
    assert ids(index, "rivers") == ["rivers", "river"] and ids(index, "river") == ["river", "rivers"]
    assert len(ids(index, "title:rivers")) == 2 and len(ids(index, "column:river")) == 2
    assert ids(index, '"rivers"') == ["rivers"] and ids(index, "-rivers") == ["riverbank"]
    page = index.search(parse("rivers"), subjects=EVERYONE)
    assert (page.total, page.corrected, page.facets["type"]) == (2, False, {"data": 2})
    # While it is typed it may go on, too.
    assert index.search(parse("rivers", typing=True), subjects=EVERYONE).total == 2
    assert index.search(parse("river", typing=True), subjects=EVERYONE).total == 3
    # People are called as they are called.
    index.put([Entry(Record("song", "data", "Sand", authors=("River Song",)), EVERYONE)])
    assert (ids(index, "author:river"), ids(index, "author:rivers")) == (["song"], [])


def test_the_other_number_of_a_word_tells_nothing_of_what_one_may_not_see(index: Index) -> None:
    index.put([Entry(Record("a", "data", "river"), EVERYONE), Entry(Record("b", "data", "rivers"), frozenset({"g"}))])
    page = index.search(parse("rivers"), subjects=EVERYONE)
    assert ([record.id for record in page.records], page.total) == (["a"], 1)


def test_without_words_the_newest_comes_first(two: Index) -> None:
    assert ids(two, "tag:climate") == ["app:1", "data:1"]


def test_what_belongs_to_a_program_comes_behind_data(tmp_path: Path) -> None:
    index = Index(tmp_path)
    old = {"table.csv": NOW - timedelta(days=9000), "style.css": NOW - timedelta(days=1), "views.py": NOW}
    records = (Record(name, "data", name, format=name.partition(".")[2], changed=day) for name, day in old.items())
    index.put(Entry(record, EVERYONE) for record in records)
    found = index.search(parse("type:data"), subjects=EVERYONE)
    assert [record.id for record in found.records] == ["table.csv", "views.py", "style.css"]
    # Where it is bounded, its own date counts.
    assert index.search(parse("after:7d", now=NOW), subjects=EVERYONE).total == 2
    index.close()


def test_a_slip_of_the_finger_is_forgiven_where_nothing_fits(two: Index) -> None:
    page = two.search(parse("temperaturre oceens"), subjects=EVERYONE)
    assert ([record.id for record in page.records], page.corrected) == (["data:1"], True)
    assert not two.search(parse("sea"), subjects=EVERYONE).corrected
    assert ids(two, '"temperaturre"') == [] and ids(two, "sex") == []


def test_pages_follow_each_other_without_gaps(index: Index) -> None:
    index.put(Entry(Record(f"r{number}", "data", "rain", changed=NOW), EVERYONE) for number in range(7))
    seen, cursor = [], ""
    for _ in range(4):
        page = index.search(parse("rain"), subjects=EVERYONE, limit=2, offset=int(cursor or 0))
        seen += [record.id for record in page.records]
        cursor = page.cursor
    assert sorted(seen) == [f"r{number}" for number in range(7)] and cursor == ""


def test_an_entry_takes_the_place_of_the_former_and_can_be_removed(two: Index) -> None:
    two.put([Entry(replace(APP, title="Glaciers"), EVERYONE)])
    assert (ids(two, "rise"), ids(two, "glaciers"), len(two)) == ([], ["app:1"], 2)
    two.put(remove=["app:1"])
    assert (ids(two, ""), len(two)) == (["data:1"], 1)


def test_it_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    first = Index(tmp_path)
    first.put([Entry(APP, EVERYONE)])
    first.close()
    again = Index(tmp_path)
    assert ids(again, "sea") == ["app:1"]
    again.close()


def test_one_that_cannot_be_read_is_made_anew(tmp_path: Path) -> None:
    first = Index(tmp_path)
    first.put([Entry(APP, EVERYONE)], upto=(3, 7))
    first.close()
    (meta,) = tmp_path.rglob("meta.json")
    meta.write_text("{")
    again = Index(tmp_path)
    assert (len(again), again.followed) == (0, (0, 0))
    again.put([Entry(APP, EVERYONE)], upto=(3, 8))
    assert (ids(again, "sea"), again.followed) == (["app:1"], (3, 8))
    again.close()


def test_what_one_may_not_see_is_not_suggested_nor_corrected_nor_had_by_its_id(index: Index) -> None:
    index.put([Entry(APP, EVERYONE), Entry(replace(DATA, title="Secret seaweed plan"), frozenset({"group:g"}))])
    assert index.suggest("se", subjects=EVERYONE) == ["sea"]
    assert index.suggest("my se", subjects=["group:g"]) == ["my seaweed", "my secret"]
    assert index.get("data:1", subjects=EVERYONE) is None
    page = index.search(parse("seaweeed"), subjects=EVERYONE)
    assert (page.records, page.total, page.corrected) == ((), 0, False) and not any(page.facets.values())
    assert index.search(parse("seaweeed"), subjects=["group:g"]).total == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("column:t_m", ["column:T_max"]),
        ("sea -column:STAT", ['sea -column:"station name"']),
        ('column:"station n', ['column:"station name"']),
        ("column:max", []),
        ("variable:T", ["variable:T_max"]),
        ("tag:", ["tag:climate", "tag:ocean"]),
        ("tag:Oc", ["tag:ocean"]),
        ("type:", ["type:app", "type:data"]),
        ("owner:a", ["owner:ada"]),
        ("author:bo", ["author:bob"]),
        ("name:obs", ["name:obs_2024_final.csv"]),
        ("title:sea le", ["title:sea level"]),
        ("title:oce", ["title:oceans"]),
        ("uses:x", ["uses:xarray"]),
        ("colour:t", ["colour temperature"]),
        ("column:", []),
        ("tag:climate oce", ["tag:climate oceans"]),
        ("after:2", []),
    ],
)
def test_a_value_that_is_begun_could_go_on(two: Index, text: str, found: list[str]) -> None:
    assert two.suggest(text, subjects=EVERYONE) == found


def test_a_value_that_one_may_not_see_is_not_suggested(index: Index) -> None:
    secret = replace(DATA, id="data:2", tags=("secretive",), columns=("secret_count",), owner="sec", format="sec")
    index.put([Entry(DATA, EVERYONE), Entry(replace(secret, names=("sec.csv",)), frozenset({"group:g"}))])
    for text in ("column:sec", "tag:sec", "owner:sec", "author:sec", "name:sec", "format:sec"):
        assert index.suggest(text, subjects=EVERYONE) == [], text
        assert len(index.suggest(text, subjects=["group:g"])) == 1, text
    # The most frequent first, of what one may see alone.
    more = [replace(DATA, id=f"m:{n}", columns=("wave_height",) if n else ("wave_age",)) for n in range(3)]
    index.put([Entry(each, EVERYONE) for each in more])
    index.put([Entry(replace(more[0], id=f"s:{n}"), frozenset({"group:g"})) for n in range(5)])
    assert index.suggest("column:w", subjects=EVERYONE) == ["column:wave_height", "column:wave_age"]
    assert index.suggest("column:w", subjects=["everyone", "group:g"])[0] == "column:wave_age"


def test_of_very_many_titles_some_are_looked_at_and_none_that_one_may_not_see(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles = ["Séance of waves", "Sea level", "Sea ice", "Sea salt and seals"]
    index.put([Entry(replace(DATA, id=f"d:{n}", title=title), EVERYONE) for n, title in enumerate(titles)])
    secret = [replace(DATA, id=f"s:{n}", title="Secret seaweed") for n in range(9)]
    index.put([Entry(each, frozenset({"group:g"})) for each in secret])
    exact = [index.suggest(text, subjects=EVERYONE) for text in ("s", "of se", "title:sea")]
    assert exact == [
        ["sea", "salt", "seals", "seance"],
        ["of sea", "of seals", "of seance"],
        ["title:sea", "title:seals", "title:seance"],
    ]
    monkeypatch.setattr(own, "_MANY", 0)
    with monkeypatch.context() as counted:
        counted.setattr(Index, "_terms", lambda *_: pytest.fail("All words were counted."))
        assert [index.suggest(text, subjects=EVERYONE) for text in ("s", "of se", "title:sea")] == exact
        assert index.suggest("se", subjects=["group:g"]) == ["seaweed", "secret"]
        monkeypatch.setattr(own, "_TITLES", 4)
        assert len(index.suggest("se", subjects=EVERYONE)) == 3
    assert index.suggest("seaw", subjects=EVERYONE) == [] and index.suggest("seal", subjects=EVERYONE) == ["seals"]


@pytest.mark.parametrize("text", ["漢字", "()", "a:b:c", "*" * 50, "'; --", '"', "field:", "\\", "a/b?c=d&e"])
def test_whatever_is_typed_has_an_answer(two: Index, text: str) -> None:
    assert two.search(parse(text, typing=True), subjects=EVERYONE).total in {0, 2}
    for field in ("", "column:", "tag:", "name:", "title:", 'author:"'):
        assert all('"' not in each.strip('"').split(':"')[0] for each in two.suggest(field + text, subjects=EVERYONE))


def test_of_very_many_hits_a_sample_is_counted_of_what_one_may_see(index: Index) -> None:
    many = [Record(f"data:{n}", "data" if n % 8 else "app", "wave", format=("csv", "nc")[n % 2]) for n in range(50_000)]
    secret = [Record(f"secret:{n}", "share", "wave", owner="eve") for n in range(10_000)]
    index.put([Entry(each, EVERYONE) for each in many] + [Entry(each, frozenset({"user:eve"})) for each in secret])
    page = index.search(parse("wave"), subjects=EVERYONE)
    assert (page.total, page.estimated) == (50_000, True)
    assert page.facets["type"].keys() == {"data", "app"} and page.facets["owner"] == {}
    assert page.facets["type"]["data"] == pytest.approx(43_750, rel=0.05)
    assert page.facets["format"] == pytest.approx({"csv": 25_000, "nc": 25_000}, rel=0.05)
    few = index.search(parse("wave type:app"), subjects=EVERYONE)
    assert (few.total, few.estimated, few.facets["type"]) == (6_250, False, {"app": 6_250})


def test_data_are_found_by_the_years_that_they_are_about(index: Index) -> None:
    old = replace(DATA, id="data:old", begins=datetime(1880, 1, 1, tzinfo=UTC), ends=datetime(1882, 5, 1, tzinfo=UTC))
    new = replace(DATA, id="data:new", begins=datetime(2016, 1, 1, tzinfo=UTC))
    index.put(Entry(each, EVERYONE) for each in (old, new, DATA))

    def found(text: str) -> set[str]:
        return {record.id for record in index.search(parse(text), subjects=EVERYONE).records}

    assert found("during:1881") == found("during:1700..1880") == {"data:old"}
    assert found("during:1882..2020") == {"data:old", "data:new"}
    assert found("during:2017") == found("during:soon") == found("during:1..99999") == set()
    assert found("-during:1881") == {"data:new", "data:1"}
    years = index.search(parse(""), subjects=EVERYONE).facets["year"]
    assert years == {"1880": 1, "1881": 1, "1882": 1, "2016": 1}


async def test_as_a_catalog_it_answers_for_who_asks(index: Index) -> None:
    index.put([Entry(APP, EVERYONE), Entry(DATA, frozenset({"group:g"}))])
    here, nobody, member = OwnCatalog(index), Visitor(), Visitor(User("eve", frozenset({"g"})))
    assert [record.id for record in (await here.search(Search(), visitor=nobody, limit=9)).records] == ["app:1"]
    first = await here.search(Search(), visitor=member, limit=1)
    rest = await here.search(Search(), visitor=member, limit=1, cursor=first.cursor)
    assert [first.records[0].id, rest.records[0].id, rest.cursor] == ["app:1", "data:1", ""]
    assert (await here.record("data:1", visitor=member)).id == "data:1"
    with pytest.raises(NotFound):
        await here.record("data:1", visitor=nobody)


@pytest.mark.parametrize("cursor", ["10000", "1" * 12, "1" * 19, "-1", "x", "١٢٣٤٥"])
async def test_nobody_turns_so_many_pages_over(two: Index, cursor: str) -> None:
    with pytest.raises(Invalid):
        await OwnCatalog(two).search(parse("sea"), visitor=Visitor(), limit=5, cursor=cursor)


def test_one_record_that_does_not_fit_keeps_no_other_out(two: Index) -> None:
    hostile = replace(APP, title="half \ud800 a character")
    two.put([Entry(hostile, EVERYONE), Entry(replace(DATA, title="Fine"), EVERYONE)], upto=(1, 2))
    assert ids(two, "fine") == ["data:1"] and ids(two, "sea") == [] and two.followed == (1, 2)


def test_people_are_those_of_whose_things_one_may_see_some(index: Index) -> None:
    index.put([Entry(replace(APP, id=f"a{n}", owner="Ümit" if n else "ada"), EVERYONE) for n in range(3)])
    index.put([Entry(DATA, frozenset({"group:g"})), Entry(replace(DATA, id="d2", owner=""), EVERYONE)])
    page = index.search(parse("type:people"), subjects=EVERYONE)
    assert [(each.id, each.title, each.owner, each.type) for each in page.records] == [
        ("person:Ümit", "Ümit", "Ümit", "person"),
        ("person:ada", "ada", "ada", "person"),
    ]
    assert page.records[0].summary == "Has 2 things here that you may see."
    assert (page.total, page.facets, page.cursor) == (2, {"type": {"person": 2}}, "")
    both = ["everyone", "group:g"]
    # Who has something about it, or is called so.
    for text, names in (("station", ["bob"]), ("sea", ["Ümit", "ada"]), ("ada", ["ada"]), ("-ada -by:bob", ["Ümit"])):
        page = index.search(parse(f"{text} type:person"), subjects=both)
        assert [each.owner for each in page.records] == names, text
        assert all("and that fit" in each.summary for each in page.records)
    first = index.search(parse("type:person"), subjects=both, limit=1)
    assert (len(first.records), first.total, first.cursor) == (1, 3, "1")
    rest = index.search(parse("type:person"), subjects=both, offset=1)
    assert {each.owner for each in (*first.records, *rest.records)} == {"Ümit", "ada", "bob"} and rest.cursor == ""
    # By their ids as well.
    assert index.get("person:bob", subjects=EVERYONE) is None is index.get("person:", subjects=both)
    assert index.get("person:bob", subjects=both) == replace(
        first.records[0],
        id="person:bob",
        title="bob",
        owner="bob",
        names=("bob",),
        summary="Has 1 thing here that you may see.",
    )


# The access filter, against one that is too simple to be wrong.

WORDS = ["rain", "snow", "wind", "sun", "fog", "hail"]


def _entries(chance: random.Random, number: int) -> list[Entry]:
    entries = []
    for at in range(number):
        title = " ".join(chance.choices(WORDS, k=3))
        tags = tuple(chance.sample(["a", "b", "c"], chance.randrange(3)))
        kind, owner = chance.choice(["app", "data", "notebook"]), chance.choice(["ada", "bob", "ada", "bob", "eve"])
        record = Record(
            f"r{at}", kind, title, tags=tags, owner=owner, changed=NOW - timedelta(days=chance.randrange(9))
        )
        groups = [f"group:g{chance.randrange(300)}" for _ in range(chance.randrange(1, 4))]
        readers = ["everyone"] if chance.random() < 0.2 else [*groups, f"user:{owner}"]
        entries.append(Entry(record, frozenset(readers)))
    return entries


def _holds(clause: Clause, record: Record) -> bool:
    words = record.title.split()
    values = {"": words, "type": [record.type], "tag": list(record.tags), "owner": [record.owner]}[clause.field]
    return any(word.startswith(clause.text) if clause.prefix else word == clause.text for word in values)


def _oracle(entries: list[Entry], search: Search, subjects: Collection[str]) -> list[Record]:
    seen = [entry.record for entry in entries if entry.readers & set(subjects)]
    fitting = []
    for record in seen:
        groups = [any(_holds(clause, record) != clause.negated for clause in group) for group in search.groups]
        day = record.changed.date() if record.changed else None
        late = search.after is None or (day is not None and day >= search.after)
        if all(groups) and late:
            fitting.append(record)
    return fitting


def _question(chance: random.Random) -> str:
    parts = chance.sample(
        [chance.choice(WORDS), "sno*", "type:app", "tag:a", "-tag:b", "by:ada", "-fog", "after:4d"], 2
    )
    if chance.random() < 0.3:
        parts.append(f"type:data OR tag:{chance.choice('abc')}")
    return " ".join(parts[: chance.randrange(4)])


def test_what_is_found_and_counted_is_what_the_subjects_may_see(index: Index) -> None:
    chance = random.Random(7)
    entries = _entries(chance, 400)
    index.put(entries)
    for _ in range(300):
        subjects = ["everyone", *(f"group:g{n}" for n in chance.sample(range(300), chance.choice([0, 1, 20, 200])))]
        search = parse(_question(chance), now=NOW)
        wanted = _oracle(entries, search, subjects)
        page = index.search(search, subjects=subjects, limit=500)
        assert {record.id for record in page.records} == {record.id for record in wanted}, str(search)
        assert page.total == len(wanted)
        assert page.facets["type"] == Counter(record.type for record in wanted)
        assert page.facets["tag"] == Counter(tag for record in wanted for tag in record.tags)
        if not search.asked("type"):
            page = index.search(
                replace(search, groups=(*search.groups, (Clause("person", "type"),))), subjects=subjects
            )
            assert {each.owner for each in page.records} == {record.owner for record in wanted}
        readable = [entry.record for entry in entries if entry.readers & set(subjects)]
        words = {word for record in readable for word in record.title.split()}
        assert set(index.suggest("s", subjects=subjects)) == {word for word in words if word.startswith("s")}


def test_after_random_changes_it_holds_what_it_should(index: Index) -> None:
    chance = random.Random(3)
    kept: dict[str, Entry] = {}
    for _ in range(25):
        changed = {entry.record.id: entry for entry in _entries(chance, 40)}
        put = {key: changed[key] for key in chance.sample(sorted(changed), 10)}
        gone = chance.sample(sorted(kept), min(3, len(kept)))
        index.put(put.values(), remove=gone)
        for key in gone:
            kept.pop(key)
        kept |= put
        everybody = {reader for entry in kept.values() for reader in entry.readers}
        found = index.search(Search(), subjects=everybody, limit=100).records
        assert {record.id: record for record in found} == {key: entry.record for key, entry in kept.items()}


def test_several_records_are_had_at_once_by_who_may_see_them(index: Index) -> None:
    readers = (frozenset({"everyone"}), frozenset({"user:ada"}))
    index.put(Entry(replace(APP, id=f"app:{number}"), readers[number % 2]) for number in range(40))
    asked = [*(f"app:{number}" for number in range(60)), "", "\ud800", "app:1"]
    assert set(index.several(asked, subjects=EVERYONE)) == {f"app:{number}" for number in range(0, 40, 2)}
    assert len(index.several(asked, subjects={"everyone", "user:ada"})) == 40
    assert index.several([], subjects=EVERYONE) == {} and index.get("\ud800", subjects=EVERYONE) is None


def test_a_moment_bounds_to_the_second(index: Index) -> None:
    for number in range(4):
        changed = NOW + timedelta(seconds=number, milliseconds=500)
        index.put([Entry(replace(APP, id=f"app:{number}", changed=changed), EVERYONE)])
    for second, left in ((0, 4), (1, 3), (4, 0)):
        search = replace(parse("sea"), after=NOW + timedelta(seconds=second))
        assert index.search(search, subjects=EVERYONE).total == left


def test_what_fails_on_the_way_in_leaves_all_as_it_was_and_the_next_goes_in(two: Index) -> None:
    def broken() -> Iterator[Entry]:
        yield Entry(replace(APP, id="app:2", title="Half of it"), EVERYONE)
        raise ZeroDivisionError

    for fresh in (False, True):
        with pytest.raises(ZeroDivisionError) as failed:
            two.put(broken(), remove=["data:1"], fresh=fresh, upto=(1, 9))
        # What writes is given back, though the error still knows of it.
        assert failed.traceback and len(two) == 2 and two.followed == (0, 0)
        two.put([Entry(APP, EVERYONE)], upto=(1, 2))
        assert len(two) == 2 and two.followed == (1, 2)
        two.put(upto=(0, 0))


async def test_what_is_closed_takes_nothing_and_leaves_no_thread(tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    index.put([Entry(APP, EVERYONE)])
    assert await index.beside(lambda: len(index)) == 1
    index.close()
    index.close()
    with pytest.raises(Unavailable):
        index.put([Entry(DATA, EVERYONE)])
    again = Index(tmp_path / "index")
    again.put([Entry(DATA, EVERYONE)])
    assert len(again) == 2
    again.close()
